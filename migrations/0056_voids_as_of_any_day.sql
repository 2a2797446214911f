-- What is due on an invoice stays between nothing and its total as of any day, with the voids and write-offs of 0055.

ALTER TABLE invoices VALIDATE CONSTRAINT invoices_never_overpaid;
ALTER TABLE invoices VALIDATE CONSTRAINT invoices_finalized_whole;
ALTER TABLE payments VALIDATE CONSTRAINT payments_void_whole;
ALTER TABLE payments VALIDATE CONSTRAINT payments_void_on_or_after_receipt;
ALTER TABLE payments VALIDATE CONSTRAINT payments_void_not_refunded;
ALTER TABLE payments VALIDATE CONSTRAINT payments_void_entry_fkey;
ALTER TABLE refunds VALIDATE CONSTRAINT refunds_void_whole;
ALTER TABLE refunds VALIDATE CONSTRAINT refunds_void_on_or_after_refund;
ALTER TABLE refunds VALIDATE CONSTRAINT refunds_void_entry_fkey;
ALTER TABLE credit_notes VALIDATE CONSTRAINT credit_notes_void_whole;
ALTER TABLE credit_notes VALIDATE CONSTRAINT credit_notes_void_on_or_after_credit;
ALTER TABLE credit_notes VALIDATE CONSTRAINT credit_notes_void_entry_fkey;

-- Also a void of a payment or credit note and a recovery raise what is due. With the owner's rights, as for a refund.
CREATE FUNCTION keep_last_raised_on_undoing() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  raised constant date := (to_jsonb(NEW) ->> TG_ARGV[0])::date;
BEGIN
  UPDATE invoices i SET last_raised_on = raised
  WHERE i.company_id = NEW.company_id AND i.id = NEW.invoice_id AND (i.last_raised_on IS NULL OR i.last_raised_on < raised);
  RETURN NULL;
END
$$;
CREATE TRIGGER keep_last_raised_on AFTER UPDATE OF voided_on ON payments
  FOR EACH ROW WHEN (NEW.voided_on IS NOT NULL) EXECUTE FUNCTION keep_last_raised_on_undoing('voided_on');
CREATE TRIGGER keep_last_raised_on AFTER UPDATE OF voided_on ON credit_notes
  FOR EACH ROW WHEN (NEW.voided_on IS NOT NULL) EXECUTE FUNCTION keep_last_raised_on_undoing('voided_on');
CREATE TRIGGER keep_last_raised_on AFTER UPDATE OF recovered_on ON write_offs
  FOR EACH ROW WHEN (NEW.recovered_on IS NOT NULL) EXECUTE FUNCTION keep_last_raised_on_undoing('recovered_on');

-- What they raise is the amount that they have taken.
CREATE FUNCTION require_due_after_raise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM require_due_up_to_total(NEW.company_id, NEW.invoice_id, (to_jsonb(NEW) ->> TG_ARGV[0])::date,
    (to_jsonb(NEW) ->> TG_ARGV[1])::bigint);
  RETURN NEW;
END
$$;
CREATE TRIGGER require_due_after_void BEFORE UPDATE OF voided_on ON payments
  FOR EACH ROW WHEN (NEW.voided_on IS NOT NULL) EXECUTE FUNCTION require_due_after_raise('voided_on', 'amount_minor');
CREATE TRIGGER require_due_after_void BEFORE UPDATE OF voided_on ON credit_notes
  FOR EACH ROW WHEN (NEW.voided_on IS NOT NULL) EXECUTE FUNCTION require_due_after_raise('voided_on', 'total_minor');
CREATE TRIGGER require_due_after_recovery BEFORE UPDATE OF recovered_on ON write_offs
  FOR EACH ROW WHEN (NEW.recovered_on IS NOT NULL) EXECUTE FUNCTION require_due_after_raise('recovered_on', 'amount_minor');

