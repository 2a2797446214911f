-- What an operation uses an account for is its role, which it keeps; each company has one account of each. Until now operations
-- found their accounts by code, and a code that no company has yet may be taken by an account of its own.

-- In the order in which create_company uses them. Whoever is within the function of before has the accounts of before: 0058
-- looks again.
-- Both tables at once, so that nothing that is altered later waits for a lock while this one is held.
LOCK TABLE companies, accounts IN ACCESS EXCLUSIVE MODE;
ALTER TABLE accounts ADD COLUMN role text, NO FORCE ROW LEVEL SECURITY;
ALTER TABLE accounts ADD CONSTRAINT accounts_role_known CHECK (role IN (
  'bank', 'receivable', 'inventory', 'payable', 'sales_tax', 'payroll_taxes', 'payroll_deductions', 'wages_payable',
  'owners_equity', 'retained_earnings', 'sales', 'cost_of_goods_sold', 'inventory_adjustments', 'wages', 'employer_tax',
  'bad_debts', 'bank_charges'
)) NOT VALID;

-- The first code from `p_from` on that the company has not got: of one more than it has accounts, one is free.
CREATE FUNCTION free_account_code(p_company uuid, p_from bigint) RETURNS text
LANGUAGE sql STABLE AS $$
  SELECT min(n)::text
  FROM generate_series(p_from, p_from + (SELECT count(*) FROM accounts a WHERE a.company_id = p_company)) AS n
  WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.company_id = p_company AND a.code = n::text)
$$;

-- Gives the accounts with which companies began their roles, and each company the accounts of the roles that it lacks. The codes
-- of the first have been the same in every company from its first day on, so no account of its own has one of them.
CREATE FUNCTION complete_charts() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE accounts a SET role = r.role
  FROM (VALUES ('1000', 'bank'), ('1100', 'receivable'), ('1200', 'inventory'), ('2000', 'payable'), ('2100', 'sales_tax'),
    ('2200', 'payroll_taxes'), ('2210', 'payroll_deductions'), ('2220', 'wages_payable'), ('3000', 'owners_equity'),
    ('4000', 'sales'), ('5000', 'cost_of_goods_sold'), ('5100', 'inventory_adjustments'), ('6000', 'wages'),
    ('6010', 'employer_tax'), ('6900', 'bank_charges')) AS r (code, role)
  WHERE a.code = r.code AND a.role IS NULL;
  -- One after the other, so that the codes of the second are looked for among those of the first as well.
  INSERT INTO accounts (company_id, code, name, type, role)
  SELECT c.id, free_account_code(c.id, 3100), 'Retained earnings', 'equity', 'retained_earnings'
  FROM companies c
  WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.company_id = c.id AND a.role = 'retained_earnings');
  INSERT INTO accounts (company_id, code, name, type, role)
  SELECT c.id, free_account_code(c.id, 6800), 'Bad debts', 'expense', 'bad_debts'
  FROM companies c
  WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.company_id = c.id AND a.role = 'bad_debts');
END
$$;
REVOKE EXECUTE ON FUNCTION complete_charts() FROM PUBLIC;

-- Without BYPASSRLS the owner would see no row of a table whose row-level security is forced.
ALTER TABLE companies NO FORCE ROW LEVEL SECURITY;
SELECT complete_charts();
ALTER TABLE companies FORCE ROW LEVEL SECURITY;
ALTER TABLE accounts FORCE ROW LEVEL SECURITY;
CREATE UNIQUE INDEX accounts_role_key ON accounts (company_id, role) WHERE role IS NOT NULL;

-- With `role`. An account that a company has made has none, and gets none: the application may not insert it (0012).
DROP TRIGGER keep_accounts ON accounts;
CREATE TRIGGER keep_accounts
  BEFORE DELETE OR UPDATE OF company_id, id, code, type, is_bank, is_control, role, created_at ON accounts
  FOR EACH ROW EXECUTE FUNCTION refuse_change('create another account, and move its balance by an entry');

