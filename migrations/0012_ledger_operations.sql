-- What createAccount, createJournalEntry and reverseJournalEntry rest on.

-- Which accounts are control accounts is settled with the chart that a company begins with; createAccount adds others.
REVOKE INSERT ON accounts FROM accubooks_app;
GRANT INSERT (company_id, id, code, name, type, is_bank) ON accounts TO accubooks_app;

-- A control account equals the sub-ledger that it sums up, so only the operations that keep the two in step post to it.
CREATE FUNCTION posts_to_control_account(p_operation text, p_code text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_code
  WHEN '1100' THEN p_operation IN ('finalizeInvoice', 'voidInvoice', 'createCreditNote', 'createPayment', 'createRefund')
  WHEN '1200' THEN p_operation IN ('createInventoryItem', 'adjustInventory')
  ELSE false
END;

-- Both questions about a new line in one look-up, since they are asked for each line of each write.
ALTER TRIGGER add_line_to_new_entry_only ON journal_lines RENAME TO begin_journal_line;
ALTER FUNCTION add_line_to_new_entry_only() RENAME TO begin_journal_line;
CREATE OR REPLACE FUNCTION begin_journal_line() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  foreign_to_account boolean;
BEGIN
  SELECT a.is_control AND NOT posts_to_control_account(e.operation, a.code) INTO foreign_to_account
  FROM journal_entries e
  LEFT JOIN accounts a ON a.company_id = NEW.company_id AND a.id = NEW.account_id
  WHERE e.company_id = NEW.company_id AND e.id = NEW.entry_id AND e.created_xid = pg_current_xact_id();
  IF NOT FOUND THEN
    RAISE EXCEPTION 'INSERT into journal_lines is refused: an entry is complete when its transaction commits'
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF foreign_to_account THEN
    RAISE EXCEPTION 'account % is a control account, to which only its own operations post', NEW.account_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'control_account';
  END IF;
  RETURN NEW;
END
$$;

-- As before, and with the client's notes on an entry that is a write of its own.
DROP FUNCTION post_entry(uuid, uuid, uuid, text, date, text, jsonb);
CREATE FUNCTION post_entry(
  p_company uuid, p_entry uuid, p_write uuid, p_operation text, p_date date, p_description text, p_lines jsonb,
  p_metadata jsonb DEFAULT '{}')
RETURNS uuid
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  unknown_account text;
BEGIN
  SELECT l.account INTO unknown_account
  FROM jsonb_to_recordset(p_lines) AS l (account text)
  WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.company_id = p_company AND a.code = l.account)
  LIMIT 1;
  IF unknown_account IS NOT NULL THEN
    RAISE EXCEPTION 'there is no account %', unknown_account
      USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'account_not_usable';
  END IF;
  INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description, metadata)
  VALUES (p_company, p_entry, p_write, p_operation, p_date, p_description, p_metadata);
  INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency, memo)
  SELECT p_company, l.id, p_entry, row_number() OVER (ORDER BY l.position), a.id, l.amount, l.currency, l.memo
  FROM ROWS FROM (jsonb_to_recordset(p_lines) AS (id uuid, account text, amount bigint, currency text, memo text))
    WITH ORDINALITY AS l (id, account, amount, currency, memo, position)
  JOIN accounts a ON a.company_id = p_company AND a.code = l.account
  WHERE l.amount <> 0;
  RETURN p_entry;
END
$$;
