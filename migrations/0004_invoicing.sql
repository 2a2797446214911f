-- Customers, invoices and the payments of them. Totals and states that a rule rests on are held by the database.

CREATE TABLE customers (
  company_id uuid NOT NULL REFERENCES companies,
  id uuid NOT NULL,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  email text CHECK (length(email) BETWEEN 3 AND 200),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  external_reference text CHECK (length(external_reference) BETWEEN 1 AND 200),
  metadata jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(metadata) <= 65536),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  CONSTRAINT customers_external_reference_key UNIQUE (company_id, external_reference)
);
CREATE INDEX customers_newest ON customers (company_id, created_at DESC, id DESC);

-- Counters that must not have gaps: taken last in a transaction, so that the row is held as short as can be.
CREATE TABLE number_counters (
  company_id uuid NOT NULL REFERENCES companies,
  kind text NOT NULL CHECK (kind IN ('invoice')),
  last_number integer NOT NULL CHECK (last_number >= 1),
  PRIMARY KEY (company_id, kind)
);

CREATE FUNCTION next_number(p_company uuid, p_kind text) RETURNS integer
LANGUAGE sql VOLATILE AS $$
  INSERT INTO number_counters AS c (company_id, kind, last_number) VALUES (p_company, p_kind, 1)
  ON CONFLICT (company_id, kind) DO UPDATE SET last_number = c.last_number + 1
  RETURNING last_number;
$$;

CREATE TABLE invoices (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  number integer CHECK (number >= 1),
  customer_id uuid NOT NULL,
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  issue_date date NOT NULL CHECK (issue_date BETWEEN '1900-01-01' AND '2999-12-31'),
  due_date date NOT NULL CHECK (due_date <= '2999-12-31'),
  memo text CHECK (length(memo) BETWEEN 1 AND 500),
  subtotal_minor bigint NOT NULL CHECK (subtotal_minor BETWEEN 0 AND 10000000000000),
  tax_minor bigint NOT NULL CHECK (tax_minor BETWEEN 0 AND 10000000000000),
  total_minor bigint NOT NULL CHECK (total_minor BETWEEN 1 AND 10000000000000),
  paid_minor bigint NOT NULL DEFAULT 0 CHECK (paid_minor >= 0),
  credited_minor bigint NOT NULL DEFAULT 0 CHECK (credited_minor >= 0),
  voided_on date,
  journal_entry_id uuid,
  metadata jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(metadata) <= 65536),
  created_at timestamptz NOT NULL DEFAULT now(),
  due_minor bigint NOT NULL GENERATED ALWAYS AS (
    CASE WHEN voided_on IS NULL THEN total_minor - paid_minor - credited_minor ELSE 0 END
  ) STORED,
  status text NOT NULL GENERATED ALWAYS AS (
    CASE
      WHEN voided_on IS NOT NULL THEN 'void'
      WHEN number IS NULL THEN 'draft'
      WHEN paid_minor + credited_minor = total_minor THEN 'paid'
      WHEN paid_minor + credited_minor > 0 THEN 'partially_paid'
      ELSE 'finalized'
    END
  ) STORED,
  PRIMARY KEY (company_id, id),
  CONSTRAINT invoices_number_key UNIQUE (company_id, number),
  -- The target of foreign keys by which payments have their invoice's currency.
  CONSTRAINT invoices_currency_key UNIQUE (company_id, id, currency),
  CONSTRAINT invoices_due_on_or_after_issue CHECK (due_date >= issue_date),
  CONSTRAINT invoices_total_is_sum CHECK (total_minor = subtotal_minor + tax_minor),
  CONSTRAINT invoices_never_overpaid CHECK (paid_minor + credited_minor <= total_minor),
  -- A number, an entry: both or none. Nothing is paid, credited or void before that, nor paid or credited once void.
  CONSTRAINT invoices_finalized_whole CHECK (
    (number IS NULL) = (journal_entry_id IS NULL)
    AND (number IS NOT NULL OR (paid_minor = 0 AND credited_minor = 0 AND voided_on IS NULL))
    AND (voided_on IS NULL OR (paid_minor = 0 AND credited_minor = 0))
  ),
  FOREIGN KEY (company_id, customer_id) REFERENCES customers (company_id, id),
  FOREIGN KEY (company_id, journal_entry_id) REFERENCES journal_entries (company_id, id)
);
CREATE INDEX invoices_newest ON invoices (company_id, created_at DESC, id DESC);
CREATE INDEX invoices_by_customer ON invoices (company_id, customer_id, created_at DESC, id DESC);

