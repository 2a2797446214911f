-- Four eyes: a company's policies say which writes wait for whose approval, and each such write waits with a row of its own.

-- Every version of the policies. A company without a row has version 1, which is empty. The last row is what holds.
CREATE TABLE approval_policies (
  company_id uuid NOT NULL REFERENCES companies,
  version integer NOT NULL CHECK (version >= 2),
  policies jsonb NOT NULL CHECK (jsonb_typeof(policies) = 'array' AND pg_column_size(policies) <= 65536),
  write_id uuid NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, version),
  FOREIGN KEY (company_id, write_id) REFERENCES idempotent_writes (company_id, write_id)
);
CREATE TRIGGER keep_policies BEFORE UPDATE OR DELETE ON approval_policies
  FOR EACH ROW EXECUTE FUNCTION refuse_change('a change of the policies is another version');
CREATE TRIGGER keep_all_policies BEFORE TRUNCATE ON approval_policies
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('a change of the policies is another version');

-- A write that waits, or has waited, for its approval. `arguments` are those of its run: whoever finds no run of it starts one.
-- `demands` are what the policies that matched asked for: [{roles, count}], each of which must be met. Open while `closed_at` is
-- NULL; it is closed in the transaction that makes the outcome of its key.
CREATE TABLE approval_requests (
  company_id uuid NOT NULL REFERENCES companies,
  idempotency_key text COLLATE "C" NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  write_id uuid NOT NULL,
  user_id uuid NOT NULL REFERENCES users,
  arguments jsonb NOT NULL CHECK (pg_column_size(arguments) <= 16777216),
  policy_version integer NOT NULL,
  demands jsonb NOT NULL CHECK (jsonb_typeof(demands) = 'array' AND jsonb_array_length(demands) BETWEEN 1 AND 100),
  requested_at timestamptz NOT NULL,
  pending_since timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  approved_by uuid REFERENCES users,
  closed_at timestamptz,
  woken_at timestamptz,
  PRIMARY KEY (company_id, idempotency_key),
  UNIQUE (company_id, write_id),
  UNIQUE (company_id, idempotency_key, user_id),
  FOREIGN KEY (company_id, policy_version) REFERENCES approval_policies (company_id, version),
  CHECK (expires_at > pending_since),
  CHECK (approved_by IS NULL OR approved_by <> user_id AND closed_at IS NOT NULL)
);
CREATE INDEX approval_requests_open ON approval_requests (company_id, pending_since, idempotency_key) WHERE closed_at IS NULL;
CREATE INDEX approval_requests_ended ON approval_requests (closed_at) WHERE approved_by IS NULL;
CREATE TRIGGER keep_approval_requests
  BEFORE DELETE OR UPDATE OF company_id, idempotency_key, write_id, user_id, arguments, policy_version, demands, requested_at,
    pending_since, expires_at ON approval_requests
  FOR EACH ROW EXECUTE FUNCTION refuse_change('it is what the approvers have seen');
-- An operator may reopen the key of a write that was lost while it waited: then it waits again.
CREATE TRIGGER keep_closed_approval_requests BEFORE UPDATE OF approved_by, closed_at ON approval_requests
  FOR EACH ROW WHEN (OLD.closed_at IS NOT NULL AND (NEW.closed_at IS NOT NULL OR OLD.approved_by IS NOT NULL)) EXECUTE FUNCTION refuse_change('it is closed');
CREATE TRIGGER keep_all_approval_requests BEFORE TRUNCATE ON approval_requests
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('it is what the approvers have seen');

-- One decision a person, never changed, and never of whoever has asked for the write. `roles`: which the person held then.
CREATE TABLE approval_decisions (
  company_id uuid NOT NULL,
  idempotency_key text COLLATE "C" NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  user_id uuid NOT NULL REFERENCES users,
  requested_by uuid NOT NULL,
  decision text NOT NULL CHECK (decision IN ('approved', 'rejected')),
  comment text CHECK (length(comment) BETWEEN 1 AND 500),
  request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
  roles text[] NOT NULL CHECK (cardinality(roles) <= 9),
  decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (company_id, idempotency_key, user_id),
  FOREIGN KEY (company_id, idempotency_key, requested_by)
    REFERENCES approval_requests (company_id, idempotency_key, user_id),
  CONSTRAINT approver_is_requester CHECK (user_id <> requested_by)
);
CREATE TRIGGER keep_decisions BEFORE UPDATE OR DELETE ON approval_decisions
  FOR EACH ROW EXECUTE FUNCTION refuse_change('a decision stays as it was made');
