-- Sets of refunds and of credit notes, as in 0022_sets.sql: what a set leaves is what the same writes leave one by one.

-- lock_payment for many: their invoices first, then the payments, both in the order of their IDs, and read in a later
-- statement together with the code of the bank account.
CREATE FUNCTION lock_payments(p_company uuid, p_payments uuid[])
RETURNS TABLE (id uuid, invoice_id uuid, amount_minor bigint, refunded_minor bigint, currency text, received_on date,
  bank_account text)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM invoices i
  WHERE i.company_id = p_company
    AND i.id = ANY (ARRAY(
      SELECT p.invoice_id FROM payments p WHERE p.company_id = p_company AND p.id = ANY (p_payments)))
    ORDER BY i.id FOR NO KEY UPDATE;
  PERFORM 1 FROM payments p WHERE p.company_id = p_company AND p.id = ANY (p_payments)
    ORDER BY p.id FOR NO KEY UPDATE;
  RETURN QUERY
    SELECT p.id, p.invoice_id, p.amount_minor, p.refunded_minor, p.currency, p.received_on, bank.code
    FROM payments p JOIN accounts bank ON bank.company_id = p.company_id AND bank.id = p.bank_account_id
    WHERE p.company_id = p_company AND p.id = ANY (p_payments);
END
$$;

-- Refunds and what they change on their payments and invoices, where the refunded amount is due again.
CREATE FUNCTION record_refunds(p_company uuid, p_refunds jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE invoices i SET paid_minor = i.paid_minor - r.amount_minor
  FROM (
    SELECT q.invoice_id, sum(q.amount_minor)::bigint AS amount_minor
    FROM jsonb_to_recordset(p_refunds) AS q (invoice_id uuid, amount_minor bigint) GROUP BY q.invoice_id
  ) AS r
  WHERE i.company_id = p_company AND i.id = r.invoice_id
    AND i.id = ANY (ARRAY(SELECT q.invoice_id FROM jsonb_to_recordset(p_refunds) AS q (invoice_id uuid)));
  UPDATE payments p SET refunded_minor = p.refunded_minor + r.amount_minor
  FROM (
    SELECT q.payment_id, sum(q.amount_minor)::bigint AS amount_minor
    FROM jsonb_to_recordset(p_refunds) AS q (payment_id uuid, amount_minor bigint) GROUP BY q.payment_id
  ) AS r
  WHERE p.company_id = p_company AND p.id = r.payment_id
    AND p.id = ANY (ARRAY(SELECT q.payment_id FROM jsonb_to_recordset(p_refunds) AS q (payment_id uuid)));
  INSERT INTO refunds (company_id, id, payment_id, amount_minor, refunded_on, reason, journal_entry_id, metadata)
  SELECT p_company, r.id, r.payment_id, r.amount_minor, r.refunded_on, r.reason, r.journal_entry_id, r.metadata
  FROM jsonb_to_recordset(p_refunds) AS r (id uuid, payment_id uuid, amount_minor bigint, refunded_on date,
    reason text, journal_entry_id uuid, metadata jsonb);
END
$$;

-- Credit notes with their lines, and what they change on their invoices.
CREATE FUNCTION record_credit_notes(p_company uuid, p_notes jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE invoices i SET credited_minor = i.credited_minor + n.total_minor
  FROM (
    SELECT q.invoice_id, sum(q.total_minor)::bigint AS total_minor
    FROM jsonb_to_recordset(p_notes) AS q (invoice_id uuid, total_minor bigint) GROUP BY q.invoice_id
  ) AS n
  WHERE i.company_id = p_company AND i.id = n.invoice_id
    AND i.id = ANY (ARRAY(SELECT q.invoice_id FROM jsonb_to_recordset(p_notes) AS q (invoice_id uuid)));
  INSERT INTO credit_notes (company_id, id, invoice_id, currency, credited_on, net_minor, tax_minor, total_minor,
    reason, journal_entry_id)
  SELECT p_company, n.id, n.invoice_id, n.currency, n.credited_on, n.net_minor, n.tax_minor, n.total_minor, n.reason,
    n.journal_entry_id
  FROM jsonb_to_recordset(p_notes) AS n (id uuid, invoice_id uuid, currency text, credited_on date, net_minor bigint,
    tax_minor bigint, total_minor bigint, reason text, journal_entry_id uuid);
  INSERT INTO credit_note_lines (company_id, credit_note_id, invoice_id, line_number, net_minor, tax_minor)
  SELECT p_company, n.id, n.invoice_id, l.line_number, l.net_minor, l.tax_minor
  FROM jsonb_to_recordset(p_notes) AS n (id uuid, invoice_id uuid, lines jsonb)
  CROSS JOIN LATERAL jsonb_to_recordset(n.lines) AS l (line_number smallint, net_minor bigint, tax_minor bigint);
END
$$;
