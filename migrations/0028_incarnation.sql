-- What a failover or a restore takes. PostgreSQL may come back as another than it was: restarted, failed over to a standby
-- that lagged, restored to an earlier time. Only a server that was verified says of a key that it has no write.

-- Which server this is, as one text: its cluster, its start in µs, and this database and table, which a dump that is loaded
-- into a running cluster makes anew. The start as a number: the driver cuts timestamps to milliseconds.
CREATE TABLE verification (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  -- New at each verification: it names the lanes and groups whose writes the next one has to look for.
  version uuid NOT NULL,
  incarnation text NOT NULL,
  -- New at each loss: a run that was started before it may have been answered from a row that is gone.
  epoch uuid NOT NULL,
  -- False: groups wait until the runs of keys that completed before have been compared with their rows.
  key_runs_listed boolean NOT NULL DEFAULT true,
  -- Why an operator has to verify this database; NULL while none has to.
  replaced text CHECK (length(replaced) <= 1000),
  replaced_at timestamptz,
  -- Whether the processes opened it by themselves at the last verification, because nothing was missing.
  continued boolean NOT NULL DEFAULT false,
  -- Which process looks for what is missing, and until when the others leave that to it.
  reconciler text CHECK (length(reconciler) <= 200),
  reconciler_until timestamptz,
  verified_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (num_nulls(replaced, replaced_at) IN (0, 2))
);
GRANT SELECT ON verification TO accubooks_app, accubooks_relay, accubooks_auditor;

CREATE FUNCTION incarnation() RETURNS text
LANGUAGE sql STABLE AS $$
  SELECT (SELECT c.system_identifier FROM pg_control_system() AS c) || '/'
    || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint || '/'
    || (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) || '.' || 'verification'::regclass::oid;
$$;

-- Runs of before the first loss, and of releases that knew none, have the nil UUID as their epoch.
INSERT INTO verification (version, incarnation, epoch)
VALUES (gen_random_uuid(), incarnation(), '00000000-0000-0000-0000-000000000000');

-- The version under which this server was verified; NULL where it is not, or is a standby.
CREATE FUNCTION trusted_version() RETURNS uuid
LANGUAGE sql STABLE AS $$
  SELECT v.version FROM verification v
  WHERE v.incarnation = incarnation() AND v.replaced IS NULL AND NOT pg_is_in_recovery();
$$;

-- The first step of whatever makes a row: refuses a process that has not noticed that the server is another one. A process
-- of a release before this one passes neither.
CREATE FUNCTION require_trust(p_version uuid, p_incarnation text) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM verification v
    WHERE v.incarnation = incarnation() AND v.replaced IS NULL AND NOT pg_is_in_recovery()
      AND v.version = coalesce(p_version, v.version) AND v.incarnation = coalesce(p_incarnation, v.incarnation)
  ) THEN
    RAISE EXCEPTION 'this server has not been verified, or not for this process' USING ERRCODE = 'AB001';
  END IF;
END
$$;

-- Who starts groups: one row a process and version. Every group up to `settled` has the row of each of its writes, or the
-- start of the write's own run is known; every group after it was started at `settled_at` or later.
CREATE TABLE lanes (
  version uuid NOT NULL,
  lane integer NOT NULL CHECK (lane >= 0),
  process text NOT NULL CHECK (length(process) <= 200),
  registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  settled integer NOT NULL DEFAULT 0 CHECK (settled >= 0),
  -- When the group `settled` was started, or the lane was registered: Temporal forgets it after its retention.
  settled_started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  settled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- The incarnation on which the process found the last row again that it had answered.
  confirmed text,
  -- No group can follow, and none is left to look at.
  retired boolean NOT NULL DEFAULT false,
  PRIMARY KEY (version, lane)
);
GRANT SELECT, INSERT, UPDATE ON lanes TO accubooks_app;
GRANT SELECT ON lanes TO accubooks_auditor;

