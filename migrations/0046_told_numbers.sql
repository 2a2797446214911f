-- As before: marks writes as lost, and raises the counters by the numbers that they took, which are not given again. Now it
-- knows of payments, refunds and credit notes by their operation: a process of the release before sends no kind for them, and
-- a receipt number that someone was told was given once more.
CREATE OR REPLACE FUNCTION lose_writes(p_items jsonb, p_reason text) RETURNS TABLE (company uuid, lost_key text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  one uuid;
  marked text[];
BEGIN
  FOR one IN SELECT DISTINCT (i ->> 'company_id')::uuid FROM jsonb_array_elements(p_items) AS i ORDER BY 1 LOOP
    PERFORM enter_company(one);
    PERFORM plan_by_key();
    CONTINUE WHEN NOT EXISTS (SELECT FROM companies c WHERE c.id = one);
    WITH marking AS (
      INSERT INTO idempotent_writes (company_id, idempotency_key, write_id, submission_id, operation, type, fingerprint,
        schema_version, request, outcome, status_code, response_body, user_id, request_id, workflow_id, attempt,
        requested_at, completed_at)
      SELECT one, i.key, i.write_id, i.submission_id, i.operation, i.type, i.fingerprint, i.schema_version, i.request, 'lost',
        500, convert_to(i.body, 'UTF8'), (SELECT u.id FROM users u WHERE u.id = i.user_id), i.request_id, i.workflow_id, 1,
        i.requested_at, clock_timestamp()
      FROM jsonb_to_recordset(p_items) AS i (company_id uuid, key text, write_id uuid, submission_id uuid, operation text,
        type text, fingerprint text, schema_version integer, request jsonb, body text, user_id uuid, request_id text,
        workflow_id text, run_id text, requested_at timestamptz)
      WHERE i.company_id = one AND NOT EXISTS (
        SELECT FROM reopened_runs r
        WHERE r.company_id = one AND r.idempotency_key = i.key AND r.workflow_id = i.workflow_id
          AND (r.run_id IS NULL OR r.run_id = i.run_id))
      ORDER BY i.key COLLATE "C"
      ON CONFLICT DO NOTHING
      RETURNING idempotency_key
    )
    SELECT coalesce(array_agg(m.idempotency_key::text), '{}') INTO marked FROM marking m;

    INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, deterministic_id, idempotency_key,
      user_id, status, error_code, error_message, request_id, route_path, http_method, metadata)
    SELECT one, i.operation, i.type, i.write_id, i.key, i.user_id, 'failed', 'write_record_missing', p_reason, i.request_id,
      i.route_path, i.http_method, jsonb_build_object('workflowId', i.workflow_id, 'runId', i.run_id)
    FROM jsonb_to_recordset(p_items) AS i (company_id uuid, key text, write_id uuid, operation text, type text, user_id uuid,
      request_id text, workflow_id text, run_id text, route_path text, http_method text)
    WHERE i.company_id = one AND i.key = ANY (marked);

    INSERT INTO number_counters AS c (company_id, kind, last_number, lost_numbers)
    SELECT one, n.kind, count(*), count(*)
    FROM jsonb_to_recordset(p_items) AS i (company_id uuid, key text, operation text, number_kind text)
    CROSS JOIN LATERAL (
      SELECT coalesce(i.number_kind, CASE i.operation WHEN 'createPayment' THEN 'payment' WHEN 'createRefund' THEN 'refund'
        WHEN 'createCreditNote' THEN 'credit_note' END) AS kind
    ) AS n
    WHERE i.company_id = one AND n.kind IS NOT NULL AND i.key = ANY (marked)
    GROUP BY n.kind
    ORDER BY n.kind
    ON CONFLICT (company_id, kind) DO UPDATE
      SET last_number = c.last_number + excluded.last_number, lost_numbers = c.lost_numbers + excluded.lost_numbers;

    RETURN QUERY SELECT one, k FROM unnest(marked) AS k;
  END LOOP;
END
$$;

-- As before, but a set of one does not wait longer: its transaction is that of one write, which gives up a lock soon and is
-- made again in its company's share of connections that may wait.
CREATE OR REPLACE FUNCTION take_numbers(p_company uuid, p_kind text, p_count integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  lock_timeout_before constant text := current_setting('lock_timeout');
  last_taken integer;
BEGIN
  -- Whoever holds the counter is on the way to COMMIT, which is not to be compared with a row that someone works with. A set
  -- that gave it up as soon would be made again as single writes, each of which takes the counter for itself.
  IF p_count > 1 AND lock_timeout_before::interval BETWEEN interval '1 millisecond' AND interval '1 second' THEN
    PERFORM set_config('lock_timeout', '1s', true);
  END IF;
  INSERT INTO number_counters AS c (company_id, kind, last_number) VALUES (p_company, p_kind, p_count)
  ON CONFLICT (company_id, kind) DO UPDATE SET last_number = c.last_number + excluded.last_number
  RETURNING c.last_number INTO last_taken;
  PERFORM set_config('lock_timeout', lock_timeout_before, true);
  RETURN last_taken;
END $$;

-- The one function that takes numbers; next_number did the same.
CREATE OR REPLACE FUNCTION number_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.number := take_numbers(NEW.company_id, TG_ARGV[0], 1);
  RETURN NEW;
END $$;
DROP FUNCTION next_number(uuid, text);
