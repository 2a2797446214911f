-- The seal: each company's journal entries and audit rows get, each log for itself, a gapless number and a digest, in the order
-- in which they became visible. Sealed rows are only added; docs/seal-format.md describes every byte.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'accubooks_sealer') THEN
    CREATE ROLE accubooks_sealer NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL;
END
$$;
GRANT USAGE ON SCHEMA public TO accubooks_sealer;

-- From here on writes wait, in the order in which they take these tables themselves.
LOCK TABLE idempotent_writes IN SHARE ROW EXCLUSIVE MODE;

-- By which transaction an audit row was written: an entry has the same of its own. NULL for rows of before this migration, so
-- that the index has none of them.
ALTER TABLE idempotent_write_audit_log ADD COLUMN xid xid8;
ALTER TABLE idempotent_write_audit_log ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
CREATE INDEX idempotent_write_audit_log_by_xid ON idempotent_write_audit_log (xid, id) WHERE xid IS NOT NULL;

-- A stretch in which the chains go on without a break. Another begins where the server was restored or replaced: rows that were
-- sealed may be gone, and then the heads that were published say so. `verification_epoch` is that of the table verification;
-- `database` is its incarnation without the time of the server's start: another database counts transactions anew.
CREATE TABLE seal_epochs (
  epoch integer PRIMARY KEY CHECK (epoch >= 1),
  verification_epoch uuid NOT NULL,
  database text NOT NULL CHECK (length(database) <= 200),
  operator text CHECK (length(operator) <= 200),
  reason text CHECK (length(reason) <= 1000),
  began_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Up to where is sealed, in one row, which the one sealer that works holds locked. It follows the audit log by transaction
-- (`xid`, then `audit_id`). Before that, in a new epoch, it sweeps: seals whatever is not sealed yet, as after this migration or
-- a restore; first the entries, company by company, then the audit rows by their time. `xid` is then of when the sweep began.
CREATE TABLE seal_position (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  epoch integer NOT NULL REFERENCES seal_epochs,
  phase text NOT NULL DEFAULT 'sweep entries' CHECK (phase IN ('sweep entries', 'sweep audit rows', 'follow')),
  swept_company uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  swept_until timestamptz NOT NULL DEFAULT '-infinity',
  xid xid8 NOT NULL,
  audit_id bigint NOT NULL DEFAULT 0
);

-- Rows that were sealed together: successive numbers of one log of one company. `head` is the chain's digest after the last of
-- them, `root` that of their Merkle tree.
CREATE TABLE seal_batches (
  company_id uuid NOT NULL REFERENCES companies,
  log text NOT NULL CHECK (log IN ('journal', 'audit')),
  first_number bigint NOT NULL CHECK (first_number >= 1),
  last_number bigint NOT NULL,
  head bytea NOT NULL CHECK (length(head) = 32),
  root bytea NOT NULL CHECK (length(root) = 32),
  epoch integer NOT NULL REFERENCES seal_epochs,
  sealed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (company_id, log, first_number),
  CHECK (last_number >= first_number)
);

-- A batch begins where the one before ended, so that a log is numbered without gaps and each number once.
CREATE FUNCTION require_next_numbers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  last bigint;
BEGIN
  SELECT b.last_number INTO last FROM seal_batches b
  WHERE b.company_id = NEW.company_id AND b.log = NEW.log ORDER BY b.first_number DESC LIMIT 1;
  IF NEW.first_number <> coalesce(last, 0) + 1 THEN
    RAISE EXCEPTION 'the % of company % is sealed up to %, and the batch begins with %', NEW.log, NEW.company_id,
      coalesce(last, 0), NEW.first_number USING ERRCODE = 'check_violation', CONSTRAINT = 'seal_without_gaps';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER require_next_numbers BEFORE INSERT ON seal_batches FOR EACH ROW EXECUTE FUNCTION require_next_numbers();

-- 16 random bytes for each row of a batch, one after the other: with them the members that may tell of a person enter the
-- row's content as digests. Where a row's have been erased they are zero, and `erased` has its digests, by number and member.
CREATE TABLE seal_salts (
  company_id uuid NOT NULL,
  log text NOT NULL CHECK (log IN ('journal', 'audit')),
  first_number bigint NOT NULL,
  salts bytea NOT NULL CHECK (length(salts) > 0 AND length(salts) % 16 = 0),
  erased jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(erased) = 'object' AND pg_column_size(erased) <= 16777216),
  PRIMARY KEY (company_id, log, first_number),
  FOREIGN KEY (company_id, log, first_number) REFERENCES seal_batches
);