CREATE FUNCTION register_lane(p_version uuid, p_incarnation text, p_lane integer, p_process text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  INSERT INTO lanes (version, lane, process, confirmed)
  SELECT v.version, p_lane, p_process, p_incarnation FROM verification v
  WHERE v.version = p_version AND v.version = trusted_version() AND v.incarnation = p_incarnation;
  RETURN FOUND;
END
$$;

-- False where the server or the version is another one, or the lane was retired: the process needs a new one. The ages are
-- those of the group `settled`, and of the oldest one after it (0 without one): a process has no clock of its own here.
CREATE FUNCTION settle_lane(p_version uuid, p_incarnation text, p_lane integer, p_settled integer,
  p_settled_age_ms double precision, p_unsettled_age_ms double precision) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE lanes l
  SET settled = greatest(l.settled, p_settled),
    settled_started_at = clock_timestamp() - make_interval(secs => p_settled_age_ms / 1000),
    settled_at = clock_timestamp() - make_interval(secs => p_unsettled_age_ms / 1000),
    heartbeat_at = clock_timestamp()
  WHERE l.version = p_version AND l.lane = p_lane AND NOT l.retired
    AND EXISTS (SELECT FROM verification v
                WHERE v.version = p_version AND v.version = trusted_version() AND v.incarnation = p_incarnation);
  RETURN FOUND;
END
$$;

-- A live process has its last row on the server that has come back. False: this lane's own row is gone.
CREATE FUNCTION confirm_lane(p_version uuid, p_lane integer, p_incarnation text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE lanes l SET confirmed = p_incarnation
  WHERE l.version = p_version AND l.lane = p_lane AND incarnation() = p_incarnation;
  RETURN FOUND OR incarnation() <> p_incarnation;
END
$$;

-- The steps below change the verification, which the processes may not do at will: hence the definer's rights.

-- One process at a time looks for what is missing; the others take over when it says nothing for ten seconds.
CREATE FUNCTION lease_reconcile(p_version uuid, p_incarnation text, p_process text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE verification SET reconciler = p_process, reconciler_until = clock_timestamp() + interval '10 seconds'
  WHERE version = p_version AND incarnation() = p_incarnation AND NOT pg_is_in_recovery()
    AND (reconciler IS NULL OR reconciler = p_process OR reconciler_until < clock_timestamp()
         OR reconciler_until > clock_timestamp() + interval '1 minute');
  RETURN FOUND;
END
$$;

-- Nothing is missing: this server goes on under a new version. False where another process was first.
CREATE FUNCTION continue_verification(p_version uuid, p_incarnation text, p_next uuid, p_key_runs_listed boolean)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE verification SET version = p_next, incarnation = p_incarnation, key_runs_listed = p_key_runs_listed,
    continued = true, reconciler = NULL, reconciler_until = NULL, verified_at = clock_timestamp()
  WHERE version = p_version AND replaced IS NULL AND incarnation() = p_incarnation AND NOT pg_is_in_recovery();
  RETURN FOUND;
END
$$;

-- Something is missing, or nothing can be proven: an operator has to verify. The first reason stays.
CREATE FUNCTION close_database(p_version uuid, p_incarnation text, p_reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE verification SET replaced = left(p_reason, 1000), replaced_at = clock_timestamp()
  WHERE version = p_version AND replaced IS NULL AND incarnation() = p_incarnation AND NOT pg_is_in_recovery();
  RETURN FOUND;
END
$$;

-- The runs of keys have been compared with their rows: groups may be started again.
CREATE FUNCTION finish_listing(p_version uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE verification SET key_runs_listed = true WHERE version = p_version AND trusted_version() = p_version;
  RETURN FOUND;
END
$$;
REVOKE EXECUTE ON FUNCTION lease_reconcile(uuid, text, text), continue_verification(uuid, text, uuid, boolean),
  close_database(uuid, text, text), finish_listing(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lease_reconcile(uuid, text, text), continue_verification(uuid, text, uuid, boolean),
  close_database(uuid, text, text), finish_listing(uuid) TO accubooks_app;

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
-- those that an operator has reopened.
CREATE FUNCTION keys_without_row(p_companies uuid[], p_keys text[], p_workflow_ids text[], p_run_ids text[])
RETURNS TABLE (pos integer)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  one uuid;
BEGIN
  FOR one IN SELECT DISTINCT c FROM unnest(p_companies) AS c LOOP
    PERFORM enter_company(one);
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

-- The look-ups tell under which version they looked: a missing row means something on a verified server alone.
DROP FUNCTION lookup_write(uuid, text, text);
CREATE FUNCTION lookup_write(p_company uuid, p_subject text, p_key text)
RETURNS TABLE (member_id uuid, member_roles text[], write idempotent_writes, version uuid)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  PERFORM enter_company(p_company);
  RETURN QUERY
    SELECT m.user_id, m.roles, w, CASE WHEN w.idempotency_key IS NULL THEN trusted_version() END
    FROM (VALUES (1)) AS one
    LEFT JOIN (users u JOIN memberships m ON m.user_id = u.id AND m.company_id = p_company) ON u.token_subject = p_subject
    LEFT JOIN idempotent_writes w ON w.company_id = p_company AND w.idempotency_key = p_key;
END
$$;

-- lookup_write for many, of many companies: a row for each requesting member and one for each key that is taken; the last
-- has neither, and tells the version.
DROP FUNCTION lookup_writes(uuid[], text[], text[]);
CREATE FUNCTION lookup_writes(p_companies uuid[], p_subjects text[], p_keys text[])
RETURNS TABLE (company uuid, subject text, member_id uuid, member_roles text[], write idempotent_writes, version uuid)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  one uuid;
BEGIN
  FOR one IN SELECT DISTINCT c FROM unnest(p_companies) AS c LOOP
    PERFORM enter_company(one);
    RETURN QUERY
      SELECT one, a.subject, m.user_id, m.roles, NULL::idempotent_writes, NULL::uuid
      FROM (SELECT DISTINCT s.subject FROM unnest(p_companies, p_subjects) AS s (company, subject)
            WHERE s.company = one AND s.subject IS NOT NULL) AS a
      JOIN users u ON u.token_subject = a.subject AND u.token_subject = ANY (p_subjects)
      JOIN memberships m ON m.user_id = u.id AND m.company_id = one;
    RETURN QUERY
      SELECT one, NULL::text, NULL::uuid, NULL::text[], w, NULL::uuid
      FROM idempotent_writes w
      WHERE w.company_id = one AND w.idempotency_key = ANY (ARRAY(
        SELECT k.key FROM unnest(p_companies, p_keys) AS k (company, key) WHERE k.company = one));
  END LOOP;
  RETURN QUERY SELECT NULL::uuid, NULL::text, NULL::uuid, NULL::text[], NULL::idempotent_writes, trusted_version();
END
$$;

-- Claims and cancels ask first whether they may: see require_trust.
DROP FUNCTION claim_write(uuid, text, uuid, uuid, text, text, text, integer, jsonb, uuid, text, text, integer, timestamptz);
CREATE FUNCTION claim_write(
  p_company uuid, p_key text, p_write_id uuid, p_submission_id uuid, p_operation text, p_type text, p_fingerprint text,
  p_schema_version integer, p_request jsonb, p_user uuid, p_request_id text, p_workflow_id text, p_attempt integer,
  p_requested_at timestamptz, p_version uuid DEFAULT NULL, p_incarnation text DEFAULT NULL)
RETURNS TABLE (claimed boolean, member_roles text[], write idempotent_writes)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
  PERFORM require_trust(p_version, p_incarnation);
  INSERT INTO idempotent_writes (company_id, idempotency_key, write_id, submission_id, operation, type, fingerprint,
    schema_version, request, user_id, request_id, workflow_id, attempt, requested_at)
  VALUES (p_company, p_key, p_write_id, p_submission_id, p_operation, p_type, p_fingerprint, p_schema_version, p_request,
    p_user, p_request_id, p_workflow_id, p_attempt, p_requested_at)
  -- Whichever unique key a twin meets first: it has the same write_id too. With one of them named, twins at the same
  -- moment fail by the others, or deadlock on them.
  ON CONFLICT DO NOTHING;
  IF FOUND THEN
    RETURN QUERY
      SELECT true, (SELECT m.roles FROM memberships m WHERE m.company_id = p_company AND m.user_id = p_user),
        NULL::idempotent_writes;
  ELSE
    RETURN QUERY
      SELECT false, NULL::text[], w FROM idempotent_writes w
      WHERE w.company_id = p_company AND w.idempotency_key = p_key;
  END IF;
END
$$;

DROP FUNCTION claim_writes(uuid, text, text, text, timestamptz, jsonb);
CREATE FUNCTION claim_writes(
  p_company uuid, p_operation text, p_type text, p_workflow_id text, p_requested_at timestamptz, p_items jsonb,
  p_version uuid DEFAULT NULL, p_incarnation text DEFAULT NULL)
RETURNS TABLE (claimed_key text, member_id uuid, member_roles text[])
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
  PERFORM require_trust(p_version, p_incarnation);
  RETURN QUERY
    WITH claimed AS (
      INSERT INTO idempotent_writes (company_id, idempotency_key, write_id, submission_id, operation, type, fingerprint,
        schema_version, request, user_id, request_id, workflow_id, attempt, requested_at)
      SELECT p_company, i.key, i.write_id, i.submission_id, p_operation, p_type, i.fingerprint, i.schema_version,
        i.request, i.user_id, i.request_id, p_workflow_id, 1, p_requested_at
      FROM jsonb_to_recordset(p_items) AS i (key text, write_id uuid, submission_id uuid, fingerprint text,
        schema_version integer, request jsonb, user_id uuid, request_id text)
      ORDER BY i.key COLLATE "C"
      ON CONFLICT DO NOTHING
      RETURNING idempotency_key
    )
    SELECT c.idempotency_key::text, NULL::uuid, NULL::text[] FROM claimed c;
  -- A statement of its own, after the wait for a twin: roles as they are now.
  RETURN QUERY
    SELECT NULL::text, m.user_id, m.roles FROM memberships m
    WHERE m.company_id = p_company
      AND m.user_id = ANY (ARRAY(SELECT i.user_id FROM jsonb_to_recordset(p_items) AS i (user_id uuid)));
END
$$;

DROP FUNCTION cancel_write(uuid, text, uuid, text, bytea, text, text);
CREATE FUNCTION cancel_write(
  p_company uuid, p_key text, p_user uuid, p_request_id text, p_body bytea, p_route_path text, p_http_method text,
  p_version uuid DEFAULT NULL, p_incarnation text DEFAULT NULL)
RETURNS TABLE (cancelled_now boolean, write idempotent_writes)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  PERFORM require_trust(p_version, p_incarnation);
  -- A lost write gives its key up: nobody is told any more that its record is missing.
  PERFORM remove_lost_write(p_company, p_key);
  INSERT INTO idempotent_writes (company_id, idempotency_key, outcome, status_code, response_body, user_id, request_id,
    requested_at, completed_at)
  VALUES (p_company, p_key, 'cancelled', 409, p_body, p_user, p_request_id, now(), clock_timestamp())
  ON CONFLICT (company_id, idempotency_key) DO NOTHING;
  cancelled_now := FOUND;
  IF cancelled_now THEN
    INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, idempotency_key, user_id, status,
      error_code, error_message, request_id, route_path, http_method)
    VALUES (p_company, 'unknown', 'unknown', p_key, p_user, 'failed', 'write_cancelled', 'cancelled by its key',
      p_request_id, p_route_path, p_http_method);
  END IF;
  RETURN QUERY
    SELECT cancelled_now, w FROM idempotent_writes w
    WHERE w.company_id = p_company AND w.idempotency_key = p_key;
END
$$;
