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
  trusted uuid;
BEGIN
  -- Before the rows: one that is not there was not there under this version.
  PERFORM enter_company(p_companies[1]);
  trusted := trusted_version();
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
  RETURN QUERY SELECT NULL::uuid, NULL::text, NULL::uuid, NULL::text[], NULL::idempotent_writes, trusted;
END
$$;

-- Claims and cancels ask first whether they may: see require_trust.
DROP FUNCTION claim_write(uuid, text, uuid, uuid, text, text, text, integer, jsonb, uuid, text, text, integer, timestamptz);
CREATE FUNCTION claim_write(
  p_company uuid, p_key text, p_write_id uuid, p_submission_id uuid, p_operation text, p_type text, p_fingerprint text,
  p_schema_version integer, p_request jsonb, p_user uuid, p_request_id text, p_workflow_id text, p_attempt integer,
  p_requested_at timestamptz, p_version uuid DEFAULT NULL)
RETURNS TABLE (claimed boolean, member_roles text[], write idempotent_writes)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
  PERFORM require_trust(p_version);
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
  p_version uuid DEFAULT NULL)
RETURNS TABLE (claimed_key text, member_id uuid, member_roles text[])
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
  PERFORM require_trust(p_version);
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
  p_version uuid DEFAULT NULL)
RETURNS TABLE (cancelled_now boolean, write idempotent_writes)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  PERFORM require_trust(p_version);
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

-- A restored sequence has forgotten numbers that it gave out: none is given until an operator has moved it on.
ALTER FUNCTION number_events(integer, uuid[]) RENAME TO number_trusted_events;
CREATE FUNCTION number_events(p_limit integer, p_workflows_started uuid[]) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_relay();
  IF trusted_version() IS NULL THEN
    RETURN 0;
  END IF;
  RETURN number_trusted_events(p_limit, p_workflows_started);
END
$$;
