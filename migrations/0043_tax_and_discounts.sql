-- Tax rates of three places (8.875 %), discounts, and tax that is rounded once per rate over an invoice.

-- How the company rounds tax. An invoice keeps the way with which it was made: whoever calculates it again needs to know. The
-- release before always rounds by line, and leaves the default.
ALTER TABLE companies ADD COLUMN tax_rounding text NOT NULL DEFAULT 'line' CHECK (tax_rounding IN ('line', 'document'));
GRANT UPDATE (tax_rounding) ON companies TO accubooks_app;
-- Its tax is negative where what is taken off is taxed and the rest is not.
ALTER TABLE invoices
  ADD COLUMN tax_rounding text NOT NULL DEFAULT 'line' CHECK (tax_rounding IN ('line', 'document')),
  DROP CONSTRAINT invoices_tax_minor_check,
  ADD CONSTRAINT invoices_tax_minor_check CHECK (tax_minor BETWEEN -10000000000000 AND 10000000000000);
DROP TRIGGER keep_issued_invoices ON invoices;
CREATE TRIGGER keep_issued_invoices
  BEFORE UPDATE OF company_id, id, number, customer_id, currency, issue_date, due_date, memo, subtotal_minor, tax_minor,
    total_minor, tax_rounding, journal_entry_id, metadata, created_at ON invoices
  FOR EACH ROW WHEN (OLD.number IS NOT NULL) EXECUTE FUNCTION refuse_change('void the invoice or credit it');

-- Rates and shares are in thousandths of a percent. The column of before stays for the release before, which reads it: NULL
-- where the rate is no whole number of basis points. Nothing but record_invoices writes it.
ALTER TABLE invoice_lines
  ADD COLUMN tax_rate_thousandths integer,
  ADD COLUMN discount_thousandths integer CHECK (discount_thousandths BETWEEN 0 AND 100000),
  ADD COLUMN discount_minor bigint NOT NULL DEFAULT 0 CHECK (discount_minor BETWEEN 0 AND 10000000000000);
-- USING fills the lines that are there in one pass. An UPDATE would be refused by their trigger, and leave each line twice.
ALTER TABLE invoice_lines
  ALTER COLUMN tax_rate_thousandths TYPE integer USING tax_rate_basis_points * 10,
  ALTER COLUMN tax_rate_thousandths SET NOT NULL,
  ALTER COLUMN tax_rate_basis_points DROP NOT NULL,
  ADD CONSTRAINT invoice_lines_tax_rate_thousandths_check CHECK (tax_rate_thousandths BETWEEN 0 AND 100000),
  ADD CONSTRAINT invoice_lines_rates_agree CHECK (
    tax_rate_basis_points IS NOT DISTINCT FROM
      CASE WHEN tax_rate_thousandths % 10 = 0 THEN tax_rate_thousandths / 10 END
  ),
  DROP CONSTRAINT invoice_lines_unit_price_minor_check,
  ADD CONSTRAINT invoice_lines_unit_price_minor_check CHECK (
    unit_price_minor BETWEEN -10000000000000 AND 10000000000000
  ),
  DROP CONSTRAINT invoice_lines_net_minor_check,
  ADD CONSTRAINT invoice_lines_net_minor_check CHECK (net_minor BETWEEN -10000000000000 AND 10000000000000),
  DROP CONSTRAINT invoice_lines_tax_minor_check,
  ADD CONSTRAINT invoice_lines_tax_minor_check CHECK (tax_minor BETWEEN -10000000000000 AND 10000000000000),
  -- Half away from zero, in exact arithmetic: round() of numeric does that. The quotient of two numerics is not exact, so
  -- they are multiplied by 0.00001.
  DROP CONSTRAINT invoice_lines_net_is_product,
  ADD CONSTRAINT invoice_lines_net_is_product CHECK (net_minor = round(quantity * unit_price_minor) - discount_minor),
  ADD CONSTRAINT invoice_lines_discount_is_share CHECK (
    discount_thousandths IS NULL
    OR discount_minor = round(round(quantity * unit_price_minor) * discount_thousandths * 0.00001)
  ),
  -- What has a negative price is a discount over the invoice, and has none itself.
  ADD CONSTRAINT invoice_lines_discount_within_gross CHECK (
    CASE WHEN unit_price_minor < 0 THEN discount_minor = 0 AND discount_thousandths IS NULL ELSE net_minor >= 0 END
  ),
  -- Less than one unit from the exact share. Which of the two it is, the trigger below knows.
  DROP CONSTRAINT invoice_lines_tax_is_share,
  ADD CONSTRAINT invoice_lines_tax_is_share CHECK (
    tax_minor BETWEEN floor(net_minor::numeric * tax_rate_thousandths * 0.00001)
      AND ceil(net_minor::numeric * tax_rate_thousandths * 0.00001)
  );

