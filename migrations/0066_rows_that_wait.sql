-- Rows of batches whose writes wait for their approval. Such a row is a write of its own by then: its batch goes on without it, and
-- tells what becomes of it, by the key, in the transaction in which the key gets its outcome.

-- How many these are; a batch without a row has none. A table of its own, since the release before reads all columns of `batches` by
-- statements that it has prepared: another column would break them.
CREATE TABLE batch_waiting_rows (
  company_id uuid NOT NULL,
  batch_id uuid NOT NULL,
  waiting integer NOT NULL CHECK (waiting >= 0),
  PRIMARY KEY (company_id, batch_id),
  FOREIGN KEY (company_id, batch_id) REFERENCES batches
);
CREATE TRIGGER keep_waiting_rows BEFORE DELETE OR UPDATE OF company_id, batch_id ON batch_waiting_rows
  FOR EACH ROW EXECUTE FUNCTION refuse_change('its batch would not add up');
CREATE TRIGGER keep_all_waiting_rows BEFORE TRUNCATE ON batch_waiting_rows
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('its batch would not add up');
ALTER TABLE batch_waiting_rows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON batch_waiting_rows USING (company_id = current_company());
CREATE POLICY auditor ON batch_waiting_rows FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT, INSERT, UPDATE (waiting) ON batch_waiting_rows TO accubooks_app;
GRANT SELECT ON batch_waiting_rows TO accubooks_auditor;

-- VOLATILE, since what it is called beside has just changed it.
CREATE FUNCTION waiting_rows(p_company uuid, p_batch uuid) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN coalesce((
    SELECT w.waiting FROM batch_waiting_rows w WHERE w.company_id = p_company AND w.batch_id = p_batch), 0);
END
$$;

-- The caller holds the row of the batch.
CREATE FUNCTION count_waiting_rows(p_company uuid, p_batch uuid, p_more integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF p_more = 0 THEN
    RETURN;
  END IF;
  UPDATE batch_waiting_rows w SET waiting = w.waiting + p_more WHERE w.company_id = p_company AND w.batch_id = p_batch;
  IF NOT FOUND THEN
    INSERT INTO batch_waiting_rows (company_id, batch_id, waiting) VALUES (p_company, p_batch, p_more);
  END IF;
END
$$;

-- As the CHECK of before: a batch with rows whose chunk is gone would say that they are done. What a completed batch counts, and
-- how many of its rows wait, change in one statement.
CREATE FUNCTION require_counted_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM batches b CROSS JOIN LATERAL (
      SELECT b.succeeded + b.replayed + b.rejected + b.mismatched + b.refused + b.failed + b.cancelled
        + waiting_rows(b.company_id, b.id) AS counted
    ) AS c
    WHERE b.company_id = NEW.company_id AND b.id = (to_jsonb(NEW) ->> TG_ARGV[0])::uuid
      AND (c.counted > coalesce(b.row_count, 0) OR b.state = 'completed' AND c.counted <> b.row_count)
  ) THEN
    RAISE EXCEPTION 'the rows of batch % do not add up', to_jsonb(NEW) ->> TG_ARGV[0]
      USING ERRCODE = 'check_violation', CONSTRAINT = 'batches_completed';
  END IF;
  RETURN NULL;
END
$$;
ALTER TABLE batches DROP CONSTRAINT batches_completed;
CREATE TRIGGER batches_completed AFTER INSERT OR UPDATE OF state, row_count, succeeded, replayed, rejected, mismatched, refused,
  failed, cancelled ON batches
  FOR EACH ROW WHEN (NEW.state = 'completed') EXECUTE FUNCTION require_counted_batch('id');
CREATE TRIGGER batches_completed AFTER INSERT OR UPDATE OF waiting ON batch_waiting_rows
  FOR EACH ROW EXECUTE FUNCTION require_counted_batch('batch_id');
-- One character more: a, it waits for its approval.
ALTER TABLE batch_chunks
  DROP CONSTRAINT batch_chunks_outcomes_check,
  ADD CONSTRAINT batch_chunks_outcomes_check CHECK (length(outcomes) <= 1000 AND outcomes ~ '^[.srjmufca]+$') NOT VALID;

-- Which rows have waited for which request for approval; `told_at` is NULL exactly while its chunk has the row as waiting. So
-- counts of batches are told without a look at their rows. `audit`: of the replay that it will be, where another request has asked first.
-- `round`: a row waits again where its write was lost, its key reopened and the row retried.
CREATE TABLE batch_approvals (
  company_id uuid NOT NULL,
  idempotency_key text COLLATE "C" NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  batch_id uuid NOT NULL,
  upload_id uuid NOT NULL,
  chunk integer NOT NULL,
  -- In the chunk, from 0.
  position integer NOT NULL CHECK (position BETWEEN 0 AND 999),
  round integer NOT NULL CHECK (round >= 1),
  audit jsonb CHECK (pg_column_size(audit) <= 65536),
  told_at timestamptz,
  PRIMARY KEY (company_id, idempotency_key, batch_id, chunk, position, round),
  FOREIGN KEY (company_id, idempotency_key) REFERENCES approval_requests
);
CREATE TRIGGER keep_batch_approvals
  BEFORE DELETE OR UPDATE OF company_id, idempotency_key, batch_id, upload_id, chunk, position, round, audit ON batch_approvals
  FOR EACH ROW EXECUTE FUNCTION refuse_change('batches would never learn what becomes of their rows');