-- As before, with roles and the two accounts.
CREATE OR REPLACE FUNCTION create_company(
  p_name text, p_owner_email text, p_currency text, p_company_id uuid DEFAULT NULL)
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
  INSERT INTO accounts (company_id, code, name, type, is_bank, is_control, role) VALUES
    (new_company, '1000', 'Bank', 'asset', true, false, 'bank'),
    (new_company, '1100', 'Accounts receivable', 'asset', false, true, 'receivable'),
    (new_company, '1200', 'Inventory', 'asset', false, true, 'inventory'),
    (new_company, '2000', 'Accounts payable', 'liability', false, false, 'payable'),
    (new_company, '2100', 'Sales tax payable', 'liability', false, false, 'sales_tax'),
    (new_company, '2200', 'Payroll taxes payable', 'liability', false, false, 'payroll_taxes'),
    (new_company, '2210', 'Payroll deductions payable', 'liability', false, false, 'payroll_deductions'),
    (new_company, '2220', 'Wages payable', 'liability', false, false, 'wages_payable'),
    (new_company, '3000', 'Owner''s equity', 'equity', false, false, 'owners_equity'),
    (new_company, '3100', 'Retained earnings', 'equity', false, false, 'retained_earnings'),
    (new_company, '4000', 'Sales revenue', 'income', false, false, 'sales'),
    (new_company, '5000', 'Cost of goods sold', 'expense', false, false, 'cost_of_goods_sold'),
    (new_company, '5100', 'Inventory adjustments', 'expense', false, false, 'inventory_adjustments'),
    (new_company, '6000', 'Wages expense', 'expense', false, false, 'wages'),
    (new_company, '6010', 'Employer payroll tax expense', 'expense', false, false, 'employer_tax'),
    (new_company, '6800', 'Bad debts', 'expense', false, false, 'bad_debts'),
    (new_company, '6900', 'Bank charges and differences', 'expense', false, false, 'bank_charges');
  RETURN QUERY SELECT new_company, owner_id;
END
$$;

-- As before; a line names its account by `account`, a code, or by `role`. The release before names codes only.
CREATE OR REPLACE FUNCTION post_entry(
  p_company uuid, p_entry uuid, p_write uuid, p_operation text, p_date date, p_description text, p_lines jsonb,
  p_metadata jsonb DEFAULT '{}')
RETURNS uuid
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  unknown_account text;
BEGIN
  SELECT coalesce(l.account, 'of role ' || l.role) INTO unknown_account
  FROM jsonb_to_recordset(p_lines) AS l (account text, role text)
  WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.company_id = p_company AND a.code = l.account)
    AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.company_id = p_company AND l.account IS NULL AND a.role = l.role)
  LIMIT 1;
  IF unknown_account IS NOT NULL THEN
    RAISE EXCEPTION 'there is no account %', unknown_account
      USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'account_not_usable';
  END IF;
  INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description, metadata)
  VALUES (p_company, p_entry, p_write, p_operation, p_date, p_description, p_metadata);
  INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency, memo)
  SELECT p_company, l.id, p_entry, row_number() OVER (ORDER BY l.position), a.id, l.amount, l.currency, l.memo
  FROM ROWS FROM (
    jsonb_to_recordset(p_lines) AS (id uuid, account text, role text, amount bigint, currency text, memo text))
    WITH ORDINALITY AS l (id, account, role, amount, currency, memo, position)
  CROSS JOIN LATERAL (
    SELECT b.id FROM accounts b WHERE b.company_id = p_company AND b.code = l.account
    UNION ALL
    SELECT b.id FROM accounts b WHERE b.company_id = p_company AND l.account IS NULL AND b.role = l.role
  ) AS a
  WHERE l.amount <> 0;
  RETURN p_entry;
END
$$;

-- Likewise.
CREATE OR REPLACE FUNCTION post_entries(p_company uuid, p_operation text, p_entries jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  unknown_account text;
BEGIN
  SELECT coalesce(l.account, 'of role ' || l.role) INTO unknown_account
  FROM jsonb_to_recordset(p_entries) AS e (lines jsonb)
  CROSS JOIN LATERAL jsonb_to_recordset(e.lines) AS l (account text, role text)
  WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.company_id = p_company AND a.code = l.account)
    AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.company_id = p_company AND l.account IS NULL AND a.role = l.role)
  LIMIT 1;
  IF unknown_account IS NOT NULL THEN
    RAISE EXCEPTION 'there is no account %', unknown_account
      USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'account_not_usable';
  END IF;
  INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description, metadata)
  SELECT p_company, e.id, e.write_id, p_operation, e.date, e.description, e.metadata
  FROM jsonb_to_recordset(p_entries) AS e (id uuid, write_id uuid, date date, description text, metadata jsonb);
  INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency, memo)
  SELECT p_company, l.id, e.id, row_number() OVER (PARTITION BY e.id ORDER BY l.position), a.id, l.amount, l.currency,
    l.memo
  FROM jsonb_to_recordset(p_entries) AS e (id uuid, lines jsonb)
  CROSS JOIN LATERAL ROWS FROM (
    jsonb_to_recordset(e.lines) AS (id uuid, account text, role text, amount bigint, currency text, memo text))
    WITH ORDINALITY AS l (id, account, role, amount, currency, memo, position)
  CROSS JOIN LATERAL (
    SELECT b.id FROM accounts b WHERE b.company_id = p_company AND b.code = l.account
    UNION ALL
    SELECT b.id FROM accounts b WHERE b.company_id = p_company AND l.account IS NULL AND b.role = l.role
  ) AS a
  WHERE l.amount <> 0;
END
$$;
