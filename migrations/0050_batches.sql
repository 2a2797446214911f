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
  -- Of each of these, the version of its schema that the release knew which took the file: an earlier one leaves it alone.
  schema_versions integer[] CHECK (cardinality(schema_versions) = cardinality(operations)),
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
  -- When something of it was last stored or recorded, or its turn may have come; and when its workflow was last started or woken.
  progress_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  woken_at timestamptz,
  -- Rows per second: those recorded since `rate_since`, and the rate of the time before.
  rate_since timestamptz,
  rate_rows integer NOT NULL DEFAULT 0 CHECK (rate_rows >= 0),
  rate real CHECK (rate >= 0),
  PRIMARY KEY (company_id, id),
  CONSTRAINT batches_batch_key UNIQUE (company_id, batch_key),
  CONSTRAINT batches_stored_whole CHECK (
    num_nulls(operations, schema_versions, upload_id, file_sha256, row_count, chunk_count, queued_at) IN (0, 7)
    AND (state IN ('receiving', 'cancelled') OR upload_id IS NOT NULL)
    AND (state <> 'receiving' OR upload_id IS NULL)
  ),
  CONSTRAINT batches_counted CHECK (
    succeeded + replayed + rejected + mismatched + refused + failed + cancelled <= coalesce(row_count, 0)
  ),
  -- A batch with rows whose chunk is gone would say that they are done.
  CONSTRAINT batches_completed CHECK (
    state <> 'completed' OR succeeded + replayed + rejected + mismatched + refused + failed + cancelled = row_count
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
  row_count integer NOT NULL CHECK (row_count BETWEEN 1 AND 1000),
  -- The rows, compressed (activities/batches/chunk-content.ts); NULL once the upload has been removed.
  content bytea CHECK (length(content) <= 16777216),
  -- The keys that rows have of their own, by position; NULL where they have none: it follows from the file.
  keys text[] CHECK (cardinality(keys) <= 1000) CHECK (cardinality(keys) = row_count),
  -- 16 bytes a row: what was in it, to tell another file.
  digests bytea NOT NULL CHECK (length(digests) <= 16000) CHECK (length(digests) = 16 * row_count),
  -- Bit d: it names a resource that the chunk d + 1 before it names, too, so that it has to wait for that one.
  conflicts integer NOT NULL CHECK (conflicts BETWEEN 0 AND 255),
  -- One character a row: . pending, s succeeded, r replayed, j rejected, m mismatched, u refused, f failed, c cancelled.
  outcomes text COLLATE "C" NOT NULL CHECK (length(outcomes) <= 1000 AND outcomes ~ '^[.srjmufc]+$')
    CHECK (length(outcomes) = row_count),
  pending integer NOT NULL CHECK (pending BETWEEN 0 AND row_count),
  -- Those that are rejected, mismatched, refused or failed.
  faults integer NOT NULL DEFAULT 0 CHECK (faults BETWEEN 0 AND row_count),
  -- By position from 0, the problem of each row that is mismatched, refused or failed: no write has it.
  problems jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(problems) <= 67108864),
  -- The run of the batch's workflow, and which of its loops, that writes the chunk; and the attempt of its activity that may
  -- record what has become of the rows: the one that has claimed it last.
  claimed_run text CHECK (length(claimed_run) <= 64),
  claimed_loop integer CHECK (claimed_loop BETWEEN 1 AND 100),
  claim uuid,
  stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (company_id, batch_id, upload_id, chunk),
  FOREIGN KEY (company_id, batch_id) REFERENCES batches,
  CHECK (num_nulls(claimed_run, claimed_loop, claim) IN (0, 3))
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
GRANT UPDATE (state, operation, operations, schema_versions, upload_id, file_sha256, row_count, chunk_count, user_id, request_id, succeeded, replayed,
  rejected, mismatched, refused, failed, cancelled, queued_at, started_at, completed_at, progress_at, woken_at, rate_since,
  rate_rows, rate) ON batches TO accubooks_app;
GRANT UPDATE (outcomes, pending, faults, problems, claimed_run, claimed_loop, claim) ON batch_chunks TO accubooks_app;
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

-- When a process for whose writes somebody waits has made one; batches give way to them. NULL: none yet, or it is no such process.
ALTER TABLE lanes ADD COLUMN wrote_at timestamptz;
GRANT UPDATE (wrote_at) ON lanes TO accubooks_app;