CREATE TRIGGER keep_all_decisions BEFORE TRUNCATE ON approval_decisions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('a decision stays as it was made');

-- A decision tells the roles that its person holds as it is made, whatever the statement says.
CREATE FUNCTION note_roles() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.roles := coalesce(
    (SELECT m.roles FROM memberships m WHERE m.company_id = NEW.company_id AND m.user_id = NEW.user_id), '{}');
  RETURN NEW;
END $$;
CREATE TRIGGER note_roles BEFORE INSERT ON approval_decisions FOR EACH ROW EXECUTE FUNCTION note_roles();

-- Nobody decides about what is over, or without one of the roles that are asked for, whatever the application believes: the lock is
-- that of whoever closes it. Afterwards, since a row of another company is refused as such, whatever waits there.
CREATE FUNCTION require_open_request() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  asked jsonb;
BEGIN
  SELECT r.demands INTO asked FROM approval_requests r
  WHERE r.company_id = NEW.company_id AND r.idempotency_key = NEW.idempotency_key AND r.closed_at IS NULL
    AND r.expires_at > clock_timestamp()
  FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'nothing under % waits for an approval', NEW.idempotency_key
      USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_not_pending';
  END IF;
  IF NOT EXISTS (SELECT FROM jsonb_to_recordset(asked) AS n (roles text[]) WHERE n.roles && NEW.roles) THEN
    RAISE EXCEPTION 'nobody decides about % without one of its roles', NEW.idempotency_key
      USING ERRCODE = 'check_violation', CONSTRAINT = 'approver_without_role';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER require_open_request AFTER INSERT ON approval_decisions
  FOR EACH ROW EXECUTE FUNCTION require_open_request();

-- `approved_by` says that each of the demands is met, by enough people who hold one of its roles now, and who was the last of them.
CREATE FUNCTION require_approvals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.approved_by IS DISTINCT FROM (
      SELECT d.user_id FROM approval_decisions d
      JOIN memberships m ON m.company_id = d.company_id AND m.user_id = d.user_id
      WHERE d.company_id = NEW.company_id AND d.idempotency_key = NEW.idempotency_key AND d.decision = 'approved'
        AND EXISTS (SELECT FROM jsonb_to_recordset(NEW.demands) AS n (roles text[]) WHERE n.roles && m.roles)
      ORDER BY d.decided_at DESC, d.user_id DESC LIMIT 1)
    OR EXISTS (
      SELECT FROM jsonb_to_recordset(NEW.demands) AS n (roles text[], count integer)
      WHERE n.count > (
        SELECT count(*) FROM approval_decisions d
        JOIN memberships m ON m.company_id = d.company_id AND m.user_id = d.user_id
        WHERE d.company_id = NEW.company_id AND d.idempotency_key = NEW.idempotency_key AND d.decision = 'approved'
          AND m.roles && n.roles))
  THEN
    RAISE EXCEPTION 'write % has not been approved by enough people', NEW.write_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'approved_by_enough';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER require_approvals BEFORE INSERT OR UPDATE OF approved_by ON approval_requests
  FOR EACH ROW WHEN (NEW.approved_by IS NOT NULL) EXECUTE FUNCTION require_approvals();

ALTER TABLE approval_policies ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE approval_requests ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE approval_decisions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON approval_policies USING (company_id = current_company());
CREATE POLICY company ON approval_requests USING (company_id = current_company());
CREATE POLICY company ON approval_decisions USING (company_id = current_company());
CREATE POLICY auditor ON approval_policies FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON approval_requests FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON approval_decisions FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT, INSERT ON approval_policies, approval_requests, approval_decisions TO accubooks_app;
GRANT UPDATE (approved_by, closed_at) ON approval_requests TO accubooks_app;
GRANT SELECT ON approval_policies, approval_requests, approval_decisions TO accubooks_auditor;

