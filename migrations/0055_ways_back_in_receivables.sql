-- Ways back in receivables: payments, refunds and credit notes are voided, each once, by the mirror of its entry; what is due on
-- an invoice is written off and recovered. What is due as of any day counts all of it.

-- Once a while each row is written anew, so this is one pass: the two columns that are computed follow from columns of below.
-- A draft that is discarded is no claim either.
ALTER TABLE invoices
  ADD COLUMN written_off_minor bigint NOT NULL DEFAULT 0 CHECK (written_off_minor >= 0),
  ADD COLUMN discarded_on date;
ALTER TABLE invoices
  DROP COLUMN due_minor,
  DROP COLUMN status,
  ADD COLUMN due_minor bigint NOT NULL GENERATED ALWAYS AS (
    CASE WHEN voided_on IS NULL AND discarded_on IS NULL THEN total_minor - paid_minor - credited_minor - written_off_minor
      ELSE 0 END
  ) STORED,
  ADD COLUMN status text NOT NULL GENERATED ALWAYS AS (
    CASE
      WHEN voided_on IS NOT NULL THEN 'void'
      WHEN discarded_on IS NOT NULL THEN 'discarded'
      WHEN number IS NULL THEN 'draft'
      WHEN paid_minor + credited_minor = total_minor THEN 'paid'
      WHEN paid_minor + credited_minor + written_off_minor = total_minor THEN 'written_off'
      WHEN paid_minor + credited_minor > 0 THEN 'partially_paid'
      ELSE 'finalized'
    END
  ) STORED,
  -- The rows that are there have nothing written off, so they are valid: 0056 looks again, and locks nobody out meanwhile.
  DROP CONSTRAINT invoices_never_overpaid,
  ADD CONSTRAINT invoices_never_overpaid CHECK (paid_minor + credited_minor + written_off_minor <= total_minor) NOT VALID,
  DROP CONSTRAINT invoices_finalized_whole,
  ADD CONSTRAINT invoices_finalized_whole CHECK (
    (number IS NULL) = (journal_entry_id IS NULL)
    AND (number IS NOT NULL OR (paid_minor = 0 AND credited_minor = 0 AND written_off_minor = 0 AND voided_on IS NULL))
    AND (voided_on IS NULL OR (paid_minor = 0 AND credited_minor = 0 AND written_off_minor = 0))
    AND (discarded_on IS NULL OR number IS NULL)
  ) NOT VALID;
GRANT UPDATE (written_off_minor) ON invoices TO accubooks_app;
-- As before, made anew: what was prepared by the release before knows the place of the columns that were dropped, and a table is
-- not what a plan that reads a function depends on.
CREATE OR REPLACE FUNCTION lock_invoice(p_company uuid, p_invoice uuid) RETURNS SETOF invoices
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM invoices i WHERE i.company_id = p_company AND i.id = p_invoice FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM invoices i WHERE i.company_id = p_company AND i.id = p_invoice;
END
$$;
CREATE OR REPLACE FUNCTION lock_invoices(p_company uuid, p_invoices uuid[]) RETURNS SETOF invoices
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM invoices i WHERE i.company_id = p_company AND i.id = ANY (p_invoices)
    ORDER BY i.id FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM invoices i WHERE i.company_id = p_company AND i.id = ANY (p_invoices);
END
$$;
DROP TRIGGER keep_issued_invoices ON invoices;
CREATE TRIGGER keep_issued_invoices
  BEFORE UPDATE OF company_id, id, number, customer_id, currency, issue_date, due_date, memo, subtotal_minor, tax_minor,
    total_minor, tax_rounding, journal_entry_id, metadata, created_at, discarded_on ON invoices
  FOR EACH ROW WHEN (OLD.number IS NOT NULL) EXECUTE FUNCTION refuse_change('void the invoice or credit it');

