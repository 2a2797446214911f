-- Who posted what, what the settings were and who changed them, and why a difference with the bank was accepted.

-- An entry names the operation of its write. Until now only the application saw to that: a control (labels) found out
-- afterwards, and a line is let into a control account by the operation that its entry names. The write's row is there before
-- its entry, and neither ever changes. One look at it by its key, in the statement that reads the company's row anyway.
CREATE OR REPLACE FUNCTION begin_journal_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  closed_through date;
  latest date;
  written_by text;
BEGIN
  NEW.created_xid := pg_current_xact_id();
  SELECT c.books_closed_through, (now() AT TIME ZONE c.time_zone)::date + c.latest_posting_days,
    (SELECT w.operation FROM idempotent_writes w WHERE w.company_id = NEW.company_id AND w.write_id = NEW.write_id)
  INTO closed_through, latest, written_by
  FROM companies c WHERE c.id = NEW.company_id FOR SHARE;
  IF NEW.entry_date <= closed_through THEN
    RAISE EXCEPTION 'the books are closed through %', closed_through
      USING ERRCODE = 'check_violation', CONSTRAINT = 'period_closed';
  END IF;
  IF NEW.entry_date > latest THEN
    RAISE EXCEPTION 'nothing is posted that is dated after %', latest
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_too_late';
  END IF;
  -- Without a write, the foreign key refuses it.
  IF NEW.operation <> written_by THEN
    RAISE EXCEPTION 'an entry of % is refused: its write is %', NEW.operation, written_by
      USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_names_its_operation';
  END IF;
  RETURN NEW;
END $$;

-- The owner reads what is there with the auditor's role if it has no BYPASSRLS: it would see no row of a table whose row-level
-- security is forced, and to lift that would lock the table, of which the first has every key. Where there is no company yet,
-- it need not be able to take the role. Both are dropped below.
CREATE FUNCTION read_as_auditor() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF row_security_active('companies') AND pg_relation_size('companies') > 0 THEN
    SET LOCAL ROLE accubooks_auditor;
  END IF;
END $$;
CREATE TABLE settings_answered (
  company_id uuid, version integer, settings jsonb, write_id uuid, changed_at timestamptz, PRIMARY KEY (company_id, version)
);
GRANT SELECT, INSERT ON settings_answered TO accubooks_auditor;

