-- The general ledger: accounts, entries and their lines, kept per currency. A line's amount is signed: debit positive,
-- credit negative. There is no running-balance row: all writes of a company would queue on it.

CREATE TABLE accounts (
  company_id uuid NOT NULL REFERENCES companies,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  code text NOT NULL CHECK (code ~ '^[A-Za-z0-9.-]{1,20}$'),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  type text NOT NULL CHECK (type IN ('asset', 'liability', 'equity', 'income', 'expense')),
  is_bank boolean NOT NULL DEFAULT false,
  -- Only its own operations post to a control account: it must equal the sub-ledger that it sums up.
  is_control boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  CONSTRAINT accounts_code_key UNIQUE (company_id, code),
  CONSTRAINT accounts_bank_is_asset CHECK (NOT is_bank OR (type = 'asset' AND NOT is_control))
);

-- Its company is held by the foreign key to the write, which carries it; here and below, a second one to companies would
-- only cost each write another lock on that row.
CREATE TABLE journal_entries (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  write_id uuid NOT NULL,
  operation text NOT NULL CHECK (length(operation) BETWEEN 1 AND 64),
  entry_date date NOT NULL CHECK (entry_date BETWEEN '1900-01-01' AND '2999-12-31'),
  description text NOT NULL CHECK (length(description) BETWEEN 1 AND 500),
  reverses uuid,
  metadata jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(metadata) <= 65536),
  created_at timestamptz NOT NULL DEFAULT now(),
  -- Which transaction made this entry: only that one may add lines to it. Set by trigger, whatever is inserted.
  created_xid xid8 NOT NULL,
  PRIMARY KEY (company_id, id),
  CONSTRAINT journal_entries_one_a_write UNIQUE (company_id, write_id),
  CONSTRAINT journal_entries_reversed_once UNIQUE (company_id, reverses),
  FOREIGN KEY (company_id, reverses) REFERENCES journal_entries (company_id, id),
  FOREIGN KEY (company_id, write_id) REFERENCES idempotent_writes (company_id, write_id)
);
CREATE INDEX journal_entries_by_date ON journal_entries (company_id, entry_date);

CREATE TABLE journal_lines (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  entry_id uuid NOT NULL,
  line_number smallint NOT NULL CHECK (line_number >= 1),
  account_id uuid NOT NULL,
  -- An entry sums many amounts of at most 10^13 each; zero lines are left out.
  amount_minor bigint NOT NULL CHECK (amount_minor <> 0 AND abs(amount_minor) <= 100000000000000000),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  memo text CHECK (length(memo) BETWEEN 1 AND 500),
  PRIMARY KEY (company_id, id),
  CONSTRAINT journal_lines_line_number_key UNIQUE (company_id, entry_id, line_number),
  FOREIGN KEY (company_id, entry_id) REFERENCES journal_entries (company_id, id),
  FOREIGN KEY (company_id, account_id) REFERENCES accounts (company_id, id)
);
CREATE INDEX journal_lines_by_account ON journal_lines (company_id, account_id, currency);

-- Nothing posts on or before the closing date. FOR SHARE waits for one who is moving the date (an UPDATE of that row) and
-- reads what they left; postings do not wait for each other.
CREATE FUNCTION begin_journal_entry() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  closed_through date;
BEGIN
  NEW.created_xid := pg_current_xact_id();
  SELECT c.books_closed_through INTO closed_through FROM companies c WHERE c.id = NEW.company_id FOR SHARE;
  IF NEW.entry_date <= closed_through THEN
    RAISE EXCEPTION 'the books are closed through %', closed_through
      USING ERRCODE = 'check_violation', CONSTRAINT = 'period_closed';
  END IF;
  RETURN NEW;
END
$$;

CREATE FUNCTION add_line_to_new_entry_only() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM journal_entries e WHERE e.company_id = NEW.company_id AND e.id = NEW.entry_id
                 AND e.created_xid = pg_current_xact_id()) THEN
    RAISE EXCEPTION 'INSERT into journal_lines is refused: an entry is complete when its transaction commits'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;

CREATE FUNCTION require_lines() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM journal_lines l WHERE l.company_id = NEW.company_id AND l.entry_id = NEW.id) THEN
    RAISE EXCEPTION 'journal entry % has no lines', NEW.id USING ERRCODE = 'check_violation',
      CONSTRAINT = 'journal_entry_has_lines';
  END IF;
  RETURN NULL;
END
$$;

-- Asked for each line, since a line may be added after the entry was asked about.
CREATE FUNCTION require_balanced_entry() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  unbalanced text;
BEGIN
  SELECT format('%s %s', sum(l.amount_minor), l.currency) INTO unbalanced
  FROM journal_lines l WHERE l.company_id = NEW.company_id AND l.entry_id = NEW.entry_id
  GROUP BY l.currency HAVING sum(l.amount_minor) <> 0 LIMIT 1;
  IF unbalanced IS NOT NULL THEN
    RAISE EXCEPTION 'journal entry % does not sum to zero: %', NEW.entry_id, unbalanced
      USING ERRCODE = 'check_violation', CONSTRAINT = 'journal_entry_balanced';
  END IF;
  RETURN NULL;
END
$$;

CREATE TRIGGER begin_journal_entry BEFORE INSERT ON journal_entries
  FOR EACH ROW EXECUTE FUNCTION begin_journal_entry();
CREATE TRIGGER add_line_to_new_entry_only BEFORE INSERT ON journal_lines
  FOR EACH ROW EXECUTE FUNCTION add_line_to_new_entry_only();
