ALTER TABLE idempotent_writes VALIDATE CONSTRAINT idempotent_writes_fingerprint_check;

-- What follows from the outcomes of a chunk's rows cannot be told otherwise.
ALTER TABLE batch_chunks ADD CONSTRAINT batch_chunks_counted CHECK (
  pending = length(outcomes) - length(replace(outcomes, '.', ''))
  AND faults = length(outcomes) - length(translate(outcomes, 'jmuf', ''))
);

-- The relay looks after batches of all companies. It removes the rows of files, and needs to read none of them.
ALTER TABLE batch_chunks ADD COLUMN is_kept boolean NOT NULL DEFAULT true, NO FORCE ROW LEVEL SECURITY;
UPDATE batch_chunks SET is_kept = false WHERE content IS NULL;
ALTER TABLE batch_chunks FORCE ROW LEVEL SECURITY,
  ADD CONSTRAINT batch_chunks_kept CHECK (is_kept = (content IS NOT NULL));
DROP INDEX batch_chunks_stored;
CREATE INDEX batch_chunks_stored ON batch_chunks (stored_at) WHERE is_kept;
REVOKE SELECT ON batch_chunks FROM accubooks_relay;
GRANT SELECT (company_id, batch_id, upload_id, chunk, pending, claimed_run, stored_at, is_kept), UPDATE (is_kept)
  ON batch_chunks TO accubooks_relay;

-- Few at any time, of all batches that ever were.
CREATE INDEX batch_chunks_claimed ON batch_chunks (company_id, batch_id, chunk) WHERE claimed_run IS NOT NULL;

CREATE FUNCTION has_pending(p_batch batches) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM batch_chunks c
    WHERE c.company_id = p_batch.company_id AND c.batch_id = p_batch.id AND c.pending > 0
      AND c.upload_id IS NOT DISTINCT FROM p_batch.upload_id);
END
$$;

-- As before, but an attempt that has recorded nothing is no progress, and a batch that was cancelled is over once what was begun of
-- it has ended.
CREATE OR REPLACE FUNCTION set_outcomes(p_chunk batch_chunks, p_outcomes text, p_problems jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  before text := p_chunk.outcomes;
  pending_now integer := count_outcome(p_outcomes, '.');
  recorded integer := count_outcome(before, '.') - pending_now;
BEGIN
  UPDATE batch_chunks c
  SET outcomes = p_outcomes, problems = p_problems, pending = pending_now,
    faults = length(p_outcomes) - length(translate(p_outcomes, 'jmuf', '')),
    claimed_run = CASE WHEN pending_now > 0 THEN c.claimed_run END,
    claimed_loop = CASE WHEN pending_now > 0 THEN c.claimed_loop END,
    claim = CASE WHEN pending_now > 0 THEN c.claim END
  WHERE c.company_id = p_chunk.company_id AND c.batch_id = p_chunk.batch_id AND c.upload_id = p_chunk.upload_id
    AND c.chunk = p_chunk.chunk;
  IF recorded = 0 THEN
    RETURN;
  END IF;
  UPDATE batches b
  SET succeeded = b.succeeded + count_outcome(p_outcomes, 's') - count_outcome(before, 's'),
    replayed = b.replayed + count_outcome(p_outcomes, 'r') - count_outcome(before, 'r'),
    rejected = b.rejected + count_outcome(p_outcomes, 'j') - count_outcome(before, 'j'),
    mismatched = b.mismatched + count_outcome(p_outcomes, 'm') - count_outcome(before, 'm'),
    refused = b.refused + count_outcome(p_outcomes, 'u') - count_outcome(before, 'u'),
    failed = b.failed + count_outcome(p_outcomes, 'f') - count_outcome(before, 'f'),
    cancelled = b.cancelled + count_outcome(p_outcomes, 'c') - count_outcome(before, 'c'),
    progress_at = clock_timestamp(),
    rate = CASE WHEN clock_timestamp() - b.rate_since > interval '10 seconds'
      THEN (b.rate_rows + recorded) / extract(epoch FROM clock_timestamp() - b.rate_since) ELSE b.rate END,
    rate_rows = CASE WHEN clock_timestamp() - b.rate_since > interval '10 seconds' THEN 0 ELSE b.rate_rows + recorded END,
    rate_since = CASE WHEN clock_timestamp() - b.rate_since > interval '10 seconds' THEN clock_timestamp() ELSE b.rate_since END,
    completed_at = CASE WHEN b.state = 'cancelled' AND NOT has_pending(b) THEN clock_timestamp() ELSE b.completed_at END
  WHERE b.company_id = p_chunk.company_id AND b.id = p_chunk.batch_id;
END
$$;

-- The rows of a batch that were refused or have failed are pending again, in one statement: there may be thousands of chunks, and
-- each change of the batch's row would leave another version of it. Returns how many rows these are; their batch counts them still.
CREATE FUNCTION reopen_faults(p_company uuid, p_id uuid, p_upload uuid, OUT refused integer, OUT failed integer)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  WITH faulty AS (
    SELECT c.chunk, c.outcomes FROM batch_chunks c
    WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = p_upload AND c.faults > 0 AND c.is_kept
      AND c.outcomes ~ '[uf]'
    FOR UPDATE
  ), reopened AS (
    UPDATE batch_chunks c
    SET outcomes = translate(f.outcomes, 'uf', '..'),
      pending = c.pending + count_outcome(f.outcomes, 'u') + count_outcome(f.outcomes, 'f'),
      faults = c.faults - count_outcome(f.outcomes, 'u') - count_outcome(f.outcomes, 'f'),
      problems = (
        SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}') FROM jsonb_each(c.problems) AS p
        WHERE substr(f.outcomes, p.key::integer + 1, 1) NOT IN ('u', 'f'))
    FROM faulty f
    WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = p_upload AND c.chunk = f.chunk
    RETURNING count_outcome(f.outcomes, 'u') AS refused_rows, count_outcome(f.outcomes, 'f') AS failed_rows
  )
  SELECT coalesce(sum(r.refused_rows), 0), coalesce(sum(r.failed_rows), 0) INTO refused, failed FROM reopened r;
