-- Batches: files of writes. A row of a file becomes a write like any other; what is here is which rows there are, what has
-- become of each, and which are to be written next. The rows are stored in chunks: the unit that is uploaded, run and recorded.

CREATE TABLE batches (
  company_id uuid NOT NULL REFERENCES companies,
  -- Follows from the company and the key.
  id uuid NOT NULL,
  -- The key of the batch; the keys of writes are another space.
  batch_key text COLLATE "C" NOT NULL CHECK (length(batch_key) BETWEEN 1 AND 255),
  -- receiving: no upload has ended yet. queued: its rows are to be written when it is its turn. A company's batches run one at a
  -- time, in the order in which they were queued.
  state text NOT NULL DEFAULT 'receiving'
    CHECK (state IN ('receiving', 'queued', 'running', 'paused', 'cancelled', 'completed')),
  -- Of the rows that name none.
  operation text CHECK (length(operation) BETWEEN 1 AND 64),
  -- Which operations its rows name: who may read those may read the batch.
  operations text[] CHECK (cardinality(operations) <= 1000),
  -- The upload whose chunks are the batch's.
  upload_id uuid,
  file_sha256 text CHECK (file_sha256 ~ '^[0-9a-f]{64}$'),
  row_count integer CHECK (row_count >= 0),
  chunk_count integer CHECK (chunk_count >= 0),
  user_id uuid NOT NULL REFERENCES users,
  request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
  succeeded integer NOT NULL DEFAULT 0 CHECK (succeeded >= 0),
  replayed integer NOT NULL DEFAULT 0 CHECK (replayed >= 0),
  rejected integer NOT NULL DEFAULT 0 CHECK (rejected >= 0),
  mismatched integer NOT NULL DEFAULT 0 CHECK (mismatched >= 0),
  refused integer NOT NULL DEFAULT 0 CHECK (refused >= 0),
  failed integer NOT NULL DEFAULT 0 CHECK (failed >= 0),
  cancelled integer NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  queued_at timestamptz,
  started_at timestamptz,
  completed_at timestamptz,
  -- When something of it was last recorded, and when its workflow was last started or woken.
  progress_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  woken_at timestamptz,
  -- Rows per second: those recorded since `rate_since`, and the rate of the time before.
  rate_since timestamptz,
  rate_rows integer NOT NULL DEFAULT 0 CHECK (rate_rows >= 0),
  rate real CHECK (rate >= 0),
  PRIMARY KEY (company_id, id),
  CONSTRAINT batches_batch_key UNIQUE (company_id, batch_key),
  CONSTRAINT batches_stored_whole CHECK (
    num_nulls(operations, upload_id, file_sha256, row_count, chunk_count, queued_at) IN (0, 6)
    AND (state IN ('receiving', 'cancelled') OR upload_id IS NOT NULL)
    AND (state <> 'receiving' OR upload_id IS NULL)
  ),
  CONSTRAINT batches_counted CHECK (
    succeeded + replayed + rejected + mismatched + refused + failed + cancelled <= coalesce(row_count, 0)
  )
);
CREATE INDEX batches_newest ON batches (company_id, created_at DESC, id DESC);
CREATE INDEX batches_unfinished ON batches (company_id, queued_at, id) WHERE state IN ('queued', 'running', 'paused');