CREATE TRIGGER keep_told_batch_approvals BEFORE UPDATE ON batch_approvals
  FOR EACH ROW WHEN (OLD.told_at IS NOT NULL) EXECUTE FUNCTION refuse_change('the batch was told');
CREATE TRIGGER keep_all_batch_approvals BEFORE TRUNCATE ON batch_approvals
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('batches would never learn what becomes of their rows');
ALTER TABLE batch_approvals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON batch_approvals USING (company_id = current_company());
CREATE POLICY auditor ON batch_approvals FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT, INSERT, UPDATE (told_at) ON batch_approvals TO accubooks_app;
GRANT SELECT ON batch_approvals TO accubooks_auditor;

-- As before. A row that waits has stored a request, which ends with an outcome and is never pending again.
CREATE OR REPLACE FUNCTION keep_row_outcomes() RETURNS trigger
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
       WHERE get_byte(before, i) <> get_byte(after, i)
         AND NOT (chr(get_byte(before, i)) IN ('.', 'u', 'f')
           OR chr(get_byte(before, i)) = 'a' AND chr(get_byte(after, i)) IN ('s', 'r', 'j', 'f', 'c'))
     ) THEN
    RAISE EXCEPTION 'UPDATE of batch_chunks is refused: the outcome of a row that has stored something never changes'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;

-- As before, and counts rows that wait for their approval.
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
  PERFORM count_waiting_rows(p_chunk.company_id, p_chunk.batch_id, count_outcome(p_outcomes, 'a') - count_outcome(before, 'a'));
END
$$;

-- As before. `p_approvals`: of the rows that wait for their approval, by position from 0, {key, audit}. A row whose request has
-- ended meanwhile stays pending, and is looked up again. Locks come in this order, here and where a request ends: the request,
-- the company's batches, the batch, the chunk.
DROP FUNCTION record_chunk(uuid, uuid, uuid, integer, uuid, text, jsonb, jsonb, uuid);
CREATE FUNCTION record_chunk(p_company uuid, p_id uuid, p_upload uuid, p_chunk integer, p_claim uuid, p_outcomes text,
  p_problems jsonb, p_audit jsonb, p_version uuid, p_approvals jsonb DEFAULT '{}')
RETURNS SETOF batches
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  it batch_chunks;
  waiting text[];
  outcomes_now text := p_outcomes;
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
  PERFORM require_trust(p_version);
  IF p_outcomes LIKE '%a%' THEN
    SELECT coalesce(array_agg(r.idempotency_key::text), '{}') INTO waiting FROM (
      SELECT q.idempotency_key FROM approval_requests q
      WHERE q.company_id = p_company AND q.closed_at IS NULL
        AND q.idempotency_key = ANY (ARRAY(SELECT a.value ->> 'key' FROM jsonb_each(p_approvals) AS a))
      ORDER BY q.idempotency_key FOR SHARE) AS r;
    SELECT string_agg(
      CASE WHEN substr(p_outcomes, i, 1) = 'a' AND (p_approvals -> (i - 1)::text ->> 'key' = ANY (waiting)) IS NOT TRUE THEN '.'
        ELSE substr(p_outcomes, i, 1) END, '' ORDER BY i)
    INTO outcomes_now FROM generate_series(1, length(p_outcomes)) AS i;
  END IF;
  -- Before the chunk's row, as whoever cancels.
  PERFORM 1 FROM batches b WHERE b.company_id = p_company AND b.id = p_id FOR UPDATE;
  SELECT * INTO it FROM batch_chunks c
  WHERE c.company_id = p_company AND c.batch_id = p_id AND c.upload_id = p_upload AND c.chunk = p_chunk FOR UPDATE;
  IF it.pending > 0 THEN
    IF it.claim IS DISTINCT FROM p_claim THEN
      RETURN;
    END IF;
    PERFORM set_outcomes(it, merge_outcomes(it.outcomes, outcomes_now), it.problems || (
      SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}') FROM jsonb_each(p_problems) AS p
      WHERE substr(it.outcomes, p.key::integer + 1, 1) = '.'));
    INSERT INTO batch_approvals (company_id, idempotency_key, batch_id, upload_id, chunk, position, round, audit)
    SELECT p_company, a.value ->> 'key', p_id, p_upload, p_chunk, a.key::integer, 1 + (
        SELECT count(*) FROM batch_approvals o
        WHERE o.company_id = p_company AND o.idempotency_key = a.value ->> 'key' AND o.batch_id = p_id AND o.chunk = p_chunk
          AND o.position = a.key::integer),
      nullif(a.value -> 'audit', 'null')
    FROM jsonb_each(p_approvals) AS a
    WHERE substr(it.outcomes, a.key::integer + 1, 1) = '.' AND substr(outcomes_now, a.key::integer + 1, 1) = 'a';
    PERFORM record_audit_rows((
      SELECT coalesce(jsonb_agg(a.value), '[]') FROM jsonb_each(p_audit) AS a
      WHERE substr(it.outcomes, a.key::integer + 1, 1) = '.'));
  END IF;
  RETURN QUERY SELECT * FROM batches b WHERE b.company_id = p_company AND b.id = p_id;