-- What was answered, by the names of the columns. For the versions of before this migration; dropped below.
CREATE FUNCTION settings_as_answered(p_answer jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_object_agg(known.column_name, p_answer -> known.member)
  FROM (VALUES ('name', 'name'), ('time_zone', 'timeZone'), ('base_currency', 'baseCurrency'),
    ('books_closed_through', 'booksClosedThrough'), ('latest_posting_days', 'latestPostingDays'),
    ('employer_tax_rate_basis_points', 'employerTaxRateBasisPoints'),
    ('pay_run_approval_required', 'payRunApprovalRequired'), ('webhook_url', 'webhookUrl'),
    ('webhook_secret_version', 'webhookSecretVersion'), ('webhook_secret_rotated_at', 'webhookSecretRotatedAt'))
    AS known (column_name, member)
  WHERE p_answer ? known.member
$$;

-- Keys never expire, and neither do their answers. All keys are read before anything is locked.
SELECT read_as_auditor();
INSERT INTO settings_answered
SELECT w.company_id, (a.body ->> 'version')::integer, settings_as_answered(a.body), w.write_id, w.completed_at
FROM idempotent_writes w
CROSS JOIN LATERAL (SELECT convert_from(w.response_body, 'UTF8')::jsonb AS body OFFSET 0) AS a
WHERE w.operation = 'updateCompanySettings' AND w.outcome = 'succeeded'
ON CONFLICT (company_id, version) DO NOTHING;
RESET ROLE;

-- From here on writes wait, in the order in which they take these tables themselves: for what follows, which is short.
LOCK TABLE idempotent_writes IN SHARE ROW EXCLUSIVE MODE;

-- Beyond which a difference with the bank needs a reason; minor units of whichever currency; NULL is no limit.
ALTER TABLE companies ADD COLUMN reconcile_tolerance_minor bigint
  CHECK (reconcile_tolerance_minor BETWEEN 0 AND 10000000000000);
GRANT UPDATE (reconcile_tolerance_minor) ON companies TO accubooks_app;

-- Every version of the settings. `settings` has the columns of the company's row by their names, without its ID, version and
-- time; a column that is missing was not there yet, or is not known; so is a version without any. `write_id` is the write
-- that made the version, and tells who asked for it; where SQL made it, `login` is who. The foreign keys are there from the start:
-- one that is added later is checked by a query of the owner, which without BYPASSRLS finds no company and no write.
CREATE TABLE settings_versions (
  company_id uuid NOT NULL,
  version integer NOT NULL CHECK (version >= 1),
  settings jsonb NOT NULL CHECK (pg_column_size(settings) <= 65536),
  write_id uuid,
  login text CHECK (length(login) <= 63),
  changed_at timestamptz,
  PRIMARY KEY (company_id, version),
  FOREIGN KEY (company_id) REFERENCES companies (id),
  FOREIGN KEY (company_id, write_id) REFERENCES idempotent_writes (company_id, write_id)
);
GRANT SELECT, INSERT, UPDATE ON settings_versions TO accubooks_auditor;

SELECT read_as_auditor();
INSERT INTO settings_versions (company_id, version, settings, write_id, changed_at) SELECT * FROM settings_answered;

-- What was changed while the keys were read.
INSERT INTO settings_versions (company_id, version, settings, write_id, changed_at)
SELECT w.company_id, (a.body ->> 'version')::integer, settings_as_answered(a.body), w.write_id, w.completed_at
FROM companies c
JOIN idempotent_writes w ON w.company_id = c.id AND w.claimed_at > now() - interval '1 hour'
CROSS JOIN LATERAL (SELECT convert_from(w.response_body, 'UTF8')::jsonb AS body OFFSET 0) AS a
WHERE w.operation = 'updateCompanySettings' AND w.outcome = 'succeeded'
  AND NOT EXISTS (SELECT FROM settings_versions v WHERE v.company_id = c.id AND v.version = c.version)
ON CONFLICT (company_id, version) DO NOTHING;

-- The current version is what the row says.
INSERT INTO settings_versions (company_id, version, settings, changed_at)
SELECT c.id, c.version, to_jsonb(c) - ARRAY['id', 'version', 'created_at'],
  CASE c.version WHEN 1 THEN c.created_at END
FROM companies c
ON CONFLICT (company_id, version) DO UPDATE SET settings = excluded.settings;

-- The first version follows from the second: what was not asked for then was so before, and the rest was as each company
-- begins; of the name and the currency it is only known that they were there.
INSERT INTO settings_versions (company_id, version, settings, changed_at)
SELECT c.id, 1, jsonb_object_agg(s.name, CASE
    WHEN w.request -> 'body' ? began.member THEN began.value
    WHEN s.name = 'webhook_secret_rotated_at' AND w.request -> 'body' ? 'webhookSecretVersion' THEN 'null'
    ELSE s.value END), c.created_at
FROM companies c
JOIN settings_versions v ON v.company_id = c.id AND v.version = 2
JOIN idempotent_writes w ON w.company_id = c.id AND w.write_id = v.write_id
CROSS JOIN LATERAL jsonb_each(v.settings) AS s (name, value)
LEFT JOIN (VALUES ('name', 'name', 'null'::jsonb), ('base_currency', 'baseCurrency', 'null'),
  ('time_zone', 'timeZone', '"UTC"'), ('books_closed_through', 'booksClosedThrough', 'null'),
  ('latest_posting_days', 'latestPostingDays', '366'),
  ('employer_tax_rate_basis_points', 'employerTaxRateBasisPoints', '765'),
  ('pay_run_approval_required', 'payRunApprovalRequired', 'false'), ('webhook_url', 'webhookUrl', 'null'),
  ('webhook_secret_version', 'webhookSecretVersion', '1')) AS began (column_name, member, value)
  ON began.column_name = s.name
WHERE c.version > 1
GROUP BY c.id
ON CONFLICT (company_id, version) DO NOTHING;

-- What SQL changed before this: that there was such a version is all that is known.
INSERT INTO settings_versions (company_id, version, settings)
SELECT c.id, n, '{}' FROM companies c CROSS JOIN LATERAL generate_series(1, c.version - 1) AS n
ON CONFLICT (company_id, version) DO NOTHING;
RESET ROLE;
DROP TABLE settings_answered;
DROP FUNCTION settings_as_answered(jsonb);
REVOKE INSERT, UPDATE ON settings_versions FROM accubooks_auditor;

ALTER TABLE settings_versions ALTER COLUMN changed_at SET DEFAULT clock_timestamp();
ALTER TABLE settings_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE settings_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON settings_versions USING (company_id = current_company());
CREATE POLICY auditor ON settings_versions FOR SELECT TO accubooks_auditor USING (true);
-- The application reads the history and cannot write it.
GRANT SELECT ON settings_versions TO accubooks_app, accubooks_auditor;
CREATE TRIGGER keep_settings_versions BEFORE UPDATE OR DELETE ON settings_versions
  FOR EACH ROW EXECUTE FUNCTION refuse_change('the history of the settings is only added to');
CREATE TRIGGER keep_all_settings_versions BEFORE TRUNCATE ON settings_versions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('the history of the settings is only added to');

-- Whoever changes the company's row, and by which release. The row of a write that is not finished can be seen by its own
-- transaction alone: it is the one that asks for the change. It was claimed after that transaction began; the second is for a
-- clock that was set back meanwhile. Under the lock on the company's row, so that the times follow the versions.
CREATE FUNCTION keep_settings_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  asked_by uuid;
BEGIN
  SELECT w.write_id INTO asked_by FROM idempotent_writes w
  WHERE w.company_id = NEW.id AND w.claimed_at > now() - interval '1 second' AND w.outcome IS NULL;
  INSERT INTO settings_versions (company_id, version, settings, write_id, login)
  VALUES (NEW.id, NEW.version, to_jsonb(NEW) - ARRAY['id', 'version', 'created_at'], asked_by,
    CASE WHEN asked_by IS NULL THEN session_user END);
  RETURN NULL;
END $$;
CREATE TRIGGER keep_settings_version AFTER INSERT OR UPDATE ON companies
  FOR EACH ROW EXECUTE FUNCTION keep_settings_version();

-- One for each time that a bank transaction was reconciled: by which write (`id`), what was posted to the bank account for the
-- difference, and why. `tolerance_minor` is that of the company's settings at that moment, where there was a difference.
CREATE TABLE reconciliations (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  bank_transaction_id uuid NOT NULL,
  difference_minor bigint NOT NULL CHECK (abs(difference_minor) <= 10000000000000),
  tolerance_minor bigint CHECK (tolerance_minor >= 0),
  reason text CHECK (length(reason) BETWEEN 1 AND 500),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  CONSTRAINT reconciliations_reason_required
    CHECK (reason IS NOT NULL OR tolerance_minor IS NULL OR abs(difference_minor) <= tolerance_minor),
  FOREIGN KEY (company_id, id) REFERENCES idempotent_writes (company_id, write_id),
  FOREIGN KEY (company_id, bank_transaction_id) REFERENCES bank_transactions (company_id, id)
);

-- Those of before: there was no tolerance, and nobody was asked for a reason.
GRANT INSERT ON reconciliations TO accubooks_auditor;
SELECT read_as_auditor();
INSERT INTO reconciliations (company_id, id, bank_transaction_id, difference_minor, created_at)
SELECT m.company_id, m.matched_by, m.bank_transaction_id, coalesce(sum(l.amount_minor), 0), m.created_at
FROM (
  SELECT company_id, matched_by, bank_transaction_id, min(created_at) AS created_at FROM bank_matches
  WHERE bank_transaction_id IS NOT NULL GROUP BY 1, 2, 3
) AS m
JOIN bank_transactions t ON t.company_id = m.company_id AND t.id = m.bank_transaction_id
LEFT JOIN journal_entries e ON e.company_id = m.company_id AND e.write_id = m.matched_by
LEFT JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id AND l.account_id = t.account_id
GROUP BY m.company_id, m.matched_by, m.bank_transaction_id, m.created_at;
RESET ROLE;
REVOKE INSERT ON reconciliations FROM accubooks_auditor;
DROP FUNCTION read_as_auditor();

ALTER TABLE reconciliations ENABLE ROW LEVEL SECURITY;
ALTER TABLE reconciliations FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON reconciliations USING (company_id = current_company());
CREATE POLICY auditor ON reconciliations FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT, INSERT (company_id, id, bank_transaction_id, reason) ON reconciliations TO accubooks_app;
GRANT SELECT ON reconciliations TO accubooks_auditor;
CREATE TRIGGER keep_reconciliations BEFORE UPDATE OR DELETE ON reconciliations
  FOR EACH ROW EXECUTE FUNCTION refuse_change('unreconcile the bank transaction, and reconcile it anew');
CREATE TRIGGER keep_all_reconciliations BEFORE TRUNCATE ON reconciliations
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('unreconcile the bank transaction, and reconcile it anew');

-- What was posted, and the tolerance of the moment, whatever the application says: the entry of the difference holds the
-- company's row already.
CREATE FUNCTION measure_reconciliation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT coalesce(sum(l.amount_minor), 0) INTO NEW.difference_minor
  FROM bank_transactions t
  JOIN journal_entries e ON e.company_id = t.company_id AND e.write_id = NEW.id
  JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id AND l.account_id = t.account_id
  WHERE t.company_id = NEW.company_id AND t.id = NEW.bank_transaction_id;
  NEW.tolerance_minor := NULL;
  IF NEW.difference_minor <> 0 THEN
    SELECT c.reconcile_tolerance_minor INTO NEW.tolerance_minor FROM companies c WHERE c.id = NEW.company_id FOR SHARE;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER measure_reconciliation BEFORE INSERT ON reconciliations
  FOR EACH ROW EXECUTE FUNCTION measure_reconciliation();

-- A process of the release before inserts none. Once somebody has set a tolerance, it is refused a difference beyond it.
CREATE FUNCTION keep_reconciliation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM reconciliations r WHERE r.company_id = NEW.company_id AND r.id = NEW.reconciled_by) THEN
    INSERT INTO reconciliations (company_id, id, bank_transaction_id) VALUES (NEW.company_id, NEW.reconciled_by, NEW.id);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER keep_reconciliation AFTER UPDATE OF reconciled_by ON bank_transactions
  FOR EACH ROW WHEN (NEW.reconciled_by IS NOT NULL) EXECUTE FUNCTION keep_reconciliation();

