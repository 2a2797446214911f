-- `lost`: the write was, or may have been, answered, and its row is gone. Every request with its key is told so until an
-- operator reopens the key, or someone cancels it. Its user may be gone, too.
ALTER TABLE idempotent_writes
  DROP CONSTRAINT idempotent_writes_outcome_check,
  ADD CONSTRAINT idempotent_writes_outcome_check
    CHECK (outcome IN ('succeeded', 'rejected', 'cancelled', 'lost')) NOT VALID,
  DROP CONSTRAINT idempotent_writes_status_code_check,
  ADD CONSTRAINT idempotent_writes_status_code_check
    CHECK (status_code BETWEEN 200 AND 499 OR (status_code = 500 AND outcome = 'lost')) NOT VALID,
  ALTER COLUMN user_id DROP NOT NULL,
  ADD CONSTRAINT idempotent_writes_user_known CHECK (user_id IS NOT NULL OR outcome IN ('lost')) NOT VALID;
DROP TRIGGER keep_writes ON idempotent_writes;
CREATE TRIGGER keep_writes BEFORE DELETE ON idempotent_writes
  FOR EACH ROW WHEN (OLD.outcome IS DISTINCT FROM 'lost')
  EXECUTE FUNCTION refuse_change('keys never expire, and the row is the record');

