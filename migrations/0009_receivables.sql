-- Ways back from an invoice (void, credit note, refund), and reminders of what is due on one.

ALTER TABLE invoices
  ADD COLUMN void_reason text CHECK (length(void_reason) BETWEEN 1 AND 500),
  ADD CONSTRAINT invoices_void_has_reason CHECK ((voided_on IS NULL) = (void_reason IS NULL)),
  ADD CONSTRAINT invoices_void_on_or_after_issue CHECK (voided_on >= issue_date);
GRANT UPDATE (void_reason) ON invoices TO accubooks_app;

CREATE TABLE credit_notes (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  invoice_id uuid NOT NULL,
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  credited_on date NOT NULL CHECK (credited_on BETWEEN '1900-01-01' AND '2999-12-31'),
  reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  net_minor bigint NOT NULL CHECK (net_minor BETWEEN 1 AND 10000000000000),
  tax_minor bigint NOT NULL CHECK (tax_minor BETWEEN 0 AND 10000000000000),
  total_minor bigint NOT NULL CHECK (total_minor BETWEEN 1 AND 10000000000000),
  journal_entry_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  -- The target of a foreign key by which a note's lines are lines of its own invoice.
  CONSTRAINT credit_notes_invoice_key UNIQUE (company_id, id, invoice_id),
  CONSTRAINT credit_notes_total_is_sum CHECK (total_minor = net_minor + tax_minor),
  FOREIGN KEY (company_id, invoice_id, currency) REFERENCES invoices (company_id, id, currency),
  FOREIGN KEY (company_id, journal_entry_id) REFERENCES journal_entries (company_id, id)
);
CREATE INDEX credit_notes_newest ON credit_notes (company_id, created_at DESC, id DESC);
CREATE INDEX credit_notes_by_invoice ON credit_notes (company_id, invoice_id);

-- How much of which line of the invoice a note credits.
CREATE TABLE credit_note_lines (
  company_id uuid NOT NULL,
  credit_note_id uuid NOT NULL,
  invoice_id uuid NOT NULL,
  line_number smallint NOT NULL CHECK (line_number BETWEEN 1 AND 200),
  net_minor bigint NOT NULL CHECK (net_minor BETWEEN 1 AND 10000000000000),
  tax_minor bigint NOT NULL CHECK (tax_minor BETWEEN 0 AND 10000000000000),
  PRIMARY KEY (company_id, credit_note_id, line_number),
  FOREIGN KEY (company_id, credit_note_id, invoice_id) REFERENCES credit_notes (company_id, id, invoice_id),
  FOREIGN KEY (company_id, invoice_id, line_number) REFERENCES invoice_lines (company_id, invoice_id, line_number)
);
CREATE INDEX credit_note_lines_by_line ON credit_note_lines (company_id, invoice_id, line_number);

-- Money that went back to the customer, in the currency of its payment and from the bank account that took it.
CREATE TABLE refunds (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  payment_id uuid NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor BETWEEN 1 AND 10000000000000),
  refunded_on date NOT NULL CHECK (refunded_on BETWEEN '1900-01-01' AND '2999-12-31'),
  reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  journal_entry_id uuid NOT NULL,
  metadata jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(metadata) <= 65536),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, payment_id) REFERENCES payments (company_id, id),
  FOREIGN KEY (company_id, journal_entry_id) REFERENCES journal_entries (company_id, id)
);
CREATE INDEX refunds_newest ON refunds (company_id, created_at DESC, id DESC);
CREATE INDEX refunds_by_payment ON refunds (company_id, payment_id);

-- That the customer is to be reminded: once for each invoice and step. Who sends it hears of the event.
CREATE TABLE invoice_reminders (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  invoice_id uuid NOT NULL,
  step smallint NOT NULL CHECK (step BETWEEN 1 AND 3),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  CONSTRAINT invoice_reminders_once_a_step UNIQUE (company_id, invoice_id, step),
  FOREIGN KEY (company_id, invoice_id) REFERENCES invoices (company_id, id)
);
CREATE INDEX invoice_reminders_newest ON invoice_reminders (company_id, created_at DESC, id DESC);

-- Of a line no more is credited than it is, and its tax is credited whole exactly when its net is. Whoever adds lines
-- without holding the invoice waits here for those who do.
CREATE FUNCTION require_credit_within_line() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  exceeded smallint;
BEGIN
  PERFORM 1 FROM invoices i
  WHERE (i.company_id, i.id) IN (SELECT a.company_id, a.invoice_id FROM added a) ORDER BY i.id FOR NO KEY UPDATE;
  SELECT l.line_number INTO exceeded
  FROM invoice_lines l JOIN credit_note_lines c
    ON c.company_id = l.company_id AND c.invoice_id = l.invoice_id AND c.line_number = l.line_number
  WHERE (l.company_id, l.invoice_id, l.line_number) IN (SELECT a.company_id, a.invoice_id, a.line_number FROM added a)
  GROUP BY l.company_id, l.invoice_id, l.line_number
  HAVING sum(c.net_minor) > l.net_minor OR sum(c.tax_minor) > l.tax_minor
    OR (sum(c.net_minor) = l.net_minor AND sum(c.tax_minor) <> l.tax_minor)
  LIMIT 1;
  IF exceeded IS NOT NULL THEN
    RAISE EXCEPTION 'line % would be credited with more, or with less tax, than it has', exceeded
      USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_exceeds_line';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER require_credit_within_line AFTER INSERT ON credit_note_lines
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION require_credit_within_line();