-- The release before prepares `SELECT (l.company).*, l.member_roles FROM lock_company(…) AS l` once per connection: with a
-- column more, PostgreSQL would refuse to run it again. It gets the row as it was; this release names what it reads, from
-- lock_company_row. A later migration drops the type and the function, when no process of that release is left.
CREATE TYPE company_of_before AS (
  id uuid, name text, time_zone text, base_currency text, books_closed_through date, version integer,
  created_at timestamptz, employer_tax_rate_basis_points integer, pay_run_approval_required boolean, webhook_url text,
  webhook_secret_version integer, webhook_secret_rotated_at timestamptz
);
CREATE FUNCTION lock_company_row(p_company uuid, p_user uuid)
RETURNS TABLE (company companies, member_roles text[])
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM companies c WHERE c.id = p_company FOR NO KEY UPDATE;
  RETURN QUERY
    SELECT c, (SELECT m.roles FROM memberships m WHERE m.company_id = p_company AND m.user_id = p_user)
    FROM companies c WHERE c.id = p_company;
END
$$;
DROP FUNCTION lock_company(uuid, uuid);
CREATE FUNCTION lock_company(p_company uuid, p_user uuid)
RETURNS TABLE (company company_of_before, member_roles text[])
LANGUAGE sql VOLATILE AS $$
  SELECT ((l.company).id, (l.company).name, (l.company).time_zone, (l.company).base_currency,
    (l.company).books_closed_through, (l.company).version, (l.company).created_at,
    (l.company).employer_tax_rate_basis_points, (l.company).pay_run_approval_required, (l.company).webhook_url,
    (l.company).webhook_secret_version, (l.company).webhook_secret_rotated_at)::company_of_before, l.member_roles
  FROM lock_company_row(p_company, p_user) AS l
$$;