-- What voiding sets, as of an invoice, and the entry that it posted, which says who and when. A payment that bounced was
-- received and taken back, which the bank tells of; one that was recorded by mistake, no bank will ever tell of.
ALTER TABLE payments
  ADD COLUMN voided_on date,
  ADD COLUMN void_reason text CHECK (length(void_reason) BETWEEN 1 AND 500),
  ADD COLUMN void_entry_id uuid,
  ADD COLUMN bounced boolean,
  ADD CONSTRAINT payments_void_whole CHECK (
    num_nulls(voided_on, void_reason, void_entry_id, bounced) IN (0, 4)
  ) NOT VALID,
  ADD CONSTRAINT payments_void_on_or_after_receipt CHECK (voided_on >= received_on) NOT VALID,
  ADD CONSTRAINT payments_void_not_refunded CHECK (voided_on IS NULL OR refunded_minor = 0) NOT VALID,
  ADD CONSTRAINT payments_void_entry_fkey FOREIGN KEY (company_id, void_entry_id)
    REFERENCES journal_entries (company_id, id) NOT VALID;
ALTER TABLE refunds
  ADD COLUMN voided_on date,
  ADD COLUMN void_reason text CHECK (length(void_reason) BETWEEN 1 AND 500),
  ADD COLUMN void_entry_id uuid,
  ADD CONSTRAINT refunds_void_whole CHECK (num_nulls(voided_on, void_reason, void_entry_id) IN (0, 3)) NOT VALID,
  ADD CONSTRAINT refunds_void_on_or_after_refund CHECK (voided_on >= refunded_on) NOT VALID,
  ADD CONSTRAINT refunds_void_entry_fkey FOREIGN KEY (company_id, void_entry_id)
    REFERENCES journal_entries (company_id, id) NOT VALID;
ALTER TABLE credit_notes
  ADD COLUMN voided_on date,
  ADD COLUMN void_reason text CHECK (length(void_reason) BETWEEN 1 AND 500),
  ADD COLUMN void_entry_id uuid,
  ADD CONSTRAINT credit_notes_void_whole CHECK (num_nulls(voided_on, void_reason, void_entry_id) IN (0, 3)) NOT VALID,
  ADD CONSTRAINT credit_notes_void_on_or_after_credit CHECK (voided_on >= credited_on) NOT VALID,
  ADD CONSTRAINT credit_notes_void_entry_fkey FOREIGN KEY (company_id, void_entry_id)
    REFERENCES journal_entries (company_id, id) NOT VALID;

-- None is born void.
REVOKE INSERT ON payments, refunds, credit_notes FROM accubooks_app;
GRANT INSERT (company_id, id, number, invoice_id, amount_minor, currency, method, received_on, reference, bank_account_id,
  refunded_minor, journal_entry_id, metadata, created_at) ON payments TO accubooks_app;
GRANT INSERT (company_id, id, number, payment_id, amount_minor, refunded_on, reason, journal_entry_id, metadata, created_at)
  ON refunds TO accubooks_app;
GRANT INSERT (company_id, id, number, invoice_id, currency, credited_on, reason, net_minor, tax_minor, total_minor,
  journal_entry_id, created_at) ON credit_notes TO accubooks_app;
GRANT UPDATE (voided_on, void_reason, void_entry_id, bounced) ON payments TO accubooks_app;
GRANT UPDATE (voided_on, void_reason, void_entry_id) ON refunds, credit_notes TO accubooks_app;

-- Frozen but for what voiding sets, once.
CREATE TRIGGER keep_void_payments BEFORE UPDATE OF voided_on, void_reason, void_entry_id, bounced ON payments
  FOR EACH ROW WHEN (OLD.voided_on IS NOT NULL) EXECUTE FUNCTION refuse_change('a payment is voided once');
DROP TRIGGER keep_refunds ON refunds;
CREATE TRIGGER keep_refunds
  BEFORE DELETE OR UPDATE OF company_id, id, number, payment_id, amount_minor, refunded_on, reason, journal_entry_id, metadata,
    created_at ON refunds
  FOR EACH ROW EXECUTE FUNCTION refuse_change('void it');
CREATE TRIGGER keep_void_refunds BEFORE UPDATE OF voided_on, void_reason, void_entry_id ON refunds
  FOR EACH ROW WHEN (OLD.voided_on IS NOT NULL) EXECUTE FUNCTION refuse_change('a refund is voided once');
