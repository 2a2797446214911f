-- The seal for many companies and large months: which heads wait for a time stamp is kept and not looked for, and a month is compared
-- with the seal without planning anything for each of its rows.

-- A large one may be created beforehand, CONCURRENTLY (docs/deploying.md).
CREATE INDEX IF NOT EXISTS sealed_audit_rows_by_time ON sealed_audit_rows (company_id, row_timestamp);
CREATE INDEX IF NOT EXISTS seal_heads_by_number ON seal_heads (company_id, log, number);

-- During a sweep no month is exported.
GRANT SELECT ON seal_position TO accubooks_maintenance;

-- The owner compares a month with what is sealed of all companies, those included of which the month has no row any more. Without
-- BYPASSRLS it would see one company at a time.
CREATE POLICY owner ON sealed_audit_rows FOR SELECT TO CURRENT_USER USING (true);

-- What is there is read as the auditor, as in 0044, if the owner has no BYPASSRLS. Both functions and policies are dropped below.
CREATE FUNCTION read_as_auditor() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF row_security_active('companies') AND pg_relation_size('companies') > 0 THEN
    SET LOCAL ROLE accubooks_auditor;
  END IF;
END $$;

-- Where each epoch has gone on, of which 0074 has recorded nothing where the owner saw no company. What has been recorded since, when
-- the sweep came to the company, stays.
CREATE POLICY filled ON seal_epoch_starts FOR INSERT TO accubooks_auditor WITH CHECK (true);
GRANT INSERT ON seal_epoch_starts TO accubooks_auditor;
SELECT read_as_auditor();
INSERT INTO seal_epoch_starts (epoch, company_id, log, number, digest, head_position)
SELECT e.epoch, b.company_id, b.log, b.last_number, b.head, (
  SELECT max(h.position) FROM seal_heads h
  WHERE h.company_id = b.company_id AND h.log = b.log AND h.number <= b.last_number AND h.epoch < e.epoch)
FROM seal_epochs e
CROSS JOIN LATERAL (
  SELECT DISTINCT ON (company_id, log) company_id, log, last_number, head FROM seal_batches
  WHERE seal_batches.epoch < e.epoch ORDER BY company_id, log, first_number DESC
) AS b
WHERE e.epoch > 1
ON CONFLICT DO NOTHING;
RESET ROLE;
REVOKE INSERT ON seal_epoch_starts FROM accubooks_auditor;
DROP POLICY filled ON seal_epoch_starts;

-- Of the newest head of a log, while it has no time stamp: since when the log has had a head, and none behind it with one. NULL of all
-- other heads.
ALTER TABLE seal_heads ADD COLUMN unstamped_since timestamptz;
CREATE POLICY filled ON seal_heads FOR UPDATE TO accubooks_auditor USING (true);
GRANT UPDATE (unstamped_since) ON seal_heads TO accubooks_auditor;
SELECT read_as_auditor();
UPDATE seal_heads h SET unstamped_since = w.since
FROM (
  SELECT company_id, log, max(position) AS newest, min(published_at) AS since FROM seal_heads a
  WHERE a.position > coalesce((SELECT max(e.position) FROM seal_evidence e
    WHERE e.company_id = a.company_id AND e.log = a.log AND e.kind = 'time-stamp'), 0)
  GROUP BY company_id, log
) AS w
WHERE h.company_id = w.company_id AND h.log = w.log AND h.position = w.newest;
RESET ROLE;
REVOKE UPDATE (unstamped_since) ON seal_heads FROM accubooks_auditor;
DROP POLICY filled ON seal_heads;
DROP FUNCTION read_as_auditor();
GRANT UPDATE (unstamped_since) ON seal_heads TO accubooks_sealer;
CREATE INDEX seal_heads_unstamped ON seal_heads (published_at, company_id, log) WHERE unstamped_since IS NOT NULL;
CREATE INDEX seal_heads_unstamped_since ON seal_heads (unstamped_since) WHERE unstamped_since IS NOT NULL;

-- Both take the first head of the log, so that a head and a stamp that come at once see each other. A worker of the release before
-- inserts both as ever.
CREATE FUNCTION begin_unstamped() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  before seal_heads;
BEGIN
  PERFORM FROM seal_heads h WHERE h.company_id = NEW.company_id AND h.log = NEW.log AND h.position = 1 FOR NO KEY UPDATE;
  SELECT * INTO before FROM seal_heads h WHERE h.company_id = NEW.company_id AND h.log = NEW.log ORDER BY h.position DESC LIMIT 1;
  NEW.unstamped_since := coalesce(before.unstamped_since, NEW.published_at);
  UPDATE seal_heads h SET unstamped_since = NULL
  WHERE h.company_id = NEW.company_id AND h.log = NEW.log AND h.position = before.position AND h.unstamped_since IS NOT NULL;
  RETURN NEW;