CREATE TABLE batch_chunks (
  company_id uuid NOT NULL,
  batch_id uuid NOT NULL,
  -- One attempt to send the file: those of an upload that was broken off, or was not the first, are dropped.
  upload_id uuid NOT NULL,
  chunk integer NOT NULL CHECK (chunk >= 1),
  first_row integer NOT NULL CHECK (first_row >= 1),
  row_count integer NOT NULL CHECK (row_count BETWEEN 1 AND 10000),
  -- The rows, compressed (activities/batches/chunk-content.ts); NULL once the upload has been removed.
  content bytea CHECK (length(content) <= 16777216),
  -- The keys that rows have of their own, by position; NULL where they have none: it follows from the file.
  keys text[] CHECK (cardinality(keys) = row_count),
  -- 16 bytes a row: what was in it, to tell another file.
  digests bytea NOT NULL CHECK (length(digests) = 16 * row_count),
  -- Bit d: it names a resource that the chunk d + 1 before it names, too, so that it has to wait for that one.
  conflicts integer NOT NULL CHECK (conflicts BETWEEN 0 AND 255),
  -- One character a row: . pending, s succeeded, r replayed, j rejected, m mismatched, u refused, f failed, c cancelled.
  outcomes text COLLATE "C" NOT NULL CHECK (length(outcomes) = row_count AND outcomes ~ '^[.srjmufc]+$'),
  pending integer NOT NULL CHECK (pending BETWEEN 0 AND row_count),
  -- Those that are rejected, mismatched, refused or failed.
  faults integer NOT NULL DEFAULT 0 CHECK (faults BETWEEN 0 AND row_count),
  -- By position from 0, the problem of each row that is mismatched, refused or failed: no write has it.
  problems jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(problems) <= 67108864),
  -- The run of the batch's workflow, and its activity, that writes the chunk.
  claimed_run text CHECK (length(claimed_run) <= 64),
  claimed_activity text CHECK (length(claimed_activity) <= 64),
  stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (company_id, batch_id, upload_id, chunk),
  FOREIGN KEY (company_id, batch_id) REFERENCES batches,
  CHECK (num_nulls(claimed_run, claimed_activity) IN (0, 2))
);
-- Compressed already.
ALTER TABLE batch_chunks ALTER COLUMN content SET STORAGE EXTERNAL, ALTER COLUMN digests SET STORAGE EXTERNAL;
CREATE INDEX batch_chunks_pending ON batch_chunks (company_id, batch_id, chunk) WHERE pending > 0;
CREATE INDEX batch_chunks_faults ON batch_chunks (company_id, batch_id, chunk) WHERE faults > 0;
CREATE INDEX batch_chunks_stored ON batch_chunks (stored_at) WHERE content IS NOT NULL;

ALTER TABLE batches ENABLE ROW LEVEL SECURITY;
ALTER TABLE batches FORCE ROW LEVEL SECURITY;
ALTER TABLE batch_chunks ENABLE ROW LEVEL SECURITY;
ALTER TABLE batch_chunks FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON batches USING (company_id = current_company());
CREATE POLICY company ON batch_chunks USING (company_id = current_company());
CREATE POLICY relay ON batches TO accubooks_relay USING (true);
CREATE POLICY relay ON batch_chunks TO accubooks_relay USING (true);
CREATE POLICY auditor ON batches FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON batch_chunks FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT, INSERT ON batches, batch_chunks TO accubooks_app;
GRANT UPDATE (state, operation, operations, upload_id, file_sha256, row_count, chunk_count, user_id, request_id, succeeded, replayed,
  rejected, mismatched, refused, failed, cancelled, queued_at, started_at, completed_at, progress_at, woken_at, rate_since,
  rate_rows, rate) ON batches TO accubooks_app;
GRANT UPDATE (outcomes, pending, faults, problems, claimed_run, claimed_activity) ON batch_chunks TO accubooks_app;
GRANT DELETE ON batch_chunks TO accubooks_app;
GRANT SELECT ON batches, batch_chunks TO accubooks_auditor;
GRANT SELECT, UPDATE (woken_at), DELETE ON batches TO accubooks_relay;
GRANT SELECT, UPDATE (content), DELETE ON batch_chunks TO accubooks_relay;

-- What has become of a row stays: only one that has stored nothing may be tried again. The chunks of a batch are its record;
-- those of an upload that did not become it may go.
CREATE FUNCTION keep_row_outcomes() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  -- Bytes, since a character of a text is found by counting from its beginning.
  before bytea := convert_to(OLD.outcomes, 'UTF8');
  after bytea := convert_to(NEW.outcomes, 'UTF8');
BEGIN
  -- Mostly none has stored anything yet.
  IF OLD.outcomes ~ '[^.uf]'
     AND EXISTS (
       SELECT FROM generate_series(0, OLD.row_count - 1) AS i
       WHERE get_byte(before, i) <> get_byte(after, i) AND chr(get_byte(before, i)) NOT IN ('.', 'u', 'f')
     ) THEN
    RAISE EXCEPTION 'UPDATE of batch_chunks is refused: the outcome of a row that has stored something never changes'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER keep_row_outcomes BEFORE UPDATE OF outcomes ON batch_chunks
  FOR EACH ROW EXECUTE FUNCTION keep_row_outcomes();
