-- The security log: who was refused, who read what is confidential, who was given power, which control was lowered, and
-- which commands operators ran. The audit log says what became of each write; this one says what else a security review
-- asks. A row holds no secret, no token and no personal data besides the ID of a user and an IP address.

-- Monthly partitions stand in a schema of their own, as those of the audit log do.
CREATE SCHEMA security_partitions;
CREATE SEQUENCE security_log_id;

CREATE TABLE security_log (
  id bigint NOT NULL DEFAULT nextval('security_log_id'),
  timestamp timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- The zero UUID where no company is known, as for a token that nobody has signed. No company has it, so only operators
  -- read such rows.
  company_id uuid NOT NULL,
  event text NOT NULL CHECK (event ~ '^[a-z_]{1,40}$'),
  -- Why, in a word: the code of the refusal, the role that was granted, the setting that was changed.
  reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 64),
  user_id uuid,
  -- Of a verified token whose user is not known.
  subject text CHECK (length(subject) BETWEEN 1 AND 255),
  ip inet,
  -- What was asked for: an operation, a route, a command.
  action text CHECK (length(action) BETWEEN 1 AND 255),
  request_id text CHECK (length(request_id) BETWEEN 1 AND 128),
  -- More than 1: a row for so many of the same kind since `counted_since`, beyond those that have rows of their own.
  count integer NOT NULL DEFAULT 1 CHECK (count >= 1),
  counted_since timestamptz,
  details jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(details) <= 4096),
  -- By which login of the database the row came.
  login text NOT NULL DEFAULT session_user CHECK (length(login) <= 63),
  PRIMARY KEY (timestamp, id)
) PARTITION BY RANGE (timestamp);
CREATE INDEX security_log_by_company ON security_log (company_id, timestamp, id);

-- A missing month must not lose a row.
CREATE TABLE security_partitions.fallback PARTITION OF security_log DEFAULT;

CREATE TRIGGER keep_security_rows BEFORE UPDATE OR DELETE ON security_log
  FOR EACH ROW EXECUTE FUNCTION refuse_change('the security log is only added to');
CREATE TRIGGER keep_security_log BEFORE TRUNCATE ON security_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('the security log is only added to');
CREATE TRIGGER keep_security_log BEFORE TRUNCATE ON security_partitions.fallback
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('the security log is only added to');

ALTER TABLE security_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE security_log FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON security_log USING (company_id = current_company());
CREATE POLICY auditor ON security_log FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT, INSERT ON security_log TO accubooks_app;
GRANT USAGE ON SEQUENCE security_log_id TO accubooks_app;
GRANT SELECT ON security_log TO accubooks_auditor;

-- How long a month stays, counted from its end: a year can be looked back on at any time, and IP addresses do not stay
-- for ever. The one place that says it.
CREATE FUNCTION security_log_time() RETURNS interval
LANGUAGE sql IMMUTABLE RETURN interval '400 days';

-- As ensure_audit_partitions, for this log.
CREATE FUNCTION ensure_security_partitions(p_months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  this_month date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
  month date;
  partition_name text;
  made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ensure_security_partitions'));
  FOR offset_months IN 0..p_months_ahead LOOP
    month := (this_month + make_interval(months => offset_months))::date;
    partition_name := audit_partition_name(month);
    CONTINUE WHEN to_regclass('security_partitions.' || partition_name) IS NOT NULL;
    BEGIN
      EXECUTE format('CREATE TABLE security_partitions.%I PARTITION OF security_log FOR VALUES FROM (%L) TO (%L)',
        partition_name, month::text || ' 00:00:00+00', (month + interval '1 month')::date::text || ' 00:00:00+00');
      EXECUTE format('CREATE TRIGGER keep_security_log BEFORE TRUNCATE ON security_partitions.%I
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(%L)', partition_name, 'the security log is only added to');
      made := made + 1;
    EXCEPTION WHEN check_violation THEN
      RAISE WARNING 'month % of the security log stays in the fallback partition, which has rows of it', partition_name;
    END;
  END LOOP;
  RETURN made;
END
$$;

-- Drops the months that have stood for their time; returns how many. The age is decided here: who may call this can drop
-- nothing that is younger. Whoever writes waits for at most the lock timeout behind it.
CREATE FUNCTION drop_old_security_months() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
  old_name text;
  dropped integer := 0;
BEGIN
  FOR old_name IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'security_log'::regclass AND c.relname ~ '^y\d{4}m\d\d$'
      AND (make_date(substr(c.relname, 2, 4)::integer, substr(c.relname, 7, 2)::integer, 1) + interval '1 month')
        AT TIME ZONE 'UTC' <= now() - security_log_time()
    ORDER BY c.relname
  LOOP
    EXECUTE format('DROP TABLE security_partitions.%I', old_name);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END
$$;

-- Many rows, of many companies, in one round trip: each company's rows are written as that company. They tell their ages, so
-- that the log has one clock, whenever a process gets to write them.
CREATE FUNCTION record_security_rows(p_rows jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  company uuid;
BEGIN
  FOR company IN SELECT DISTINCT (r ->> 'company_id')::uuid FROM jsonb_array_elements(p_rows) AS r ORDER BY 1 LOOP
    PERFORM enter_company(company);
    INSERT INTO security_log (timestamp, company_id, event, reason, user_id, subject, ip, action, request_id, count,
      counted_since, details)
    SELECT clock_timestamp() - make_interval(secs => r.age_ms / 1000), r.company_id, r.event, r.reason, r.user_id, r.subject,
      r.ip, r.action, r.request_id, r.count, clock_timestamp() - make_interval(secs => r.counted_for_ms / 1000),
      coalesce(r.details, '{}')
    FROM jsonb_to_recordset(p_rows) AS r (age_ms double precision, company_id uuid, event text, reason text, user_id uuid,
      subject text, ip inet, action text, request_id text, count integer, counted_for_ms double precision, details jsonb)
    WHERE r.company_id = company;
  END LOOP;
END
$$;

-- The row of an operator's command. By the definer's rights: operators log in as the owner, as maintenance or as auditor,
-- and none of these needs more of the log than this. `login` is theirs, whatever they say of themselves.
CREATE FUNCTION record_operator_command(p_command text, p_company uuid, p_details jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  entered text := coalesce(current_setting('app.company_id', true), '');
  company uuid := coalesce(p_company, '00000000-0000-0000-0000-000000000000');
BEGIN
  PERFORM set_config('app.company_id', company::text, true);
  INSERT INTO security_log (company_id, event, reason, ip, action, details)
  VALUES (company, 'operator_command', p_command, inet_client_addr(), p_command, p_details);
  PERFORM set_config('app.company_id', entered, true);
END
$$;

REVOKE EXECUTE ON FUNCTION ensure_security_partitions(integer), drop_old_security_months(),
  record_operator_command(text, uuid, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_security_partitions(integer), drop_old_security_months(),
  record_operator_command(text, uuid, jsonb) TO accubooks_maintenance;
GRANT EXECUTE ON FUNCTION record_operator_command(text, uuid, jsonb) TO accubooks_auditor;
