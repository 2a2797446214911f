-- The archive of the audit log and the seal. A month leaves the database only when it is what was sealed, takes the seal of its
-- rows along, and comes back only as what was sealed. Salts stay in the database: the archive has leaves and salted digests.
--
-- Functions here are the owner's, who sees one company at a time where it has no BYPASSRLS: they enter one after another, and leave
-- the last.

-- How many sealed rows a month had when it left, by company, and how many without a seal; NULL of months that left before this
-- migration.
ALTER TABLE audit_archives
  ADD COLUMN sealed jsonb CHECK (jsonb_typeof(sealed) = 'object' AND pg_column_size(sealed) <= 67108864),
  ADD COLUMN unsealed bigint CHECK (unsealed >= 0);

-- Heads that are in the archive are verified with them. They are public.
GRANT SELECT ON seal_keys TO accubooks_maintenance;

-- The content of an audit row (docs/seal-format.md) with its salted members, as `auditContent` of activities/seal/content.ts has it.
CREATE FUNCTION audit_content(a idempotent_write_audit_log, p_salted jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT '{"answer":' || coalesce(to_json(p_salted ->> 'answer')::text, 'null')
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
    || ',"writeId":' || coalesce(to_json(a.deterministic_id)::text, 'null') || '}'
$$;

-- What is sealed of an audit row of the company that was entered, and its salted members as digests; of members that were erased
-- those that were kept. `number` is NULL where nobody has sealed it.
CREATE FUNCTION seal_of_audit_row(a idempotent_write_audit_log, OUT number bigint, OUT leaf bytea, OUT salted jsonb)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT s.number, s.leaf, coalesce(k.erased, jsonb_strip_nulls(jsonb_build_object(
    'answer', salted_digest(k.salt, 'answer', to_jsonb(encode(sha256(w.response_body), 'hex'))),
    'errorMessage', salted_digest(k.salt, 'errorMessage', to_jsonb(a.error_message)),
    'metadata', salted_digest(k.salt, 'metadata', nullif(a.metadata, '{}')),
    'request', salted_digest(k.salt, 'request', to_jsonb(w.fingerprint)))))
  FROM sealed_audit_rows s
  LEFT JOIN LATERAL (
    SELECT substring(b.salts FROM (16 * (s.number - b.first_number))::int + 1 FOR 16) AS salt, b.erased -> s.number::text AS erased
    FROM seal_salts b WHERE b.company_id = s.company_id AND b.log = 'audit' AND b.first_number <= s.number
    ORDER BY b.first_number DESC LIMIT 1
  ) AS k ON true
  LEFT JOIN idempotent_writes w ON a.status = 'new' AND w.company_id = a.company_id AND w.write_id = a.deterministic_id
  WHERE s.company_id = a.company_id AND s.row_id = a.id AND s.row_timestamp = a."timestamp"
$$;

-- Compares a row of the company that was entered with its seal. `state`: `sealed`, as it was sealed; `unsealed`; `altered`; `erased`,
-- where the answer of its write has lost members with a person while the row was in the archive, and only `p_answer`, the answer's
-- digest as the archive has it, can tell.
CREATE FUNCTION compare_with_seal(a idempotent_write_audit_log, p_answer text, OUT number bigint, OUT leaf bytea, OUT salted jsonb, OUT state text)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
  SELECT f.number, f.leaf, f.salted INTO number, leaf, salted FROM seal_of_audit_row(a) AS f;
  IF number IS NULL THEN
    state := 'unsealed';
  ELSIF sha256('\x00'::bytea || convert_to(audit_content(a, salted), 'UTF8')) = leaf THEN
    state := 'sealed';
  ELSIF NOT EXISTS (SELECT FROM idempotent_writes w
      WHERE a.status = 'new' AND w.company_id = a.company_id AND w.write_id = a.deterministic_id
        AND (w.request ? 'erased' OR position('erased'::bytea IN w.response_body) > 0)) THEN
    state := 'altered';
  ELSIF p_answer IS NULL THEN
    state := 'erased';
  ELSE
    salted := salted || jsonb_build_object('answer', p_answer);
    state := CASE WHEN sha256('\x00'::bytea || convert_to(audit_content(a, salted), 'UTF8')) = leaf THEN 'sealed' ELSE 'altered' END;
  END IF;
END
$$;

-- Of a row in a message.
CREATE FUNCTION audit_row_name(a idempotent_write_audit_log) RETURNS text
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT format('row %s of %s, company %s', a.id, to_char(a."timestamp" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), a.company_id)
$$;

-- Compares a month's rows with the seal, company by company: each with its leaf, and whether a sealed one is missing. Raises for
-- the first that differs. `p_known`: companies that had rows in it.
--
-- `sealed` counts rows by company. `behind` counts rows that the sealer has gone past, `waiting` those that it still comes to.
CREATE FUNCTION check_sealed_month(p_month date, p_table regclass, p_known jsonb,
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
BEGIN
  sealed := '{}';
  waiting := 0;
  behind := 0;
  SELECT * INTO sealer FROM seal_position;
  EXECUTE format('SELECT array_agg(DISTINCT company_id) FROM %s', p_table) INTO companies;
  SELECT array_agg(DISTINCT c ORDER BY c) INTO companies FROM (
    SELECT unnest(companies) UNION SELECT key::uuid FROM jsonb_object_keys(coalesce(p_known, '{}')) AS key
    UNION SELECT o.id FROM companies o WHERE NOT row_security_active('companies')) AS all_of_them (c);
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
      sealed := sealed || jsonb_build_object(company::text, sealed_here);
    END IF;
  END LOOP;
  PERFORM set_config('app.company_id', '', true);
END
$$;

-- As before, and a month leaves only as what was sealed, once all of it is. Where nobody seals, or nobody did when the month was
-- in the archive before, it leaves without.
CREATE OR REPLACE FUNCTION detach_audit_month(p_month date, p_file_name text, p_file_sha256 text, p_row_count bigint, p_row_digest numeric)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  partition_name text := audit_partition_name(p_month);
  partition text := format('audit_partitions.%I', partition_name);
  found record;
  seal record;
BEGIN
  IF (p_month + interval '1 month') AT TIME ZONE 'UTC' > now() - audit_hot_time() THEN
    RAISE EXCEPTION 'audit month % is hot: it stays for % after its end', partition_name, audit_hot_time()
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE format('LOCK TABLE %s IN SHARE MODE', partition);
  SELECT * INTO found FROM audit_table_digest(partition::regclass);
  IF (found.row_count, found.row_digest) IS DISTINCT FROM (p_row_count, p_row_digest) THEN
    RAISE EXCEPTION 'audit month % has % rows, and the file does not hold exactly these (it has %)', partition_name,
      found.row_count, p_row_count USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  SELECT * INTO seal FROM check_sealed_month(p_month, partition::regclass, NULL);
  IF EXISTS (SELECT FROM seal_position) AND seal.waiting + seal.behind
      > coalesce((SELECT coalesce(a.unsealed, a.row_count) FROM audit_archives a WHERE a.month = p_month), 0) THEN
    RAISE EXCEPTION 'audit month %: % rows are not sealed, and stay until they are (first %). %', to_char(p_month, 'YYYY-MM'),
      seal.waiting + seal.behind, seal.first_unsealed, CASE WHEN seal.waiting > 0
      THEN 'Try again in some seconds; a worker with SEALER_DATABASE_URL has to run (docs/runbooks.md#alert-sealbehind)'
      ELSE 'They came behind the seal: see docs/runbooks.md#finding-the-seal-does-not-hold' END
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE format('ALTER TABLE idempotent_write_audit_log DETACH PARTITION %s', partition);
  EXECUTE format('ALTER TABLE %s SET SCHEMA audit_detached', partition);
  -- What it had from the log goes with the detaching.
  EXECUTE format('CREATE TRIGGER keep_audit_rows BEFORE UPDATE OR DELETE ON audit_detached.%I
    FOR EACH ROW EXECUTE FUNCTION refuse_change(%L)', partition_name, 'the audit log is only added to');
  INSERT INTO audit_archives (month, file_name, file_sha256, row_count, row_digest, sealed, unsealed)
  VALUES (p_month, p_file_name, p_file_sha256, p_row_count, p_row_digest::text, seal.sealed, seal.waiting + seal.behind)
  ON CONFLICT (month) DO UPDATE SET file_name = excluded.file_name, file_sha256 = excluded.file_sha256,
    row_count = excluded.row_count, row_digest = excluded.row_digest, sealed = excluded.sealed, unsealed = excluded.unsealed,
    archived_at = now(), restored_until = NULL, dropped_at = NULL;
END
$$;

-- As before, and a month comes back only as what was sealed.
CREATE OR REPLACE FUNCTION attach_audit_month(p_month date, p_until timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  partition_name text := audit_partition_name(p_month);
  partition text := format('audit_detached.%I', partition_name);
  archive audit_archives;
  found record;
  seal record;
BEGIN
  -- The long comparison comes before the first change: while a transaction has changed something, nothing later is sealed.
  EXECUTE format('LOCK TABLE %s IN SHARE MODE', partition);
  SELECT * INTO archive FROM audit_archives a WHERE a.month = p_month;
  SELECT * INTO found FROM audit_table_digest(partition::regclass);
  IF (found.row_count, found.row_digest) IS DISTINCT FROM (archive.row_count, archive.row_digest::numeric) THEN
    RAISE EXCEPTION 'audit month % has % rows, and these are not the % that were archived', partition_name,
      found.row_count, archive.row_count USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  SELECT * INTO seal FROM check_sealed_month(p_month, partition::regclass, archive.sealed);
  IF seal.waiting + seal.behind > coalesce(archive.unsealed, archive.row_count) THEN
    RAISE EXCEPTION 'audit month %: %, is not sealed, and was not in the log. Nothing was changed. See docs/runbooks.md#finding-an-archived-month-is-not-what-was-sealed',
      to_char(p_month, 'YYYY-MM'), seal.first_unsealed USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  PERFORM 1 FROM audit_archives a WHERE a.month = p_month FOR UPDATE;
  EXECUTE format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS xid xid8', partition);
  -- The log brings its own; one for rows cannot be there twice under one name.
  EXECUTE format('DROP TRIGGER IF EXISTS keep_audit_rows ON %s', partition);
  EXECUTE format('ALTER TABLE %s SET SCHEMA audit_partitions', partition);
  EXECUTE format('ALTER TABLE idempotent_write_audit_log ATTACH PARTITION audit_partitions.%I FOR VALUES FROM (%L) TO (%L)',
    partition_name, p_month::text || ' 00:00:00+00', (p_month + interval '1 month')::date::text || ' 00:00:00+00');
  EXECUTE format('DROP TRIGGER IF EXISTS keep_audit_log ON audit_partitions.%I', partition_name);
  EXECUTE format('CREATE TRIGGER keep_audit_log BEFORE TRUNCATE ON audit_partitions.%I
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(%L)', partition_name, 'the audit log is only added to');
  UPDATE audit_archives SET restored_until = p_until, dropped_at = NULL WHERE month = p_month;
  RETURN found.row_count;
END
$$;

-- Takes away what was loaded of a month that was dropped, and could not come back.
CREATE FUNCTION discard_audit_restore(p_month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM audit_archives a WHERE a.month = p_month AND a.dropped_at IS NOT NULL) THEN
    EXECUTE format('DROP TABLE IF EXISTS audit_detached.%I', audit_partition_name(p_month));
  END IF;
END
$$;

-- As audit_month_lines, each row with its seal: `{company, number, leaf, salted}`, NULL where it has none. `salted` is left out where
-- it cannot be had any more, because the row's write was erased while the row was in the archive.
CREATE FUNCTION audit_month_lines_with_seals(p_month date, p_after timestamptz, p_after_id bigint, p_limit integer)
RETURNS TABLE (at text, id bigint, line text, seal jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET "TimeZone" = 'UTC' AS $$
DECLARE
  a idempotent_write_audit_log;
  found record;
BEGIN
  FOR a IN EXECUTE format('SELECT r.* FROM audit_partitions.%I AS t,
      jsonb_populate_record(NULL::idempotent_write_audit_log, to_jsonb(t)) AS r
    WHERE (t."timestamp", t.id) > ($1, $2) ORDER BY t."timestamp", t.id LIMIT $3', audit_partition_name(p_month))
  USING p_after, p_after_id, p_limit LOOP
    PERFORM set_config('app.company_id', a.company_id::text, true);
    SELECT * INTO found FROM compare_with_seal(a, NULL);
    at := a."timestamp"::text;
    id := a.id;
    line := (to_jsonb(a) - 'xid')::text;
    seal := CASE WHEN found.number IS NOT NULL THEN jsonb_build_object('company', a.company_id, 'number', found.number,
      'leaf', encode(found.leaf, 'hex')) || CASE found.state WHEN 'erased' THEN '{}' ELSE jsonb_build_object('salted', found.salted) END END;
    RETURN NEXT;
  END LOOP;
  PERFORM set_config('app.company_id', '', true);
END
$$;

-- The parts of the chains that a month is in: of each company, from head to head around its rows, where there are heads, else from
-- batch to batch. `before` and `after` are the chain's digests, with the heads that have them, if any.
CREATE FUNCTION audit_month_parts(p_month date)
RETURNS TABLE (company_id uuid, first bigint, last bigint, before jsonb, after jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET "TimeZone" = 'UTC' AS $$
DECLARE
  month_end constant timestamptz := p_month + interval '1 month';
  companies uuid[];
  company uuid;
BEGIN
  EXECUTE format('SELECT array_agg(DISTINCT t.company_id ORDER BY t.company_id) FROM audit_partitions.%I AS t', audit_partition_name(p_month))
  INTO companies;
  FOREACH company IN ARRAY coalesce(companies, '{}') LOOP
    PERFORM set_config('app.company_id', company::text, true);
    RETURN QUERY
      WITH bounds AS (
        SELECT min(s.number) AS low, max(s.number) AS high FROM sealed_audit_rows s
        WHERE s.company_id = company AND s.row_timestamp >= p_month::timestamptz AND s.row_timestamp < month_end
      ), units AS (
        SELECT h.first_number AS u_first, h.number AS u_last FROM seal_heads h, bounds
        WHERE h.company_id = company AND h.log = 'audit' AND h.number >= low AND h.first_number <= high
        UNION ALL
        SELECT b.first_number, b.last_number FROM seal_batches b, bounds
        WHERE b.company_id = company AND b.log = 'audit' AND b.first_number <= high AND b.last_number >= low
          AND b.first_number > coalesce((SELECT max(h.number) FROM seal_heads h WHERE h.company_id = company AND h.log = 'audit'), 0)
      ), own AS (
        SELECT u.u_first, u.u_last, u.u_first IS DISTINCT FROM lag(u.u_last) OVER (ORDER BY u.u_first) + 1 AS begins FROM units u
        WHERE EXISTS (SELECT FROM sealed_audit_rows s WHERE s.company_id = company AND s.number BETWEEN u.u_first AND u.u_last
          AND s.row_timestamp >= p_month::timestamptz AND s.row_timestamp < month_end)
      ), islands AS (
        SELECT o.u_first, o.u_last, count(*) FILTER (WHERE o.begins) OVER (ORDER BY o.u_first) AS island FROM own o
      ), parts AS (
        SELECT min(i.u_first) AS p_first, max(i.u_last) AS p_last FROM islands i GROUP BY i.island
      )
      SELECT company, p.p_first, p.p_last, audit_chain_at(company, p.p_first - 1), audit_chain_at(company, p.p_last)
      FROM parts p ORDER BY p.p_first;
  END LOOP;
  PERFORM set_config('app.company_id', '', true);
END
$$;

-- The chain's digest of a company's audit log after a number at which a batch ends, and the head that was published there.
CREATE FUNCTION audit_chain_at(p_company uuid, p_number bigint) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT jsonb_build_object('digest', coalesce((SELECT encode(b.head, 'hex') FROM seal_batches b
      WHERE b.company_id = p_company AND b.log = 'audit' AND b.first_number <= p_number AND b.last_number = p_number
      ORDER BY b.first_number DESC LIMIT 1), repeat('0', 64)),
    'head', (SELECT jsonb_build_object('head', h.head, 'keyId', h.key_id, 'signature', translate(encode(h.signature, 'base64'), E'\n', ''))
      FROM seal_heads h WHERE h.company_id = p_company AND h.log = 'audit' AND h.number = p_number))
$$;

-- Leaves within a part that are of rows of other months.
CREATE FUNCTION audit_month_neighbours(p_month date, p_company uuid, p_first bigint, p_last bigint)
RETURNS TABLE (number bigint, leaf text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET "TimeZone" = 'UTC' AS $$
BEGIN
  PERFORM set_config('app.company_id', p_company::text, true);
  RETURN QUERY SELECT s.number, encode(s.leaf, 'hex') FROM sealed_audit_rows s
    WHERE s.company_id = p_company AND s.number BETWEEN p_first AND p_last
      AND (s.row_timestamp < p_month::timestamptz OR s.row_timestamp >= p_month + interval '1 month')
    ORDER BY s.number;
  PERFORM set_config('app.company_id', '', true);
END
$$;

-- Compares lines of an archive with the seal. `p_answers`: the digests of answers as the archive has them, or NULL. Of each line:
-- the number under which it is sealed, and what compare_with_seal says.
CREATE FUNCTION check_audit_lines(p_lines text[], p_answers text[])
RETURNS TABLE (number bigint, leaf text, state text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET "TimeZone" = 'UTC' AS $$
DECLARE
  a idempotent_write_audit_log;
  found record;
BEGIN
  FOR place IN 1 .. cardinality(p_lines) LOOP
    a := jsonb_populate_record(NULL::idempotent_write_audit_log, p_lines[place]::jsonb);
    PERFORM set_config('app.company_id', a.company_id::text, true);
    SELECT * INTO found FROM compare_with_seal(a, p_answers[place]);
    number := found.number;
    leaf := encode(found.leaf, 'hex');
    state := found.state;
    RETURN NEXT;
  END LOOP;
  PERFORM set_config('app.company_id', '', true);
END
$$;

REVOKE EXECUTE ON FUNCTION seal_of_audit_row(idempotent_write_audit_log), compare_with_seal(idempotent_write_audit_log, text),
  check_sealed_month(date, regclass, jsonb), audit_month_lines_with_seals(date, timestamptz, bigint, integer),
  audit_month_parts(date), audit_chain_at(uuid, bigint), audit_month_neighbours(date, uuid, bigint, bigint),
  check_audit_lines(text[], text[]), discard_audit_restore(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_month_lines_with_seals(date, timestamptz, bigint, integer), audit_month_parts(date),
  audit_month_neighbours(date, uuid, bigint, bigint), discard_audit_restore(date) TO accubooks_maintenance;
GRANT EXECUTE ON FUNCTION check_audit_lines(text[], text[]) TO accubooks_maintenance, accubooks_auditor;
