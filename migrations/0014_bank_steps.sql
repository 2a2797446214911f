-- The steps of the bank's operations that lock or that work on many rows at once.

-- Takes in what the bank says, in one round trip: `p_rows` is an array of {id, bankReference, date, amount, currency,
-- description}. Answers a row for each of them, in their order: 'imported', 'already_known' (with the ID under which it
-- is), or 'conflict' where the reference is known with other content. No row at all: there is no such bank account.
CREATE FUNCTION import_bank_transactions(p_company uuid, p_write uuid, p_account_code text, p_rows jsonb)
RETURNS TABLE (id uuid, bank_reference text, result text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  account uuid;
BEGIN
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

CREATE FUNCTION bank_rows(p_rows jsonb)
RETURNS TABLE (
  place bigint, id uuid, bank_reference text, booked_on date, amount_minor bigint, currency text, description text)
LANGUAGE sql IMMUTABLE ROWS 1000 AS $$
  SELECT r.place, r.id, r."bankReference", r.date, r.amount, r.currency, r.description
  FROM ROWS FROM (jsonb_to_recordset(p_rows)
      AS (id uuid, "bankReference" text, date date, amount bigint, currency text, description text))
    WITH ORDINALITY AS r (id, "bankReference", date, amount, currency, description, place);
$$;

-- Locks a bank transaction, then reads it in a statement of its own, which sees what the one before us left.
CREATE FUNCTION lock_bank_transaction(p_company uuid, p_transaction uuid) RETURNS SETOF bank_transactions
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM bank_transactions t WHERE t.company_id = p_company AND t.id = p_transaction FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM bank_transactions t WHERE t.company_id = p_company AND t.id = p_transaction;
END
$$;

-- An entry never changes, so there is nothing of it to lock; but the bank transaction that is reconciled by a posted
-- difference is. Then the entry is read in a statement of its own. That it is reversed once, and that a line of it is not
-- matched meanwhile, is held by journal_entries_reversed_once and bank_matches_line_once.
CREATE FUNCTION lock_entry_to_reverse(p_company uuid, p_entry uuid) RETURNS SETOF journal_entries
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM bank_transactions t
  JOIN journal_entries e ON e.company_id = t.company_id AND e.write_id = t.reconciled_by
  WHERE e.company_id = p_company AND e.id = p_entry FOR NO KEY UPDATE OF t;
  RETURN QUERY SELECT * FROM journal_entries e WHERE e.company_id = p_company AND e.id = p_entry;
END
$$;