-- The policies of a company as they are now; NULL where it has never had any.
CREATE FUNCTION current_policies(p_company uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT p.policies FROM approval_policies p WHERE p.company_id = p_company ORDER BY p.version DESC LIMIT 1
$$;

-- The request for approval of a key with its decisions, and the roles that those who decided have now; NULL where there is none.
CREATE FUNCTION approval_of(p_company uuid, p_key text) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('key', r.idempotency_key, 'writeId', r.write_id, 'userId', r.user_id, 'arguments', r.arguments,
    'demands', r.demands, 'requestedAt', r.requested_at, 'pendingSince', r.pending_since, 'expiresAt', r.expires_at,
    'expiresInMs', ceil(extract(epoch FROM r.expires_at - clock_timestamp()) * 1000),
    'isOpen', r.closed_at IS NULL, 'approvedBy', r.approved_by,
    'decisions', (
      SELECT coalesce(jsonb_agg(jsonb_build_object('userId', d.user_id, 'decision', d.decision, 'comment', d.comment,
        'at', d.decided_at, 'roles', coalesce(m.roles, '{}')) ORDER BY d.decided_at, d.user_id), '[]')
      FROM approval_decisions d
      LEFT JOIN memberships m ON m.company_id = d.company_id AND m.user_id = d.user_id
      WHERE d.company_id = r.company_id AND d.idempotency_key = r.idempotency_key))
  FROM approval_requests r WHERE r.company_id = p_company AND r.idempotency_key = p_key
$$;

-- Since when the approvals of a request are enough, with the roles that their givers held then; NULL: they are not. (The relay sees no
-- memberships.)
CREATE FUNCTION approved_since(p_company uuid, p_key text, p_demands jsonb) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT max(a.decided_at) FROM approval_decisions a
  WHERE a.company_id = p_company AND a.idempotency_key = p_key AND a.decision = 'approved'
  HAVING NOT EXISTS (
    SELECT FROM jsonb_to_recordset(p_demands) AS n (roles text[], count integer)
    WHERE n.count > (
      SELECT count(*) FROM approval_decisions g
      WHERE g.company_id = p_company AND g.idempotency_key = p_key AND g.decision = 'approved' AND g.roles && n.roles))
$$;

-- The requests whose run is to be told that there may be something to look at (`wake`), or to be looked for (`check`), for the
-- worker, which clears `woken_at` where it could not. Whoever decides tells the run, and it wakes up by itself when the time is over;
-- this is for what was lost on the way, and for runs that Temporal has lost, or somebody has ended. A signal leaves some ten events in
-- the history of the run. So what is due is told five seconds after it has come to be, and ever more rarely from then on; a decision that
-- does not suffice, after a minute. Without a decision, a look every ten minutes.
CREATE FUNCTION silent_approvals(p_limit integer) RETURNS TABLE (company_id uuid, idempotency_key text, task text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    WITH known AS (
      SELECT r.company_id, r.idempotency_key, coalesce(i.due_at, d.decided_at) AS news_at,
        CASE WHEN i.due_at IS NULL THEN interval '1 minute' ELSE interval '5 seconds' END AS patience,
        -- A moment to come is one of before the clock was set back.
        CASE WHEN r.woken_at <= clock_timestamp() THEN r.woken_at ELSE timestamptz '2000-01-01Z' END AS woken_at
      FROM approval_requests r
      CROSS JOIN LATERAL (
        SELECT max(d.decided_at) AS decided_at FROM approval_decisions d
        WHERE d.company_id = r.company_id AND d.idempotency_key = r.idempotency_key
      ) AS d
      CROSS JOIN LATERAL (
        SELECT coalesce(r.closed_at, CASE WHEN r.expires_at < clock_timestamp() THEN r.expires_at END,
          CASE WHEN d.decided_at IS NOT NULL THEN approved_since(r.company_id, r.idempotency_key, r.demands) END) AS due_at
      ) AS i
      WHERE (r.closed_at IS NULL AND r.pending_since < clock_timestamp() - interval '5 seconds')
        OR (r.approved_by IS NULL AND r.closed_at > clock_timestamp() - interval '10 minutes')
    ), due AS (
      SELECT k.company_id, k.idempotency_key, CASE WHEN k.news_at IS NULL THEN 'check' ELSE 'wake' END AS task
      FROM known k
      JOIN approval_requests r ON r.company_id = k.company_id AND r.idempotency_key = k.idempotency_key
      WHERE k.news_at IS NULL AND k.woken_at < clock_timestamp() - interval '10 minutes'
        OR k.news_at < clock_timestamp() - k.patience
          AND (k.woken_at < k.news_at OR clock_timestamp() - k.woken_at > greatest(3 * k.patience, k.woken_at - k.news_at))
      ORDER BY k.woken_at LIMIT p_limit FOR NO KEY UPDATE OF r SKIP LOCKED
    )
    UPDATE approval_requests r SET woken_at = clock_timestamp() FROM due d
    WHERE r.company_id = d.company_id AND r.idempotency_key = d.idempotency_key
    RETURNING r.company_id, r.idempotency_key::text, d.task;
END $$;

-- The run of this one could not be reached: it is told again.
CREATE FUNCTION note_silent_approval(p_company uuid, p_key text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_relay();
  UPDATE approval_requests r SET woken_at = NULL WHERE r.company_id = p_company AND r.idempotency_key = p_key;
END $$;
CREATE POLICY relay ON approval_requests TO accubooks_relay USING (true);
CREATE POLICY relay ON approval_decisions FOR SELECT TO accubooks_relay USING (true);
GRANT SELECT (company_id, idempotency_key, demands, pending_since, expires_at, approved_by, closed_at, woken_at), UPDATE (woken_at)
  ON approval_requests TO accubooks_relay;
GRANT SELECT (company_id, idempotency_key, decision, roles, decided_at) ON approval_decisions TO accubooks_relay;

-- How many wait, and for how long the outcome of one is due, for the worker's metrics: its time is over, or enough people have
-- approved it.
CREATE FUNCTION approval_facts() RETURNS TABLE (waiting bigint, overdue_seconds double precision)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    SELECT count(*), age_seconds(min(least(r.expires_at, approved_since(r.company_id, r.idempotency_key, r.demands))))
    FROM approval_requests r WHERE r.closed_at IS NULL;
END $$;

-- A key that gets its outcome by another way than its write is closed with it: cancelled, or lost.
CREATE FUNCTION close_approval_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE approval_requests r SET closed_at = clock_timestamp()
  WHERE r.company_id = NEW.company_id AND r.idempotency_key = NEW.idempotency_key AND r.closed_at IS NULL;
  RETURN NULL;
END $$;
CREATE TRIGGER close_approval_request AFTER INSERT ON idempotent_writes
  FOR EACH ROW WHEN (NEW.outcome IS NOT NULL) EXECUTE FUNCTION close_approval_request();

-- A claim without an outcome is seen by its own transaction alone. It is taken back when the write is to wait.
DROP TRIGGER keep_writes ON idempotent_writes;
CREATE TRIGGER keep_writes BEFORE DELETE ON idempotent_writes
  FOR EACH ROW WHEN (OLD.outcome <> 'lost')
  EXECUTE FUNCTION refuse_change('keys never expire, and the row is the record');
CREATE FUNCTION unclaim_write(p_company uuid, p_key text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF p_company IS DISTINCT FROM current_company() THEN
    RAISE EXCEPTION 'the company of this transaction is another one' USING ERRCODE = 'insufficient_privilege';
  END IF;
  DELETE FROM idempotent_writes w WHERE w.company_id = p_company AND w.idempotency_key = p_key AND w.outcome IS NULL;
END $$;
REVOKE EXECUTE ON FUNCTION unclaim_write(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION unclaim_write(uuid, text) TO accubooks_app;
