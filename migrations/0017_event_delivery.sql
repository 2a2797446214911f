-- How events leave the outbox. The relay numbers each event, starts what it asks for, and has a company's webhook called;
-- it marks rows and deletes none. Everything here works for all companies, as accubooks_relay.

-- Given in the order in which events become visible to readers, which neither their time nor their ID is: a reader who goes
-- on from the highest one that they have seen misses none.
CREATE SEQUENCE outbox_sequence;

ALTER TABLE outbox
  ADD COLUMN sequence bigint,
  -- What has become of the webhook's call: none is owed, it is to come, it was made, or it was tried until there was no
  -- hope. `started_at` and `delivered_at` are set at once where nobody is to be told.
  ADD COLUMN delivery_state text NOT NULL DEFAULT 'none'
    CHECK (delivery_state IN ('none', 'pending', 'delivered', 'given_up')),
  ADD COLUMN attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  ADD COLUMN last_error text CHECK (length(last_error) <= 500),
  -- The first event of those that travel together in one workflow.
  ADD COLUMN batch_id uuid,
  ADD COLUMN next_attempt_at timestamptz;
DROP INDEX outbox_not_started;
CREATE INDEX outbox_not_numbered ON outbox (occurred_at) WHERE sequence IS NULL;
-- Partial, all three: a write that inserts its event pays for the first only.
CREATE UNIQUE INDEX outbox_newest ON outbox (company_id, sequence DESC) WHERE sequence IS NOT NULL;
CREATE INDEX outbox_pending ON outbox (company_id, sequence) WHERE delivery_state = 'pending';

-- The relay reads where a company's events go, and with which secret they are signed.
CREATE POLICY relay ON companies FOR SELECT TO accubooks_relay USING (true);
GRANT SELECT (id, webhook_url, webhook_secret_version, webhook_secret_rotated_at) ON companies TO accubooks_relay;
GRANT UPDATE (sequence, delivery_state, attempts, last_error, batch_id, next_attempt_at) ON outbox TO accubooks_relay;
GRANT USAGE ON SEQUENCE outbox_sequence TO accubooks_relay;

-- Wakes the relay for what somebody waits for. Not for each event: a NOTIFY takes a lock of the whole cluster at COMMIT,
-- and the relay looks by itself within a second.
CREATE FUNCTION wake_relay() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('outbox', '');
  RETURN NULL;
END
$$;
CREATE TRIGGER wake_relay AFTER INSERT ON outbox
  FOR EACH ROW WHEN (NEW.kind = 'workflow.triggered') EXECUTE FUNCTION wake_relay();

CREATE FUNCTION enter_relay() RETURNS void
LANGUAGE sql VOLATILE AS $$
  SELECT set_config('role', 'accubooks_relay', true);
$$;