-- As before, and no refund gives back as of any day what one that was voided later had given back already.
CREATE OR REPLACE FUNCTION require_refund_after_payment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  payment record;
BEGIN
  SELECT p.invoice_id, p.received_on INTO payment
  FROM payments p WHERE p.company_id = NEW.company_id AND p.id = NEW.payment_id;
  IF NEW.refunded_on < payment.received_on THEN
    RAISE EXCEPTION 'refund % is dated before its payment', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_before_original';
  END IF;
  PERFORM require_due_up_to_total(NEW.company_id, payment.invoice_id, NEW.refunded_on, NEW.amount_minor);
  RETURN NEW;
END
$$;

-- What a voided refund has given back is paid again, from the day of its void on.
CREATE FUNCTION require_due_after_refund_void() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  invoice record;
BEGIN
  SELECT i.id, i.last_raised_on INTO invoice
  FROM payments p JOIN invoices i ON i.company_id = p.company_id AND i.id = p.invoice_id
  WHERE p.company_id = NEW.company_id AND p.id = NEW.payment_id;
  IF NEW.voided_on < invoice.last_raised_on THEN
    PERFORM require_due_from(NEW.company_id, invoice.id, NEW.voided_on, NEW.amount_minor);
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER require_due_after_void BEFORE UPDATE OF voided_on ON refunds
  FOR EACH ROW WHEN (NEW.voided_on IS NOT NULL) EXECUTE FUNCTION require_due_after_refund_void();

-- As before, with what the status and the tax share of a write-off follow from.
DROP FUNCTION lock_claims(uuid, uuid[], date);
CREATE FUNCTION lock_claims(p_company uuid, p_invoices uuid[], p_since date)
RETURNS TABLE (id uuid, status text, currency text, issue_date date, total_minor bigint, tax_minor bigint, due_minor bigint,
  written_off_minor bigint, later jsonb)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM invoices i WHERE i.company_id = p_company AND i.id = ANY (p_invoices)
    ORDER BY i.id FOR NO KEY UPDATE;
  RETURN QUERY
    SELECT i.id, i.status, i.currency, i.issue_date, i.total_minor, i.tax_minor, i.due_minor, i.written_off_minor,
      CASE WHEN i.last_raised_on IS NOT NULL THEN due_days(p_company, i.id, i.last_raised_on, p_since) END
    FROM invoices i WHERE i.company_id = p_company AND i.id = ANY (p_invoices);
END
$$;

-- Locks payments with their invoices, the invoices first, and reads them in a later statement: what refunds of theirs rest on, of
-- which the first is dated `p_since` (null: today). `room_minor` is what of the invoice is not due, and `later` has the days
-- after that one on which it changes; null where there are none that matter, because no refund was voided after it.
CREATE FUNCTION lock_refundable(p_company uuid, p_payments uuid[], p_since date)
RETURNS TABLE (id uuid, invoice_id uuid, amount_minor bigint, refunded_minor bigint, currency text, received_on date,
  voided_on date, bank_account text, room_minor bigint, later jsonb)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  since constant date := least(p_since, company_today(p_company));
BEGIN
  PERFORM 1 FROM invoices i
  WHERE i.company_id = p_company
    AND i.id = ANY (ARRAY(
      SELECT p.invoice_id FROM payments p WHERE p.company_id = p_company AND p.id = ANY (p_payments)))
    ORDER BY i.id FOR NO KEY UPDATE;
  PERFORM 1 FROM payments p WHERE p.company_id = p_company AND p.id = ANY (p_payments)
    ORDER BY p.id FOR NO KEY UPDATE;
  RETURN QUERY
    SELECT p.id, p.invoice_id, p.amount_minor, p.refunded_minor, p.currency, p.received_on, p.voided_on, bank.code,
      i.total_minor - i.due_minor,
      CASE WHEN since < last_refund_void(p_company, i.id) THEN due_days(p_company, i.id, 'infinity', since) END
    FROM payments p JOIN accounts bank ON bank.company_id = p.company_id AND bank.id = p.bank_account_id
    JOIN invoices i ON i.company_id = p.company_id AND i.id = p.invoice_id
    WHERE p.company_id = p_company AND p.id = ANY (p_payments);
