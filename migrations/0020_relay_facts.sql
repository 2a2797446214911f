-- What the metrics of a worker tell of all companies together: numbers only, so that whoever scrapes learns of no write.
-- `outbox_lag` stays as it is for processes of an earlier release, which ask for it while a new one is rolled out.

-- Months after this one (UTC) for which there is a partition, up to the first that has none; and rows that are in the
-- fallback, counted up to 1,000. The relay may read no audit row: hence the definer's rights, for these two numbers.
CREATE FUNCTION audit_partition_facts() RETURNS TABLE (months_ahead integer, fallback_rows integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  month date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
BEGIN
  months_ahead := 0;
  WHILE months_ahead < 120 AND to_regclass('audit_partitions.'
      || to_char(month + make_interval(months => months_ahead + 1), '"y"YYYY"m"MM')) IS NOT NULL LOOP
    months_ahead := months_ahead + 1;
  END LOOP;
  SELECT count(*)::integer INTO fallback_rows FROM (SELECT FROM audit_partitions.fallback LIMIT 1000) AS counted;
  RETURN NEXT;
END
$$;
REVOKE EXECUTE ON FUNCTION audit_partition_facts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_partition_facts() TO accubooks_relay;

-- The events of a company are delivered in their order, so the first pending one tells how late its webhook is: by its next
-- attempt, or since it occurred where none was started. One that is in no batch yet waits for the batch before it.
CREATE FUNCTION relay_facts()
RETURNS TABLE (not_taken bigint, not_taken_seconds double precision, pending bigint, pending_seconds double precision,
  overdue_seconds double precision, given_up bigint, audit_months_ahead integer, audit_fallback_rows integer)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    WITH new AS (
      SELECT count(*) AS events, min(o.occurred_at) AS oldest FROM outbox o WHERE o.sequence IS NULL
    ), owed AS (
      -- As two, each by its own index.
      SELECT sum(part.events)::bigint AS events, min(part.oldest) AS oldest FROM (
        SELECT count(*) AS events, min(o.occurred_at) AS oldest FROM outbox o
        WHERE o.delivery_state = 'pending' AND o.batch_id IS NULL
        UNION ALL
        SELECT count(*), min(o.occurred_at) FROM outbox o WHERE o.delivery_state = 'pending' AND o.batch_id IS NOT NULL
      ) AS part
    ), late AS (
      SELECT min(first.due) AS due FROM (
        SELECT DISTINCT ON (o.company_id) coalesce(o.next_attempt_at, o.occurred_at) AS due FROM outbox o
        WHERE o.delivery_state = 'pending' AND o.batch_id IS NOT NULL ORDER BY o.company_id, o.sequence
      ) AS first
    ), hopeless AS (
      SELECT count(*) AS events FROM outbox o WHERE o.delivery_state = 'given_up'
    )
    SELECT new.events, age_seconds(new.oldest), owed.events, age_seconds(owed.oldest), age_seconds(late.due),
      hopeless.events, audit.months_ahead, audit.fallback_rows
    FROM new, owed, late, hopeless, audit_partition_facts() AS audit;
END
$$;

-- 0 for what is not there, and for what is due only later.
CREATE FUNCTION age_seconds(since timestamptz) RETURNS double precision
LANGUAGE sql STABLE AS $$
  SELECT greatest(0, coalesce(extract(epoch FROM now() - since), 0))::double precision;
$$;
