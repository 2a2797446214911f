-- Dates on which the books as of any day depend.

-- A payment before its invoice would make accounts receivable negative as of the days between the two. Only new payments:
-- those of before stay as they are.
CREATE FUNCTION require_payment_after_issue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.received_on < (SELECT i.issue_date FROM invoices i
                        WHERE i.company_id = NEW.company_id AND i.id = NEW.invoice_id) THEN
    RAISE EXCEPTION 'payment % is dated before its invoice', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_before_invoice';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER require_payment_after_issue BEFORE INSERT ON payments
  FOR EACH ROW EXECUTE FUNCTION require_payment_after_issue();
