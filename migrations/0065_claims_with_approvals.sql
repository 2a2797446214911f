-- Claims and look-ups tell of policies and of what waits for its approval. The functions of the release before stay as they are
-- called; what they return has further columns.

-- As before. A company that has, or has had, policies is told them, and the request for approval of the key, which is locked.
-- `p_approvals`: whether the caller heeds them. A release that does not makes no write that a policy is about; a later one will.
DROP FUNCTION claim_write(uuid, text, uuid, uuid, text, text, text, integer, jsonb, uuid, text, text, integer, timestamptz, uuid);
CREATE FUNCTION claim_write(
  p_company uuid, p_key text, p_write_id uuid, p_submission_id uuid, p_operation text, p_type text, p_fingerprint text,
  p_schema_version integer, p_request jsonb, p_user uuid, p_request_id text, p_workflow_id text, p_attempt integer,
  p_requested_at timestamptz, p_version uuid DEFAULT NULL, p_approvals boolean DEFAULT false)
RETURNS TABLE (claimed boolean, member_roles text[], write idempotent_writes, policies jsonb, approval jsonb)
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
    -- Each a statement of its own, after the wait for a twin: it may have left a request for approval.
    policies := current_policies(p_company);
    IF policies IS NOT NULL THEN
      PERFORM 1 FROM approval_requests r WHERE r.company_id = p_company AND r.idempotency_key = p_key FOR NO KEY UPDATE;
      approval := approval_of(p_company, p_key);
      IF NOT p_approvals AND (approval IS NOT NULL OR is_about(policies, p_operation)) THEN
        RAISE EXCEPTION 'a release that knows approvals has to make this write' USING ERRCODE = 'serialization_failure';
      END IF;
    END IF;
    RETURN QUERY
      SELECT true, (SELECT m.roles FROM memberships m WHERE m.company_id = p_company AND m.user_id = p_user),
        NULL::idempotent_writes, policies, approval;
  ELSE
    RETURN QUERY
      SELECT false, NULL::text[], w, NULL::jsonb, NULL::jsonb FROM idempotent_writes w
      WHERE w.company_id = p_company AND w.idempotency_key = p_key;
  END IF;
END
$$;

CREATE FUNCTION is_about(p_policies jsonb, p_operation text) RETURNS boolean
LANGUAGE sql IMMUTABLE RETURN p_policies @> jsonb_build_array(jsonb_build_object('operation', p_operation));

-- As before. Policies come once, in a row of their own. A set does nothing for a key that waits for its approval, and fails.
DROP FUNCTION claim_writes(uuid, text, text, text, timestamptz, jsonb, uuid);
CREATE FUNCTION claim_writes(
  p_company uuid, p_operation text, p_type text, p_workflow_id text, p_requested_at timestamptz, p_items jsonb,
  p_version uuid DEFAULT NULL, p_approvals boolean DEFAULT false)
RETURNS TABLE (claimed_key text, member_id uuid, member_roles text[], policies jsonb)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  keys text[];
  known jsonb;
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
  PERFORM require_trust(p_version);
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
    SELECT coalesce(array_agg(c.idempotency_key::text), '{}') INTO keys FROM claimed c;
  RETURN QUERY SELECT k, NULL::uuid, NULL::text[], NULL::jsonb FROM unnest(keys) AS k;
  -- Statements of their own, after the wait for a twin: policies and roles as they are now.
  known := current_policies(p_company);
  IF known IS NOT NULL THEN
    IF NOT p_approvals AND is_about(known, p_operation) THEN
      RAISE EXCEPTION 'a release that knows approvals has to make these writes' USING ERRCODE = 'serialization_failure';
    END IF;
    IF EXISTS (SELECT FROM approval_requests r WHERE r.company_id = p_company AND r.idempotency_key = ANY (keys)) THEN
      RAISE EXCEPTION 'a write of this set waits for its approval';
    END IF;
    RETURN QUERY SELECT NULL::text, NULL::uuid, NULL::text[], known;
  END IF;
  RETURN QUERY
    SELECT NULL::text, m.user_id, m.roles, NULL::jsonb FROM memberships m
    WHERE m.company_id = p_company
      AND m.user_id = ANY (ARRAY(SELECT i.user_id FROM jsonb_to_recordset(p_items) AS i (user_id uuid)));
END
$$;

-- Without a row, what waits for its approval under the key.
DROP FUNCTION lookup_write(uuid, text, text);
CREATE FUNCTION lookup_write(p_company uuid, p_subject text, p_key text)
RETURNS TABLE (member_id uuid, member_roles text[], write idempotent_writes, version uuid, approval jsonb)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  PERFORM enter_company(p_company);
  RETURN QUERY
    SELECT m.user_id, m.roles, w, CASE WHEN w.idempotency_key IS NULL THEN trusted_version() END,
      CASE WHEN w.idempotency_key IS NULL THEN approval_of(p_company, p_key) END
    FROM (VALUES (1)) AS one
    LEFT JOIN (users u JOIN memberships m ON m.user_id = u.id AND m.company_id = p_company) ON u.token_subject = p_subject
    LEFT JOIN idempotent_writes w ON w.company_id = p_company AND w.idempotency_key = p_key;
END
$$;

DROP FUNCTION lookup_writes(uuid[], text[], text[]);
CREATE FUNCTION lookup_writes(p_companies uuid[], p_subjects text[], p_keys text[])
RETURNS TABLE (company uuid, subject text, member_id uuid, member_roles text[], write idempotent_writes, version uuid,
  approval jsonb)
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
      SELECT one, a.subject, m.user_id, m.roles, NULL::idempotent_writes, NULL::uuid, NULL::jsonb
      FROM (SELECT DISTINCT s.subject FROM unnest(p_companies, p_subjects) AS s (company, subject)
            WHERE s.company = one AND s.subject IS NOT NULL) AS a
      JOIN users u ON u.token_subject = a.subject AND u.token_subject = ANY (p_subjects)
      JOIN memberships m ON m.user_id = u.id AND m.company_id = one;
    -- Before the rows: what gets its outcome in between is found by one of the two.
    RETURN QUERY
      SELECT one, NULL::text, NULL::uuid, NULL::text[], NULL::idempotent_writes, NULL::uuid,
        approval_of(one, r.idempotency_key)
      FROM approval_requests r
      WHERE r.company_id = one AND r.closed_at IS NULL AND r.idempotency_key = ANY (ARRAY(
        SELECT k.key FROM unnest(p_companies, p_keys) AS k (company, key) WHERE k.company = one));
    RETURN QUERY
      SELECT one, NULL::text, NULL::uuid, NULL::text[], w, NULL::uuid, NULL::jsonb
      FROM idempotent_writes w
      WHERE w.company_id = one AND w.idempotency_key = ANY (ARRAY(
        SELECT k.key FROM unnest(p_companies, p_keys) AS k (company, key) WHERE k.company = one));
  END LOOP;
  RETURN QUERY SELECT NULL::uuid, NULL::text, NULL::uuid, NULL::text[], NULL::idempotent_writes, trusted, NULL::jsonb;
END
$$;
