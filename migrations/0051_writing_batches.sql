-- What is done with batches: a file is received, its chunks are claimed and recorded one after another, and an operator or its
-- sender may pause, resume, cancel or retry it.

-- The batch of a key, which it makes if there is none: an upload begins. The server has to be a verified one: on another the
-- batch may have been lost, and its rows written.
CREATE FUNCTION begin_batch(p_company uuid, p_id uuid, p_key text, p_operation text, p_user uuid, p_request_id text, p_version uuid)
RETURNS SETOF batches
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  PERFORM require_trust(p_version);
  INSERT INTO batches (company_id, id, batch_key, operation, user_id, request_id)
  VALUES (p_company, p_id, p_key, p_operation, p_user, p_request_id)
  ON CONFLICT DO NOTHING;
  -- One of which no upload has ended for a day is removed (tidy_batches), but not while another one goes on.
  UPDATE batches b SET progress_at = clock_timestamp()
  WHERE b.company_id = p_company AND b.id = p_id AND b.state = 'receiving'
    AND b.progress_at < clock_timestamp() - interval '1 minute';
  RETURN QUERY SELECT * FROM batches b WHERE b.company_id = p_company AND b.id = p_id;
END
$$;

-- The upload is whole: its chunks become the batch's, unless another upload was first, or some of them are gone. Who has sent it
-- is the actor of its writes.
CREATE FUNCTION queue_batch(p_company uuid, p_id uuid, p_upload uuid, p_operation text, p_operations text[],
  p_schema_versions integer[], p_sha256 text, p_rows integer, p_chunks integer, p_user uuid, p_request_id text, p_version uuid)
RETURNS TABLE (queued boolean, batch batches)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  done boolean;
BEGIN
  PERFORM enter_company(p_company);
  PERFORM require_trust(p_version);
  -- First, so that the chunks are counted as they are once nobody can remove them any more: whoever does locks the batch.
  PERFORM 1 FROM batches b WHERE b.company_id = p_company AND b.id = p_id FOR UPDATE;
  UPDATE batches b
  SET state = 'queued', upload_id = p_upload, operation = p_operation, operations = p_operations,
    schema_versions = p_schema_versions, file_sha256 = p_sha256, row_count = p_rows, chunk_count = p_chunks, user_id = p_user, request_id = p_request_id, queued_at = clock_timestamp(),
    progress_at = clock_timestamp()
  WHERE b.company_id = p_company AND b.id = p_id AND b.state = 'receiving'
    AND (SELECT count(*) FROM batch_chunks c WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = p_upload)
      = p_chunks;
  done := FOUND;
  RETURN QUERY SELECT done, b FROM batches b WHERE b.company_id = p_company AND b.id = p_id;
END
$$;

-- One company's claims and controls happen one after another: they decide whose turn it is, and touch several of its batches.
CREATE FUNCTION lock_batches(p_company uuid) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('accubooks: batches of ' || p_company, 0));
END
$$;

-- Whether it is the batch's turn: no other of its company is running, or was queued before.
CREATE FUNCTION is_batch_next(p_batch batches) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN NOT EXISTS (
    SELECT FROM batches b
    WHERE b.company_id = p_batch.company_id AND b.id <> p_batch.id
      AND (b.state = 'running' OR (b.state = 'queued' AND (b.queued_at, b.id) < (p_batch.queued_at, p_batch.id))));
END
$$;