CREATE FUNCTION keep_chunks_of_batch() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM batches b WHERE b.company_id = OLD.company_id AND b.id = OLD.batch_id AND b.upload_id = OLD.upload_id) THEN
    RAISE EXCEPTION 'DELETE of batch_chunks is refused: they are the record of the batch' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN OLD;
END
$$;
CREATE TRIGGER keep_chunks_of_batch BEFORE DELETE ON batch_chunks FOR EACH ROW EXECUTE FUNCTION keep_chunks_of_batch();
CREATE TRIGGER keep_all_chunks BEFORE TRUNCATE ON batch_chunks
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('they are the record of batches');
CREATE TRIGGER keep_batches BEFORE DELETE ON batches
  FOR EACH ROW WHEN (OLD.state <> 'receiving') EXECUTE FUNCTION refuse_change('the results of a batch stay');
CREATE TRIGGER keep_all_batches BEFORE TRUNCATE ON batches
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('the results of a batch stay');

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
  RETURN QUERY SELECT * FROM batches b WHERE b.company_id = p_company AND b.id = p_id;
END
$$;

-- The upload is whole: its chunks become the batch's, unless another upload was first. Who has sent it is the actor of its writes.
CREATE FUNCTION queue_batch(p_company uuid, p_id uuid, p_upload uuid, p_operation text, p_operations text[], p_sha256 text,
  p_rows integer, p_chunks integer, p_user uuid, p_request_id text, p_version uuid)
RETURNS TABLE (queued boolean, batch batches)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  done boolean;
BEGIN
  PERFORM enter_company(p_company);
  PERFORM require_trust(p_version);
  UPDATE batches b
  SET state = 'queued', upload_id = p_upload, operation = p_operation, operations = p_operations, file_sha256 = p_sha256,
    row_count = p_rows, chunk_count = p_chunks, user_id = p_user, request_id = p_request_id, queued_at = clock_timestamp(),
    progress_at = clock_timestamp()
  WHERE b.company_id = p_company AND b.id = p_id AND b.state = 'receiving'
    AND (SELECT count(*) FROM batch_chunks c WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = p_upload)
      = p_chunks;
  done := FOUND;
  RETURN QUERY SELECT done, b FROM batches b WHERE b.company_id = p_company AND b.id = p_id;
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