END
$$;

-- As before, with `reopen_faults`; a batch that is cancelled is over once nothing of it is pending.
CREATE OR REPLACE FUNCTION control_batch(p_company uuid, p_id uuid, p_action text, p_version uuid)
RETURNS TABLE (changed boolean, batch batches)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  one batches;
  ended integer;
  reopened record;
BEGIN
  PERFORM enter_company(p_company);
  PERFORM require_trust(p_version);
  PERFORM lock_batches(p_company);
  SELECT * INTO one FROM batches b WHERE b.company_id = p_company AND b.id = p_id FOR UPDATE;
  changed := CASE p_action
    WHEN 'pause' THEN one.state IN ('queued', 'running')
    WHEN 'resume' THEN one.state = 'paused'
    WHEN 'cancel' THEN one.state IN ('receiving', 'queued', 'running', 'paused')
    WHEN 'retry-failed' THEN one.state = 'completed'
  END;
  IF changed AND p_action = 'retry-failed' THEN
    SELECT r.refused, r.failed INTO reopened FROM reopen_faults(p_company, p_id, one.upload_id) AS r;
    changed := reopened.refused + reopened.failed > 0;
  END IF;
  IF changed THEN
    UPDATE batches b SET woken_at = NULL, progress_at = clock_timestamp()
    WHERE b.company_id = p_company AND b.state = 'queued' AND b.id <> p_id;
    UPDATE batches b
    SET state = CASE p_action WHEN 'pause' THEN 'paused' WHEN 'cancel' THEN 'cancelled' ELSE 'queued' END,
      completed_at = NULL, woken_at = NULL,
      progress_at = clock_timestamp(), rate_since = NULL, rate_rows = 0, rate = NULL
    WHERE b.company_id = p_company AND b.id = p_id;
    IF p_action = 'retry-failed' THEN
      UPDATE batches b SET refused = b.refused - reopened.refused, failed = b.failed - reopened.failed
      WHERE b.company_id = p_company AND b.id = p_id;
    ELSIF p_action = 'cancel' THEN
      -- All at once: there may be thousands of chunks. None of them changes meanwhile, as the batch's row is locked.
      SELECT coalesce(sum(c.pending), 0) INTO ended FROM batch_chunks c
      WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = one.upload_id AND c.pending > 0
        AND c.claimed_run IS NULL;
      UPDATE batch_chunks c SET outcomes = replace(c.outcomes, '.', 'c'), pending = 0
      WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = one.upload_id AND c.pending > 0
        AND c.claimed_run IS NULL;
      UPDATE batches b
      SET cancelled = b.cancelled + ended, progress_at = clock_timestamp(),
        completed_at = CASE WHEN NOT has_pending(b) THEN clock_timestamp() END
      WHERE b.company_id = p_company AND b.id = p_id;
    END IF;
  END IF;
  RETURN QUERY SELECT changed, b FROM batches b WHERE b.company_id = p_company AND b.id = p_id;