-- The next chunk that a loop of the batch's workflow is to write: first one that the loop has claimed already, so that an attempt
-- after one that was lost goes on with its chunk, and what an attempt claims after its time is not left behind; then one of
-- another run of the workflow, since two runs are never open at once. A chunk that names what an unfinished one before it names
-- is left out. `kind`: chunk, or why there is none - blocked (until another chunk is done), waiting (for another batch), or the
-- state of the batch; gone: there is no such batch.
CREATE FUNCTION claim_chunk(p_company uuid, p_id uuid, p_run text, p_loop integer, p_version uuid)
RETURNS TABLE (kind text, batch batches, chunk batch_chunks)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  one batches;
  next batch_chunks;
  oldest integer;
  chosen integer;
  is_next boolean;
  is_begun boolean;
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
  PERFORM require_trust(p_version);
  PERFORM lock_batches(p_company);
  SELECT * INTO one FROM batches b WHERE b.company_id = p_company AND b.id = p_id FOR UPDATE;
  IF one.id IS NULL OR one.upload_id IS NULL THEN
    RETURN QUERY SELECT CASE WHEN one.state = 'cancelled' THEN 'cancelled' ELSE 'gone' END, one, NULL::batch_chunks;
    RETURN;
  END IF;
  is_next := one.state = 'running' OR (one.state = 'queued' AND is_batch_next(one));
  -- In the order of the index of what is pending, which no other gives: while the statistics do not know the company, each index
  -- that begins with it costs the same. Compared like this, the upload leads to none; those that were broken off are few.
  SELECT c.chunk INTO oldest FROM batch_chunks c
  WHERE c.company_id = p_company AND c.batch_id = p_id AND c.pending > 0 AND c.upload_id IS NOT DISTINCT FROM one.upload_id
  ORDER BY c.chunk LIMIT 1;
  -- Which resources a chunk shares with one that is further away is not known. What was begun is ended, whatever has become of
  -- the batch since: its rows may be written already.
  WITH near AS MATERIALIZED (
    SELECT c.chunk, c.conflicts, c.claimed_run, c.claimed_loop FROM batch_chunks c
    WHERE c.company_id = p_company AND c.batch_id = p_id AND c.pending > 0 AND c.upload_id IS NOT DISTINCT FROM one.upload_id
      AND c.chunk BETWEEN oldest AND oldest + 8
    ORDER BY c.chunk
  )
  SELECT n.chunk, n.claimed_run IS NOT NULL INTO chosen, is_begun FROM near n
  WHERE CASE WHEN n.claimed_run IS NULL THEN is_next ELSE n.claimed_run <> p_run OR n.claimed_loop = p_loop END
    AND NOT EXISTS (
      SELECT FROM near e WHERE e.chunk < n.chunk AND (n.conflicts >> (n.chunk - e.chunk - 1)) & 1 = 1)
  ORDER BY n.claimed_run IS NULL, n.claimed_run <> p_run, n.chunk
  LIMIT 1;
  IF chosen IS NOT NULL THEN
    UPDATE batch_chunks c SET claimed_run = p_run, claimed_loop = p_loop, claim = gen_random_uuid()
    WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = one.upload_id AND c.chunk = chosen
    RETURNING * INTO next;
    UPDATE batches b
    SET state = CASE WHEN is_next THEN 'running' ELSE b.state END, started_at = coalesce(b.started_at, clock_timestamp()),
      -- A chunk that is begun again and again is no progress.
      progress_at = CASE WHEN is_begun THEN b.progress_at ELSE clock_timestamp() END,
      rate_since = coalesce(b.rate_since, clock_timestamp())
    WHERE b.company_id = p_company AND b.id = p_id
    RETURNING * INTO one;
    RETURN QUERY SELECT 'chunk', one, next;
  ELSIF NOT is_next THEN
    RETURN QUERY SELECT CASE one.state WHEN 'queued' THEN 'waiting' ELSE one.state END, one, NULL::batch_chunks;
  ELSIF oldest IS NOT NULL THEN
    RETURN QUERY SELECT 'blocked', one, NULL::batch_chunks;
  ELSE
    -- The next one of the company is woken at once.
    UPDATE batches b SET woken_at = NULL, progress_at = clock_timestamp()
    WHERE b.company_id = p_company AND b.state = 'queued' AND b.id <> p_id;
    UPDATE batches b
    SET state = 'completed', started_at = coalesce(b.started_at, clock_timestamp()), completed_at = clock_timestamp(),
      progress_at = clock_timestamp(), rate_since = NULL
    WHERE b.company_id = p_company AND b.id = p_id
    RETURNING * INTO one;
    RETURN QUERY SELECT 'completed', one, NULL::batch_chunks;
  END IF;
END
$$;