DROP TRIGGER keep_credit_notes ON credit_notes;
CREATE TRIGGER keep_credit_notes
  BEFORE DELETE OR UPDATE OF company_id, id, number, invoice_id, currency, credited_on, reason, net_minor, tax_minor,
    total_minor, journal_entry_id, created_at ON credit_notes
  FOR EACH ROW EXECUTE FUNCTION refuse_change('void it');
CREATE TRIGGER keep_void_credit_notes BEFORE UPDATE OF voided_on, void_reason, void_entry_id ON credit_notes
  FOR EACH ROW WHEN (OLD.voided_on IS NOT NULL) EXECUTE FUNCTION refuse_change('a credit note is voided once');

-- What was given up of a claim, the k-th of its invoice under position k. `tax_minor` is its share of the invoice's tax, which
-- is posted to sales tax payable with `tax_relief` only; negative where the tax of the invoice is.
CREATE TABLE write_offs (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  invoice_id uuid NOT NULL,
  position integer NOT NULL CHECK (position >= 1),
  amount_minor bigint NOT NULL CHECK (amount_minor BETWEEN 1 AND 10000000000000),
  tax_minor bigint NOT NULL CHECK (tax_minor BETWEEN -10000000000000 AND 10000000000000),
  tax_relief boolean NOT NULL,
  written_off_on date NOT NULL CHECK (written_off_on BETWEEN '1900-01-01' AND '2999-12-31'),
  reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  journal_entry_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  recovered_on date,
  recover_reason text CHECK (length(recover_reason) BETWEEN 1 AND 500),
  recover_entry_id uuid,
  PRIMARY KEY (company_id, id),
  CONSTRAINT write_offs_position_key UNIQUE (company_id, invoice_id, position),
  CONSTRAINT write_offs_recovered_whole CHECK (num_nulls(recovered_on, recover_reason, recover_entry_id) IN (0, 3)),
  CONSTRAINT write_offs_recovered_on_or_after CHECK (recovered_on >= written_off_on),
  FOREIGN KEY (company_id, invoice_id) REFERENCES invoices (company_id, id),
  FOREIGN KEY (company_id, journal_entry_id) REFERENCES journal_entries (company_id, id),
  FOREIGN KEY (company_id, recover_entry_id) REFERENCES journal_entries (company_id, id)
);
CREATE TRIGGER keep_write_offs
  BEFORE DELETE OR UPDATE OF company_id, id, invoice_id, position, amount_minor, tax_minor, tax_relief, written_off_on, reason,
    journal_entry_id, created_at ON write_offs
  FOR EACH ROW EXECUTE FUNCTION refuse_change('recover it');
CREATE TRIGGER keep_recovered_write_offs BEFORE UPDATE OF recovered_on, recover_reason, recover_entry_id ON write_offs
  FOR EACH ROW WHEN (OLD.recovered_on IS NOT NULL) EXECUTE FUNCTION refuse_change('a write-off is recovered once');
CREATE TRIGGER keep_all_write_offs BEFORE TRUNCATE ON write_offs
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('recover it');
ALTER TABLE write_offs ENABLE ROW LEVEL SECURITY;
ALTER TABLE write_offs FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON write_offs USING (company_id = current_company());
CREATE POLICY auditor ON write_offs FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT ON write_offs TO accubooks_app, accubooks_auditor;
GRANT INSERT (company_id, id, invoice_id, position, amount_minor, tax_minor, tax_relief, written_off_on, reason,
  journal_entry_id) ON write_offs TO accubooks_app;
GRANT UPDATE (recovered_on, recover_reason, recover_entry_id) ON write_offs TO accubooks_app;

