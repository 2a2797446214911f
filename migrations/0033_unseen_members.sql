-- Who grants access names a user by ID, and may know nothing else of them: the e-mail address of a member is shown to the
-- company only once that member has used the company. Before, an owner of any company learned the address of any ID.
-- Members of today keep theirs shown; so do those whom a process of the previous release, or an operator, adds.
ALTER TABLE memberships ADD COLUMN unseen boolean NOT NULL DEFAULT false;
GRANT UPDATE (unseen) ON memberships TO accubooks_app;

-- A member has used the company. Called off the path of requests, at most once a minute, member and process.
CREATE FUNCTION mark_member_seen(p_company uuid, p_user uuid) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  UPDATE memberships m SET unseen = false WHERE m.company_id = p_company AND m.user_id = p_user AND m.unseen;
END
$$;