-- The next chunk that an activity of the batch's workflow is to write. An attempt after one that was lost gets the chunk of
-- that one; so does another run of the workflow, since two runs are never open at once. `kind`: chunk, or why there is none -
-- blocked (until another chunk is done), waiting (for another batch), or the state of the batch; gone: there is no such batch.
CREATE FUNCTION claim_chunk(p_company uuid, p_id uuid, p_run text, p_activity text, p_version uuid)
RETURNS TABLE (kind text, batch batches, chunk batch_chunks)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  one batches;
  next batch_chunks;
  oldest integer;
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
  PERFORM require_trust(p_version);
  -- One company's claims one after another: they decide whose turn it is.
  PERFORM pg_advisory_xact_lock(hashtextextended('accubooks: batches of ' || p_company, 0));
  SELECT * INTO one FROM batches b WHERE b.company_id = p_company AND b.id = p_id FOR UPDATE;
  IF one.id IS NULL OR one.upload_id IS NULL THEN
    RETURN QUERY SELECT CASE WHEN one.state = 'cancelled' THEN 'cancelled' ELSE 'gone' END, one, NULL::batch_chunks;
    RETURN;
  END IF;
  -- What was begun is ended, whatever has become of the batch since: its rows may be written already.
  SELECT * INTO next FROM batch_chunks c
  WHERE c.company_id = p_company AND c.batch_id = p_id AND c.pending > 0 AND c.upload_id = one.upload_id
    AND c.claimed_run = p_run AND c.claimed_activity = p_activity
  ORDER BY c.chunk LIMIT 1;
  IF next.chunk IS NULL THEN
    SELECT * INTO next FROM batch_chunks c
    WHERE c.company_id = p_company AND c.batch_id = p_id AND c.pending > 0 AND c.upload_id = one.upload_id
      AND c.claimed_run <> p_run
    ORDER BY c.chunk LIMIT 1;
  END IF;
  IF next.chunk IS NULL THEN
    IF one.state = 'queued' AND NOT is_batch_next(one) THEN
      RETURN QUERY SELECT 'waiting', one, NULL::batch_chunks;
      RETURN;
    END IF;
    IF one.state NOT IN ('queued', 'running') THEN
      RETURN QUERY SELECT one.state, one, NULL::batch_chunks;
      RETURN;
    END IF;
    SELECT * INTO next FROM batch_chunks c
    WHERE c.company_id = p_company AND c.batch_id = p_id AND c.pending > 0 AND c.upload_id = one.upload_id
      AND c.claimed_run IS NULL
    ORDER BY c.chunk LIMIT 1;
  END IF;
  IF next.chunk IS NOT NULL THEN
    SELECT min(c.chunk) INTO oldest FROM batch_chunks c
    WHERE c.company_id = p_company AND c.batch_id = p_id AND c.pending > 0 AND c.upload_id = one.upload_id;
    -- Which resources a chunk shares with one that is further away is not known.
    IF next.chunk - oldest > 8 OR EXISTS (
      SELECT FROM batch_chunks c
      WHERE c.company_id = p_company AND c.batch_id = p_id AND c.pending > 0 AND c.upload_id = one.upload_id
        AND c.chunk < next.chunk AND (next.conflicts >> (next.chunk - c.chunk - 1)) & 1 = 1
    ) THEN
      RETURN QUERY SELECT 'blocked', one, NULL::batch_chunks;
      RETURN;
    END IF;
    UPDATE batch_chunks c SET claimed_run = p_run, claimed_activity = p_activity
    WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = one.upload_id AND c.chunk = next.chunk;
    UPDATE batches b
    SET state = CASE b.state WHEN 'queued' THEN 'running' ELSE b.state END, started_at = coalesce(b.started_at, clock_timestamp()),
      progress_at = clock_timestamp(), rate_since = coalesce(b.rate_since, clock_timestamp())
    WHERE b.company_id = p_company AND b.id = p_id
    RETURNING * INTO one;
    RETURN QUERY SELECT 'chunk', one, next;
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM batch_chunks c
             WHERE c.company_id = p_company AND c.batch_id = p_id AND c.pending > 0 AND c.upload_id = one.upload_id) THEN
    RETURN QUERY SELECT 'blocked', one, NULL::batch_chunks;
    RETURN;
  END IF;
  -- The next one of the company is woken at once.
  UPDATE batches b SET woken_at = NULL WHERE b.company_id = p_company AND b.state = 'queued' AND b.id <> p_id;
  UPDATE batches b
  SET state = 'completed', started_at = coalesce(b.started_at, clock_timestamp()), completed_at = clock_timestamp(),
    progress_at = clock_timestamp(), rate_since = NULL
  WHERE b.company_id = p_company AND b.id = p_id
  RETURNING * INTO one;
  RETURN QUERY SELECT 'completed', one, NULL::batch_chunks;
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
    claimed_activity = CASE WHEN position('.' IN p_outcomes) > 0 THEN c.claimed_activity END
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
-- stands.
CREATE FUNCTION record_chunk(p_company uuid, p_id uuid, p_upload uuid, p_chunk integer, p_outcomes text, p_problems jsonb,
  p_audit jsonb, p_version uuid)
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
  tried integer := 0;
