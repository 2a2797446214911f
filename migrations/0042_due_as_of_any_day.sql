-- What is due on an invoice is between nothing and its total as of any day, and the result of a triggered workflow is kept.

-- The latest date of what has raised what is due again: a refund. Only before that day can less have been due than is due in
-- all, so a payment, a credit note or a void looks at single days only if it is dated earlier: nearly none does.
-- Without BYPASSRLS the owner would see no row of a table whose row-level security is forced.
ALTER TABLE invoices ADD COLUMN last_raised_on date, NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER;
ALTER TABLE payments NO FORCE ROW LEVEL SECURITY;
ALTER TABLE refunds NO FORCE ROW LEVEL SECURITY;
UPDATE invoices i SET last_raised_on = r.last_day
FROM (
  SELECT p.company_id, p.invoice_id, max(f.refunded_on) AS last_day
  FROM refunds f JOIN payments p ON p.company_id = f.company_id AND p.id = f.payment_id
  GROUP BY p.company_id, p.invoice_id
) AS r
WHERE i.company_id = r.company_id AND i.id = r.invoice_id;
ALTER TABLE invoices FORCE ROW LEVEL SECURITY, ENABLE TRIGGER USER;
ALTER TABLE payments FORCE ROW LEVEL SECURITY;
ALTER TABLE refunds FORCE ROW LEVEL SECURITY;

-- With the owner's rights, so that the application cannot set the day back, which would let it past the checks below. Also
-- for the refunds of the release before.
CREATE FUNCTION keep_last_raised_on() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE invoices i SET last_raised_on = r.last_day
  FROM (
    SELECT p.company_id, p.invoice_id, max(a.refunded_on) AS last_day
    FROM added a JOIN payments p ON p.company_id = a.company_id AND p.id = a.payment_id
    GROUP BY p.company_id, p.invoice_id
  ) AS r
  WHERE i.company_id = r.company_id AND i.id = r.invoice_id
    AND (i.last_raised_on IS NULL OR i.last_raised_on < r.last_day);
  RETURN NULL;
END
$$;
CREATE TRIGGER keep_last_raised_on AFTER INSERT ON refunds
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keep_last_raised_on();

-- What changes what is due on an issued invoice, summed by day.
CREATE FUNCTION due_movements(p_company uuid, p_invoice uuid) RETURNS TABLE (day date, amount numeric)
LANGUAGE sql STABLE AS $$
  SELECT m.day, sum(m.amount)
  FROM (
    SELECT p.received_on, -p.amount_minor FROM payments p WHERE p.company_id = p_company AND p.invoice_id = p_invoice
    UNION ALL
    SELECT n.credited_on, -n.total_minor FROM credit_notes n WHERE n.company_id = p_company AND n.invoice_id = p_invoice
    UNION ALL
    SELECT r.refunded_on, r.amount_minor FROM payments p
    JOIN refunds r ON r.company_id = p.company_id AND r.payment_id = p.id
    WHERE p.company_id = p_company AND p.invoice_id = p_invoice
  ) AS m (day, amount)
  GROUP BY m.day
$$;

-- The days after `p_since` (null: today), or after today if that is earlier, on which what is due changes; null where there
-- are none that matter, because nothing has raised it after that day. Amounts as text: a JSON number would pass through a float.
CREATE FUNCTION due_days(p_company uuid, p_invoice uuid, p_raised date, p_since date) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
  since date := least(p_since, company_today(p_company));
BEGIN
  IF p_raised <= since THEN
    RETURN NULL;
  END IF;
  RETURN (
    SELECT jsonb_agg(jsonb_build_object('day', m.day, 'amount', m.amount::text) ORDER BY m.day)
    FROM due_movements(p_company, p_invoice) AS m WHERE m.day > since
  );
END
$$;

-- Locks invoices in the order of their IDs, then reads them in a statement of its own: what payments and credit notes rest on,
-- of which the first is dated `p_since`. `lock_invoices` stays for finalizing, and for the release before.
CREATE FUNCTION lock_claims(p_company uuid, p_invoices uuid[], p_since date)
RETURNS TABLE (id uuid, status text, currency text, issue_date date, due_minor bigint, later jsonb)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM invoices i WHERE i.company_id = p_company AND i.id = ANY (p_invoices)
    ORDER BY i.id FOR NO KEY UPDATE;
  RETURN QUERY
    SELECT i.id, i.status, i.currency, i.issue_date, i.due_minor,
      CASE WHEN i.last_raised_on IS NOT NULL THEN due_days(p_company, i.id, i.last_raised_on, p_since) END
    FROM invoices i WHERE i.company_id = p_company AND i.id = ANY (p_invoices);