END
$$;

-- As before, for the release before, which does not know of voids: nothing is left of a voided payment to refund.
CREATE OR REPLACE FUNCTION lock_payments(p_company uuid, p_payments uuid[])
RETURNS TABLE (id uuid, invoice_id uuid, amount_minor bigint, refunded_minor bigint, currency text, received_on date,
  bank_account text)
LANGUAGE sql VOLATILE AS $$
  SELECT p.id, p.invoice_id, p.amount_minor, CASE WHEN p.voided_on IS NULL THEN p.refunded_minor ELSE p.amount_minor END,
    p.currency, p.received_on, p.bank_account
  FROM lock_refundable(p_company, p_payments, NULL) AS p
$$;

-- What the credit notes of a line that are not void have credited of it. The note by its key, whatever the planner knows.
CREATE FUNCTION credited_of_line(p_company uuid, p_invoice uuid, p_line smallint)
RETURNS TABLE (net_minor numeric, tax_minor numeric)
LANGUAGE sql STABLE AS $$
  SELECT coalesce(sum(n.net_minor), 0), coalesce(sum(n.tax_minor), 0)
  FROM credit_note_lines n
  WHERE n.company_id = p_company AND n.invoice_id = p_invoice AND n.line_number = p_line
    AND (SELECT c.voided_on FROM credit_notes c WHERE c.company_id = n.company_id AND c.id = n.credit_note_id) IS NULL
$$;

-- As before, without what voided notes have credited.
CREATE OR REPLACE FUNCTION credit_left_at_rate(p_company uuid, p_invoice uuid, p_rate integer)
RETURNS TABLE (net_minor numeric, tax_minor numeric)
LANGUAGE sql STABLE AS $$
  SELECT greatest(sum(l.net_minor), 0) - sum(c.net_minor), greatest(sum(l.tax_minor), 0) - sum(c.tax_minor)
  FROM invoice_lines l
  CROSS JOIN LATERAL credited_of_line(l.company_id, l.invoice_id, l.line_number) AS c
  WHERE l.company_id = p_company AND l.invoice_id = p_invoice AND l.tax_rate_thousandths = p_rate
  HAVING bool_or(l.net_minor < 0)
$$;
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
    SELECT n.net_minor, n.tax_minor FROM credited_of_line(a.company_id, a.invoice_id, a.line_number) AS n OFFSET 0
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

-- Of each line only its latest note is voided, since the note that finishes a line takes the rest of its tax. At a rate where
-- lines take off from others, a note that has got less tax than its share, because that was all that was left, is later
-- than the notes of other lines: without these, it would have been given more.
CREATE FUNCTION require_latest_credit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  blocked smallint;
BEGIN
  SELECT n.line_number INTO blocked
  FROM credit_note_lines n
  JOIN credit_note_lines o ON o.company_id = n.company_id AND o.invoice_id = n.invoice_id AND o.line_number = n.line_number
  JOIN credit_notes c ON c.company_id = o.company_id AND c.id = o.credit_note_id
  WHERE n.company_id = NEW.company_id AND n.invoice_id = NEW.invoice_id AND n.credit_note_id = NEW.id
    AND c.number > NEW.number AND c.voided_on IS NULL
  LIMIT 1;
  IF blocked IS NULL THEN
    SELECT l.line_number INTO blocked
    FROM invoice_lines l
    CROSS JOIN LATERAL credited_of_line(l.company_id, l.invoice_id, l.line_number) AS c
    CROSS JOIN LATERAL credit_left_at_rate(l.company_id, l.invoice_id, l.tax_rate_thousandths) AS r
    WHERE l.company_id = NEW.company_id AND l.invoice_id = NEW.invoice_id
      AND c.net_minor = l.net_minor AND c.tax_minor <> l.tax_minor AND r.tax_minor > 0
      AND l.tax_rate_thousandths IN (
        SELECT k.tax_rate_thousandths FROM credit_note_lines n
        JOIN invoice_lines k ON k.company_id = n.company_id AND k.invoice_id = n.invoice_id AND k.line_number = n.line_number
        WHERE n.company_id = NEW.company_id AND n.invoice_id = NEW.invoice_id AND n.credit_note_id = NEW.id)
    LIMIT 1;
  END IF;
  IF blocked IS NOT NULL THEN
    RAISE EXCEPTION 'a later note has credited line %', blocked
      USING ERRCODE = 'check_violation', CONSTRAINT = 'not_latest_credit';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER require_latest_credit AFTER UPDATE OF voided_on ON credit_notes
  FOR EACH ROW WHEN (NEW.voided_on IS NOT NULL) EXECUTE FUNCTION require_latest_credit();

