-- What a failover or a restore takes. PostgreSQL may come back as another than it was: restarted, failed over to a standby
-- that lagged, restored to an earlier time. Only a server that was verified says of a key that it has no write.

-- Which server this is, as one text: its cluster, its start in µs, and this database and table, which a dump that is loaded
-- into a running cluster makes anew. The start as a number: the driver cuts timestamps to milliseconds.
CREATE TABLE verification (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  -- New at each verification: it names the lanes and groups whose writes the next one has to look for.
  version uuid NOT NULL,
  incarnation text NOT NULL CHECK (length(incarnation) <= 200),
  -- New at each loss: a run that was started before it may have been answered from a row that is gone.
  epoch uuid NOT NULL,
  -- False: groups wait until the runs of keys that completed before have been compared with their rows.
  key_runs_listed boolean NOT NULL DEFAULT true,
  -- Of when those are that have to be compared: the last sign of a process before the database went away. NULL: none.
  key_runs_since timestamptz,
  -- Why an operator has to verify this database; NULL while none has to.
  replaced text CHECK (length(replaced) <= 1000),
  replaced_at timestamptz,
  -- Whether the processes opened it by themselves at the last verification, because nothing was missing.
  continued boolean NOT NULL DEFAULT false,
  -- Which process looks for what is missing, and until when the others leave that to it.
  reconciler text CHECK (length(reconciler) <= 200),
  reconciler_until timestamptz,
  verified_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (num_nulls(replaced, replaced_at) IN (0, 2)),
  CHECK (key_runs_listed = (key_runs_since IS NULL))
);
GRANT SELECT ON verification TO accubooks_app, accubooks_relay;

-- In plpgsql, which keeps its plans: in SQL these functions would be planned anew at each call, for ten times as long.
CREATE FUNCTION incarnation() RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT c.system_identifier FROM pg_control_system() AS c) || '/'
    || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint || '/'
    -- The folder of the table's file is the database's.
    || split_part(pg_relation_filepath('verification'), '/', -2) || '.' || 'verification'::regclass::oid;
END
$$;

-- Runs of before the first loss, and of releases that knew none, have the nil UUID as their epoch.
-- A database that has writes may be a backup of before this migration: the runs of its keys are compared.
INSERT INTO verification (version, incarnation, epoch, key_runs_listed, key_runs_since)
SELECT gen_random_uuid(), incarnation(), '00000000-0000-0000-0000-000000000000', a.newest IS NULL, a.newest
FROM (SELECT max(timestamp) AS newest FROM idempotent_write_audit_log) AS a;

-- The version under which this server was verified; NULL where it is not, or is a standby.
CREATE FUNCTION trusted_version() RETURNS uuid
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT v.version FROM verification v
          WHERE v.incarnation = incarnation() AND v.replaced IS NULL AND NOT pg_is_in_recovery());
END
$$;

-- The first step of whatever makes a row: refuses a process that has not noticed that the server is another one. A process
-- of a release before this one names no version. A version stands for one incarnation. The SQLSTATE is ours, in a class that every release retries.
CREATE FUNCTION require_trust(p_version uuid) RETURNS void
LANGUAGE plpgsql STABLE AS $$
DECLARE
  trusted uuid := trusted_version();
BEGIN
  IF trusted IS NULL OR trusted <> coalesce(p_version, trusted) THEN
    RAISE EXCEPTION 'this server has not been verified, or not for this process' USING ERRCODE = '58AB1';
  END IF;
END
$$;

-- What is read to compare has to come from the server that is compared: a pooler may mix servers.
CREATE FUNCTION require_incarnation(p_incarnation text) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF incarnation() IS DISTINCT FROM p_incarnation OR pg_is_in_recovery() THEN
    RAISE EXCEPTION 'this is another server' USING ERRCODE = '58AB1';
  END IF;
END
$$;

-- Who starts groups: one row a process and version. Every group up to `settled` has the row of each of its writes, or the
-- start of the write's own run is known; every group after it was started at `settled_at` or later.
CREATE TABLE lanes (
  version uuid NOT NULL,
  lane integer NOT NULL CHECK (lane >= 0),
  process text NOT NULL CHECK (length(process) <= 200),
  registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  settled integer NOT NULL DEFAULT 0 CHECK (settled >= 0),
  -- When the group `settled` was started, or the lane was registered: Temporal forgets it after its retention.
  settled_started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  settled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- The incarnation on which the process found the last row again that it had answered.
  confirmed text CHECK (length(confirmed) <= 200),
  -- No group can follow, and none is left to look at.
  retired boolean NOT NULL DEFAULT false,
  PRIMARY KEY (version, lane)
);
GRANT SELECT, INSERT, UPDATE (settled, settled_started_at, settled_at, heartbeat_at, confirmed, retired) ON lanes
  TO accubooks_app;

