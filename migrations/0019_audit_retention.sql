-- Old months of the audit log leave the database for an archive: exported, read back, compared, and only then detached.
--
-- A month is *hot* while it is a partition. After 90 days it is exported into a file by the worker's maintenance, which
-- hands in what it has read back from that file; the functions here compare that with the rows themselves, under a lock,
-- before the month is *detached*: a table apart, that no query of the application sees. It is *dropped* only by hand.
-- All of it is for accubooks_maintenance, which owns nothing and reads no other table.

-- The one place that says how long a month stays hot, counted from its end.
CREATE FUNCTION audit_hot_time() RETURNS interval
LANGUAGE sql IMMUTABLE RETURN interval '90 days';

-- Months that were detached. They do not appear in the schema's description, as partitions do not.
CREATE SCHEMA audit_detached;

-- One row a month that has been archived: what its file must hold, for ever.
CREATE TABLE audit_archives (
  month date PRIMARY KEY CHECK (extract(day FROM month) = 1),
  file_name text NOT NULL CHECK (length(file_name) BETWEEN 1 AND 200),
  file_sha256 text NOT NULL CHECK (file_sha256 ~ '^[0-9a-f]{64}$'),
  row_count bigint NOT NULL CHECK (row_count >= 0),
  -- A whole number of more digits than any integer type has.
  row_digest text NOT NULL CHECK (row_digest ~ '^-?\d{1,40}$'),
  archived_at timestamptz NOT NULL DEFAULT now(),
  -- Restored for somebody who asked for it: until then maintenance leaves it attached.
  restored_until timestamptz,
  -- When the detached table was dropped; from then on the file is the only copy.
  dropped_at timestamptz
);

CREATE FUNCTION archived_audit_months() RETURNS SETOF audit_archives
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT a.* FROM audit_archives a ORDER BY a.month
$$;

-- `y2026m08`, as ensure_audit_partitions names them.
CREATE FUNCTION audit_partition_name(p_month date) RETURNS text
LANGUAGE sql IMMUTABLE RETURN 'y' || lpad(extract(year FROM p_month)::text, 4, '0') || 'm' || lpad(extract(month FROM p_month)::text, 2, '0');