END
$$;

-- As before. A batch that was paused or cancelled is found by the chunk that was begun, since most have none.
CREATE OR REPLACE FUNCTION silent_batches(p_limit integer)
RETURNS TABLE (company_id uuid, id uuid, batch_key text, operation text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    WITH unfinished AS (
      SELECT b.company_id, b.id FROM batches b
      WHERE b.state IN ('queued', 'running') AND (b.state = 'running' OR is_batch_next(b))
      UNION
      SELECT b.company_id, b.id FROM batch_chunks c
      JOIN batches b ON b.company_id = c.company_id AND b.id = c.batch_id AND b.upload_id = c.upload_id
      WHERE c.claimed_run IS NOT NULL AND b.state IN ('paused', 'cancelled')
    ), silent AS (
      SELECT b.company_id, b.id FROM batches b JOIN unfinished u ON u.company_id = b.company_id AND u.id = b.id
      -- A moment to come is one of before the clock was set back.
      WHERE (b.woken_at IS NULL
          OR b.woken_at NOT BETWEEN clock_timestamp() - interval '30 seconds' AND clock_timestamp() + interval '1 second')
        AND (b.woken_at IS NULL OR b.state = 'queued'
          OR b.progress_at NOT BETWEEN clock_timestamp() - interval '30 seconds' AND clock_timestamp() + interval '1 second')
      ORDER BY b.queued_at LIMIT p_limit FOR UPDATE OF b SKIP LOCKED
    )
    UPDATE batches b SET woken_at = clock_timestamp() FROM silent s
    WHERE b.company_id = s.company_id AND b.id = s.id
    RETURNING b.company_id, b.id, b.batch_key, b.operation;
END
$$;

-- As before, by what says whether the bytes are kept.
CREATE OR REPLACE FUNCTION tidy_batches(p_kept interval, p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  touched integer;
  tidied integer := 0;
BEGIN
  PERFORM enter_relay();
  WITH old AS (
    SELECT c.company_id, c.batch_id, c.upload_id, c.chunk FROM batch_chunks c
    JOIN batches b ON b.company_id = c.company_id AND b.id = c.batch_id AND b.upload_id = c.upload_id
    WHERE c.is_kept AND c.pending = 0 AND c.stored_at < clock_timestamp() - p_kept
      AND b.completed_at < clock_timestamp() - p_kept
    LIMIT p_limit
  )
  -- Whoever has its rows tried again meanwhile has locked it, and it is looked at again.
  UPDATE batch_chunks c SET content = NULL, is_kept = false FROM old o
  WHERE (c.company_id, c.batch_id, c.upload_id, c.chunk) = (o.company_id, o.batch_id, o.upload_id, o.chunk) AND c.pending = 0;
  GET DIAGNOSTICS touched = ROW_COUNT;
  tidied := tidied + touched;
  WITH old AS (
    SELECT c.company_id, c.batch_id, c.upload_id, c.chunk FROM batch_chunks c
    JOIN batches b ON b.company_id = c.company_id AND b.id = c.batch_id AND b.upload_id IS DISTINCT FROM c.upload_id
    WHERE c.is_kept AND c.stored_at < clock_timestamp() - interval '2 hours'
    LIMIT p_limit FOR UPDATE OF b SKIP LOCKED
  )
  DELETE FROM batch_chunks c USING old o
  WHERE (c.company_id, c.batch_id, c.upload_id, c.chunk) = (o.company_id, o.batch_id, o.upload_id, o.chunk);
  GET DIAGNOSTICS touched = ROW_COUNT;
  tidied := tidied + touched;
  DELETE FROM batches b
  WHERE b.state = 'receiving' AND b.progress_at < clock_timestamp() - interval '1 day' - interval '2 hours'
    AND NOT EXISTS (SELECT FROM batch_chunks c WHERE c.company_id = b.company_id AND c.batch_id = b.id);
  GET DIAGNOSTICS touched = ROW_COUNT;
  RETURN tidied + touched;
END
$$;