-- By line: half away from zero. By document: per rate, half away from zero over all lines; each gets its exact share rounded
-- down, and what is left goes in single units to those with the largest remainders, of equal ones to the lower line numbers.
CREATE FUNCTION require_rounded_tax() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
BEGIN
  -- Nearly all lines are of invoices that are rounded by line, and right: they need no look at each other.
  IF NOT EXISTS (
    SELECT FROM added a JOIN invoices i ON i.company_id = a.company_id AND i.id = a.invoice_id
    WHERE i.tax_rounding = 'document' OR a.tax_minor <> round(a.net_minor::numeric * a.tax_rate_thousandths * 0.00001)
  ) THEN
    RETURN NULL;
  END IF;
  SELECT t.invoice_id, t.line_number INTO wrong
  FROM (
    SELECT l.invoice_id, l.line_number, l.tax_minor, i.tax_rounding, s.exact, floor(s.exact) AS down,
      row_number() OVER (of_rate ORDER BY s.exact - floor(s.exact) DESC, l.line_number) AS place,
      round(sum(s.exact) OVER of_rate) - sum(floor(s.exact)) OVER of_rate AS units_left
    FROM (SELECT DISTINCT company_id, invoice_id FROM added) AS a
    JOIN invoices i ON i.company_id = a.company_id AND i.id = a.invoice_id
    -- OFFSET 0: by the key of each, whatever the planner knows of the tables.
    CROSS JOIN LATERAL (
      SELECT * FROM invoice_lines k WHERE k.company_id = a.company_id AND k.invoice_id = a.invoice_id OFFSET 0
    ) AS l
    CROSS JOIN LATERAL (SELECT l.net_minor::numeric * l.tax_rate_thousandths * 0.00001 AS exact) AS s
    WINDOW of_rate AS (PARTITION BY l.company_id, l.invoice_id, l.tax_rate_thousandths)
  ) AS t
  WHERE t.tax_minor <> CASE t.tax_rounding
    WHEN 'line' THEN round(t.exact) ELSE t.down + CASE WHEN t.place <= t.units_left THEN 1 ELSE 0 END END
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'line % of invoice % has a tax that does not follow from its rate', wrong.line_number, wrong.invoice_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'invoice_lines_tax_is_rounded';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER require_rounded_tax AFTER INSERT ON invoice_lines
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION require_rounded_tax();

-- As before, with them. The release before gives basis points, no discount and no way of rounding.
CREATE OR REPLACE FUNCTION record_invoices(p_company uuid, p_invoices jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO invoices (company_id, id, customer_id, currency, issue_date, due_date, memo, subtotal_minor, tax_minor,
    total_minor, tax_rounding, metadata)
  SELECT p_company, i.id, i.customer_id, i.currency, i.issue_date, i.due_date, i.memo, i.subtotal_minor, i.tax_minor,
    i.total_minor, coalesce(i.tax_rounding, 'line'), i.metadata
  FROM jsonb_to_recordset(p_invoices) AS i (id uuid, customer_id uuid, currency text, issue_date date, due_date date,
    memo text, subtotal_minor bigint, tax_minor bigint, total_minor bigint, tax_rounding text, metadata jsonb);
  INSERT INTO invoice_lines (company_id, invoice_id, line_number, description, quantity, unit_price_minor,
    discount_thousandths, discount_minor, tax_rate_thousandths, tax_rate_basis_points, account_id, net_minor, tax_minor)
  SELECT p_company, i.id, l.line_number, l.description, l.quantity, l.unit_price_minor, l.discount_thousandths,
    coalesce(l.discount_minor, 0), rate.thousandths, CASE WHEN rate.thousandths % 10 = 0 THEN rate.thousandths / 10 END,
    l.account_id, l.net_minor, l.tax_minor
  FROM jsonb_to_recordset(p_invoices) AS i (id uuid, lines jsonb)
  CROSS JOIN LATERAL jsonb_to_recordset(i.lines) AS l (line_number smallint, description text, quantity numeric,
    unit_price_minor bigint, discount_thousandths integer, discount_minor bigint, tax_rate_thousandths integer,
    tax_rate_basis_points integer, account_id uuid, net_minor bigint, tax_minor bigint)
  CROSS JOIN LATERAL (
    SELECT coalesce(l.tax_rate_thousandths, l.tax_rate_basis_points * 10) AS thousandths
  ) AS rate;
END $$;