-- A write-off is not dated before its invoice, and takes no more than is due as of any day.
CREATE FUNCTION require_write_off_within_due() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  invoice record;
BEGIN
  SELECT i.issue_date, i.last_raised_on INTO invoice
  FROM invoices i WHERE i.company_id = NEW.company_id AND i.id = NEW.invoice_id;
  IF NEW.written_off_on < invoice.issue_date THEN
    RAISE EXCEPTION 'write-off % is dated before its invoice', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_before_invoice';
  END IF;
  IF NEW.written_off_on < invoice.last_raised_on THEN
    PERFORM require_due_from(NEW.company_id, NEW.invoice_id, NEW.written_off_on, NEW.amount_minor);
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER require_write_off_within_due BEFORE INSERT ON write_offs
  FOR EACH ROW EXECUTE FUNCTION require_write_off_within_due();

-- The latest first, since the share of each in the tax follows from those before it.
CREATE FUNCTION require_latest_write_off() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM write_offs w
    WHERE w.company_id = NEW.company_id AND w.invoice_id = NEW.invoice_id AND w.position > NEW.position
      AND w.recovered_on IS NULL
  ) THEN
    RAISE EXCEPTION 'a later write-off of the invoice is not recovered yet'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'not_latest_write_off';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER require_latest_write_off BEFORE UPDATE OF recovered_on ON write_offs
  FOR EACH ROW WHEN (NEW.recovered_on IS NOT NULL) EXECUTE FUNCTION require_latest_write_off();

-- Whatever a row names as the entry of its void or recovery is of the operation that posts it, is dated its day, and takes back the
-- entry of the row. The entry of a write-off takes back none. Arguments: the operation, and the columns of these three.
CREATE FUNCTION require_entry_of_way_back() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  claimed constant jsonb := to_jsonb(NEW);
BEGIN
  IF NOT EXISTS (
    SELECT FROM journal_entries e
    WHERE e.company_id = NEW.company_id AND e.id = (claimed ->> TG_ARGV[2])::uuid AND e.operation = TG_ARGV[0]
      AND e.entry_date = (claimed ->> TG_ARGV[1])::date AND e.reverses IS NOT DISTINCT FROM (claimed ->> TG_ARGV[3])::uuid
  ) THEN
    RAISE EXCEPTION '% % is not of the entry that it names: that is none of % on its day', TG_TABLE_NAME, NEW.id, TG_ARGV[0]
      USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_of_way_back';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER require_entry_of_void AFTER UPDATE OF voided_on ON payments
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.voided_on IS NOT NULL)
  EXECUTE FUNCTION require_entry_of_way_back('voidPayment', 'voided_on', 'void_entry_id', 'journal_entry_id');
CREATE CONSTRAINT TRIGGER require_entry_of_void AFTER UPDATE OF voided_on ON refunds
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.voided_on IS NOT NULL)
  EXECUTE FUNCTION require_entry_of_way_back('voidRefund', 'voided_on', 'void_entry_id', 'journal_entry_id');
CREATE CONSTRAINT TRIGGER require_entry_of_void AFTER UPDATE OF voided_on ON credit_notes
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.voided_on IS NOT NULL)
  EXECUTE FUNCTION require_entry_of_way_back('voidCreditNote', 'voided_on', 'void_entry_id', 'journal_entry_id');
