-- A month of the audit log is given up by two logins, not by one: the auditor's has verified the archived file, and only then
-- maintenance's may drop the table. Whoever has one of the two passwords can destroy nothing. Before, one login exported,
-- detached and dropped, and a login that answered for the file alone, without there being one, was believed.

-- Who did it, by login. Months of before have no names.
ALTER TABLE audit_archives
  ADD COLUMN archived_by text CHECK (length(archived_by) <= 63),
  ADD COLUMN verified_by text CHECK (length(verified_by) <= 63),
  ADD COLUMN verified_at timestamptz,
  ADD COLUMN dropped_by text CHECK (length(dropped_by) <= 63),
  ADD CONSTRAINT audit_archives_verified CHECK ((verified_by IS NULL) = (verified_at IS NULL));

-- How long a verified file counts as verified.
CREATE FUNCTION audit_verification_time() RETURNS interval
LANGUAGE sql IMMUTABLE RETURN interval '7 days';

-- Records that the caller's login has read the whole file of a month. What it read must be what was archived, and, while the
-- month's table is there, exactly its rows.
CREATE FUNCTION verify_audit_archive(p_month date, p_file_sha256 text, p_row_count bigint, p_row_digest numeric)
RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  archive audit_archives;
  found record;
BEGIN
  SELECT * INTO archive FROM audit_archives a WHERE a.month = p_month FOR UPDATE;
  IF archive.month IS NULL THEN
    RAISE EXCEPTION 'audit month % was not archived', audit_partition_name(p_month)
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF (p_file_sha256, p_row_count, p_row_digest)
     IS DISTINCT FROM (archive.file_sha256, archive.row_count, archive.row_digest::numeric) THEN
    RAISE EXCEPTION 'audit month % is not verified: the file is not the one that was archived', audit_partition_name(p_month)
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF to_regclass('audit_detached.' || audit_partition_name(p_month)) IS NOT NULL AND archive.dropped_at IS NULL THEN
    SELECT * INTO found FROM audit_table_digest(format('audit_detached.%I', audit_partition_name(p_month))::regclass);
    IF (found.row_count, found.row_digest) IS DISTINCT FROM (p_row_count, p_row_digest) THEN
      RAISE EXCEPTION 'audit month % is not verified: the file does not hold exactly its % rows',
        audit_partition_name(p_month), found.row_count USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
  END IF;
  UPDATE audit_archives a SET verified_by = session_user, verified_at = clock_timestamp() WHERE a.month = p_month
  RETURNING a.verified_at INTO archive.verified_at;
  RETURN archive.verified_at;
END
$$;

-- As before, and in addition only after another login has verified the file.
CREATE OR REPLACE FUNCTION drop_detached_audit_month(p_month date, p_row_count bigint, p_row_digest numeric) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  partition_name text := audit_partition_name(p_month);
  archive audit_archives;
  found record;
BEGIN
  SELECT * INTO archive FROM audit_archives a WHERE a.month = p_month FOR UPDATE;
  IF archive.verified_at IS NULL OR archive.verified_at < now() - audit_verification_time() THEN
    RAISE EXCEPTION 'audit month % is not dropped: nobody has verified its file in the last %', partition_name,
      audit_verification_time() USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF archive.verified_by = session_user THEN
    RAISE EXCEPTION 'audit month % is not dropped: another login than % has to verify its file', partition_name,
      session_user USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  SELECT * INTO found FROM audit_table_digest(format('audit_detached.%I', partition_name)::regclass);
  IF (found.row_count, found.row_digest) IS DISTINCT FROM (p_row_count, p_row_digest) THEN
    RAISE EXCEPTION 'audit month % is not dropped: the file does not hold exactly its % rows', partition_name,
      found.row_count USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE format('DROP TABLE audit_detached.%I', partition_name);
  UPDATE audit_archives a SET dropped_at = now(), dropped_by = session_user WHERE a.month = p_month;
END
$$;

-- A month that is archived anew, after a restore, has a new file, which nobody has verified yet.
CREATE FUNCTION note_audit_archiver() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  NEW.archived_by := session_user;
  NEW.verified_by := NULL;
  NEW.verified_at := NULL;
  NEW.dropped_by := NULL;
  RETURN NEW;
END
$$;
CREATE TRIGGER note_audit_archiver BEFORE INSERT ON audit_archives
  FOR EACH ROW EXECUTE FUNCTION note_audit_archiver();
CREATE TRIGGER note_audit_archiver_again BEFORE UPDATE OF archived_at ON audit_archives
  FOR EACH ROW EXECUTE FUNCTION note_audit_archiver();

REVOKE EXECUTE ON FUNCTION verify_audit_archive(date, text, bigint, numeric), note_audit_archiver() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION verify_audit_archive(date, text, bigint, numeric) TO accubooks_auditor;
