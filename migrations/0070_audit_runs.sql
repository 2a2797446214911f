-- What the scheduled runs of the auditor have found.

-- `run_id`: of the run in Temporal, so that an attempt after a lost answer records nothing a second time. `findings` are the first of
-- `finding_count`.
CREATE TABLE audit_runs (
  run_id text PRIMARY KEY CHECK (length(run_id) BETWEEN 1 AND 100),
  scope text NOT NULL CHECK (scope IN ('recent', 'all')),
  started_at timestamptz NOT NULL,
  ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  from_day date,
  to_day date,
  checked jsonb NOT NULL CHECK (jsonb_typeof(checked) = 'object' AND pg_column_size(checked) <= 65536),
  finding_count bigint NOT NULL CHECK (finding_count >= 0),
  findings jsonb NOT NULL CHECK (jsonb_typeof(findings) = 'array' AND jsonb_array_length(findings) <= 1000),
  could_not_ask jsonb NOT NULL CHECK (jsonb_typeof(could_not_ask) = 'array' AND jsonb_array_length(could_not_ask) <= 1000),
  recorded_by text NOT NULL DEFAULT session_user CHECK (length(recorded_by) <= 63)
);
CREATE INDEX audit_runs_newest ON audit_runs (ended_at);
CREATE TRIGGER keep_audit_runs BEFORE UPDATE OR DELETE ON audit_runs
  FOR EACH ROW EXECUTE FUNCTION refuse_change('it is what a run has found');
CREATE TRIGGER keep_all_audit_runs BEFORE TRUNCATE ON audit_runs
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('it is what a run has found');
GRANT SELECT ON audit_runs TO accubooks_auditor;
GRANT SELECT (scope, ended_at, finding_count, could_not_ask) ON audit_runs TO accubooks_relay;
GRANT SELECT (name, applied_at) ON schema_migrations TO accubooks_relay;

CREATE FUNCTION record_audit_run(p_run jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO audit_runs (run_id, scope, started_at, from_day, to_day, checked, finding_count, findings, could_not_ask)
  SELECT r.run_id, r.scope, r.started_at, r.from_day, r.to_day, r.checked, r.finding_count, r.findings, r.could_not_ask
  FROM jsonb_populate_record(NULL::audit_runs, p_run) AS r
  ON CONFLICT (run_id) DO NOTHING;
END
$$;
REVOKE ALL ON FUNCTION record_audit_run(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_audit_run(jsonb) TO accubooks_auditor;

-- For the metrics: what the last run of each scope has found, and since when no run has ended. Before the first one that is since the
-- database learnt to keep them.
CREATE FUNCTION audit_run_facts()
RETURNS TABLE (recent_findings bigint, all_findings bigint, not_asked integer, silent_seconds double precision)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    SELECT recent.finding_count, whole.finding_count, jsonb_array_length(newest.could_not_ask), age_seconds(coalesce(
      newest.ended_at, (SELECT m.applied_at FROM schema_migrations m WHERE m.name LIKE '%\_audit\_runs.sql')))
    FROM (SELECT 1) AS one
    LEFT JOIN LATERAL (SELECT r.finding_count FROM audit_runs r WHERE r.scope = 'recent' ORDER BY r.ended_at DESC LIMIT 1) AS recent ON true
    LEFT JOIN LATERAL (SELECT r.finding_count FROM audit_runs r WHERE r.scope = 'all' ORDER BY r.ended_at DESC LIMIT 1) AS whole ON true
    LEFT JOIN LATERAL (SELECT r.ended_at, r.could_not_ask FROM audit_runs r ORDER BY r.ended_at DESC LIMIT 1) AS newest ON true;
END
$$;

-- As before, but not by a login that a process has: whoever has taken a worker over has that of maintenance, too, and would be both
-- logins that give a month up.
CREATE OR REPLACE FUNCTION verify_audit_archive(p_month date, p_file_sha256 text, p_row_count bigint, p_row_digest numeric)
RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  archive audit_archives;
  found record;
BEGIN
  IF EXISTS (SELECT FROM audit_runs r WHERE r.recorded_by = session_user) THEN
    RAISE EXCEPTION 'audit month % is not verified: % is the login of scheduled runs, and a person has to verify it',
      audit_partition_name(p_month), session_user USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  SELECT * INTO archive FROM audit_archives a WHERE a.month = p_month FOR UPDATE;
  IF archive.month IS NULL THEN
    RAISE EXCEPTION 'audit month % was not archived', audit_partition_name(p_month)
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF (p_file_sha256, p_row_count, p_row_digest)
     IS DISTINCT FROM (archive.file_sha256, archive.row_count, archive.row_digest::numeric) THEN
    RAISE EXCEPTION 'audit month % is not verified: the file is not the one that was archived', audit_partition_name(p_month)
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF to_regclass('audit_detached.' || audit_partition_name(p_month)) IS NOT NULL AND archive.dropped_at IS NULL THEN
    SELECT * INTO found FROM audit_table_digest(format('audit_detached.%I', audit_partition_name(p_month))::regclass);
    IF (found.row_count, found.row_digest) IS DISTINCT FROM (p_row_count, p_row_digest) THEN
      RAISE EXCEPTION 'audit month % is not verified: the file does not hold exactly its % rows',
        audit_partition_name(p_month), found.row_count USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
  END IF;
  UPDATE audit_archives a SET verified_by = session_user, verified_at = clock_timestamp() WHERE a.month = p_month
  RETURNING a.verified_at INTO archive.verified_at;
  RETURN archive.verified_at;
END
$$;