BEGIN
  PERFORM enter_company(p_company);
  PERFORM require_trust(p_version);
  SELECT * INTO one FROM batches b WHERE b.company_id = p_company AND b.id = p_id FOR UPDATE;
  changed := CASE p_action
    WHEN 'pause' THEN one.state IN ('queued', 'running')
    WHEN 'resume' THEN one.state = 'paused'
    WHEN 'cancel' THEN one.state IN ('receiving', 'queued', 'running', 'paused')
    WHEN 'retry-failed' THEN one.state = 'completed' AND one.failed + one.refused > 0
  END;
  IF changed THEN
    IF p_action = 'cancel' THEN
      -- All at once: there may be thousands of chunks. None of them changes meanwhile, as the batch's row is locked.
      SELECT coalesce(sum(c.pending), 0) INTO tried FROM batch_chunks c
      WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = one.upload_id AND c.pending > 0
        AND c.claimed_run IS NULL;
      UPDATE batch_chunks c SET outcomes = replace(c.outcomes, '.', 'c'), pending = 0
      WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = one.upload_id AND c.pending > 0
        AND c.claimed_run IS NULL;
      UPDATE batches b SET cancelled = b.cancelled + tried, progress_at = clock_timestamp()
      WHERE b.company_id = p_company AND b.id = p_id;
    ELSIF p_action = 'retry-failed' THEN
      FOR it IN SELECT * FROM batch_chunks c
                WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = one.upload_id AND c.faults > 0
                  AND c.outcomes ~ '[uf]' AND c.content IS NOT NULL
                ORDER BY c.chunk FOR UPDATE LOOP
        tried := tried + 1;
        PERFORM set_outcomes(it, translate(it.outcomes, 'uf', '..'), (
          SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}') FROM jsonb_each(it.problems) AS p
          WHERE substr(it.outcomes, p.key::integer + 1, 1) NOT IN ('u', 'f')));
      END LOOP;
      changed := tried > 0;
    END IF;
  END IF;
  IF changed THEN
    UPDATE batches b SET woken_at = NULL WHERE b.company_id = p_company AND b.state = 'queued' AND b.id <> p_id;
    UPDATE batches b
    SET state = CASE p_action WHEN 'pause' THEN 'paused' WHEN 'cancel' THEN 'cancelled' ELSE 'queued' END,
      completed_at = CASE p_action WHEN 'cancel' THEN clock_timestamp() END, woken_at = NULL,
      rate_since = NULL, rate_rows = 0, rate = NULL
    WHERE b.company_id = p_company AND b.id = p_id;
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
          OR (b.state = 'cancelled' AND EXISTS (
            SELECT FROM batch_chunks c
            WHERE c.company_id = b.company_id AND c.batch_id = b.id AND c.upload_id = b.upload_id AND c.pending > 0)))
        AND (b.woken_at IS NULL OR b.woken_at < clock_timestamp() - interval '30 seconds')
        AND (b.woken_at IS NULL OR b.progress_at < clock_timestamp() - interval '30 seconds' OR b.state = 'queued')
      ORDER BY b.queued_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    )
    UPDATE batches b SET woken_at = clock_timestamp() FROM silent s
    WHERE b.company_id = s.company_id AND b.id = s.id
    RETURNING b.company_id, b.id, b.batch_key, b.operation;
END
$$;

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
  UPDATE batch_chunks c SET content = NULL FROM old o
  WHERE (c.company_id, c.batch_id, c.upload_id, c.chunk) = (o.company_id, o.batch_id, o.upload_id, o.chunk);
  GET DIAGNOSTICS touched = ROW_COUNT;
  tidied := tidied + touched;
  WITH old AS (
    SELECT c.company_id, c.batch_id, c.upload_id, c.chunk FROM batch_chunks c
    JOIN batches b ON b.company_id = c.company_id AND b.id = c.batch_id AND b.upload_id IS DISTINCT FROM c.upload_id
    WHERE c.content IS NOT NULL AND c.stored_at < clock_timestamp() - interval '2 hours'
    LIMIT p_limit
  )
  DELETE FROM batch_chunks c USING old o
  WHERE (c.company_id, c.batch_id, c.upload_id, c.chunk) = (o.company_id, o.batch_id, o.upload_id, o.chunk);
  GET DIAGNOSTICS touched = ROW_COUNT;
  tidied := tidied + touched;
  DELETE FROM batches b
  WHERE b.state = 'receiving' AND b.created_at < clock_timestamp() - interval '1 day' - interval '2 hours'
    AND NOT EXISTS (SELECT FROM batch_chunks c WHERE c.company_id = b.company_id AND c.batch_id = b.id);
  GET DIAGNOSTICS touched = ROW_COUNT;
  RETURN tidied + touched;
END
$$;

-- How the unfinished batches stand: how many, how long ago the oldest was queued, and since when nothing was heard of a running one.
CREATE FUNCTION batch_facts()
RETURNS TABLE (state text, batches bigint, oldest_seconds double precision, silent_seconds double precision)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    SELECT b.state, count(*), age_seconds(min(b.queued_at)), age_seconds(min(b.progress_at))
    FROM batches b WHERE b.state IN ('queued', 'running', 'paused') GROUP BY b.state;
END
$$;
