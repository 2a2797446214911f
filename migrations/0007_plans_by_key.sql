-- The statements of the write path are planned once a connection, by key. A plan that was made while a table was small
-- would go on reading it from end to end until the next ANALYZE; and one that is made anew for each execution costs more
-- than the statement. Both settings are this transaction's alone.
CREATE FUNCTION plan_by_key() RETURNS void
LANGUAGE sql VOLATILE AS $$
  SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true);
$$;

CREATE OR REPLACE FUNCTION lookup_write(p_company uuid, p_subject text, p_key text)
RETURNS TABLE (member_id uuid, member_roles text[], write idempotent_writes)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
  RETURN QUERY
    SELECT m.user_id, m.roles, w
    FROM (VALUES (1)) AS one
    LEFT JOIN (users u JOIN memberships m ON m.user_id = u.id AND m.company_id = p_company) ON u.token_subject = p_subject
    LEFT JOIN idempotent_writes w ON w.company_id = p_company AND w.idempotency_key = p_key;
END
$$;

CREATE OR REPLACE FUNCTION claim_write(
  p_company uuid, p_key text, p_write_id uuid, p_submission_id uuid, p_operation text, p_type text, p_fingerprint text,
  p_schema_version integer, p_request jsonb, p_user uuid, p_request_id text, p_workflow_id text, p_attempt integer,
  p_requested_at timestamptz)
RETURNS TABLE (claimed boolean, member_roles text[], write idempotent_writes)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
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
