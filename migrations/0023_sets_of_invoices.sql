-- Sets of customers and invoices: see 0022_sets.sql.

-- Drafts with their lines.
CREATE FUNCTION record_invoices(p_company uuid, p_invoices jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  INSERT INTO invoices (company_id, id, customer_id, currency, issue_date, due_date, memo, subtotal_minor, tax_minor,
    total_minor, metadata)
  SELECT p_company, i.id, i.customer_id, i.currency, i.issue_date, i.due_date, i.memo, i.subtotal_minor, i.tax_minor,
    i.total_minor, i.metadata
  FROM jsonb_to_recordset(p_invoices) AS i (id uuid, customer_id uuid, currency text, issue_date date, due_date date,
    memo text, subtotal_minor bigint, tax_minor bigint, total_minor bigint, metadata jsonb);
  INSERT INTO invoice_lines (company_id, invoice_id, line_number, description, quantity, unit_price_minor,
    tax_rate_basis_points, account_id, net_minor, tax_minor)
  SELECT p_company, i.id, l.line_number, l.description, l.quantity, l.unit_price_minor, l.tax_rate_basis_points,
    l.account_id, l.net_minor, l.tax_minor
  FROM jsonb_to_recordset(p_invoices) AS i (id uuid, lines jsonb)
  CROSS JOIN LATERAL jsonb_to_recordset(i.lines) AS l (line_number smallint, description text, quantity numeric,
    unit_price_minor bigint, tax_rate_basis_points integer, account_id uuid, net_minor bigint, tax_minor bigint);
END
$$;
