-- Sets of invoices: see 0022_sets.sql.

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

-- posting_facts for invoices that get a number: the number that was given last, in place of accounts. Its counter is locked
-- last, because all other finalizations of the company wait for it. A company's first numbers have no counter to lock: they
-- take the company's row alone, which whoever posts locks FOR SHARE. A lock FOR SHARE could not be made stronger later: two
-- that hold it would wait for each other.
CREATE FUNCTION numbering_facts(p_company uuid)
RETURNS TABLE (closed_through date, last_number integer)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF EXISTS (SELECT FROM number_counters n WHERE n.company_id = p_company AND n.kind = 'invoice') THEN
    PERFORM 1 FROM companies c WHERE c.id = p_company FOR SHARE;
  ELSE
    PERFORM 1 FROM companies c WHERE c.id = p_company FOR NO KEY UPDATE;
  END IF;
  PERFORM 1 FROM number_counters n WHERE n.company_id = p_company AND n.kind = 'invoice' FOR NO KEY UPDATE;
  RETURN QUERY
    SELECT c.books_closed_through,
      coalesce((SELECT n.last_number FROM number_counters n WHERE n.company_id = p_company AND n.kind = 'invoice'), 0)
    FROM companies c WHERE c.id = p_company;
END
$$;

-- next_number for many: numbers that follow on the last one, given in order by whoever holds the counter.
CREATE FUNCTION number_invoices(p_company uuid, p_invoices jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE invoices i SET number = n.number, issue_date = n.issue_date, journal_entry_id = n.journal_entry_id
  FROM jsonb_to_recordset(p_invoices) AS n (id uuid, number integer, issue_date date, journal_entry_id uuid)
  WHERE i.company_id = p_company AND i.id = n.id
    AND i.id = ANY (ARRAY(SELECT k.id FROM jsonb_to_recordset(p_invoices) AS k (id uuid)));
  INSERT INTO number_counters (company_id, kind, last_number)
  SELECT p_company, 'invoice', max(n.number) FROM jsonb_to_recordset(p_invoices) AS n (number integer)
  ON CONFLICT (company_id, kind) DO UPDATE SET last_number = excluded.last_number;
END
$$;
