-- What the relay asks for again and again finds its few rows at once, however many events there are and however many calls
-- are owed. Partial, all of them: no write but a trigger's pays for one.

-- What asks for a workflow, also while many others wait for their number.
CREATE INDEX outbox_triggered ON outbox (occurred_at) WHERE sequence IS NULL AND kind = 'workflow.triggered';

-- Events that travel in a batch, at most a hundred a company, apart from those that wait for one.
CREATE INDEX outbox_travelling ON outbox (company_id, batch_id, sequence)
  WHERE delivery_state = 'pending' AND batch_id IS NOT NULL;
CREATE INDEX outbox_waiting ON outbox (company_id, sequence) WHERE delivery_state = 'pending' AND batch_id IS NULL;
DROP INDEX outbox_pending;

-- Whom to ask about.
CREATE INDEX companies_with_webhook ON companies (id) WHERE webhook_url IS NOT NULL;

CREATE OR REPLACE FUNCTION outbox_lag()
RETURNS TABLE (not_numbered bigint, oldest_seconds double precision, pending bigint, given_up bigint)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    SELECT count(*), coalesce(extract(epoch FROM now() - min(o.occurred_at)), 0)::double precision,
      -- As two, each by its own index.
      (SELECT count(*) FROM outbox w WHERE w.delivery_state = 'pending' AND w.batch_id IS NULL)
        + (SELECT count(*) FROM outbox t WHERE t.delivery_state = 'pending' AND t.batch_id IS NOT NULL),
      (SELECT count(*) FROM outbox g WHERE g.delivery_state = 'given_up')
    FROM outbox o WHERE o.sequence IS NULL;
END
$$;

-- The last call of a batch wakes the relay, when there is a next batch to start: a company whose events come in faster than
-- a hundred a second would else fall behind by waiting for the relay to look.
CREATE OR REPLACE FUNCTION record_webhook_attempt(p_company uuid, p_event uuid, p_error text, p_retry_ms bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  batch uuid;
BEGIN
  PERFORM enter_relay();
  UPDATE outbox SET
    attempts = attempts + 1,
    last_error = p_error,
    started_at = coalesce(started_at, now()),
    delivered_at = CASE WHEN p_error IS NULL THEN now() END,
    delivery_state = CASE WHEN p_error IS NULL THEN 'delivered' WHEN p_retry_ms IS NULL THEN 'given_up' ELSE 'pending' END,
    next_attempt_at = now() + p_retry_ms * interval '1 millisecond'
  WHERE company_id = p_company AND id = p_event AND delivery_state = 'pending'
  RETURNING batch_id INTO batch;
  IF EXISTS (SELECT FROM outbox t
             WHERE t.company_id = p_company AND t.batch_id = batch AND t.delivery_state = 'pending') THEN
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM outbox w
             WHERE w.company_id = p_company AND w.delivery_state = 'pending' AND w.batch_id IS NULL) THEN
    PERFORM pg_notify('outbox', '');
  END IF;
END
$$;

-- An index alone is not enough: of a table with 100,000 events the planner read all rows to number 1,000 of them, or to put
-- fifty into a batch, since it cannot know how few will match. Each of these looks up a bounded number of rows by key.
DO $$
DECLARE
  of_the_relay text;
BEGIN
  FOREACH of_the_relay IN ARRAY ARRAY['triggered_events(integer)', 'number_events(integer, uuid[])',
    'webhook_batches(integer, integer)', 'mark_batch_started(uuid, uuid)', 'next_webhook_event(uuid, uuid)',
    'record_webhook_attempt(uuid, uuid, text, bigint)'] LOOP
    EXECUTE format('ALTER FUNCTION %s SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off '
      'SET enable_mergejoin = off', of_the_relay);
  END LOOP;
END
$$;
-- These count, each by its own index.
ALTER FUNCTION outbox_lag() SET enable_seqscan = off;
ALTER FUNCTION relay_facts() SET enable_seqscan = off;
