-- Companies that were made by the function of before while 0057 was applied. It does nothing for the others.
LOCK TABLE companies IN SHARE ROW EXCLUSIVE MODE;
ALTER TABLE companies NO FORCE ROW LEVEL SECURITY;
ALTER TABLE accounts NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER;
SELECT complete_charts();
ALTER TABLE accounts FORCE ROW LEVEL SECURITY, ENABLE TRIGGER USER;
ALTER TABLE companies FORCE ROW LEVEL SECURITY;
DROP FUNCTION complete_charts(), free_account_code(uuid, bigint);
ALTER TABLE accounts VALIDATE CONSTRAINT accounts_role_known;
