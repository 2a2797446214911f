-- What an issued document says never changes, and no document is ever deleted. Before, the amounts, customer and dates of an
-- invoice, a payment, and the code and type of an account were kept only by what the application may do: whoever had the
-- owner's login could change them, and the entries beside them would no longer say the same. Credit notes, refunds, lines and
-- entries have been kept since their first migration; but the application itself could add a line to an invoice or a credit
-- note that was issued.
--
-- The triggers name columns, so that an UPDATE of the others, such as paid_minor, does not even ask. Whoever adds a column to
-- one of these tables adds it here, or to the list of what may change in test/system/immutability.test.ts.

-- An invoice is issued once it has a number. A draft's number, date and entry come when it is finalized.
CREATE TRIGGER keep_issued_invoices
  BEFORE UPDATE OF company_id, id, number, customer_id, currency, issue_date, due_date, memo, subtotal_minor, tax_minor,
    total_minor, journal_entry_id, metadata, created_at ON invoices
  FOR EACH ROW WHEN (OLD.number IS NOT NULL) EXECUTE FUNCTION refuse_change('void the invoice or credit it');
CREATE TRIGGER keep_void_invoices BEFORE UPDATE OF voided_on, void_reason ON invoices
  FOR EACH ROW WHEN (OLD.voided_on IS NOT NULL) EXECUTE FUNCTION refuse_change('an invoice is voided once');
CREATE TRIGGER keep_invoices BEFORE DELETE ON invoices
  FOR EACH ROW EXECUTE FUNCTION refuse_change('void the invoice or credit it');
CREATE TRIGGER keep_all_invoices BEFORE TRUNCATE ON invoices
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('void the invoice or credit it');

-- A line that comes after the number would change what the invoice says, even one of which the sums show nothing.
CREATE FUNCTION add_lines_to_drafts_only() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM invoices i
    WHERE (i.company_id, i.id) IN (SELECT a.company_id, a.invoice_id FROM added a) AND i.number IS NOT NULL
  ) THEN
    RAISE EXCEPTION 'INSERT into invoice_lines is refused: an invoice is complete when it gets its number'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER add_lines_to_drafts_only AFTER INSERT ON invoice_lines
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION add_lines_to_drafts_only();

-- A credit note and all its lines come in one statement each, of one function, in every release. A line costs at least one, so
-- the sums show each that comes later. Its name comes after that of require_credit_within_line, which locks the invoice: so
-- two that complete a note by hand at once are looked at one after the other.
CREATE FUNCTION require_sum_of_credit_lines() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM (SELECT DISTINCT company_id, credit_note_id FROM added) AS a
    CROSS JOIN LATERAL (
      SELECT sum(l.net_minor) AS net_minor, sum(l.tax_minor) AS tax_minor
      FROM credit_note_lines l WHERE l.company_id = a.company_id AND l.credit_note_id = a.credit_note_id
    ) AS s
    WHERE (s.net_minor, s.tax_minor) <> (
      SELECT n.net_minor, n.tax_minor FROM credit_notes n WHERE n.company_id = a.company_id AND n.id = a.credit_note_id
    )
  ) THEN
    RAISE EXCEPTION 'INSERT into credit_note_lines is refused: a credit note comes with all its lines'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER require_sum_of_credit_lines AFTER INSERT ON credit_note_lines
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION require_sum_of_credit_lines();

CREATE TRIGGER keep_payments
  BEFORE DELETE OR UPDATE OF company_id, id, invoice_id, amount_minor, currency, method, received_on, reference,
    bank_account_id, journal_entry_id, metadata, created_at ON payments
  FOR EACH ROW EXECUTE FUNCTION refuse_change('refund it');
CREATE TRIGGER keep_all_payments BEFORE TRUNCATE ON payments
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('refund it');

-- The entries of an account mean what its code and type say. Its name may be corrected.
CREATE TRIGGER keep_accounts
  BEFORE DELETE OR UPDATE OF company_id, id, code, type, is_bank, is_control, created_at ON accounts
  FOR EACH ROW EXECUTE FUNCTION refuse_change('create another account, and move its balance by an entry');
CREATE TRIGGER keep_all_accounts BEFORE TRUNCATE ON accounts
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('create another account, and move its balance by an entry');

-- It was there so that the row could be locked FOR SHARE, when the application updated no other column. A trigger sets it.
REVOKE UPDATE (version) ON companies FROM accubooks_app;