CREATE FUNCTION register_lane(p_version uuid, p_incarnation text, p_lane integer, p_process text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  INSERT INTO lanes (version, lane, process, confirmed)
  SELECT v.version, p_lane, p_process, p_incarnation FROM verification v
  WHERE v.version = p_version AND v.version = trusted_version() AND v.incarnation = p_incarnation;
  RETURN FOUND;
END
$$;

-- False where the server or the version is another one, or the lane was retired: the process needs a new one. The ages are
-- those of the group `settled`, and of the oldest one after it (0 without one): a process has no clock of its own here.
CREATE FUNCTION settle_lane(p_version uuid, p_incarnation text, p_lane integer, p_settled integer,
  p_settled_age_ms double precision, p_unsettled_age_ms double precision) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE lanes l
  SET settled = greatest(l.settled, p_settled),
    settled_started_at = clock_timestamp() - make_interval(secs => p_settled_age_ms / 1000),
    settled_at = clock_timestamp() - make_interval(secs => p_unsettled_age_ms / 1000),
    heartbeat_at = clock_timestamp()
  WHERE l.version = p_version AND l.lane = p_lane AND NOT l.retired
    AND EXISTS (SELECT FROM verification v
                WHERE v.version = p_version AND v.version = trusted_version() AND v.incarnation = p_incarnation);
  RETURN FOUND;
END
$$;

-- No group follows in this lane, and each up to `p_to` is settled. Nothing is changed where the lane is not as it was read.
CREATE FUNCTION retire_lane(p_version uuid, p_incarnation text, p_lane integer, p_from integer, p_to integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE lanes l SET settled = p_to, retired = true
  WHERE l.version = p_version AND l.lane = p_lane AND l.settled = p_from AND NOT l.retired
    AND EXISTS (SELECT FROM verification v
                WHERE v.version = p_version AND v.version = trusted_version() AND v.incarnation = p_incarnation);
  RETURN FOUND;
END
$$;

-- A live process has its last row on the server that has come back. False: this lane's own row is gone.
CREATE FUNCTION confirm_lane(p_version uuid, p_lane integer, p_incarnation text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE lanes l SET confirmed = p_incarnation
  WHERE l.version = p_version AND l.lane = p_lane AND incarnation() = p_incarnation;
  RETURN FOUND OR incarnation() <> p_incarnation;
END
$$;

-- The steps below change the verification, which the processes may not do at will: hence the definer's rights.

-- One process at a time looks for what is missing; the others take over when it says nothing for ten seconds.
CREATE FUNCTION lease_reconcile(p_version uuid, p_incarnation text, p_process text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE verification SET reconciler = p_process, reconciler_until = clock_timestamp() + interval '10 seconds'
  WHERE version = p_version AND incarnation() = p_incarnation AND NOT pg_is_in_recovery()
    AND (reconciler IS NULL OR reconciler = p_process OR reconciler_until < clock_timestamp()
         OR reconciler_until > clock_timestamp() + interval '1 minute');
  RETURN FOUND;
END
$$;

-- From when on the runs of keys have to be compared with their rows, if the verification ends now. What an earlier one has
-- left to compare stays to be compared.
CREATE FUNCTION unlisted_since() RETURNS timestamptz
LANGUAGE sql STABLE AS $$
  SELECT least(v.key_runs_since,
    coalesce((SELECT max(l.heartbeat_at) FROM lanes l WHERE l.version = v.version), v.verified_at))
  FROM verification v;
$$;

-- Nothing is missing: this server goes on under a new version. False where another process was first.
CREATE FUNCTION continue_verification(p_version uuid, p_incarnation text, p_next uuid, p_key_runs_listed boolean)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE verification SET version = p_next, incarnation = p_incarnation,
    key_runs_listed = key_runs_listed AND p_key_runs_listed,
    key_runs_since = CASE WHEN NOT (key_runs_listed AND p_key_runs_listed) THEN unlisted_since() END,
    continued = true, reconciler = NULL, reconciler_until = NULL, verified_at = clock_timestamp()
  WHERE version = p_version AND replaced IS NULL AND incarnation() = p_incarnation AND NOT pg_is_in_recovery();
  RETURN FOUND;
END
$$;

-- Something is missing, or nothing can be proven: an operator has to verify. The first reason stays.
CREATE FUNCTION close_database(p_version uuid, p_incarnation text, p_reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE verification SET replaced = left(p_reason, 1000), replaced_at = clock_timestamp()
  WHERE version = p_version AND replaced IS NULL AND incarnation() = p_incarnation AND NOT pg_is_in_recovery();
  RETURN FOUND;
END
$$;

-- The runs of keys have been compared with their rows: groups may be started again.
CREATE FUNCTION finish_listing(p_version uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE verification SET key_runs_listed = true, key_runs_since = NULL WHERE version = p_version AND trusted_version() = p_version;
  RETURN FOUND;
END
$$;
REVOKE EXECUTE ON FUNCTION lease_reconcile(uuid, text, text), continue_verification(uuid, text, uuid, boolean),
  close_database(uuid, text, text), finish_listing(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lease_reconcile(uuid, text, text), continue_verification(uuid, text, uuid, boolean),
  close_database(uuid, text, text), finish_listing(uuid) TO accubooks_app;