-- Events that ask for a workflow and have not been numbered: the relay starts each under its ID, and numbers it then.
CREATE FUNCTION triggered_events(p_limit integer)
RETURNS TABLE (id uuid, company_id uuid, trigger_id text, workflow_name text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    SELECT o.id, o.company_id, o.payload #>> '{resource,id}', o.payload ->> 'workflowName' FROM outbox o
    WHERE o.sequence IS NULL AND o.kind = 'workflow.triggered' ORDER BY o.occurred_at LIMIT p_limit;
END
$$;

-- Numbers a batch of events by one UPDATE: those that ask for a workflow only when it has been started. One relay at a
-- time: numbers of a second one could become visible before lower ones of the first. Answers how many were numbered.
CREATE FUNCTION number_events(p_limit integer, p_workflows_started uuid[]) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  numbered integer;
BEGIN
  PERFORM enter_relay();
  IF NOT pg_try_advisory_xact_lock(hashtext('accubooks: number events')) THEN
    RETURN 0;
  END IF;
  WITH batch AS MATERIALIZED (
    SELECT o.company_id, o.id, o.occurred_at FROM outbox o
    WHERE o.sequence IS NULL AND (o.kind <> 'workflow.triggered' OR o.id = ANY (p_workflows_started))
    ORDER BY o.occurred_at, o.id LIMIT p_limit FOR UPDATE SKIP LOCKED
  ), next AS MATERIALIZED (
    SELECT s.company_id, s.id, s.unwanted, nextval('outbox_sequence') AS sequence
    FROM (
      SELECT b.company_id, b.id, c.webhook_url IS NULL AS unwanted
      FROM batch b JOIN companies c ON c.id = b.company_id ORDER BY b.occurred_at, b.id
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
-- order, and those of which nothing was heard since their next attempt was due (Temporal has lost its histories).
CREATE FUNCTION webhook_batches(p_events integer, p_limit integer) RETURNS TABLE (company_id uuid, batch_id uuid)
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
    WHERE c.webhook_url IS NOT NULL AND NOT EXISTS (
      SELECT FROM outbox u WHERE u.company_id = c.id AND u.delivery_state = 'pending' AND u.batch_id IS NOT NULL)
  ) chosen
  WHERE o.company_id = chosen.company_id AND o.id = chosen.id;
  RETURN QUERY
    SELECT o.company_id, o.batch_id FROM outbox o
    WHERE o.delivery_state = 'pending' AND o.batch_id IS NOT NULL
      AND (o.started_at IS NULL OR o.next_attempt_at < now() - interval '5 minutes')
    GROUP BY o.company_id, o.batch_id LIMIT p_limit;
END
$$;

CREATE FUNCTION mark_batch_started(p_company uuid, p_batch uuid) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_relay();
  UPDATE outbox SET started_at = coalesce(started_at, now()), next_attempt_at = now()
  WHERE company_id = p_company AND batch_id = p_batch AND delivery_state = 'pending';
END
$$;

-- The next event of a batch, with all that its call needs.
CREATE FUNCTION next_webhook_event(p_company uuid, p_batch uuid)
RETURNS TABLE (id uuid, kind text, payload jsonb, write_id uuid, occurred_at timestamptz, attempts integer,
  webhook_url text, secret_version integer, old_secret_signs boolean, now timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    SELECT o.id, o.kind, o.payload, o.write_id, o.occurred_at, o.attempts, c.webhook_url, c.webhook_secret_version,
      coalesce(c.webhook_secret_rotated_at > now() - interval '24 hours', false), now()
    FROM outbox o JOIN companies c ON c.id = o.company_id
    WHERE o.company_id = p_company AND o.batch_id = p_batch AND o.delivery_state = 'pending'
    ORDER BY o.sequence LIMIT 1;
END
$$;

-- What became of one attempt: delivered (no error), to be tried again after a while, or given up (no while).
CREATE FUNCTION record_webhook_attempt(p_company uuid, p_event uuid, p_error text, p_retry_ms bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_relay();
  UPDATE outbox SET
    attempts = attempts + 1,
    last_error = p_error,
    started_at = coalesce(started_at, now()),
    delivered_at = CASE WHEN p_error IS NULL THEN now() END,
    delivery_state = CASE WHEN p_error IS NULL THEN 'delivered' WHEN p_retry_ms IS NULL THEN 'given_up' ELSE 'pending' END,
    next_attempt_at = now() + p_retry_ms * interval '1 millisecond'
  WHERE company_id = p_company AND id = p_event AND delivery_state = 'pending';
END
$$;

-- How far behind the relay is, for its metrics.
CREATE FUNCTION outbox_lag()
RETURNS TABLE (not_numbered bigint, oldest_seconds double precision, pending bigint, given_up bigint)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    SELECT count(*), coalesce(extract(epoch FROM now() - min(o.occurred_at)), 0)::double precision,
      (SELECT count(*) FROM outbox p WHERE p.delivery_state = 'pending'),
      (SELECT count(*) FROM outbox g WHERE g.delivery_state = 'given_up')
    FROM outbox o WHERE o.sequence IS NULL;
END
$$;
CREATE INDEX outbox_given_up ON outbox (company_id, sequence) WHERE delivery_state = 'given_up';

-- Has the webhook called again for an event of the caller's company. The application marks no event by itself: with the
-- owner's rights, and for the company of the transaction alone. False: nothing was owed that is not already on its way.
CREATE FUNCTION redeliver_event(p_event uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  owed_again boolean;
BEGIN
  UPDATE outbox SET delivery_state = 'pending', batch_id = NULL, started_at = NULL, delivered_at = NULL, attempts = 0,
    last_error = NULL, next_attempt_at = NULL
  WHERE company_id = current_company() AND id = p_event AND sequence IS NOT NULL AND delivery_state <> 'pending';
  owed_again := FOUND;
  PERFORM pg_notify('outbox', '');
  RETURN owed_again;
END
$$;
-- Nobody is there to be told any more.
CREATE FUNCTION give_up_webhook_events(p_reason text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  UPDATE outbox SET delivery_state = 'given_up', last_error = p_reason
  WHERE company_id = current_company() AND delivery_state = 'pending' AND batch_id IS NULL;
$$;
REVOKE EXECUTE ON FUNCTION redeliver_event(uuid), give_up_webhook_events(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION redeliver_event(uuid), give_up_webhook_events(text) TO accubooks_app;
