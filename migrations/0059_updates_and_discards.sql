-- updateCustomer, updateInventoryItem and discardInvoice; and the share of a write-off in the tax of its invoice.
GRANT UPDATE (name, email, external_reference, metadata) ON customers TO accubooks_app;
GRANT UPDATE (sku, name) ON inventory_items TO accubooks_app;

-- A draft that will never be finalized stays as it is, without a number. Its day is a column since 0055.
ALTER TABLE invoices
  ADD COLUMN discard_reason text CHECK (length(discard_reason) BETWEEN 1 AND 500),
  ADD CONSTRAINT invoices_discard_has_day CHECK (discard_reason IS NULL OR discarded_on IS NOT NULL) NOT VALID;
GRANT UPDATE (discarded_on, discard_reason) ON invoices TO accubooks_app;
CREATE TRIGGER keep_issued_undiscarded BEFORE UPDATE OF discard_reason ON invoices
  FOR EACH ROW WHEN (OLD.number IS NOT NULL) EXECUTE FUNCTION refuse_change('void the invoice or credit it');
CREATE TRIGGER keep_discarded_invoices BEFORE UPDATE ON invoices
  FOR EACH ROW WHEN (OLD.discarded_on IS NOT NULL) EXECUTE FUNCTION refuse_change('make another draft');

-- As before, and a draft that was discarded is complete, too.
CREATE OR REPLACE FUNCTION add_lines_to_drafts_only() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM invoices i
    WHERE (i.company_id, i.id) IN (SELECT a.company_id, a.invoice_id FROM added a)
      AND (i.number IS NOT NULL OR i.discarded_on IS NOT NULL)
  ) THEN
    RAISE EXCEPTION 'INSERT into invoice_lines is refused: an invoice is complete when it gets its number or is discarded'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END
$$;

-- `numerator / denominator`, rounded half away from zero: of whole numbers, so that nothing is rounded twice.
CREATE FUNCTION half_away(p_numerator numeric, p_denominator numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sign(p_numerator) * div(2 * abs(p_numerator) + p_denominator, 2 * p_denominator);

-- The share follows from what was written off before, and is not recovered. The last one is recovered first, so the shares of
-- those before are what their sum has.
CREATE FUNCTION require_tax_share() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  share numeric;
BEGIN
  SELECT half_away(i.tax_minor::numeric * (i.written_off_minor + NEW.amount_minor), i.total_minor)
    - half_away(i.tax_minor::numeric * i.written_off_minor, i.total_minor) INTO share
  FROM invoices i WHERE i.company_id = NEW.company_id AND i.id = NEW.invoice_id;
  IF NEW.tax_minor <> share THEN
    RAISE EXCEPTION 'the share of write-off % in the tax of its invoice is %, not %', NEW.id, share, NEW.tax_minor
      USING ERRCODE = 'check_violation', CONSTRAINT = 'write_off_tax_share';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER require_tax_share BEFORE INSERT ON write_offs FOR EACH ROW EXECUTE FUNCTION require_tax_share();