-- Months that are attached and no longer hot, oldest first. `archived`: they have been before, and were restored.
CREATE FUNCTION archivable_audit_months() RETURNS TABLE (month date, archived boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT m.month, a.month IS NOT NULL
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  CROSS JOIN LATERAL (SELECT make_date(substr(c.relname, 2, 4)::integer, substr(c.relname, 7, 2)::integer, 1) AS month) m
  LEFT JOIN audit_archives a ON a.month = m.month
  WHERE i.inhparent = 'idempotent_write_audit_log'::regclass AND c.relname ~ '^y\d{4}m\d\d$'
    AND (m.month + interval '1 month') AT TIME ZONE 'UTC' <= now() - audit_hot_time()
    AND (a.restored_until IS NULL OR a.restored_until <= now())
  ORDER BY m.month
$$;

-- A page of a month's rows as lines of JSON, by their primary key. TimeZone is fixed, so that a row is always the same text.
CREATE FUNCTION audit_month_lines(p_month date, p_after timestamptz, p_after_id bigint, p_limit integer)
RETURNS TABLE (at text, id bigint, line text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET "TimeZone" = 'UTC' AS $$
BEGIN
  RETURN QUERY EXECUTE format(
    'SELECT a.timestamp::text, a.id, to_jsonb(a)::text FROM audit_partitions.%I a
     WHERE (a.timestamp, a.id) > ($1, $2) ORDER BY a.timestamp, a.id LIMIT $3', audit_partition_name(p_month))
  USING p_after, p_after_id, p_limit;
END
$$;

-- The digest of one line: 64 bits of its SHA-256, as a signed number.
CREATE FUNCTION audit_line_digest(p_line text) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN ('x' || encode(substring(sha256(convert_to(p_line, 'UTF8')) FROM 1 FOR 8), 'hex'))::bit(64)::bigint;

-- How many rows a table has, and the sum of their lines' digests: in whatever order they are read, any change shows. The
-- file's lines are added up in the same way.
CREATE FUNCTION audit_table_digest(p_table regclass, OUT row_count bigint, OUT row_digest numeric)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET "TimeZone" = 'UTC' AS $$
BEGIN
  EXECUTE format('SELECT count(*), coalesce(sum(audit_line_digest(to_jsonb(a)::text)), 0) FROM %s a', p_table)
  INTO row_count, row_digest;
END
$$;

-- Takes a month out of the audit log, when the file that was read back holds exactly its rows. The month is locked against
-- late rows while it is compared. The log itself is locked only for the moment of detaching: whoever writes waits for at
-- most the lock timeout behind it, and a caller that could not have it comes again.
CREATE FUNCTION detach_audit_month(p_month date, p_file_name text, p_file_sha256 text, p_row_count bigint, p_row_digest numeric)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  partition_name text := audit_partition_name(p_month);
  found record;
BEGIN
  IF (p_month + interval '1 month') AT TIME ZONE 'UTC' > now() - audit_hot_time() THEN
    RAISE EXCEPTION 'audit month % is hot: it stays for % after its end', partition_name, audit_hot_time()
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE format('LOCK TABLE audit_partitions.%I IN SHARE MODE', partition_name);
  SELECT * INTO found FROM audit_table_digest(format('audit_partitions.%I', partition_name)::regclass);
  IF (found.row_count, found.row_digest) IS DISTINCT FROM (p_row_count, p_row_digest) THEN
    RAISE EXCEPTION 'audit month % has % rows, and the file does not hold exactly these (it has %)', partition_name,
      found.row_count, p_row_count USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE format('ALTER TABLE idempotent_write_audit_log DETACH PARTITION audit_partitions.%I', partition_name);
  EXECUTE format('ALTER TABLE audit_partitions.%I SET SCHEMA audit_detached', partition_name);
  -- What it had from the log goes with the detaching.
  EXECUTE format('CREATE TRIGGER keep_audit_rows BEFORE UPDATE OR DELETE ON audit_detached.%I
    FOR EACH ROW EXECUTE FUNCTION refuse_change(%L)', partition_name, 'the audit log is only added to');
  INSERT INTO audit_archives (month, file_name, file_sha256, row_count, row_digest)
  VALUES (p_month, p_file_name, p_file_sha256, p_row_count, p_row_digest::text)
  ON CONFLICT (month) DO UPDATE SET file_name = excluded.file_name, file_sha256 = excluded.file_sha256,
    row_count = excluded.row_count, row_digest = excluded.row_digest, archived_at = now(), restored_until = NULL,
    dropped_at = NULL;
END
$$;

-- Drops a detached month, when the file that was read back once more still holds exactly its rows. Only by hand.
CREATE FUNCTION drop_detached_audit_month(p_month date, p_row_count bigint, p_row_digest numeric) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  partition_name text := audit_partition_name(p_month);
  found record;
BEGIN
  SELECT * INTO found FROM audit_table_digest(format('audit_detached.%I', partition_name)::regclass);
  IF (found.row_count, found.row_digest) IS DISTINCT FROM (p_row_count, p_row_digest) THEN
    RAISE EXCEPTION 'audit month % is not dropped: the file does not hold exactly its % rows', partition_name,
      found.row_count USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE format('DROP TABLE audit_detached.%I', partition_name);
  UPDATE audit_archives SET dropped_at = now() WHERE month = p_month;
END
$$;

-- Makes the empty table that a dropped month is restored into; one half filled by an earlier attempt is made anew.
CREATE FUNCTION begin_audit_restore(p_month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  partition_name text := audit_partition_name(p_month);
BEGIN
  IF NOT EXISTS (SELECT FROM audit_archives a WHERE a.month = p_month AND a.dropped_at IS NOT NULL) THEN
    RAISE EXCEPTION 'audit month % was not dropped: there is nothing to load', partition_name
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE format('DROP TABLE IF EXISTS audit_detached.%I', partition_name);
  EXECUTE format('CREATE TABLE audit_detached.%I (LIKE idempotent_write_audit_log INCLUDING ALL)', partition_name);
END
$$;

CREATE FUNCTION load_audit_lines(p_month date, p_lines text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET "TimeZone" = 'UTC' AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM audit_archives a WHERE a.month = p_month AND a.dropped_at IS NOT NULL) THEN
    RAISE EXCEPTION 'audit month % is not being restored', p_month USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE format(
    'INSERT INTO audit_detached.%I
     SELECT r.* FROM unnest($1) AS l (line), jsonb_populate_record(NULL::idempotent_write_audit_log, l.line::jsonb) AS r',
    audit_partition_name(p_month)) USING p_lines;
END
$$;

-- Puts a detached or loaded month back into the log until a day, when it holds exactly what was archived.
CREATE FUNCTION attach_audit_month(p_month date, p_until timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  partition_name text := audit_partition_name(p_month);
  archive audit_archives;
  found record;
BEGIN
  SELECT * INTO archive FROM audit_archives a WHERE a.month = p_month FOR UPDATE;
  SELECT * INTO found FROM audit_table_digest(format('audit_detached.%I', partition_name)::regclass);
  IF (found.row_count, found.row_digest) IS DISTINCT FROM (archive.row_count, archive.row_digest::numeric) THEN
    RAISE EXCEPTION 'audit month % has % rows, and these are not the % that were archived', partition_name,
      found.row_count, archive.row_count USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  -- The log brings its own; one for rows cannot be there twice under one name.
  EXECUTE format('DROP TRIGGER IF EXISTS keep_audit_rows ON audit_detached.%I', partition_name);
  EXECUTE format('ALTER TABLE audit_detached.%I SET SCHEMA audit_partitions', partition_name);
  EXECUTE format('ALTER TABLE idempotent_write_audit_log ATTACH PARTITION audit_partitions.%I FOR VALUES FROM (%L) TO (%L)',
    partition_name, p_month::text || ' 00:00:00+00', (p_month + interval '1 month')::date::text || ' 00:00:00+00');
  EXECUTE format('DROP TRIGGER IF EXISTS keep_audit_log ON audit_partitions.%I', partition_name);
  EXECUTE format('CREATE TRIGGER keep_audit_log BEFORE TRUNCATE ON audit_partitions.%I
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(%L)', partition_name, 'the audit log is only added to');
  UPDATE audit_archives SET restored_until = p_until, dropped_at = NULL WHERE month = p_month;
  RETURN found.row_count;
END
$$;

-- One month's partition, if it is not there.
CREATE FUNCTION make_audit_partition(p_month date) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  partition_name text := audit_partition_name(p_month);
BEGIN
  IF to_regclass('audit_partitions.' || partition_name) IS NOT NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('CREATE TABLE audit_partitions.%I PARTITION OF idempotent_write_audit_log FOR VALUES FROM (%L) TO (%L)',
    partition_name, p_month::text || ' 00:00:00+00', (p_month + interval '1 month')::date::text || ' 00:00:00+00');
  EXECUTE format('CREATE TRIGGER keep_audit_log BEFORE TRUNCATE ON audit_partitions.%I
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(%L)', partition_name, 'the audit log is only added to');
  RETURN true;
END
$$;

-- Moves rows that came while their month had no partition into partitions of their own, so that the months that they stood
-- in the way of can be made. Answers how many were moved. Rows of archived months, and of a far future, stay: no clock
-- makes such ones, and a person should look at them.
CREATE FUNCTION empty_audit_fallback(p_months_ahead integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' SET "TimeZone" = 'UTC' AS $$
DECLARE
  months date[];
  lost date;
  of_month bigint;
  moved bigint := 0;
BEGIN
  SELECT array_agg(DISTINCT m.month ORDER BY m.month) INTO months
  FROM audit_partitions.fallback f CROSS JOIN LATERAL (SELECT date_trunc('month', f.timestamp)::date AS month) m
  WHERE m.month <= date_trunc('month', now()) + make_interval(months => p_months_ahead)
    AND NOT EXISTS (SELECT FROM audit_archives a WHERE a.month = m.month);
  IF months IS NULL THEN
    RETURN 0;
  END IF;
  -- Nobody writes from here to the end: a partition cannot be made over rows that stand in the default one.
  LOCK TABLE idempotent_write_audit_log IN ACCESS EXCLUSIVE MODE;
  ALTER TABLE idempotent_write_audit_log DETACH PARTITION audit_partitions.fallback;
  FOREACH lost IN ARRAY months LOOP
    PERFORM make_audit_partition(lost);
    EXECUTE format(
      'WITH gone AS (DELETE FROM audit_partitions.fallback f WHERE f.timestamp >= $1 AND f.timestamp < $2 RETURNING f.*)
       INSERT INTO audit_partitions.%I SELECT * FROM gone', audit_partition_name(lost))
    USING lost::timestamptz, (lost + interval '1 month')::timestamptz;
    GET DIAGNOSTICS of_month = ROW_COUNT;
    moved := moved + of_month;
  END LOOP;
  ALTER TABLE idempotent_write_audit_log ATTACH PARTITION audit_partitions.fallback DEFAULT;
  RETURN moved;
END
$$;

REVOKE EXECUTE ON FUNCTION archived_audit_months(), archivable_audit_months(), audit_month_lines(date, timestamptz, bigint, integer),
  audit_table_digest(regclass), detach_audit_month(date, text, text, bigint, numeric),
  drop_detached_audit_month(date, bigint, numeric), begin_audit_restore(date), load_audit_lines(date, text[]),
  attach_audit_month(date, timestamptz), empty_audit_fallback(integer), make_audit_partition(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION archivable_audit_months(), audit_month_lines(date, timestamptz, bigint, integer),
  detach_audit_month(date, text, text, bigint, numeric), drop_detached_audit_month(date, bigint, numeric),
  begin_audit_restore(date), load_audit_lines(date, text[]), attach_audit_month(date, timestamptz),
  empty_audit_fallback(integer) TO accubooks_maintenance;
GRANT EXECUTE ON FUNCTION archived_audit_months() TO accubooks_maintenance, accubooks_auditor;