CREATE CONSTRAINT TRIGGER require_lines AFTER INSERT ON journal_entries
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_lines();
CREATE CONSTRAINT TRIGGER require_balanced_entry AFTER INSERT ON journal_lines
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_balanced_entry();
CREATE TRIGGER keep_entries BEFORE UPDATE OR DELETE ON journal_entries
  FOR EACH ROW EXECUTE FUNCTION refuse_change('correct it by a reversing entry');
CREATE TRIGGER keep_lines BEFORE UPDATE OR DELETE ON journal_lines
  FOR EACH ROW EXECUTE FUNCTION refuse_change('correct it by a reversing entry');
CREATE TRIGGER keep_all_entries BEFORE TRUNCATE ON journal_entries
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('correct it by a reversing entry');
CREATE TRIGGER keep_all_lines BEFORE TRUNCATE ON journal_lines
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('correct it by a reversing entry');

ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE accounts FORCE ROW LEVEL SECURITY;
ALTER TABLE journal_entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE journal_entries FORCE ROW LEVEL SECURITY;
ALTER TABLE journal_lines ENABLE ROW LEVEL SECURITY;
ALTER TABLE journal_lines FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON accounts USING (company_id = current_company());
CREATE POLICY company ON journal_entries USING (company_id = current_company());
CREATE POLICY company ON journal_lines USING (company_id = current_company());
CREATE POLICY auditor ON accounts FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON journal_entries FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON journal_lines FOR SELECT TO accubooks_auditor USING (true);

GRANT SELECT, INSERT ON accounts, journal_entries, journal_lines TO accubooks_app;
GRANT SELECT ON accounts, journal_entries, journal_lines TO accubooks_auditor;

-- Posts one entry with all its lines in one round trip. `p_lines` is an array of {id, account, amount, currency, memo?}:
-- signed amounts, account codes; a line of zero is left out. Answers the entry's ID.
CREATE FUNCTION post_entry(
  p_company uuid, p_entry uuid, p_write uuid, p_operation text, p_date date, p_description text, p_lines jsonb)
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
  INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description)
  VALUES (p_company, p_entry, p_write, p_operation, p_date, p_description);
  INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency, memo)
  SELECT p_company, l.id, p_entry, row_number() OVER (ORDER BY l.position), a.id, l.amount, l.currency, l.memo
  FROM ROWS FROM (jsonb_to_recordset(p_lines) AS (id uuid, account text, amount bigint, currency text, memo text))
    WITH ORDINALITY AS l (id, account, amount, currency, memo, position)
  JOIN accounts a ON a.company_id = p_company AND a.code = l.account
  WHERE l.amount <> 0;
  RETURN p_entry;
END
$$;

-- Today, as the company's people see it.
CREATE FUNCTION company_today(p_company uuid) RETURNS date
LANGUAGE sql STABLE AS $$
  SELECT (now() AT TIME ZONE c.time_zone)::date FROM companies c WHERE c.id = p_company;
$$;

-- A company, its owner and its chart of accounts: an operator's act, not a tenant's write. The owner is the user with
-- that e-mail, made if there is none. Called by the owner of the schema.
CREATE FUNCTION create_company(p_name text, p_owner_email text, p_currency text, p_company_id uuid DEFAULT NULL)
RETURNS TABLE (company_id uuid, user_id uuid)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  new_company uuid := coalesce(p_company_id, gen_random_uuid());
  owner_id uuid;
BEGIN
  PERFORM set_config('app.company_id', new_company::text, true);
  INSERT INTO companies (id, name, base_currency) VALUES (new_company, p_name, p_currency);
  owner_id := create_user(p_owner_email);
  INSERT INTO memberships (company_id, user_id, roles) VALUES (new_company, owner_id, ARRAY['owner']);
  INSERT INTO accounts (company_id, code, name, type, is_bank, is_control) VALUES
    (new_company, '1000', 'Bank', 'asset', true, false),
    (new_company, '1100', 'Accounts receivable', 'asset', false, true),
    (new_company, '1200', 'Inventory', 'asset', false, true),
    (new_company, '2000', 'Accounts payable', 'liability', false, false),
    (new_company, '2100', 'Sales tax payable', 'liability', false, false),
    (new_company, '2200', 'Payroll taxes payable', 'liability', false, false),
    (new_company, '2210', 'Payroll deductions payable', 'liability', false, false),
    (new_company, '2220', 'Wages payable', 'liability', false, false),
    (new_company, '3000', 'Owner''s equity', 'equity', false, false),
    (new_company, '4000', 'Sales revenue', 'income', false, false),
    (new_company, '5000', 'Cost of goods sold', 'expense', false, false),
    (new_company, '5100', 'Inventory adjustments', 'expense', false, false),
    (new_company, '6000', 'Wages expense', 'expense', false, false),
    (new_company, '6010', 'Employer payroll tax expense', 'expense', false, false),
    (new_company, '6900', 'Bank charges and differences', 'expense', false, false);
  RETURN QUERY SELECT new_company, owner_id;
END
$$;

-- The user with that e-mail, made if there is none.
CREATE FUNCTION create_user(p_email text) RETURNS uuid
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  found_id uuid;
BEGIN
  INSERT INTO users (email) VALUES (lower(p_email)) ON CONFLICT (email) DO NOTHING RETURNING id INTO found_id;
  IF found_id IS NULL THEN
    SELECT u.id INTO found_id FROM users u WHERE u.email = lower(p_email);
  END IF;
  RETURN found_id;
END
$$;
REVOKE EXECUTE ON FUNCTION create_company(text, text, text, uuid), create_user(text) FROM PUBLIC;
