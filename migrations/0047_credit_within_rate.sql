-- Credit notes give back no more at a tax rate than an invoice has at it: where a line takes off from others at its rate, each
-- of them by itself has more net and tax than there was.

-- What no credit note has credited yet of the lines of an invoice at one rate together; below 0 where more was credited, as
-- before this rule. No row unless one of these lines has a negative amount: without one, the limits of the lines are enough.
CREATE FUNCTION credit_left_at_rate(p_company uuid, p_invoice uuid, p_rate integer)
RETURNS TABLE (net_minor numeric, tax_minor numeric)
LANGUAGE sql STABLE AS $$
  SELECT greatest(sum(l.net_minor), 0) - sum(c.net_minor), greatest(sum(l.tax_minor), 0) - sum(c.tax_minor)
  FROM invoice_lines l
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(n.net_minor), 0) AS net_minor, coalesce(sum(n.tax_minor), 0) AS tax_minor
    FROM credit_note_lines n
    WHERE n.company_id = l.company_id AND n.invoice_id = l.invoice_id AND n.line_number = l.line_number
  ) AS c
  WHERE l.company_id = p_company AND l.invoice_id = p_invoice AND l.tax_rate_thousandths = p_rate
  HAVING bool_or(l.net_minor < 0)
$$;

-- As before, and per rate: for the release before, which looks at the lines only, and for SQL by hand. It looks at the rates of
-- the lines that are added, so that what was credited at another one before this rule is in nobody's way. A line whose net is
-- credited in full keeps a part of its tax where no more is left of it at its rate.
CREATE OR REPLACE FUNCTION require_credit_within_line() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  exceeded smallint;
  exceeded_rate integer;
BEGIN
  PERFORM 1 FROM invoices i
  WHERE (i.company_id, i.id) IN (SELECT a.company_id, a.invoice_id FROM added a) ORDER BY i.id FOR NO KEY UPDATE;
  -- OFFSET 0: by the key of each, whatever the planner knows of the tables.
  SELECT a.line_number INTO exceeded
  FROM (SELECT DISTINCT n.company_id, n.invoice_id, n.line_number FROM added n) AS a
  CROSS JOIN LATERAL (
    SELECT k.net_minor, k.tax_minor, k.tax_rate_thousandths FROM invoice_lines k
    WHERE k.company_id = a.company_id AND k.invoice_id = a.invoice_id AND k.line_number = a.line_number OFFSET 0
  ) AS l
  CROSS JOIN LATERAL (
    SELECT sum(n.net_minor) AS net_minor, sum(n.tax_minor) AS tax_minor FROM credit_note_lines n
    WHERE n.company_id = a.company_id AND n.invoice_id = a.invoice_id AND n.line_number = a.line_number OFFSET 0
  ) AS c
  WHERE c.net_minor > l.net_minor OR c.tax_minor > l.tax_minor
    OR (c.net_minor = l.net_minor AND c.tax_minor <> l.tax_minor AND NOT EXISTS (
      SELECT FROM credit_left_at_rate(a.company_id, a.invoice_id, l.tax_rate_thousandths) AS r WHERE r.tax_minor <= 0
    ))
  LIMIT 1;
  IF exceeded IS NOT NULL THEN
    RAISE EXCEPTION 'line % would be credited with more, or with less tax, than it has', exceeded
      USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_exceeds_line';
  END IF;
  -- Nearly all invoices have no negative line, and end here. As a value: EXISTS would become a join, for which the planner may
  -- read the whole table.
  IF NOT EXISTS (
    SELECT FROM (SELECT DISTINCT a.company_id, a.invoice_id FROM added a) AS i
    WHERE (
      SELECT min(l.net_minor) FROM invoice_lines l WHERE l.company_id = i.company_id AND l.invoice_id = i.invoice_id
    ) < 0
  ) THEN
    RETURN NULL;
  END IF;
  SELECT r.tax_rate_thousandths INTO exceeded_rate
  FROM (
    SELECT DISTINCT a.company_id, a.invoice_id, l.tax_rate_thousandths
    FROM added a
    CROSS JOIN LATERAL (
      SELECT k.tax_rate_thousandths FROM invoice_lines k
      WHERE k.company_id = a.company_id AND k.invoice_id = a.invoice_id AND k.line_number = a.line_number OFFSET 0
    ) AS l
  ) AS r
  CROSS JOIN LATERAL credit_left_at_rate(r.company_id, r.invoice_id, r.tax_rate_thousandths) AS c
  WHERE c.net_minor < 0 OR c.tax_minor < 0
  LIMIT 1;
  IF exceeded_rate IS NOT NULL THEN
    RAISE EXCEPTION 'more would be credited at % thousandths of a percent than the lines of the invoice at that rate are in all',
      exceeded_rate
      USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_exceeds_rate';
  END IF;
  RETURN NULL;
END
$$;