-- Their operations post to accounts receivable, too.
CREATE OR REPLACE FUNCTION posts_to_control_account(p_operation text, p_code text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_code
  WHEN '1100' THEN p_operation IN ('finalizeInvoice', 'voidInvoice', 'createCreditNote', 'createPayment', 'createRefund',
    'voidPayment', 'voidCreditNote', 'voidRefund', 'writeOffInvoice', 'recoverWriteOff')
  WHEN '1200' THEN p_operation IN ('createInventoryItem', 'adjustInventory')
  ELSE false
END;

-- As before, with all of the above.
CREATE OR REPLACE FUNCTION due_movements(p_company uuid, p_invoice uuid) RETURNS TABLE (day date, amount numeric)
LANGUAGE sql STABLE AS $$
  SELECT m.day, sum(m.amount)
  FROM (
    SELECT v.day, v.amount FROM payments p
    CROSS JOIN LATERAL (VALUES (p.received_on, -p.amount_minor), (p.voided_on, p.amount_minor)) AS v (day, amount)
    WHERE p.company_id = p_company AND p.invoice_id = p_invoice
    UNION ALL
    SELECT v.day, v.amount FROM credit_notes n
    CROSS JOIN LATERAL (VALUES (n.credited_on, -n.total_minor), (n.voided_on, n.total_minor)) AS v (day, amount)
    WHERE n.company_id = p_company AND n.invoice_id = p_invoice
    UNION ALL
    SELECT v.day, v.amount FROM payments p
    JOIN refunds r ON r.company_id = p.company_id AND r.payment_id = p.id
    CROSS JOIN LATERAL (VALUES (r.refunded_on, r.amount_minor), (r.voided_on, -r.amount_minor)) AS v (day, amount)
    WHERE p.company_id = p_company AND p.invoice_id = p_invoice
    UNION ALL
    SELECT v.day, v.amount FROM write_offs w
    CROSS JOIN LATERAL (VALUES (w.written_off_on, -w.amount_minor), (w.recovered_on, w.amount_minor)) AS v (day, amount)
    WHERE w.company_id = p_company AND w.invoice_id = p_invoice
  ) AS m (day, amount)
  WHERE m.day IS NOT NULL
  GROUP BY m.day
$$;

-- The last day on which a refund of the invoice was voided. Only before it can the total, or more, come to be due twice: all
-- else takes from what is due, and gives back no more than it took.
CREATE FUNCTION last_refund_void(p_company uuid, p_invoice uuid) RETURNS date
LANGUAGE sql STABLE AS $$
  SELECT max((
    SELECT max(r.voided_on) FROM refunds r WHERE r.company_id = p.company_id AND r.payment_id = p.id
  ))
  FROM payments p WHERE p.company_id = p_company AND p.invoice_id = p_invoice
$$;

-- The first day from `p_since` on as of which more than the total would be due, if so much more were due from then on; with what
-- is due as of it. No row: there is none.
CREATE FUNCTION first_day_above_total(p_company uuid, p_invoice uuid, p_since date, p_raised bigint)
RETURNS TABLE (day date, due_minor numeric)
LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF p_since < last_refund_void(p_company, p_invoice) THEN
    RETURN QUERY
      SELECT greatest(d.day, p_since), i.total_minor + d.amount
      FROM invoices i
      CROSS JOIN LATERAL (
        SELECT m.day, lead(m.day) OVER days AS next_day, sum(m.amount) OVER days AS amount
        FROM due_movements(i.company_id, i.id) AS m
        WINDOW days AS (ORDER BY m.day)
      ) AS d
      WHERE i.company_id = p_company AND i.id = p_invoice
        AND d.amount + p_raised > 0 AND (d.next_day IS NULL OR d.next_day > p_since)
      ORDER BY d.day LIMIT 1;
  END IF;
END
$$;

-- Refuses to make so much more due from a day on, if as of any day from then on that is more than the total.
CREATE FUNCTION require_due_up_to_total(p_company uuid, p_invoice uuid, p_since date, p_raised bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  above date;
BEGIN
  SELECT d.day INTO above FROM first_day_above_total(p_company, p_invoice, p_since, p_raised) AS d;
  IF above IS NOT NULL THEN
    RAISE EXCEPTION 'more than its total would be due on invoice % as of %', p_invoice, above
      USING ERRCODE = 'check_violation', CONSTRAINT = 'as_of_conflict';
  END IF;
END
$$;