END $$;
CREATE TRIGGER begin_unstamped BEFORE INSERT ON seal_heads FOR EACH ROW EXECUTE FUNCTION begin_unstamped();

CREATE FUNCTION end_unstamped() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  PERFORM FROM seal_heads h WHERE h.company_id = NEW.company_id AND h.log = NEW.log AND h.position = 1 FOR NO KEY UPDATE;
  UPDATE seal_heads h SET unstamped_since = (
    SELECT n.published_at FROM seal_heads n
    WHERE n.company_id = NEW.company_id AND n.log = NEW.log AND n.position > (
      SELECT max(e.position) FROM seal_evidence e
      WHERE e.company_id = NEW.company_id AND e.log = NEW.log AND e.kind = NEW.kind)
    ORDER BY n.position LIMIT 1)
  WHERE h.company_id = NEW.company_id AND h.log = NEW.log AND h.unstamped_since IS NOT NULL;
  RETURN NULL;
END $$;
CREATE TRIGGER end_unstamped AFTER INSERT ON seal_evidence FOR EACH ROW
  WHEN (NEW.kind = 'time-stamp') EXECUTE FUNCTION end_unstamped();

-- As before, in a language that plans once a session and not once a call.
CREATE OR REPLACE FUNCTION salted_digest(p_salt bytea, p_name text, p_value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = public, pg_temp AS $$
BEGIN
  IF p_value <> 'null' THEN
    RETURN encode(sha256(p_salt || convert_to('[' || to_json(p_name) || ',' || canonical_json(p_value) || ']', 'UTF8')), 'hex');
  END IF;
  RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION audit_content(a idempotent_write_audit_log, p_salted jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
  RETURN '{"answer":' || coalesce(to_json(p_salted ->> 'answer')::text, 'null')
    || ',"companyId":' || to_json(a.company_id)
    || ',"errorCode":' || coalesce(to_json(a.error_code)::text, 'null')
    || ',"errorMessage":' || CASE WHEN a.error_message IS NULL THEN 'null' ELSE to_json(coalesce(p_salted ->> 'errorMessage', ''))::text END
    || ',"executionDurationMs":' || to_json(a.execution_duration_ms::text)
    || ',"httpMethod":' || to_json(a.http_method)
    || ',"id":' || to_json(a.id::text)
    || ',"idempotencyKey":' || to_json(a.idempotency_key)
    || ',"log":"audit","metadata":' || CASE WHEN a.metadata = '{}' THEN 'null' ELSE to_json(coalesce(p_salted ->> 'metadata', ''))::text END
    || ',"operation":' || to_json(a.operation_name)
    || ',"request":' || coalesce(to_json(p_salted ->> 'request')::text, 'null')
    || ',"requestId":' || to_json(a.request_id)
    || ',"routePath":' || to_json(a.route_path)
    || ',"sideEffectsExecuted":' || a.side_effects_executed
    || ',"status":' || to_json(a.status)
    || ',"timestamp":' || to_json(to_char(a."timestamp" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
    || ',"type":' || to_json(a.operation_type)
    || ',"userId":' || to_json(a.user_id)
    || ',"version":1,"workflowsTriggered":' || a.workflows_triggered
    || ',"writeId":' || coalesce(to_json(a.deterministic_id)::text, 'null') || '}';
END
$$;

CREATE OR REPLACE FUNCTION seal_of_audit_row(a idempotent_write_audit_log, OUT number bigint, OUT leaf bytea, OUT salted jsonb)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
  SELECT s.number, s.leaf, coalesce(k.erased, jsonb_strip_nulls(jsonb_build_object(
    'answer', salted_digest(k.salt, 'answer', to_jsonb(encode(sha256(w.response_body), 'hex'))),
    'errorMessage', salted_digest(k.salt, 'errorMessage', to_jsonb(a.error_message)),
    'metadata', salted_digest(k.salt, 'metadata', nullif(a.metadata, '{}')),
    'request', salted_digest(k.salt, 'request', to_jsonb(w.fingerprint)))))
  INTO number, leaf, salted
  FROM sealed_audit_rows s
  LEFT JOIN LATERAL (
    SELECT substring(b.salts FROM (16 * (s.number - b.first_number))::int + 1 FOR 16) AS salt, b.erased -> s.number::text AS erased
    FROM seal_salts b WHERE b.company_id = s.company_id AND b.log = 'audit' AND b.first_number <= s.number
    ORDER BY b.first_number DESC LIMIT 1
  ) AS k ON true
  LEFT JOIN idempotent_writes w ON a.status = 'new' AND w.company_id = a.company_id AND w.write_id = a.deterministic_id
  WHERE s.company_id = a.company_id AND s.row_id = a.id AND s.row_timestamp = a."timestamp";
END
$$;

-- As before, and the counts are put together once; and companies are looked for of which the month has no row any more.
CREATE OR REPLACE FUNCTION check_sealed_month(p_month date, p_table regclass, p_known jsonb,
  OUT sealed jsonb, OUT waiting bigint, OUT behind bigint, OUT first_unsealed text)
LANGUAGE plpgsql SET search_path = public, pg_temp SET "TimeZone" = 'UTC' AS $$
DECLARE
  remedy constant text := 'Nothing was changed. See docs/runbooks.md#finding-an-archived-month-is-not-what-was-sealed';
  month_end constant timestamptz := p_month + interval '1 month';
  sealer seal_position;
  companies uuid[];
  company uuid;
  a idempotent_write_audit_log;
  found record;
  sealed_here bigint;
  missing record;
  counted uuid[] := '{}';
  counts bigint[] := '{}';
BEGIN
  waiting := 0;
  behind := 0;
  SELECT * INTO sealer FROM seal_position;
  EXECUTE format('SELECT array_agg(DISTINCT company_id) FROM %s', p_table) INTO companies;
  WITH RECURSIVE one (id) AS (
    (SELECT s.company_id FROM sealed_audit_rows s ORDER BY s.company_id LIMIT 1)
    UNION ALL
    SELECT (SELECT s.company_id FROM sealed_audit_rows s WHERE s.company_id > one.id ORDER BY s.company_id LIMIT 1)
    FROM one WHERE one.id IS NOT NULL
  )
  SELECT array_agg(DISTINCT c ORDER BY c) INTO companies FROM (
    SELECT unnest(companies) UNION SELECT key::uuid FROM jsonb_object_keys(coalesce(p_known, '{}')) AS key
    UNION SELECT one.id FROM one WHERE EXISTS (SELECT FROM sealed_audit_rows s
      WHERE s.company_id = one.id AND s.row_timestamp >= p_month::timestamptz AND s.row_timestamp < month_end)) AS all_of_them (c);
  FOREACH company IN ARRAY coalesce(companies, '{}') LOOP
    PERFORM set_config('app.company_id', company::text, true);
    sealed_here := 0;
    FOR a IN EXECUTE format('SELECT r.* FROM %s AS t, jsonb_populate_record(NULL::idempotent_write_audit_log, to_jsonb(t)) AS r
      WHERE t.company_id = $1 ORDER BY t."timestamp", t.id', p_table) USING company LOOP
      SELECT * INTO found FROM compare_with_seal(a, NULL);
      IF found.state = 'unsealed' THEN
        first_unsealed := coalesce(first_unsealed, audit_row_name(a));
        IF sealer.phase <> 'follow' OR (a.xid, a.id) > (sealer.xid, sealer.audit_id) THEN
          waiting := waiting + 1;
        ELSE
          behind := behind + 1;
        END IF;
        CONTINUE;
      ELSIF found.state = 'altered' THEN
        RAISE EXCEPTION 'audit month %: %, number % of its audit log, is not what was sealed. %', to_char(p_month, 'YYYY-MM'),
          audit_row_name(a), found.number, remedy USING ERRCODE = 'object_not_in_prerequisite_state';
      END IF;
      sealed_here := sealed_here + 1;
    END LOOP;
    IF sealed_here <> (SELECT count(*) FROM sealed_audit_rows s
        WHERE s.company_id = company AND s.row_timestamp >= p_month::timestamptz AND s.row_timestamp < month_end) THEN
      EXECUTE format('SELECT s.number, s.row_id FROM sealed_audit_rows s
        WHERE s.company_id = $1 AND s.row_timestamp >= $2 AND s.row_timestamp < $3
          AND NOT EXISTS (SELECT FROM %s AS t WHERE t."timestamp" = s.row_timestamp AND t.id = s.row_id AND t.company_id = s.company_id)
        ORDER BY s.number LIMIT 1', p_table) INTO missing USING company, p_month::timestamptz, month_end;
      RAISE EXCEPTION 'audit month %: row %, company %, number % of its audit log, is sealed and is not there. %',
        to_char(p_month, 'YYYY-MM'), missing.row_id, company, missing.number, remedy
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF sealed_here > 0 THEN
      counted := array_append(counted, company);
      counts := array_append(counts, sealed_here);
    END IF;
  END LOOP;
  PERFORM set_config('app.company_id', '', true);
  SELECT coalesce(jsonb_object_agg(c.id, c.sealed_rows), '{}') INTO sealed FROM unnest(counted, counts) AS c (id, sealed_rows);
END
$$;