CREATE TABLE invoice_lines (
  company_id uuid NOT NULL,
  invoice_id uuid NOT NULL,
  line_number smallint NOT NULL CHECK (line_number BETWEEN 1 AND 200),
  description text NOT NULL CHECK (length(description) BETWEEN 1 AND 500),
  quantity numeric(14, 4) NOT NULL CHECK (quantity > 0 AND quantity <= 1000000000),
  unit_price_minor bigint NOT NULL CHECK (unit_price_minor BETWEEN 0 AND 10000000000000),
  tax_rate_basis_points integer NOT NULL CHECK (tax_rate_basis_points BETWEEN 0 AND 10000),
  account_id uuid NOT NULL,
  net_minor bigint NOT NULL CHECK (net_minor BETWEEN 0 AND 10000000000000),
  tax_minor bigint NOT NULL CHECK (tax_minor BETWEEN 0 AND 10000000000000),
  PRIMARY KEY (company_id, invoice_id, line_number),
  -- Half away from zero, in exact arithmetic: round() of numeric does that.
  CONSTRAINT invoice_lines_net_is_product CHECK (net_minor = round(quantity * unit_price_minor)),
  CONSTRAINT invoice_lines_tax_is_share CHECK (
    tax_minor = round(net_minor::numeric * tax_rate_basis_points / 10000)
  ),
  FOREIGN KEY (company_id, invoice_id) REFERENCES invoices (company_id, id),
  FOREIGN KEY (company_id, account_id) REFERENCES accounts (company_id, id)
);
CREATE TRIGGER keep_invoice_lines BEFORE UPDATE OR DELETE ON invoice_lines
  FOR EACH ROW EXECUTE FUNCTION refuse_change('void the invoice or credit it');
CREATE TRIGGER keep_all_invoice_lines BEFORE TRUNCATE ON invoice_lines
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('void the invoice or credit it');

CREATE TABLE payments (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  invoice_id uuid NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor BETWEEN 1 AND 10000000000000),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  method text NOT NULL CHECK (method IN ('bank_transfer', 'card', 'cash', 'check', 'other')),
  received_on date NOT NULL CHECK (received_on BETWEEN '1900-01-01' AND '2999-12-31'),
  reference text CHECK (length(reference) BETWEEN 1 AND 200),
  bank_account_id uuid NOT NULL,
  refunded_minor bigint NOT NULL DEFAULT 0,
  journal_entry_id uuid NOT NULL,
  metadata jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(metadata) <= 65536),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  CONSTRAINT payments_never_overrefunded CHECK (refunded_minor BETWEEN 0 AND amount_minor),
  FOREIGN KEY (company_id, invoice_id, currency) REFERENCES invoices (company_id, id, currency),
  FOREIGN KEY (company_id, bank_account_id) REFERENCES accounts (company_id, id),
  FOREIGN KEY (company_id, journal_entry_id) REFERENCES journal_entries (company_id, id)
);
CREATE INDEX payments_newest ON payments (company_id, created_at DESC, id DESC);
CREATE INDEX payments_by_invoice ON payments (company_id, invoice_id);

-- Locks an invoice, then reads it in a statement of its own, which sees what the one before us left. No row: no such
-- invoice.
CREATE FUNCTION lock_invoice(p_company uuid, p_invoice uuid) RETURNS SETOF invoices
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM invoices i WHERE i.company_id = p_company AND i.id = p_invoice FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM invoices i WHERE i.company_id = p_company AND i.id = p_invoice;
END
$$;

ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
ALTER TABLE customers FORCE ROW LEVEL SECURITY;
ALTER TABLE number_counters ENABLE ROW LEVEL SECURITY;
ALTER TABLE number_counters FORCE ROW LEVEL SECURITY;
ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
ALTER TABLE invoices FORCE ROW LEVEL SECURITY;
ALTER TABLE invoice_lines ENABLE ROW LEVEL SECURITY;
ALTER TABLE invoice_lines FORCE ROW LEVEL SECURITY;
ALTER TABLE payments ENABLE ROW LEVEL SECURITY;
ALTER TABLE payments FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON customers USING (company_id = current_company());
CREATE POLICY company ON number_counters USING (company_id = current_company());
CREATE POLICY company ON invoices USING (company_id = current_company());
CREATE POLICY company ON invoice_lines USING (company_id = current_company());
CREATE POLICY company ON payments USING (company_id = current_company());
CREATE POLICY auditor ON customers FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON number_counters FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON invoices FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON invoice_lines FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON payments FOR SELECT TO accubooks_auditor USING (true);

GRANT SELECT, INSERT ON customers, number_counters, invoices, invoice_lines, payments TO accubooks_app;
GRANT UPDATE (last_number) ON number_counters TO accubooks_app;
GRANT UPDATE (number, issue_date, paid_minor, credited_minor, voided_on, journal_entry_id) ON invoices TO accubooks_app;
GRANT UPDATE (refunded_minor) ON payments TO accubooks_app;
GRANT SELECT ON customers, number_counters, invoices, invoice_lines, payments TO accubooks_auditor;