CREATE CONSTRAINT TRIGGER require_entry_of_recovery AFTER UPDATE OF recovered_on ON write_offs
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.recovered_on IS NOT NULL)
  EXECUTE FUNCTION require_entry_of_way_back('recoverWriteOff', 'recovered_on', 'recover_entry_id', 'journal_entry_id');
CREATE CONSTRAINT TRIGGER require_entry_of_write_off AFTER INSERT ON write_offs
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  EXECUTE FUNCTION require_entry_of_way_back('writeOffInvoice', 'written_off_on', 'journal_entry_id');

-- Each way back of a locked invoice, in one statement: the row, and what it changes on payments and invoices.
CREATE FUNCTION record_write_off(p_company uuid, p_write_off uuid, p_invoice uuid, p_amount bigint, p_tax bigint,
  p_tax_relief boolean, p_date date, p_reason text, p_entry uuid)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  INSERT INTO write_offs (company_id, id, invoice_id, position, amount_minor, tax_minor, tax_relief, written_off_on, reason,
    journal_entry_id)
  SELECT p_company, p_write_off, p_invoice, 1 + coalesce(max(w.position), 0), p_amount, p_tax, p_tax_relief, p_date, p_reason,
    p_entry
  FROM write_offs w WHERE w.company_id = p_company AND w.invoice_id = p_invoice;
  UPDATE invoices SET written_off_minor = written_off_minor + p_amount WHERE company_id = p_company AND id = p_invoice;
END
$$;

CREATE FUNCTION record_recovery(p_company uuid, p_write_off uuid, p_date date, p_reason text, p_entry uuid) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE write_offs SET recovered_on = p_date, recover_reason = p_reason, recover_entry_id = p_entry
  WHERE company_id = p_company AND id = p_write_off;
  UPDATE invoices i SET written_off_minor = i.written_off_minor - w.amount_minor
  FROM write_offs w
  WHERE w.company_id = p_company AND w.id = p_write_off AND i.company_id = w.company_id AND i.id = w.invoice_id;
END
$$;

CREATE FUNCTION record_payment_void(p_company uuid, p_payment uuid, p_date date, p_reason text, p_entry uuid, p_bounced boolean)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE payments SET voided_on = p_date, void_reason = p_reason, void_entry_id = p_entry, bounced = p_bounced
  WHERE company_id = p_company AND id = p_payment;
  UPDATE invoices i SET paid_minor = i.paid_minor - p.amount_minor
  FROM payments p
  WHERE p.company_id = p_company AND p.id = p_payment AND i.company_id = p.company_id AND i.id = p.invoice_id;
END
$$;

CREATE FUNCTION record_refund_void(p_company uuid, p_refund uuid, p_date date, p_reason text, p_entry uuid) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE refunds SET voided_on = p_date, void_reason = p_reason, void_entry_id = p_entry
  WHERE company_id = p_company AND id = p_refund;
  UPDATE payments p SET refunded_minor = p.refunded_minor - r.amount_minor
  FROM refunds r
  WHERE r.company_id = p_company AND r.id = p_refund AND p.company_id = r.company_id AND p.id = r.payment_id;
  UPDATE invoices i SET paid_minor = i.paid_minor + r.amount_minor
  FROM refunds r JOIN payments p ON p.company_id = r.company_id AND p.id = r.payment_id
  WHERE r.company_id = p_company AND r.id = p_refund AND i.company_id = p.company_id AND i.id = p.invoice_id;
END
$$;

CREATE FUNCTION record_credit_note_void(p_company uuid, p_note uuid, p_date date, p_reason text, p_entry uuid) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE credit_notes SET voided_on = p_date, void_reason = p_reason, void_entry_id = p_entry
  WHERE company_id = p_company AND id = p_note;
  UPDATE invoices i SET credited_minor = i.credited_minor - n.total_minor
  FROM credit_notes n
  WHERE n.company_id = p_company AND n.id = p_note AND i.company_id = n.company_id AND i.id = n.invoice_id;
END
$$;