-- `leaf`: the digest of the row's content, a leaf of its batch's tree. No foreign keys: the auditor finds what is missing,
-- and an audit row leaves the database with its month.
CREATE TABLE sealed_entries (
  company_id uuid NOT NULL,
  number bigint NOT NULL,
  entry_id uuid NOT NULL,
  leaf bytea NOT NULL CHECK (length(leaf) = 32),
  PRIMARY KEY (company_id, number),
  UNIQUE (company_id, entry_id)
);
CREATE TABLE sealed_audit_rows (
  company_id uuid NOT NULL,
  number bigint NOT NULL,
  row_timestamp timestamptz NOT NULL,
  row_id bigint NOT NULL,
  leaf bytea NOT NULL CHECK (length(leaf) = 32),
  PRIMARY KEY (company_id, number),
  UNIQUE (company_id, row_id, row_timestamp)
);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['seal_epochs', 'seal_batches', 'sealed_entries', 'sealed_audit_rows'] LOOP
    EXECUTE format('CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON %I
      FOR EACH ROW EXECUTE FUNCTION refuse_change(%L)', name, 'what is sealed stays');
  END LOOP;
  FOREACH name IN ARRAY ARRAY['seal_epochs', 'seal_batches', 'seal_salts', 'sealed_entries', 'sealed_audit_rows'] LOOP
    EXECUTE format('CREATE TRIGGER keep_all_rows BEFORE TRUNCATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(%L)', name, 'what is sealed stays');
    EXECUTE format('GRANT SELECT, INSERT ON %I TO accubooks_sealer', name);
    EXECUTE format('GRANT SELECT ON %I TO accubooks_auditor', name);
  END LOOP;
  FOREACH name IN ARRAY ARRAY['seal_batches', 'seal_salts', 'sealed_entries', 'sealed_audit_rows'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY company ON %I FOR SELECT USING (company_id = current_company())', name);
    EXECUTE format('CREATE POLICY sealer ON %I TO accubooks_sealer USING (true)', name);
    EXECUTE format('CREATE POLICY auditor ON %I FOR SELECT TO accubooks_auditor USING (true)', name);
    EXECUTE format('GRANT SELECT ON %I TO accubooks_app', name);
  END LOOP;
  -- What the sealer reads of all companies.
  FOREACH name IN ARRAY ARRAY['companies', 'accounts', 'idempotent_writes', 'journal_entries', 'journal_lines', 'pay_runs',
      'approval_requests', 'idempotent_write_audit_log'] LOOP
    EXECUTE format('CREATE POLICY sealer ON %I FOR SELECT TO accubooks_sealer USING (true)', name);
  END LOOP;
END $$;
CREATE TRIGGER keep_salts BEFORE DELETE OR UPDATE OF company_id, log, first_number ON seal_salts
  FOR EACH ROW EXECUTE FUNCTION refuse_change('salts are erased one by one, and their rows stay');
CREATE TRIGGER keep_position BEFORE DELETE ON seal_position
  FOR EACH ROW EXECUTE FUNCTION refuse_change('the sealer goes on from it');

GRANT SELECT, INSERT, UPDATE (epoch, phase, swept_company, swept_until, xid, audit_id) ON seal_position TO accubooks_sealer;
GRANT SELECT ON seal_position TO accubooks_auditor;
GRANT SELECT (id) ON companies TO accubooks_sealer;
GRANT SELECT (company_id, id, code, type) ON accounts TO accubooks_sealer;
GRANT SELECT (company_id, write_id, operation, fingerprint, response_body, resource_id, user_id, request_id)
  ON idempotent_writes TO accubooks_sealer;
GRANT SELECT ON journal_entries, journal_lines, idempotent_write_audit_log, verification TO accubooks_sealer;
GRANT SELECT (company_id, id, approved_by) ON pay_runs TO accubooks_sealer;
GRANT SELECT (company_id, write_id, approved_by) ON approval_requests TO accubooks_sealer;

-- Archived rows are without their xid: it says nothing in another database, and a month has the same text before this
-- migration and after it. Both functions are as before, but for that.
CREATE OR REPLACE FUNCTION audit_month_lines(p_month date, p_after timestamptz, p_after_id bigint, p_limit integer)
RETURNS TABLE (at text, id bigint, line text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET "TimeZone" = 'UTC' AS $$
BEGIN
  RETURN QUERY EXECUTE format(
    'SELECT a.timestamp::text, a.id, (to_jsonb(a) - ''xid'')::text FROM audit_partitions.%I a
     WHERE (a.timestamp, a.id) > ($1, $2) ORDER BY a.timestamp, a.id LIMIT $3', audit_partition_name(p_month))
  USING p_after, p_after_id, p_limit;
END
$$;
CREATE OR REPLACE FUNCTION audit_table_digest(p_table regclass, OUT row_count bigint, OUT row_digest numeric)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET "TimeZone" = 'UTC' AS $$
BEGIN
  EXECUTE format('SELECT count(*), coalesce(sum(audit_line_digest((to_jsonb(a) - ''xid'')::text)), 0) FROM %s a', p_table)
  INTO row_count, row_digest;
END
$$;

-- As before, but that a month which was detached before this migration gets the column when it comes back.
CREATE OR REPLACE FUNCTION attach_audit_month(p_month date, p_until timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  partition_name text := audit_partition_name(p_month);
  archive audit_archives;
  found record;
BEGIN
  SELECT * INTO archive FROM audit_archives a WHERE a.month = p_month FOR UPDATE;
  SELECT * INTO found FROM audit_table_digest(format('audit_detached.%I', partition_name)::regclass);
  IF (found.row_count, found.row_digest) IS DISTINCT FROM (archive.row_count, archive.row_digest::numeric) THEN
    RAISE EXCEPTION 'audit month % has % rows, and these are not the % that were archived', partition_name,
      found.row_count, archive.row_count USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE format('ALTER TABLE audit_detached.%I ADD COLUMN IF NOT EXISTS xid xid8', partition_name);
  -- The log brings its own; one for rows cannot be there twice under one name.
  EXECUTE format('DROP TRIGGER IF EXISTS keep_audit_rows ON audit_detached.%I', partition_name);
  EXECUTE format('ALTER TABLE audit_detached.%I SET SCHEMA audit_partitions', partition_name);
  EXECUTE format('ALTER TABLE idempotent_write_audit_log ATTACH PARTITION audit_partitions.%I FOR VALUES FROM (%L) TO (%L)',
    partition_name, p_month::text || ' 00:00:00+00', (p_month + interval '1 month')::date::text || ' 00:00:00+00');
  EXECUTE format('DROP TRIGGER IF EXISTS keep_audit_log ON audit_partitions.%I', partition_name);
  EXECUTE format('CREATE TRIGGER keep_audit_log BEFORE TRUNCATE ON audit_partitions.%I
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(%L)', partition_name, 'the audit log is only added to');
  UPDATE audit_archives SET restored_until = p_until, dropped_at = NULL WHERE month = p_month;
  RETURN found.row_count;
END
$$;
