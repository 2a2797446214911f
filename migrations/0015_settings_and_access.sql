-- What changes a company itself: its settings, and who has access to it.

-- Takes the company's row for one who changes its settings or its access, then reads it in a statement of its own, which
-- sees what the one before us left; with the caller's roles, which only such a one can change. NO KEY UPDATE excludes
-- postings (FOR SHARE) and others like us. A plain FOR UPDATE would exclude the foreign keys too, which each write's row
-- has taken by then: two of us would deadlock.
CREATE FUNCTION lock_company(p_company uuid, p_user uuid)
RETURNS TABLE (company companies, member_roles text[])
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM companies c WHERE c.id = p_company FOR NO KEY UPDATE;
  RETURN QUERY
    SELECT c, (SELECT m.roles FROM memberships m WHERE m.company_id = p_company AND m.user_id = p_user)
    FROM companies c WHERE c.id = p_company;
END
$$;

-- Every change is a version, whoever makes it. A secret is replaced by the next one and by no other: old and new sign side
-- by side, and there are only two of them.
CREATE FUNCTION begin_settings_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := OLD.version + 1;
  IF NEW.webhook_secret_version = OLD.webhook_secret_version + 1 THEN
    NEW.webhook_secret_rotated_at := now();
  ELSIF NEW.webhook_secret_version <> OLD.webhook_secret_version THEN
    RAISE EXCEPTION 'secret % follows none but %', NEW.webhook_secret_version, NEW.webhook_secret_version - 1
      USING ERRCODE = 'check_violation', CONSTRAINT = 'companies_webhook_secret_is_next';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER begin_settings_version BEFORE UPDATE ON companies
  FOR EACH ROW EXECUTE FUNCTION begin_settings_version();

GRANT UPDATE (name, time_zone, base_currency, books_closed_through, employer_tax_rate_basis_points,
  pay_run_approval_required, webhook_url, webhook_secret_version) ON companies TO accubooks_app;

-- Somebody always has the keys. Asked when the transaction ends, so that an owner can be followed by another in one.
CREATE FUNCTION keep_last_owner() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM companies c WHERE c.id = OLD.company_id FOR NO KEY UPDATE;
  IF NOT EXISTS (SELECT FROM memberships m WHERE m.company_id = OLD.company_id AND 'owner' = ANY (m.roles)) THEN
    RAISE EXCEPTION 'a company keeps an owner' USING ERRCODE = 'check_violation', CONSTRAINT = 'last_owner';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER keep_last_owner AFTER UPDATE OR DELETE ON memberships
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ('owner' = ANY (OLD.roles)) EXECUTE FUNCTION keep_last_owner();

-- Is there such a person, anywhere? Who grants access names an ID; of one who is no member yet they learn no more than
-- this, and the row itself stays unseen.
CREATE FUNCTION user_exists(p_user uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT EXISTS (SELECT FROM users u WHERE u.id = p_user);
$$;
REVOKE EXECUTE ON FUNCTION user_exists(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION user_exists(uuid) TO accubooks_app;

-- The only rows that the application deletes: who has no roles is no member. What they did stays under their name.
GRANT INSERT, DELETE, UPDATE (roles) ON memberships TO accubooks_app;