END
$$;

-- Of these keys those that wait for an approval, with what was asked for: slim, without the request itself.
CREATE FUNCTION approvals_of_keys(p_company uuid, p_keys text[])
RETURNS TABLE (idempotency_key text, submission_id uuid, operation text, fingerprint text)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  PERFORM enter_company(p_company);
  RETURN QUERY
    SELECT r.idempotency_key::text, (r.arguments ->> 'submissionId')::uuid, r.arguments ->> 'operation',
      r.arguments ->> 'fingerprint'
    FROM approval_requests r
    WHERE r.company_id = p_company AND r.idempotency_key = ANY (p_keys) AND r.closed_at IS NULL;
END
$$;

-- Tells the batches of rows that have waited what has become of them. A row of the batch that has asked is what its write is; that
-- of another is a replay of it. A write that was lost has failed, as for any row.
CREATE FUNCTION tell_batches() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  company uuid := current_company();
  ended text;
  one batch_approvals;
  told text;
BEGIN
  -- A transaction that ends writes of several companies is in the last one when this comes.
  PERFORM enter_company(NEW.company_id);
  SELECT w.outcome INTO ended FROM idempotent_writes w
  WHERE w.company_id = NEW.company_id AND w.idempotency_key = NEW.idempotency_key;
  IF ended IS NULL THEN
    RAISE EXCEPTION 'the request for approval of % is closed, and its key has no outcome', NEW.idempotency_key
      USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_closed_with_outcome';
  END IF;
  IF EXISTS (SELECT FROM batch_approvals a
      WHERE a.company_id = NEW.company_id AND a.idempotency_key = NEW.idempotency_key AND a.told_at IS NULL) THEN
    PERFORM lock_batches(NEW.company_id);
    FOR one IN SELECT * FROM batch_approvals a
               WHERE a.company_id = NEW.company_id AND a.idempotency_key = NEW.idempotency_key AND a.told_at IS NULL
               ORDER BY a.batch_id, a.chunk, a.position LOOP
      told := CASE ended WHEN 'rejected' THEN 'j' WHEN 'cancelled' THEN 'c' WHEN 'lost' THEN 'f'
        ELSE CASE WHEN one.audit IS NULL THEN 's' ELSE 'r' END END;
      -- Before the chunk's row, as whoever records.
      WITH waiting AS (
        UPDATE batch_waiting_rows w SET waiting = w.waiting - 1
        WHERE w.company_id = one.company_id AND w.batch_id = one.batch_id
      )
      UPDATE batches b SET succeeded = b.succeeded + (told = 's')::integer, replayed = b.replayed + (told = 'r')::integer,
        rejected = b.rejected + (told = 'j')::integer, failed = b.failed + (told = 'f')::integer,
        cancelled = b.cancelled + (told = 'c')::integer
      WHERE b.company_id = one.company_id AND b.id = one.batch_id;
      UPDATE batch_chunks c SET outcomes = overlay(c.outcomes PLACING told FROM one.position + 1 FOR 1),
        faults = c.faults + (told IN ('j', 'f'))::integer,
        problems = CASE WHEN told <> 'f' THEN c.problems ELSE c.problems || jsonb_build_object(one.position::text, jsonb_build_object(
          'code', 'write_record_missing', 'detail', 'The database has lost the record of this write. Operators are alerted. '
            || 'Retry the failed rows once they have decided.')) END
      WHERE c.company_id = one.company_id AND c.batch_id = one.batch_id AND c.upload_id = one.upload_id AND c.chunk = one.chunk;
      IF one.audit IS NOT NULL AND told <> 'f' THEN
        -- A cancelled key has no operation.
        PERFORM record_audit_rows(jsonb_build_array(one.audit || CASE WHEN told = 'c'
          THEN '{"operation_name": "unknown", "operation_type": "unknown", "deterministic_id": null}'::jsonb ELSE '{}' END));
      END IF;
    END LOOP;
    UPDATE batch_approvals a SET told_at = clock_timestamp()
    WHERE a.company_id = NEW.company_id AND a.idempotency_key = NEW.idempotency_key AND a.told_at IS NULL;
  END IF;
  PERFORM set_config('app.company_id', company::text, true);
  RETURN NULL;
END
$$;
-- Deferred, so that the outcome of the key is there, and so that what a batch locks is locked last.
CREATE CONSTRAINT TRIGGER tell_batches AFTER UPDATE OF closed_at ON approval_requests DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL) EXECUTE FUNCTION tell_batches();