-- Of the characters of `p_new`, those at positions that are pending in `p_old`.
CREATE FUNCTION merge_outcomes(p_old text, p_new text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF p_old !~ '[^.]' THEN
    RETURN p_new;
  END IF;
  RETURN (
    SELECT string_agg(CASE substr(p_old, i, 1) WHEN '.' THEN substr(p_new, i, 1) ELSE substr(p_old, i, 1) END, '' ORDER BY i)
    FROM generate_series(1, length(p_old)) AS i);
END
$$;

CREATE FUNCTION count_outcome(p_outcomes text, p_outcome text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN length(p_outcomes) - length(replace(p_outcomes, p_outcome, ''));
END
$$;

-- Brings a chunk's outcomes into the row of the chunk and the counts of its batch.
CREATE FUNCTION set_outcomes(p_chunk batch_chunks, p_outcomes text, p_problems jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  before text := p_chunk.outcomes;
  recorded integer := count_outcome(before, '.') - count_outcome(p_outcomes, '.');
BEGIN
  UPDATE batch_chunks c
  SET outcomes = p_outcomes, problems = p_problems, pending = count_outcome(p_outcomes, '.'),
    faults = count_outcome(p_outcomes, 'j') + count_outcome(p_outcomes, 'm') + count_outcome(p_outcomes, 'u')
      + count_outcome(p_outcomes, 'f'),
    claimed_run = CASE WHEN position('.' IN p_outcomes) > 0 THEN c.claimed_run END,
    claimed_loop = CASE WHEN position('.' IN p_outcomes) > 0 THEN c.claimed_loop END,
    claim = CASE WHEN position('.' IN p_outcomes) > 0 THEN c.claim END
  WHERE c.company_id = p_chunk.company_id AND c.batch_id = p_chunk.batch_id AND c.upload_id = p_chunk.upload_id
    AND c.chunk = p_chunk.chunk;
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
      THEN greatest(b.rate_rows + recorded, 0) / extract(epoch FROM clock_timestamp() - b.rate_since) ELSE b.rate END,
    rate_rows = CASE WHEN clock_timestamp() - b.rate_since > interval '10 seconds' THEN 0
      ELSE greatest(b.rate_rows + recorded, 0) END,
    rate_since = CASE WHEN clock_timestamp() - b.rate_since > interval '10 seconds' THEN clock_timestamp() ELSE b.rate_since END
  WHERE b.company_id = p_chunk.company_id AND b.id = p_chunk.batch_id;
END
$$;

-- What has become of rows of a chunk, with the audit rows of those that no transaction of a write has recorded (replays and
-- mismatches), by position from 0. A row that has its outcome keeps it, and gets no second audit row. Returns how the batch
-- stands; nothing where another attempt has claimed the chunk since: what this one knows may be of before a retry.
CREATE FUNCTION record_chunk(p_company uuid, p_id uuid, p_upload uuid, p_chunk integer, p_claim uuid, p_outcomes text,
  p_problems jsonb, p_audit jsonb, p_version uuid)
RETURNS SETOF batches
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  it batch_chunks;
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
  PERFORM require_trust(p_version);
  -- Before the chunk's row, as whoever cancels.
  PERFORM 1 FROM batches b WHERE b.company_id = p_company AND b.id = p_id FOR UPDATE;
  SELECT * INTO it FROM batch_chunks c
  WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = p_upload AND c.chunk = p_chunk FOR UPDATE;
  IF it.pending > 0 THEN
    IF it.claim IS DISTINCT FROM p_claim THEN
      RETURN;
    END IF;
    PERFORM set_outcomes(it, merge_outcomes(it.outcomes, p_outcomes), it.problems || (
      SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}') FROM jsonb_each(p_problems) AS p
      WHERE substr(it.outcomes, p.key::integer + 1, 1) = '.'));
    PERFORM record_audit_rows((
      SELECT coalesce(jsonb_agg(a.value), '[]') FROM jsonb_each(p_audit) AS a
      WHERE substr(it.outcomes, a.key::integer + 1, 1) = '.'));
  END IF;
  RETURN QUERY SELECT * FROM batches b WHERE b.company_id = p_company AND b.id = p_id;
END
$$;

-- Pauses, resumes, cancels a batch, or lets its rows be tried again that have stored nothing. `changed` false: in its state that
-- makes no sense. What a chunk has begun goes on to its end.
CREATE FUNCTION control_batch(p_company uuid, p_id uuid, p_action text, p_version uuid)
RETURNS TABLE (changed boolean, batch batches)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  one batches;
  it batch_chunks;
  ended integer;
BEGIN
  PERFORM enter_company(p_company);
  PERFORM require_trust(p_version);
  PERFORM lock_batches(p_company);
  SELECT * INTO one FROM batches b WHERE b.company_id = p_company AND b.id = p_id FOR UPDATE;
  changed := CASE p_action
    WHEN 'pause' THEN one.state IN ('queued', 'running')
    WHEN 'resume' THEN one.state = 'paused'
    WHEN 'cancel' THEN one.state IN ('receiving', 'queued', 'running', 'paused')
    WHEN 'retry-failed' THEN one.state = 'completed' AND EXISTS (
      SELECT FROM batch_chunks c
      WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = one.upload_id AND c.faults > 0
        AND c.outcomes ~ '[uf]' AND c.content IS NOT NULL)
  END;
  IF changed THEN
    UPDATE batches b SET woken_at = NULL, progress_at = clock_timestamp()
    WHERE b.company_id = p_company AND b.state = 'queued' AND b.id <> p_id;
    UPDATE batches b
    SET state = CASE p_action WHEN 'pause' THEN 'paused' WHEN 'cancel' THEN 'cancelled' ELSE 'queued' END,
      completed_at = CASE p_action WHEN 'cancel' THEN clock_timestamp() END, woken_at = NULL,
      progress_at = clock_timestamp(), rate_since = NULL, rate_rows = 0, rate = NULL
    WHERE b.company_id = p_company AND b.id = p_id;
    IF p_action = 'cancel' THEN
      -- All at once: there may be thousands of chunks. None of them changes meanwhile, as the batch's row is locked.
      SELECT coalesce(sum(c.pending), 0) INTO ended FROM batch_chunks c
      WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = one.upload_id AND c.pending > 0
        AND c.claimed_run IS NULL;
      UPDATE batch_chunks c SET outcomes = replace(c.outcomes, '.', 'c'), pending = 0
      WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = one.upload_id AND c.pending > 0
        AND c.claimed_run IS NULL;
      UPDATE batches b SET cancelled = b.cancelled + ended, progress_at = clock_timestamp()
      WHERE b.company_id = p_company AND b.id = p_id;
    ELSIF p_action = 'retry-failed' THEN
      FOR it IN SELECT * FROM batch_chunks c
                WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = one.upload_id AND c.faults > 0
                  AND c.outcomes ~ '[uf]' AND c.content IS NOT NULL
                ORDER BY c.chunk FOR UPDATE LOOP
        PERFORM set_outcomes(it, translate(it.outcomes, 'uf', '..'), (
          SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}') FROM jsonb_each(it.problems) AS p
          WHERE substr(it.outcomes, p.key::integer + 1, 1) NOT IN ('u', 'f')));
      END LOOP;
    END IF;
  END IF;
  RETURN QUERY SELECT changed, b FROM batches b WHERE b.company_id = p_company AND b.id = p_id;
END
$$;

-- Batches whose workflow is to be started or woken: it is their turn, or a chunk of theirs is not done, and nothing was heard
-- of them for a while. Their start was lost with the process that had to make it, or Temporal has lost the run.
CREATE FUNCTION silent_batches(p_limit integer)
RETURNS TABLE (company_id uuid, id uuid, batch_key text, operation text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    WITH silent AS (
      SELECT b.company_id, b.id FROM batches b
      WHERE (b.state = 'running' OR (b.state = 'queued' AND is_batch_next(b))
          OR (b.state IN ('paused', 'cancelled') AND EXISTS (
            SELECT FROM batch_chunks c
            WHERE c.company_id = b.company_id AND c.batch_id = b.id AND c.upload_id = b.upload_id AND c.pending > 0
              AND c.claimed_run IS NOT NULL)))
        -- A moment to come is one of before the clock was set back.
        AND (b.woken_at IS NULL
          OR b.woken_at NOT BETWEEN clock_timestamp() - interval '30 seconds' AND clock_timestamp() + interval '1 second')
        AND (b.woken_at IS NULL OR b.state = 'queued'
          OR b.progress_at NOT BETWEEN clock_timestamp() - interval '30 seconds' AND clock_timestamp() + interval '1 second')
      ORDER BY b.queued_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    )
    UPDATE batches b SET woken_at = clock_timestamp() FROM silent s
    WHERE b.company_id = s.company_id AND b.id = s.id
    RETURNING b.company_id, b.id, b.batch_key, b.operation;
END
$$;
