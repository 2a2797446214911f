-- A receiver that is down costs the other companies nothing, and a delivery is given up by its own attempts.
-- Functions keep their arguments and what they return, for processes of an earlier release, which call them while a new one
-- is rolled out.

ALTER TABLE outbox
  -- The event's first webhook call: the day of attempts begins with it, not with the event, which may have waited for days
  -- behind others.
  ADD COLUMN first_attempt_at timestamptz,
  -- When the relay last asked for the workflow of the batch of which this event was the first pending one.
  ADD COLUMN asked_at timestamptz;
GRANT UPDATE (first_attempt_at, asked_at) ON outbox TO accubooks_relay;

-- Numbers a batch of events by one UPDATE, and the given ones that ask for a workflow, which has been started. One relay at a
-- time: numbers of a second one could become visible before lower ones of the first. Whoever has started workflows waits for
-- that; all others come back in a second. Answers how many were numbered.
CREATE OR REPLACE FUNCTION number_events(p_limit integer, p_workflows_started uuid[]) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  numbered integer;
BEGIN
  PERFORM enter_relay();
  IF cardinality(p_workflows_started) > 0 THEN
    PERFORM pg_advisory_xact_lock(hashtext('accubooks: number events'));
  ELSIF NOT pg_try_advisory_xact_lock(hashtext('accubooks: number events')) THEN
    RETURN 0;
  END IF;
  WITH others AS MATERIALIZED (
    SELECT o.company_id, o.id, o.occurred_at FROM outbox o
    WHERE o.sequence IS NULL AND o.kind <> 'workflow.triggered'
    ORDER BY o.occurred_at, o.id LIMIT p_limit FOR UPDATE SKIP LOCKED
  ), started AS MATERIALIZED (
    SELECT o.company_id, o.id, o.occurred_at FROM outbox o
    WHERE o.sequence IS NULL AND o.kind = 'workflow.triggered' AND o.id = ANY (p_workflows_started)
    FOR UPDATE SKIP LOCKED
  ), next AS MATERIALIZED (
    SELECT s.company_id, s.id, s.unwanted, nextval('outbox_sequence') AS sequence
    FROM (
      SELECT b.company_id, b.id, c.webhook_url IS NULL AS unwanted
      FROM (SELECT * FROM others UNION ALL SELECT * FROM started) AS b JOIN companies c ON c.id = b.company_id
      ORDER BY b.occurred_at, b.id
    ) AS s
  )
  UPDATE outbox o SET
    sequence = n.sequence,
    delivery_state = CASE WHEN n.unwanted THEN 'none' ELSE 'pending' END,
    started_at = CASE WHEN n.unwanted THEN now() END,
    delivered_at = CASE WHEN n.unwanted THEN now() END
  FROM next n WHERE o.company_id = n.company_id AND o.id = n.id;
  GET DIAGNOSTICS numbered = ROW_COUNT;
  RETURN numbered;
END
$$;

-- Batches whose workflow is to be started: the next events of each company that has none under way, so that they come in
-- order, and those of which nothing was heard since their next attempt was due (Temporal has lost its histories). Each batch
-- is judged by its head, its first pending event. Those that were never started go first, and within both kinds those that
-- were not asked for yet, or not for the longest time: whatever becomes of the starts, each batch has its turn.
CREATE OR REPLACE FUNCTION webhook_batches(p_events integer, p_limit integer) RETURNS TABLE (company_id uuid, batch_id uuid)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter_relay();
  PERFORM pg_advisory_xact_lock(hashtext('accubooks: webhook batches'));
  UPDATE outbox o SET batch_id = chosen.first_id
  FROM (
    SELECT c.id AS company_id, n.id, first_value(n.id) OVER (PARTITION BY c.id ORDER BY n.sequence) AS first_id
    FROM companies c
    CROSS JOIN LATERAL (
      SELECT p.id, p.sequence FROM outbox p
      WHERE p.company_id = c.id AND p.delivery_state = 'pending' AND p.batch_id IS NULL
      ORDER BY p.sequence LIMIT p_events
    ) n
    -- Not NOT EXISTS, which is planned as a join: it compared each company with all events that travel.
    WHERE c.webhook_url IS NOT NULL AND (
      SELECT u.id FROM outbox u
      WHERE u.company_id = c.id AND u.delivery_state = 'pending' AND u.batch_id IS NOT NULL LIMIT 1) IS NULL
  ) chosen
  WHERE o.company_id = chosen.company_id AND o.id = chosen.id;
  RETURN QUERY
    -- From one batch to the next by the index: of each, only the head is read.
    WITH RECURSIVE heads AS (
      (SELECT o.company_id, o.batch_id, o.id, o.sequence, o.started_at, o.next_attempt_at, o.asked_at FROM outbox o
       WHERE o.delivery_state = 'pending' AND o.batch_id IS NOT NULL
       ORDER BY o.company_id, o.batch_id, o.sequence LIMIT 1)
      UNION ALL
      SELECT following.* FROM heads h CROSS JOIN LATERAL (
        SELECT o.company_id, o.batch_id, o.id, o.sequence, o.started_at, o.next_attempt_at, o.asked_at FROM outbox o
        WHERE o.delivery_state = 'pending' AND o.batch_id IS NOT NULL
          AND (o.company_id, o.batch_id) > (h.company_id, h.batch_id)
        ORDER BY o.company_id, o.batch_id, o.sequence LIMIT 1
      ) AS following
    ), due AS MATERIALIZED (
      SELECT h.company_id, h.id FROM heads h
      WHERE h.started_at IS NULL OR h.next_attempt_at < now() - interval '5 minutes'
      ORDER BY h.started_at IS NOT NULL, h.asked_at NULLS FIRST, h.sequence LIMIT p_limit
    )
    UPDATE outbox o SET asked_at = now() FROM due d WHERE o.company_id = d.company_id AND o.id = d.id
    RETURNING o.company_id, o.batch_id;
