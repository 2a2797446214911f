-- No session can put a table of its own in the place of one of ours: a temporary one named `memberships`, which PostgreSQL
-- looks at first, made a stranger an owner for as long as the session lived.
--
-- That nobody but the owner may create temporary tables is a privilege on the database itself, which neither a template nor
-- a dump carries over: migrate.ts takes it away after each run. Here is the second line: a transaction that enters a company,
-- or the relay, looks for tables in `public` first and in the temporary schema last, whatever its session has set before.
--
-- It is set for the transaction and not on each function: PostgreSQL has to find its search path anew for the new role
-- anyway, so one more setting there costs nothing that could be measured, while SET on the functions of the write path and its
-- triggers costs each call. It also holds for the statements that the processes send themselves.

CREATE OR REPLACE FUNCTION enter_company(p_company uuid) RETURNS void
LANGUAGE sql VOLATILE AS $$
  SELECT set_config('role', 'accubooks_app', true), set_config('app.company_id', p_company::text, true),
    set_config('search_path', 'public, pg_temp', true);
$$;

CREATE OR REPLACE FUNCTION enter_relay() RETURNS void
LANGUAGE sql VOLATILE AS $$
  SELECT set_config('role', 'accubooks_relay', true), set_config('search_path', 'public, pg_temp', true);
$$;

-- These are called without a company, a few times a second at most.
ALTER FUNCTION register_lane(uuid, text, integer, text) SET search_path = public, pg_temp;
ALTER FUNCTION settle_lane(uuid, text, integer, integer, double precision, double precision) SET search_path = public, pg_temp;
ALTER FUNCTION confirm_lane(uuid, integer, text) SET search_path = public, pg_temp;
ALTER FUNCTION retire_lane(uuid, text, integer, integer, integer) SET search_path = public, pg_temp;
ALTER FUNCTION unlisted_since() SET search_path = public, pg_temp;
