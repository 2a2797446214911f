-- Why rows of the seal are gone: an epoch names what it went on from, and the operator who has verified the database, with the
-- reason, so that heads which name lost rows can be explained.

-- What an operator has stated who verified a database, by the `epoch` of the table verification that began with it. A database
-- that has opened by itself keeps its epoch, and nobody has stated anything of it.
CREATE TABLE operator_verifications (
  epoch uuid PRIMARY KEY,
  operator text NOT NULL CHECK (length(operator) BETWEEN 1 AND 200),
  reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
  login text NOT NULL DEFAULT session_user CHECK (length(login) <= 63),
  verified_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- From where an epoch goes on: the last number of each log that was sealed then, the chain's digest there, and the position of the
-- last published head, NULL where none was published. A log without a row had nothing sealed.
CREATE TABLE seal_epoch_starts (
  epoch integer NOT NULL REFERENCES seal_epochs,
  company_id uuid NOT NULL REFERENCES companies,
  log text NOT NULL CHECK (log IN ('journal', 'audit')),
  number bigint NOT NULL CHECK (number >= 1),
  digest bytea NOT NULL CHECK (length(digest) = 32),
  head_position integer CHECK (head_position >= 1),
  PRIMARY KEY (company_id, log, epoch)
);

-- The epochs so far: what was sealed before each of them, and is there.
INSERT INTO seal_epoch_starts (epoch, company_id, log, number, digest, head_position)
SELECT e.epoch, b.company_id, b.log, b.last_number, b.head, (
  SELECT max(h.position) FROM seal_heads h
  WHERE h.company_id = b.company_id AND h.log = b.log AND h.number <= b.last_number AND h.epoch < e.epoch)
FROM seal_epochs e
CROSS JOIN LATERAL (
  SELECT DISTINCT ON (company_id, log) company_id, log, last_number, head FROM seal_batches
  WHERE seal_batches.epoch < e.epoch ORDER BY company_id, log, first_number DESC
) AS b
WHERE e.epoch > 1;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['operator_verifications', 'seal_epoch_starts'] LOOP
    EXECUTE format('CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON %I
      FOR EACH ROW EXECUTE FUNCTION refuse_change(%L)', name, 'it explains what is gone');
    EXECUTE format('CREATE TRIGGER keep_all_rows BEFORE TRUNCATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(%L)', name, 'it explains what is gone');
    EXECUTE format('GRANT SELECT ON %I TO accubooks_sealer, accubooks_auditor', name);
  END LOOP;
END $$;
ALTER TABLE seal_epoch_starts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON seal_epoch_starts FOR SELECT USING (company_id = current_company());
CREATE POLICY sealer ON seal_epoch_starts TO accubooks_sealer USING (true);
CREATE POLICY auditor ON seal_epoch_starts FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT ON seal_epoch_starts TO accubooks_app;
GRANT INSERT ON seal_epoch_starts TO accubooks_sealer;

-- What a run of the auditor has found explained. A worker of the release before says nothing of it.
ALTER TABLE audit_runs ADD COLUMN explained jsonb NOT NULL DEFAULT '[]'
  CHECK (jsonb_typeof(explained) = 'array' AND jsonb_array_length(explained) <= 1000);
CREATE OR REPLACE FUNCTION record_audit_run(p_run jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO audit_runs (run_id, scope, started_at, from_day, to_day, checked, finding_count, findings, could_not_ask, explained)
  SELECT r.run_id, r.scope, r.started_at, r.from_day, r.to_day, r.checked, r.finding_count, r.findings, r.could_not_ask,
    coalesce(r.explained, '[]')
  FROM jsonb_populate_record(NULL::audit_runs, p_run) AS r
  ON CONFLICT (run_id) DO NOTHING;
END
$$;