-- Neither is dated before what it takes back. The dates of an invoice that has a number and of a payment never change.
CREATE FUNCTION require_credit_after_issue() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.credited_on < (SELECT i.issue_date FROM invoices i
                        WHERE i.company_id = NEW.company_id AND i.id = NEW.invoice_id) THEN
    RAISE EXCEPTION 'credit note % is dated before its invoice', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_before_original';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER require_credit_after_issue BEFORE INSERT ON credit_notes
  FOR EACH ROW EXECUTE FUNCTION require_credit_after_issue();

CREATE FUNCTION require_refund_after_payment() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.refunded_on < (SELECT p.received_on FROM payments p
                        WHERE p.company_id = NEW.company_id AND p.id = NEW.payment_id) THEN
    RAISE EXCEPTION 'refund % is dated before its payment', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_before_original';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER require_refund_after_payment BEFORE INSERT ON refunds
  FOR EACH ROW EXECUTE FUNCTION require_refund_after_payment();

-- Locks a payment and its invoice, the invoice first as everyone does, then reads the payment in a statement of its own.
-- No row: no such payment.
CREATE FUNCTION lock_payment(p_company uuid, p_payment uuid) RETURNS SETOF payments
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM invoices i
  WHERE i.company_id = p_company
    AND i.id = (SELECT p.invoice_id FROM payments p WHERE p.company_id = p_company AND p.id = p_payment)
  FOR NO KEY UPDATE;
  PERFORM 1 FROM payments p WHERE p.company_id = p_company AND p.id = p_payment FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM payments p WHERE p.company_id = p_company AND p.id = p_payment;
END
$$;

CREATE TRIGGER keep_credit_notes BEFORE UPDATE OR DELETE ON credit_notes
  FOR EACH ROW EXECUTE FUNCTION refuse_change('a credit note stays as it was given');
CREATE TRIGGER keep_all_credit_notes BEFORE TRUNCATE ON credit_notes
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('a credit note stays as it was given');
CREATE TRIGGER keep_credit_note_lines BEFORE UPDATE OR DELETE ON credit_note_lines
  FOR EACH ROW EXECUTE FUNCTION refuse_change('a credit note stays as it was given');
CREATE TRIGGER keep_all_credit_note_lines BEFORE TRUNCATE ON credit_note_lines
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('a credit note stays as it was given');
CREATE TRIGGER keep_refunds BEFORE UPDATE OR DELETE ON refunds
  FOR EACH ROW EXECUTE FUNCTION refuse_change('record what came back as a payment');
CREATE TRIGGER keep_all_refunds BEFORE TRUNCATE ON refunds
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('record what came back as a payment');
CREATE TRIGGER keep_invoice_reminders BEFORE UPDATE OR DELETE ON invoice_reminders
  FOR EACH ROW EXECUTE FUNCTION refuse_change('it was recorded, and its event told');
CREATE TRIGGER keep_all_invoice_reminders BEFORE TRUNCATE ON invoice_reminders
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('it was recorded, and its event told');

ALTER TABLE credit_notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE credit_notes FORCE ROW LEVEL SECURITY;
ALTER TABLE credit_note_lines ENABLE ROW LEVEL SECURITY;
ALTER TABLE credit_note_lines FORCE ROW LEVEL SECURITY;
ALTER TABLE refunds ENABLE ROW LEVEL SECURITY;
ALTER TABLE refunds FORCE ROW LEVEL SECURITY;
ALTER TABLE invoice_reminders ENABLE ROW LEVEL SECURITY;
ALTER TABLE invoice_reminders FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON credit_notes USING (company_id = current_company());
CREATE POLICY company ON credit_note_lines USING (company_id = current_company());
CREATE POLICY company ON refunds USING (company_id = current_company());
CREATE POLICY company ON invoice_reminders USING (company_id = current_company());
CREATE POLICY auditor ON credit_notes FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON credit_note_lines FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON refunds FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON invoice_reminders FOR SELECT TO accubooks_auditor USING (true);

GRANT SELECT, INSERT ON credit_notes, credit_note_lines, refunds, invoice_reminders TO accubooks_app;
GRANT SELECT ON credit_notes, credit_note_lines, refunds, invoice_reminders TO accubooks_auditor;