-- Which runs an operator has already decided about: no later verification marks their writes again. No run ID: a group.
CREATE TABLE reopened_runs (
  company_id uuid NOT NULL REFERENCES companies,
  idempotency_key text COLLATE "C" NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  workflow_id text NOT NULL CHECK (length(workflow_id) <= 255),
  run_id text CHECK (length(run_id) <= 64),
  reopened_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX reopened_runs_by_key ON reopened_runs (company_id, idempotency_key);
ALTER TABLE reopened_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE reopened_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON reopened_runs USING (company_id = current_company());
CREATE POLICY auditor ON reopened_runs FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT, INSERT ON reopened_runs TO accubooks_app;
GRANT SELECT ON reopened_runs TO accubooks_auditor;

-- Takes the row of a lost write away; NULL where the key has none. Only this may delete a row, and only such a row.
CREATE FUNCTION remove_lost_write(p_company uuid, p_key text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  removed text;
BEGIN
  IF p_company IS DISTINCT FROM current_company() THEN
    RAISE EXCEPTION 'the company of this transaction is another one' USING ERRCODE = 'insufficient_privilege';
  END IF;
  DELETE FROM idempotent_writes w
  WHERE w.company_id = p_company AND w.idempotency_key = p_key AND w.outcome = 'lost'
  RETURNING coalesce(w.workflow_id, '') INTO removed;
  RETURN removed;
END
$$;
REVOKE EXECUTE ON FUNCTION remove_lost_write(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION remove_lost_write(uuid, text) TO accubooks_app;

-- How many of a counter's numbers lost writes have taken: they are not given again, and explain its gaps.
ALTER TABLE number_counters
  ADD COLUMN lost_numbers integer NOT NULL DEFAULT 0 CHECK (lost_numbers BETWEEN 0 AND last_number);
GRANT UPDATE (lost_numbers) ON number_counters TO accubooks_app;

-- Marks writes as lost, of many companies: the row, its audit row, and the numbers that they took, which are not given
-- again. What has a row, was reopened, or belongs to a company that is gone, is left alone. Returns the keys that it marked.
CREATE FUNCTION lose_writes(p_items jsonb, p_reason text) RETURNS TABLE (company uuid, lost_key text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  one uuid;
  marked text[];
BEGIN
  FOR one IN SELECT DISTINCT (i ->> 'company_id')::uuid FROM jsonb_array_elements(p_items) AS i ORDER BY 1 LOOP
    PERFORM enter_company(one);
    PERFORM plan_by_key();
    CONTINUE WHEN NOT EXISTS (SELECT FROM companies c WHERE c.id = one);
    WITH marking AS (
      INSERT INTO idempotent_writes (company_id, idempotency_key, write_id, submission_id, operation, type, fingerprint,
        schema_version, request, outcome, status_code, response_body, user_id, request_id, workflow_id, attempt,
        requested_at, completed_at)
      SELECT one, i.key, i.write_id, i.submission_id, i.operation, i.type, i.fingerprint, i.schema_version, i.request, 'lost',
        500, convert_to(i.body, 'UTF8'), (SELECT u.id FROM users u WHERE u.id = i.user_id), i.request_id, i.workflow_id, 1,
        i.requested_at, clock_timestamp()
      FROM jsonb_to_recordset(p_items) AS i (company_id uuid, key text, write_id uuid, submission_id uuid, operation text,
        type text, fingerprint text, schema_version integer, request jsonb, body text, user_id uuid, request_id text,
        workflow_id text, run_id text, requested_at timestamptz)
      WHERE i.company_id = one AND NOT EXISTS (
        SELECT FROM reopened_runs r
        WHERE r.company_id = one AND r.idempotency_key = i.key AND r.workflow_id = i.workflow_id
          AND (r.run_id IS NULL OR r.run_id = i.run_id))
      ORDER BY i.key COLLATE "C"
      ON CONFLICT DO NOTHING
      RETURNING idempotency_key
    )
    SELECT coalesce(array_agg(m.idempotency_key::text), '{}') INTO marked FROM marking m;

    INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, deterministic_id, idempotency_key,
      user_id, status, error_code, error_message, request_id, route_path, http_method, metadata)
    SELECT one, i.operation, i.type, i.write_id, i.key, i.user_id, 'failed', 'write_record_missing', p_reason, i.request_id,
      i.route_path, i.http_method, jsonb_build_object('workflowId', i.workflow_id, 'runId', i.run_id)
    FROM jsonb_to_recordset(p_items) AS i (company_id uuid, key text, write_id uuid, operation text, type text, user_id uuid,
      request_id text, workflow_id text, run_id text, route_path text, http_method text)
    WHERE i.company_id = one AND i.key = ANY (marked);

    INSERT INTO number_counters AS c (company_id, kind, last_number, lost_numbers)
    SELECT one, i.number_kind, count(*), count(*) FROM jsonb_to_recordset(p_items) AS i (company_id uuid, key text, number_kind text)
    WHERE i.company_id = one AND i.number_kind IS NOT NULL AND i.key = ANY (marked)
    GROUP BY i.number_kind
    ON CONFLICT (company_id, kind) DO UPDATE
      SET last_number = c.last_number + excluded.last_number, lost_numbers = c.lost_numbers + excluded.lost_numbers;

    RETURN QUERY SELECT one, k FROM unnest(marked) AS k;
  END LOOP;
END
$$;

-- Of these keys, those without a row, as positions from 1. A company that is gone has none. With the runs that made them: not
-- those that an operator has reopened. Raises on another server than the one that is asked.
CREATE FUNCTION keys_without_row(p_incarnation text, p_companies uuid[], p_keys text[], p_workflow_ids text[],
  p_run_ids text[])
RETURNS TABLE (pos integer)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  one uuid;
BEGIN
  FOR one IN SELECT DISTINCT c FROM unnest(p_companies) AS c LOOP
    PERFORM enter_company(one);
    PERFORM require_incarnation(p_incarnation);
    RETURN QUERY
      SELECT k.position::integer
      FROM unnest(p_companies, p_keys, p_workflow_ids, p_run_ids) WITH ORDINALITY
        AS k (company, key, workflow_id, run_id, position)
      WHERE k.company = one
        AND NOT EXISTS (SELECT FROM idempotent_writes w WHERE w.company_id = one AND w.idempotency_key = k.key)
        AND NOT EXISTS (
          SELECT FROM reopened_runs r
          WHERE r.company_id = one AND r.idempotency_key = k.key AND r.workflow_id = k.workflow_id
            AND (r.run_id IS NULL OR r.run_id = k.run_id));
  END LOOP;
END
$$;