END
$$;

-- Refuses to take so much from what is due from a day on, if as of any day from then on less is due.
CREATE FUNCTION require_due_from(p_company uuid, p_invoice uuid, p_since date, p_taken bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  short date;
BEGIN
  SELECT min(greatest(d.day, p_since)) INTO short
  FROM (
    SELECT m.day, lead(m.day) OVER days AS next_day, i.total_minor + sum(m.amount) OVER days AS due
    FROM invoices i CROSS JOIN LATERAL due_movements(i.company_id, i.id) AS m
    WHERE i.company_id = p_company AND i.id = p_invoice
    WINDOW days AS (ORDER BY m.day)
  ) AS d
  WHERE d.due < p_taken AND (d.next_day IS NULL OR d.next_day > p_since);
  IF short IS NOT NULL THEN
    RAISE EXCEPTION 'less is due on invoice % as of %', p_invoice, short
      USING ERRCODE = 'check_violation', CONSTRAINT = 'as_of_conflict';
  END IF;
END
$$;

-- As before, and no payment takes more than is due as of any day. The invoice is read as before, in the same statement.
CREATE OR REPLACE FUNCTION require_payment_after_issue() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  issued date;
  raised date;
BEGIN
  SELECT i.issue_date, i.last_raised_on INTO issued, raised
  FROM invoices i WHERE i.company_id = NEW.company_id AND i.id = NEW.invoice_id;
  IF NEW.received_on < issued THEN
    RAISE EXCEPTION 'payment % is dated before its invoice', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_before_invoice';
  END IF;
  IF NEW.received_on < raised THEN
    PERFORM require_due_from(NEW.company_id, NEW.invoice_id, NEW.received_on, NEW.amount_minor);
  END IF;
  RETURN NEW;
END $$;

-- Likewise a credit note.
CREATE OR REPLACE FUNCTION require_credit_after_issue() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  issued date;
  raised date;
BEGIN
  SELECT i.issue_date, i.last_raised_on INTO issued, raised
  FROM invoices i WHERE i.company_id = NEW.company_id AND i.id = NEW.invoice_id;
  IF NEW.credited_on < issued THEN
    RAISE EXCEPTION 'credit note % is dated before its invoice', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_before_original';
  END IF;
  IF NEW.credited_on < raised THEN
    PERFORM require_due_from(NEW.company_id, NEW.invoice_id, NEW.credited_on, NEW.total_minor);
  END IF;
  RETURN NEW;
END $$;

-- A void takes all of the invoice: nothing may have been paid on it as of any day from then on.
CREATE FUNCTION require_due_until_void() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM require_due_from(NEW.company_id, NEW.id, NEW.voided_on, NEW.total_minor);
  RETURN NEW;
END
$$;
CREATE TRIGGER require_due_until_void BEFORE UPDATE OF voided_on ON invoices
  FOR EACH ROW WHEN (NEW.voided_on < NEW.last_raised_on) EXECUTE FUNCTION require_due_until_void();

-- What a triggered workflow has come to: Temporal forgets its runs after a while. A run whose process died before Temporal had
-- its word tells again, perhaps otherwise; books that it has closed are the last word.
CREATE TABLE workflow_results (
  company_id uuid NOT NULL,
  trigger_id uuid NOT NULL,
  result jsonb NOT NULL CHECK (pg_column_size(result) <= 1048576),
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, trigger_id),
  FOREIGN KEY (company_id, trigger_id) REFERENCES workflow_triggers (company_id, id)
);
CREATE TRIGGER keep_results BEFORE DELETE OR UPDATE OF company_id, trigger_id ON workflow_results
  FOR EACH ROW EXECUTE FUNCTION refuse_change('it has happened');
CREATE TRIGGER keep_closed_results BEFORE UPDATE ON workflow_results
  FOR EACH ROW WHEN (OLD.result @> '{"closed": true}') EXECUTE FUNCTION refuse_change('the books were closed');
CREATE TRIGGER keep_all_results BEFORE TRUNCATE ON workflow_results
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('it has happened');
ALTER TABLE workflow_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE workflow_results FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON workflow_results USING (company_id = current_company());
CREATE POLICY auditor ON workflow_results FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT, INSERT, UPDATE (result, recorded_at) ON workflow_results TO accubooks_app;
GRANT SELECT ON workflow_results TO accubooks_auditor;
