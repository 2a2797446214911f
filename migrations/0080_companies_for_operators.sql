-- Companies by name, for operators who look for one in the console. The application's role sees one company at a time, and needs no
-- more than this: IDs, names and time zones. Each use is a row of the security log, whoever calls.
--
-- The function is the owner's, who needs a policy where BYPASSRLS is missing; it holds within the function alone.
CREATE POLICY listing ON companies FOR SELECT TO CURRENT_USER USING (current_setting('app.listing_companies', true) = 'on');

CREATE FUNCTION companies_for_operators(p_subject text, p_ip inet, p_request_id text, p_search text, p_company uuid)
RETURNS TABLE (id uuid, name text, time_zone text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  entered text := coalesce(current_setting('app.company_id', true), '');
  company uuid := coalesce(p_company, '00000000-0000-0000-0000-000000000000');
BEGIN
  PERFORM set_config('app.company_id', company::text, true);
  INSERT INTO security_log (company_id, event, reason, subject, ip, action, request_id)
  VALUES (company, 'operator_command', 'companies_listed', p_subject, p_ip, 'GET /operator/companies', p_request_id);
  PERFORM set_config('app.company_id', entered, true);
  PERFORM set_config('app.listing_companies', 'on', true);
  RETURN QUERY
    SELECT c.id, c.name, c.time_zone FROM companies c
    WHERE (p_company IS NULL OR c.id = p_company)
      AND (p_search IS NULL OR strpos(lower(c.name), lower(p_search)) > 0)
    ORDER BY c.name, c.id LIMIT 200;
  PERFORM set_config('app.listing_companies', 'off', true);
END
$$;
REVOKE ALL ON FUNCTION companies_for_operators(text, inet, text, text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION companies_for_operators(text, inet, text, text, uuid) TO accubooks_app;
