-- What is read of batches, and what is kept no longer.

-- Of these keys those that have a row: what their outcome was, and for which request. Slim: no answer, no request.
CREATE FUNCTION outcomes_of_keys(p_company uuid, p_keys text[])
RETURNS TABLE (idempotency_key text, submission_id uuid, operation text, fingerprint text, outcome text, status_code smallint,
  write_id uuid)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  PERFORM enter_company(p_company);
  RETURN QUERY
    SELECT w.idempotency_key::text, w.submission_id, w.operation, w.fingerprint, w.outcome, w.status_code, w.write_id
    FROM idempotent_writes w WHERE w.company_id = p_company AND w.idempotency_key = ANY (p_keys);
END
$$;

-- What is kept no longer: the bytes of uploads whose batch ended so long ago, chunks of uploads that were broken off or were not
-- the first (an upload lasts an hour at most), and batches of which no upload has ended. Returns how many rows that were.
CREATE FUNCTION tidy_batches(p_kept interval, p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  touched integer;
  tidied integer := 0;
BEGIN
  PERFORM enter_relay();
  WITH old AS (
    SELECT c.company_id, c.batch_id, c.upload_id, c.chunk FROM batch_chunks c
    JOIN batches b ON b.company_id = c.company_id AND b.id = c.batch_id AND b.upload_id = c.upload_id
    WHERE c.content IS NOT NULL AND c.pending = 0 AND c.stored_at < clock_timestamp() - p_kept
      AND b.completed_at < clock_timestamp() - p_kept
    LIMIT p_limit
  )
  -- Whoever has its rows tried again meanwhile has locked it, and it is looked at again.
  UPDATE batch_chunks c SET content = NULL FROM old o
  WHERE (c.company_id, c.batch_id, c.upload_id, c.chunk) = (o.company_id, o.batch_id, o.upload_id, o.chunk) AND c.pending = 0;
  GET DIAGNOSTICS touched = ROW_COUNT;
  tidied := tidied + touched;
  WITH old AS (
    SELECT c.company_id, c.batch_id, c.upload_id, c.chunk FROM batch_chunks c
    JOIN batches b ON b.company_id = c.company_id AND b.id = c.batch_id AND b.upload_id IS DISTINCT FROM c.upload_id
    WHERE c.content IS NOT NULL AND c.stored_at < clock_timestamp() - interval '2 hours'
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

-- How the unfinished batches stand, by state: how many, how long ago the oldest was queued, and for how long at most one has
-- made no progress that is running or whose turn it is.
CREATE FUNCTION batch_facts()
RETURNS TABLE (state text, batches bigint, oldest_seconds double precision, silent_seconds double precision)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    SELECT b.state, count(*), age_seconds(min(b.queued_at)),
      age_seconds(min(b.progress_at) FILTER (WHERE b.state = 'running' OR (b.state = 'queued' AND is_batch_next(b))))
    FROM batches b WHERE b.state IN ('queued', 'running', 'paused') GROUP BY b.state;
END
$$;

-- The chunks that have these rows, in their order. The first is found by halving, by the primary key alone: an index by the rows
-- would cost the same as that while the statistics do not know the company, and lead other searches to all chunks of the batch.
CREATE FUNCTION chunks_with_rows(p_batch uuid, p_upload uuid, p_chunks integer, p_first integer, p_last integer)
RETURNS TABLE (first_row integer, keys text[], outcomes text, problems jsonb)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
  low integer := 1;
  high integer := p_chunks;
  middle integer;
  begins integer;
BEGIN
  WHILE low < high LOOP
    middle := (low + high + 1) / 2;
    SELECT c.first_row INTO begins FROM batch_chunks c
    WHERE c.company_id = current_company() AND c.batch_id = p_batch AND c.upload_id = p_upload AND c.chunk = middle;
    IF begins <= p_first THEN
      low := middle;
    ELSE
      high := middle - 1;
    END IF;
  END LOOP;
  LOOP
    RETURN QUERY
      SELECT c.first_row, c.keys, c.outcomes, c.problems FROM batch_chunks c
      WHERE c.company_id = current_company() AND c.batch_id = p_batch AND c.upload_id = p_upload AND c.chunk = low
        AND c.first_row <= p_last;
    EXIT WHEN NOT FOUND;
    low := low + 1;
  END LOOP;
END
$$;
