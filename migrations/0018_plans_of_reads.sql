-- The look-up of a reader is the first statement of a list's or a report's transaction, too, and those are to be planned as
-- ever. So here the settings of plan_by_key() end with the function; those of claim_write go on to the end of the write.
CREATE OR REPLACE FUNCTION lookup_write(p_company uuid, p_subject text, p_key text)
RETURNS TABLE (member_id uuid, member_roles text[], write idempotent_writes)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  PERFORM enter_company(p_company);
  RETURN QUERY
    SELECT m.user_id, m.roles, w
    FROM (VALUES (1)) AS one
    LEFT JOIN (users u JOIN memberships m ON m.user_id = u.id AND m.company_id = p_company) ON u.token_subject = p_subject
    LEFT JOIN idempotent_writes w ON w.company_id = p_company AND w.idempotency_key = p_key;
END
$$;
