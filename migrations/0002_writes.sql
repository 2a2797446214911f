-- The record of every write: its row, its audit trail, its event; and the functions that are the steps of the write path.

CREATE TABLE idempotent_writes (
  company_id uuid NOT NULL REFERENCES companies,
  -- "C": a key is bytes, compared as bytes, in every database.
  idempotency_key text COLLATE "C" NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  write_id uuid,
  submission_id uuid,
  operation text CHECK (length(operation) BETWEEN 1 AND 64),
  type text CHECK (type IN ('financial', 'high-risk')),
  fingerprint text CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
  schema_version integer CHECK (schema_version >= 1),
  -- A body has at most 1 MiB; as jsonb it may be several times that.
  request jsonb CHECK (pg_column_size(request) <= 16777216),
  outcome text CHECK (outcome IN ('succeeded', 'rejected', 'cancelled')),
  status_code smallint CHECK (status_code BETWEEN 200 AND 499),
  response_body bytea CHECK (length(response_body) <= 16777216),
  location text CHECK (length(location) <= 1000),
  resource_type text CHECK (length(resource_type) <= 64),
  resource_id text CHECK (length(resource_id) <= 200),
  user_id uuid NOT NULL REFERENCES users,
  request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
  workflow_id text CHECK (length(workflow_id) <= 255),
  attempt integer NOT NULL DEFAULT 1 CHECK (attempt >= 1),
  requested_at timestamptz NOT NULL,
  -- When this row was inserted; it can be seen from its COMMIT on. The lists are in this order, and not in that of
  -- completed_at: an update that touches no indexed column leaves all five indexes alone.
  claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  completed_at timestamptz,
  PRIMARY KEY (company_id, idempotency_key),
  CONSTRAINT idempotent_writes_write_id_key UNIQUE (write_id),
  -- The target of foreign keys, which carry the company.
  CONSTRAINT idempotent_writes_company_write_id_key UNIQUE (company_id, write_id),
  -- A cancelled key knows of no request: it answers every request with that key alike.
  CONSTRAINT idempotent_writes_cancelled_without_request CHECK (
    num_nulls(write_id, submission_id, operation, type, fingerprint, schema_version, request)
      = CASE WHEN outcome IS NOT DISTINCT FROM 'cancelled' THEN 7 ELSE 0 END
  ),
  CONSTRAINT idempotent_writes_outcome_whole CHECK (
    num_nulls(outcome, status_code, response_body, completed_at) IN (0, 4)
    AND (outcome IS DISTINCT FROM 'succeeded' OR num_nulls(location, resource_type, resource_id) = 0)
  )
);
CREATE INDEX idempotent_writes_newest ON idempotent_writes (company_id, claimed_at DESC, idempotency_key DESC);

CREATE FUNCTION keep_finished_write() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.outcome IS NOT NULL THEN
    RAISE EXCEPTION 'UPDATE of idempotent_writes is refused: a write that has its outcome never changes'
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF (OLD.company_id, OLD.idempotency_key, OLD.write_id, OLD.submission_id, OLD.operation, OLD.type, OLD.fingerprint,
      OLD.schema_version, OLD.request, OLD.user_id, OLD.request_id)
     IS DISTINCT FROM
     (NEW.company_id, NEW.idempotency_key, NEW.write_id, NEW.submission_id, NEW.operation, NEW.type, NEW.fingerprint,
      NEW.schema_version, NEW.request, NEW.user_id, NEW.request_id) THEN
    RAISE EXCEPTION 'UPDATE of idempotent_writes is refused: only the outcome can be added to a claimed write'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;

-- The row appears only with its outcome: there is no lock to leak and no lease to expire.
CREATE FUNCTION require_outcome_at_commit() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM idempotent_writes w
             WHERE w.company_id = NEW.company_id AND w.idempotency_key = NEW.idempotency_key AND w.outcome IS NULL) THEN
    RAISE EXCEPTION 'a write without an outcome cannot be committed' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END
$$;

CREATE TRIGGER keep_finished_write BEFORE UPDATE ON idempotent_writes
  FOR EACH ROW EXECUTE FUNCTION keep_finished_write();
