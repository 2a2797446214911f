-- Roles, companies, users and who belongs to which company.
--
-- Roles live in the cluster, not in the database, so each is made only where it is not there yet; two databases of one
-- cluster may migrate at the same moment.
DO $$
DECLARE
  role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['accubooks_app', 'accubooks_relay', 'accubooks_maintenance', 'accubooks_auditor'] LOOP
    BEGIN
      IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role_name) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL;
    END;
  END LOOP;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO accubooks_app, accubooks_relay, accubooks_maintenance, accubooks_auditor;

-- The company that this transaction works for. Once a transaction-local setting has been used in a session it reads as
-- the empty string, not as NULL, hence the nullif: no company, no rows, and no error either.
CREATE FUNCTION current_company() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('app.company_id', true), '')::uuid;

-- Refuses what must never happen to a table, for its owner too. The trigger's argument says what to do instead.
CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END
$$;

-- The row that holds the settings. Company-wide rules lock it: shared for postings, exclusive for settings and access.
CREATE TABLE companies (
  id uuid PRIMARY KEY,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  time_zone text NOT NULL DEFAULT 'UTC' CHECK (length(time_zone) BETWEEN 1 AND 64),
  base_currency text NOT NULL CHECK (base_currency ~ '^[A-Z]{3}$'),
  books_closed_through date,
  version integer NOT NULL DEFAULT 1 CHECK (version >= 1),
  created_at timestamptz NOT NULL DEFAULT now()
);

-- People are global; a company sees only its members.
CREATE TABLE users (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  email text NOT NULL CHECK (length(email) BETWEEN 3 AND 200 AND email = lower(email)),
  -- The subject by which an identity provider knows this person; without one, the ID is the subject.
  subject text CHECK (length(subject) BETWEEN 1 AND 255),
  token_subject text NOT NULL GENERATED ALWAYS AS (coalesce(subject, id::text)) STORED,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT users_email_key UNIQUE (email),
  CONSTRAINT users_token_subject_key UNIQUE (token_subject)
);

CREATE TABLE memberships (
  company_id uuid NOT NULL REFERENCES companies,
  user_id uuid NOT NULL REFERENCES users,
  roles text[] NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, user_id),
  CONSTRAINT memberships_roles_known CHECK (
    cardinality(roles) BETWEEN 1 AND 9 AND roles <@ ARRAY['owner', 'admin', 'manager', 'accountant', 'auditor', 'inventory_manager',
      'employee', 'customer', 'user']
  )
);
CREATE INDEX memberships_user_id ON memberships (user_id);

ALTER TABLE companies ENABLE ROW LEVEL SECURITY;
ALTER TABLE companies FORCE ROW LEVEL SECURITY;
ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;
ALTER TABLE memberships FORCE ROW LEVEL SECURITY;
-- Not forced for its owner: a user is made before any company knows them.
ALTER TABLE users ENABLE ROW LEVEL SECURITY;

CREATE POLICY company ON companies USING (id = current_company());
CREATE POLICY company ON memberships USING (company_id = current_company());
CREATE POLICY members ON users FOR SELECT USING (
  EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = users.id AND m.company_id = current_company())
);
CREATE POLICY auditor ON companies FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON memberships FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON users FOR SELECT TO accubooks_auditor USING (true);

GRANT SELECT ON companies, memberships, users TO accubooks_app, accubooks_auditor;
-- A row can be locked FOR SHARE only by a role that may update one of its columns.
GRANT UPDATE (version) ON companies TO accubooks_app;
