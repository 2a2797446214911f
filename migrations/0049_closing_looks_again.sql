-- What can leave a step of closing a month undone holds the company's row until its COMMIT: the write that closes the books
-- takes that row, so that what it sees afterwards is all that was committed before it. A pay run that is made holds it already
-- (pin_pay_run_approval), and so does an entry that is reversed. It is taken before the other rows. Processes of the release
-- before call these functions, too.

-- As before, with the company's row.
CREATE OR REPLACE FUNCTION lock_pay_run_row(p_company uuid, p_run uuid) RETURNS SETOF pay_runs
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM companies c WHERE c.id = p_company FOR SHARE;
  PERFORM 1 FROM pay_runs r WHERE r.company_id = p_company AND r.id = p_run FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM pay_runs r WHERE r.company_id = p_company AND r.id = p_run;
END
$$;

-- As before, with the company's row.
CREATE OR REPLACE FUNCTION lock_bank_transaction(p_company uuid, p_transaction uuid) RETURNS SETOF bank_transactions
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM companies c WHERE c.id = p_company FOR SHARE;
  PERFORM 1 FROM bank_transactions t WHERE t.company_id = p_company AND t.id = p_transaction FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM bank_transactions t WHERE t.company_id = p_company AND t.id = p_transaction;
END
$$;

-- As before, with the company's row.
CREATE OR REPLACE FUNCTION import_bank_transactions(p_company uuid, p_write uuid, p_account_code text, p_rows jsonb)
RETURNS TABLE (id uuid, bank_reference text, result text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  account uuid;
BEGIN
  PERFORM 1 FROM companies c WHERE c.id = p_company FOR SHARE;
  SELECT a.id INTO account FROM accounts a WHERE a.company_id = p_company AND a.code = p_account_code AND a.is_bank;
  -- In the order of the references, whatever the order of the file: two imports that share some of them wait for each
  -- other in turn, and never in a circle.
  INSERT INTO bank_transactions (company_id, id, import_id, account_id, bank_reference, booked_on, amount_minor, currency,
    description)
  SELECT p_company, r.id, p_write, account, r.bank_reference, r.booked_on, r.amount_minor, r.currency, r.description
  FROM bank_rows(p_rows) AS r
  WHERE account IS NOT NULL
  ORDER BY r.bank_reference COLLATE "C", r.place
  ON CONFLICT (company_id, account_id, bank_reference) DO NOTHING;
  -- A later statement, which sees the rows of an import that this one has waited for.
  RETURN QUERY
    SELECT t.id, t.bank_reference, CASE
      WHEN t.id = r.id THEN 'imported'
      WHEN (t.booked_on, t.amount_minor, t.currency, t.description)
        = (r.booked_on, r.amount_minor, r.currency, r.description) THEN 'already_known'
      ELSE 'conflict' END
    FROM bank_rows(p_rows) AS r
    JOIN bank_transactions t
      ON t.company_id = p_company AND t.account_id = account AND t.bank_reference = r.bank_reference COLLATE "C"
    ORDER BY r.place;
END
$$;