CREATE TRIGGER keep_writes BEFORE DELETE ON idempotent_writes
  FOR EACH ROW EXECUTE FUNCTION refuse_change('keys never expire, and the row is the record');
CREATE TRIGGER keep_all_writes BEFORE TRUNCATE ON idempotent_writes
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('keys never expire, and the row is the record');
CREATE CONSTRAINT TRIGGER require_outcome_at_commit AFTER INSERT ON idempotent_writes
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_outcome_at_commit();

-- Monthly partitions stand in a schema of their own, so that the schema's description does not change with the calendar.
CREATE SCHEMA audit_partitions;
CREATE SEQUENCE idempotent_write_audit_log_id;

CREATE TABLE idempotent_write_audit_log (
  id bigint NOT NULL DEFAULT nextval('idempotent_write_audit_log_id'),
  timestamp timestamptz NOT NULL DEFAULT clock_timestamp(),
  company_id uuid NOT NULL,
  operation_name text NOT NULL CHECK (length(operation_name) BETWEEN 1 AND 64),
  operation_type text NOT NULL CHECK (operation_type IN ('financial', 'high-risk', 'unknown')),
  deterministic_id uuid,
  idempotency_key text COLLATE "C" NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  user_id uuid NOT NULL,
  status text NOT NULL CHECK (status IN ('new', 'replayed', 'failed')),
  error_code text CHECK (length(error_code) <= 64),
  error_message text CHECK (length(error_message) <= 2000),
  execution_duration_ms double precision NOT NULL DEFAULT 0 CHECK (execution_duration_ms >= 0),
  request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
  route_path text NOT NULL CHECK (length(route_path) <= 2000),
  http_method text NOT NULL CHECK (length(http_method) <= 10),
  workflows_triggered integer NOT NULL DEFAULT 0 CHECK (workflows_triggered >= 0),
  side_effects_executed integer NOT NULL DEFAULT 0 CHECK (side_effects_executed >= 0),
  metadata jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(metadata) <= 65536),
  PRIMARY KEY (timestamp, id)
) PARTITION BY RANGE (timestamp);
CREATE INDEX idempotent_write_audit_log_by_key ON idempotent_write_audit_log (company_id, idempotency_key, timestamp, id);

-- A missing month must never stop a write; a row in here is an alert.
CREATE TABLE audit_partitions.fallback PARTITION OF idempotent_write_audit_log DEFAULT;

CREATE TRIGGER keep_audit_rows BEFORE UPDATE OR DELETE ON idempotent_write_audit_log
  FOR EACH ROW EXECUTE FUNCTION refuse_change('the audit log is only added to');
-- A partition inherits the triggers for rows but not those for statements: each gets its own of these.
CREATE TRIGGER keep_audit_log BEFORE TRUNCATE ON idempotent_write_audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('the audit log is only added to');
CREATE TRIGGER keep_audit_log BEFORE TRUNCATE ON audit_partitions.fallback
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('the audit log is only added to');