END
$$;

-- The next event of a batch, with all that its call needs. In place of next_webhook_event, which does not tell when the
-- attempts began.
CREATE FUNCTION next_webhook_call(p_company uuid, p_batch uuid)
RETURNS TABLE (id uuid, kind text, payload jsonb, write_id uuid, occurred_at timestamptz, attempts integer,
  first_attempt_at timestamptz, webhook_url text, secret_version integer, old_secret_signs boolean, now timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    SELECT o.id, o.kind, o.payload, o.write_id, o.occurred_at, o.attempts, o.first_attempt_at, c.webhook_url,
      c.webhook_secret_version, coalesce(c.webhook_secret_rotated_at > now() - interval '24 hours', false), now()
    FROM outbox o JOIN companies c ON c.id = o.company_id
    WHERE o.company_id = p_company AND o.batch_id = p_batch AND o.delivery_state = 'pending'
    ORDER BY o.sequence LIMIT 1;
END
$$;

-- What became of one attempt: delivered (no error), to be tried again after a while, or given up (no while). Where the event
-- is done, the next one of its batch is due now: a batch that moves is not taken for one of which nothing is heard. The last
-- call of a batch wakes the relay, when there is a next batch to start.
CREATE OR REPLACE FUNCTION record_webhook_attempt(p_company uuid, p_event uuid, p_error text, p_retry_ms bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  attempted record;
BEGIN
  PERFORM enter_relay();
  UPDATE outbox SET
    attempts = attempts + 1,
    first_attempt_at = coalesce(first_attempt_at, now()),
    last_error = p_error,
    started_at = coalesce(started_at, now()),
    delivered_at = CASE WHEN p_error IS NULL THEN now() END,
    delivery_state = CASE WHEN p_error IS NULL THEN 'delivered' WHEN p_retry_ms IS NULL THEN 'given_up' ELSE 'pending' END,
    next_attempt_at = CASE WHEN p_error IS NOT NULL THEN now() + p_retry_ms * interval '1 millisecond' END
  WHERE company_id = p_company AND id = p_event AND delivery_state = 'pending'
  RETURNING batch_id, delivery_state INTO attempted;
  IF NOT FOUND OR attempted.delivery_state = 'pending' THEN
    RETURN;
  END IF;
  UPDATE outbox SET started_at = coalesce(started_at, now()), next_attempt_at = now()
  WHERE company_id = p_company AND id = (
    SELECT t.id FROM outbox t
    WHERE t.company_id = p_company AND t.batch_id = attempted.batch_id AND t.delivery_state = 'pending'
    ORDER BY t.sequence LIMIT 1);
  IF FOUND THEN
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM outbox w
             WHERE w.company_id = p_company AND w.delivery_state = 'pending' AND w.batch_id IS NULL) THEN
    PERFORM pg_notify('outbox', '');
  END IF;
END
$$;

-- Planned by key, as all of the relay's statements (0021_plans_of_the_relay.sql).
DO $$
DECLARE
  of_the_relay text;
BEGIN
  FOREACH of_the_relay IN ARRAY ARRAY['number_events(integer, uuid[])', 'webhook_batches(integer, integer)',
    'next_webhook_call(uuid, uuid)', 'record_webhook_attempt(uuid, uuid, text, bigint)'] LOOP
    EXECUTE format('ALTER FUNCTION %s SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off '
      'SET enable_mergejoin = off', of_the_relay);
  END LOOP;
END
$$;

-- A redelivery starts anew: its attempts, its day, its turn.
CREATE OR REPLACE FUNCTION redeliver_event(p_event uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  owed_again boolean;
BEGIN
  UPDATE outbox SET delivery_state = 'pending', batch_id = NULL, started_at = NULL, delivered_at = NULL, attempts = 0,
    last_error = NULL, next_attempt_at = NULL, first_attempt_at = NULL, asked_at = NULL
  WHERE company_id = current_company() AND id = p_event AND sequence IS NOT NULL AND delivery_state <> 'pending';
  owed_again := FOUND;
  PERFORM pg_notify('outbox', '');
  RETURN owed_again;
END
$$;