-- Makes the partitions of this month (UTC) and of the given number of months after it; returns how many it made. Run by
-- the migrations and by maintenance, which owns nothing: hence the definer's rights and the fixed search path. A month
-- that already has rows in the fallback stays there: no partition can be made over them, and the others must not wait.
CREATE FUNCTION ensure_audit_partitions(p_months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  month date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
  partition_name text;
  made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ensure_audit_partitions'));
  FOR offset_months IN 0..p_months_ahead LOOP
    partition_name := to_char(month + make_interval(months => offset_months), '"y"YYYY"m"MM');
    CONTINUE WHEN to_regclass('audit_partitions.' || partition_name) IS NOT NULL;
    BEGIN
      EXECUTE format(
        'CREATE TABLE audit_partitions.%I PARTITION OF idempotent_write_audit_log FOR VALUES FROM (%L) TO (%L)',
        partition_name,
        to_char(month + make_interval(months => offset_months), 'YYYY-MM-DD') || ' 00:00:00+00',
        to_char(month + make_interval(months => offset_months + 1), 'YYYY-MM-DD') || ' 00:00:00+00');
      EXECUTE format(
        'CREATE TRIGGER keep_audit_log BEFORE TRUNCATE ON audit_partitions.%I
           FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(%L)',
        partition_name, 'the audit log is only added to');
      made := made + 1;
    EXCEPTION WHEN check_violation THEN
      RAISE WARNING 'audit month % stays in the fallback partition, which has rows of it', partition_name;
    END;
  END LOOP;
  RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION ensure_audit_partitions(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_audit_partitions(integer) TO accubooks_maintenance;

-- Effects outside this database are events, recorded in the write's own transaction; rows are marked, never deleted.
CREATE TABLE outbox (
  id uuid NOT NULL,
  company_id uuid NOT NULL,
  write_id uuid NOT NULL,
  kind text NOT NULL CHECK (length(kind) BETWEEN 1 AND 64),
  payload jsonb NOT NULL CHECK (pg_column_size(payload) <= 16777216),
  occurred_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  delivered_at timestamptz,
  PRIMARY KEY (company_id, id),
  CONSTRAINT outbox_one_event_a_write UNIQUE (company_id, write_id),
  FOREIGN KEY (company_id, write_id) REFERENCES idempotent_writes (company_id, write_id)
);
CREATE INDEX outbox_not_started ON outbox (occurred_at) WHERE started_at IS NULL;
CREATE TRIGGER keep_events BEFORE DELETE ON outbox
  FOR EACH ROW EXECUTE FUNCTION refuse_change('events are marked, never deleted');
CREATE TRIGGER keep_all_events BEFORE TRUNCATE ON outbox
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('events are marked, never deleted');

ALTER TABLE idempotent_writes ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotent_writes FORCE ROW LEVEL SECURITY;
ALTER TABLE idempotent_write_audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotent_write_audit_log FORCE ROW LEVEL SECURITY;
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON idempotent_writes USING (company_id = current_company());
CREATE POLICY company ON idempotent_write_audit_log USING (company_id = current_company());
CREATE POLICY company ON outbox USING (company_id = current_company());
CREATE POLICY relay ON outbox TO accubooks_relay USING (true);
CREATE POLICY auditor ON idempotent_writes FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON idempotent_write_audit_log FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON outbox FOR SELECT TO accubooks_auditor USING (true);

GRANT SELECT, INSERT ON idempotent_writes TO accubooks_app;
GRANT UPDATE (outcome, status_code, response_body, location, resource_type, resource_id, completed_at)
  ON idempotent_writes TO accubooks_app;
GRANT SELECT, INSERT ON idempotent_write_audit_log TO accubooks_app;
GRANT USAGE ON SEQUENCE idempotent_write_audit_log_id TO accubooks_app;
GRANT SELECT, INSERT ON outbox TO accubooks_app;
GRANT SELECT, UPDATE (started_at, delivered_at) ON outbox TO accubooks_relay;
GRANT SELECT ON idempotent_writes, idempotent_write_audit_log, outbox TO accubooks_auditor;

-- Every transaction begins here: role and company for itself alone, so that nothing is session state.
CREATE FUNCTION enter_company(p_company uuid) RETURNS void
LANGUAGE sql VOLATILE AS $$
  SELECT set_config('role', 'accubooks_app', true), set_config('app.company_id', p_company::text, true);
$$;

-- Step 2 of the write path, in one round trip: who is the caller here, and is the key's write there already? One row,
-- always; no roles for one who is no member. A NULL key asks for the roles alone.
CREATE FUNCTION lookup_write(p_company uuid, p_subject text, p_key text)
RETURNS TABLE (member_id uuid, member_roles text[], write idempotent_writes)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  RETURN QUERY
    SELECT m.user_id, m.roles, w
    FROM (VALUES (1)) AS one
    LEFT JOIN (users u JOIN memberships m ON m.user_id = u.id AND m.company_id = p_company) ON u.token_subject = p_subject
    LEFT JOIN idempotent_writes w ON w.company_id = p_company AND w.idempotency_key = p_key;
END
$$;

-- The first statement of the transaction: claim the key, or wait for the twin that holds it and read its row. The second
-- read is a statement of its own, with a snapshot of its own: in the same statement as the insert it would see neither.
CREATE FUNCTION claim_write(
  p_company uuid, p_key text, p_write_id uuid, p_submission_id uuid, p_operation text, p_type text, p_fingerprint text,
  p_schema_version integer, p_request jsonb, p_user uuid, p_request_id text, p_workflow_id text, p_attempt integer,
  p_requested_at timestamptz)
RETURNS TABLE (claimed boolean, member_roles text[], write idempotent_writes)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
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

-- The last statement of the transaction: outcome, audit row and event together, then every deferred constraint now,
-- while a violation can still become the operation's rejection. (The outcome comes first: one of them asks for it.)
CREATE FUNCTION finish_write(
  p_company uuid, p_key text, p_outcome text, p_status_code integer, p_body bytea, p_location text, p_resource_type text,
  p_resource_id text, p_error_code text, p_error_message text, p_route_path text, p_http_method text,
  p_event_id uuid, p_event_kind text, p_event_payload jsonb, p_workflows_triggered integer, p_audit_metadata jsonb)
RETURNS idempotent_writes
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  finished idempotent_writes;
BEGIN
  UPDATE idempotent_writes w
  SET outcome = p_outcome, status_code = p_status_code, response_body = p_body, location = p_location,
    resource_type = p_resource_type, resource_id = p_resource_id, completed_at = clock_timestamp()
  WHERE w.company_id = p_company AND w.idempotency_key = p_key
  RETURNING * INTO STRICT finished;

  INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, deterministic_id, idempotency_key,
    user_id, status, error_code, error_message, execution_duration_ms, request_id, route_path, http_method,
    workflows_triggered, side_effects_executed, metadata)
  VALUES (p_company, finished.operation, finished.type, finished.write_id, p_key, finished.user_id,
    CASE p_outcome WHEN 'succeeded' THEN 'new' ELSE 'failed' END, p_error_code, p_error_message,
    extract(epoch FROM finished.completed_at - now()) * 1000, finished.request_id, p_route_path, p_http_method,
    p_workflows_triggered, CASE WHEN p_event_id IS NULL THEN 0 ELSE 1 END, p_audit_metadata);

  IF p_event_id IS NOT NULL THEN
    INSERT INTO outbox (id, company_id, write_id, kind, payload)
    VALUES (p_event_id, p_company, finished.write_id, p_event_kind, p_event_payload);
  END IF;

  SET CONSTRAINTS ALL IMMEDIATE;
  RETURN finished;
END
$$;

-- Takes the key away from every request to come, or tells the outcome that came first.
CREATE FUNCTION cancel_write(
  p_company uuid, p_key text, p_user uuid, p_request_id text, p_body bytea, p_route_path text, p_http_method text)
RETURNS TABLE (cancelled_now boolean, write idempotent_writes)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
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

-- Many audit rows, of many companies, in one round trip: each company's rows are written as that company.
CREATE FUNCTION record_audit_rows(p_rows jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  company uuid;
BEGIN
  FOR company IN SELECT DISTINCT (r ->> 'company_id')::uuid FROM jsonb_array_elements(p_rows) AS r ORDER BY 1 LOOP
    PERFORM enter_company(company);
    INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, deterministic_id,
      idempotency_key, user_id, status, error_code, error_message, execution_duration_ms, request_id, route_path,
      http_method, metadata)
    SELECT r.company_id, r.operation_name, r.operation_type, r.deterministic_id, r.idempotency_key, r.user_id, r.status,
      r.error_code, r.error_message, r.execution_duration_ms, r.request_id, r.route_path, r.http_method,
      coalesce(r.metadata, '{}')
    FROM jsonb_to_recordset(p_rows) AS r (company_id uuid, operation_name text, operation_type text,
      deterministic_id uuid, idempotency_key text, user_id uuid, status text, error_code text, error_message text,
      execution_duration_ms double precision, request_id text, route_path text, http_method text, metadata jsonb)
    WHERE r.company_id = company;
  END LOOP;
END
$$;
