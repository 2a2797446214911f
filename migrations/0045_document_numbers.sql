-- Payments, credit notes and refunds have numbers of their own, as invoices have: from 1 in each company, without gaps.
-- A set takes its numbers together, just before it inserts the documents, so that the counter's row is held from there to the
-- COMMIT, which travels with these statements; docs/decisions.md says why.
--
-- Numbers the documents that are there, and no other session uses the tables meanwhile: docs/deploying.md says for how long.

-- In the order in which writes use them.
LOCK TABLE payments, refunds, credit_notes, number_counters IN ACCESS EXCLUSIVE MODE;

ALTER TABLE number_counters
  DROP CONSTRAINT number_counters_kind_check,
  ADD CONSTRAINT number_counters_kind_check CHECK (kind IN ('invoice', 'payment', 'credit_note', 'refund'));

-- By the time at which each was begun, as the lists have them. The triggers refuse every change, and without BYPASSRLS the
-- owner would see no row of a table whose row-level security is forced.
ALTER TABLE payments ADD COLUMN number integer, NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER;
ALTER TABLE refunds ADD COLUMN number integer, NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER;
ALTER TABLE credit_notes ADD COLUMN number integer, NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER;
ALTER TABLE number_counters NO FORCE ROW LEVEL SECURITY;
UPDATE payments d SET number = n.number
FROM (
  SELECT company_id, id, row_number() OVER (PARTITION BY company_id ORDER BY created_at, id) AS number FROM payments
) AS n
WHERE d.company_id = n.company_id AND d.id = n.id;
UPDATE refunds d SET number = n.number
FROM (
  SELECT company_id, id, row_number() OVER (PARTITION BY company_id ORDER BY created_at, id) AS number FROM refunds
) AS n
WHERE d.company_id = n.company_id AND d.id = n.id;
UPDATE credit_notes d SET number = n.number
FROM (
  SELECT company_id, id, row_number() OVER (PARTITION BY company_id ORDER BY created_at, id) AS number FROM credit_notes
) AS n
WHERE d.company_id = n.company_id AND d.id = n.id;
INSERT INTO number_counters (company_id, kind, last_number)
SELECT company_id, 'payment', count(*) FROM payments GROUP BY company_id
UNION ALL SELECT company_id, 'refund', count(*) FROM refunds GROUP BY company_id
UNION ALL SELECT company_id, 'credit_note', count(*) FROM credit_notes GROUP BY company_id;
ALTER TABLE number_counters FORCE ROW LEVEL SECURITY;
ALTER TABLE payments FORCE ROW LEVEL SECURITY, ENABLE TRIGGER USER, ALTER COLUMN number SET NOT NULL,
  ADD CONSTRAINT payments_number_check CHECK (number >= 1),
  ADD CONSTRAINT payments_number_key UNIQUE (company_id, number);
ALTER TABLE refunds FORCE ROW LEVEL SECURITY, ENABLE TRIGGER USER, ALTER COLUMN number SET NOT NULL,
  ADD CONSTRAINT refunds_number_check CHECK (number >= 1),
  ADD CONSTRAINT refunds_number_key UNIQUE (company_id, number);
ALTER TABLE credit_notes FORCE ROW LEVEL SECURITY, ENABLE TRIGGER USER, ALTER COLUMN number SET NOT NULL,
  ADD CONSTRAINT credit_notes_number_check CHECK (number >= 1),
  ADD CONSTRAINT credit_notes_number_key UNIQUE (company_id, number);

-- With `number`; those of refunds and credit notes keep every column.
DROP TRIGGER keep_payments ON payments;
CREATE TRIGGER keep_payments
  BEFORE DELETE OR UPDATE OF company_id, id, number, invoice_id, amount_minor, currency, method, received_on, reference,
    bank_account_id, journal_entry_id, metadata, created_at ON payments
  FOR EACH ROW EXECUTE FUNCTION refuse_change('refund it');

-- A document that comes without a number takes the next one: of a transaction that was within the function of the release
-- before when this was applied, or of an INSERT by hand.
CREATE FUNCTION number_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.number := next_number(NEW.company_id, TG_ARGV[0]);
  RETURN NEW;
END $$;
CREATE TRIGGER number_document BEFORE INSERT ON payments
  FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION number_document('payment');
CREATE TRIGGER number_document BEFORE INSERT ON refunds
  FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION number_document('refund');
CREATE TRIGGER number_document BEFORE INSERT ON credit_notes
  FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION number_document('credit_note');

-- Takes that many numbers at once and returns the last of them. The counter's row is held from here to the COMMIT.
CREATE FUNCTION take_numbers(p_company uuid, p_kind text, p_count integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  lock_timeout_before constant text := current_setting('lock_timeout');
  last_taken integer;
BEGIN
  -- Whoever holds the counter is on the way to COMMIT, which is not to be compared with a row that someone works with. A set
  -- that gave it up as soon would be made again as single writes, each of which takes the counter for itself.
  IF lock_timeout_before::interval BETWEEN interval '1 millisecond' AND interval '1 second' THEN
    PERFORM set_config('lock_timeout', '1s', true);
  END IF;
  INSERT INTO number_counters AS c (company_id, kind, last_number) VALUES (p_company, p_kind, p_count)
  ON CONFLICT (company_id, kind) DO UPDATE SET last_number = c.last_number + excluded.last_number
  RETURNING c.last_number INTO last_taken;
  PERFORM set_config('lock_timeout', lock_timeout_before, true);
  RETURN last_taken;
END $$;

-- The number as it is shown, as activities/resources/document-number.ts writes it: at least six digits.
CREATE FUNCTION document_number(p_kind text, p_number integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE p_kind WHEN 'invoice' THEN 'INV-' WHEN 'payment' THEN 'RCT-' WHEN 'credit_note' THEN 'CRN-'
    WHEN 'refund' THEN 'RFD-' END || lpad(p_number::text, greatest(6, length(p_number::text)), '0')
$$;

-- As before, with numbers in the order of the documents given: also for the release before, which knows of none.
CREATE OR REPLACE FUNCTION record_payments(p_company uuid, p_payments jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  documents constant integer := jsonb_array_length(p_payments);
  last_taken integer;
BEGIN
  UPDATE invoices i SET paid_minor = i.paid_minor + p.amount_minor
  FROM (
    SELECT q.invoice_id, sum(q.amount_minor)::bigint AS amount_minor
    FROM jsonb_to_recordset(p_payments) AS q (invoice_id uuid, amount_minor bigint) GROUP BY q.invoice_id
  ) AS p
  WHERE i.company_id = p_company AND i.id = p.invoice_id
    AND i.id = ANY (ARRAY(SELECT q.invoice_id FROM jsonb_to_recordset(p_payments) AS q (invoice_id uuid)));
  last_taken := take_numbers(p_company, 'payment', documents);
  INSERT INTO payments (company_id, id, invoice_id, amount_minor, currency, method, received_on, reference,
    bank_account_id, metadata, journal_entry_id, number)
  SELECT p_company, p.id, p.invoice_id, p.amount_minor, p.currency, p.method, p.received_on, p.reference,
    p.bank_account_id, p.metadata, p.journal_entry_id, last_taken - documents + p.position
  FROM ROWS FROM (jsonb_to_recordset(p_payments) AS (id uuid, invoice_id uuid, amount_minor bigint, currency text,
    method text, received_on date, reference text, bank_account_id uuid, metadata jsonb, journal_entry_id uuid))
    WITH ORDINALITY AS p (id, invoice_id, amount_minor, currency, method, received_on, reference, bank_account_id, metadata,
      journal_entry_id, position);
END $$;

CREATE OR REPLACE FUNCTION record_refunds(p_company uuid, p_refunds jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  documents constant integer := jsonb_array_length(p_refunds);
  last_taken integer;
BEGIN
  UPDATE invoices i SET paid_minor = i.paid_minor - r.amount_minor
  FROM (
    SELECT q.invoice_id, sum(q.amount_minor)::bigint AS amount_minor
    FROM jsonb_to_recordset(p_refunds) AS q (invoice_id uuid, amount_minor bigint) GROUP BY q.invoice_id
  ) AS r
  WHERE i.company_id = p_company AND i.id = r.invoice_id
    AND i.id = ANY (ARRAY(SELECT q.invoice_id FROM jsonb_to_recordset(p_refunds) AS q (invoice_id uuid)));
  UPDATE payments p SET refunded_minor = p.refunded_minor + r.amount_minor
  FROM (
    SELECT q.payment_id, sum(q.amount_minor)::bigint AS amount_minor
    FROM jsonb_to_recordset(p_refunds) AS q (payment_id uuid, amount_minor bigint) GROUP BY q.payment_id
  ) AS r
  WHERE p.company_id = p_company AND p.id = r.payment_id
    AND p.id = ANY (ARRAY(SELECT q.payment_id FROM jsonb_to_recordset(p_refunds) AS q (payment_id uuid)));
  last_taken := take_numbers(p_company, 'refund', documents);
  INSERT INTO refunds (company_id, id, payment_id, amount_minor, refunded_on, reason, journal_entry_id, metadata, number)
  SELECT p_company, r.id, r.payment_id, r.amount_minor, r.refunded_on, r.reason, r.journal_entry_id, r.metadata,
    last_taken - documents + r.position
  FROM ROWS FROM (jsonb_to_recordset(p_refunds) AS (id uuid, payment_id uuid, amount_minor bigint, refunded_on date,
    reason text, journal_entry_id uuid, metadata jsonb))
    WITH ORDINALITY AS r (id, payment_id, amount_minor, refunded_on, reason, journal_entry_id, metadata, position);
END $$;

CREATE OR REPLACE FUNCTION record_credit_notes(p_company uuid, p_notes jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  documents constant integer := jsonb_array_length(p_notes);
  last_taken integer;
BEGIN
  UPDATE invoices i SET credited_minor = i.credited_minor + n.total_minor
  FROM (
    SELECT q.invoice_id, sum(q.total_minor)::bigint AS total_minor
    FROM jsonb_to_recordset(p_notes) AS q (invoice_id uuid, total_minor bigint) GROUP BY q.invoice_id
  ) AS n
  WHERE i.company_id = p_company AND i.id = n.invoice_id
    AND i.id = ANY (ARRAY(SELECT q.invoice_id FROM jsonb_to_recordset(p_notes) AS q (invoice_id uuid)));
  last_taken := take_numbers(p_company, 'credit_note', documents);
  INSERT INTO credit_notes (company_id, id, invoice_id, currency, credited_on, net_minor, tax_minor, total_minor,
    reason, journal_entry_id, number)
  SELECT p_company, n.id, n.invoice_id, n.currency, n.credited_on, n.net_minor, n.tax_minor, n.total_minor, n.reason,
    n.journal_entry_id, last_taken - documents + n.position
  FROM ROWS FROM (jsonb_to_recordset(p_notes) AS (id uuid, invoice_id uuid, currency text, credited_on date,
    net_minor bigint, tax_minor bigint, total_minor bigint, reason text, journal_entry_id uuid))
    WITH ORDINALITY AS n (id, invoice_id, currency, credited_on, net_minor, tax_minor, total_minor, reason,
      journal_entry_id, position);
  INSERT INTO credit_note_lines (company_id, credit_note_id, invoice_id, line_number, net_minor, tax_minor)
  SELECT p_company, n.id, n.invoice_id, l.line_number, l.net_minor, l.tax_minor
  FROM jsonb_to_recordset(p_notes) AS n (id uuid, invoice_id uuid, lines jsonb)
  CROSS JOIN LATERAL jsonb_to_recordset(n.lines) AS l (line_number smallint, net_minor bigint, tax_minor bigint);
END $$;

-- As before, and completes the answers that are waiting for a number: `body` is what comes before it, `rest` what comes after
-- it, `nth` counts such answers from 1. They are the last numbers of the counter, which this transaction holds. Their events
-- have the number, too. `last_number` is the last of them.
CREATE FUNCTION finish_writes(p_company uuid, p_operation text, p_type text, p_resource_type text, p_event_kind text,
  p_items jsonb, p_number_kind text, p_numbers integer)
RETURNS TABLE (completed timestamptz, last_number integer)
LANGUAGE plpgsql AS $$
DECLARE
  finished integer;
BEGIN
  completed := clock_timestamp();
  IF p_numbers > 0 THEN
    SELECT n.last_number INTO STRICT last_number FROM number_counters n
    WHERE n.company_id = p_company AND n.kind = p_number_kind;
  END IF;
  UPDATE idempotent_writes w
  SET outcome = i.outcome, status_code = i.status_code,
    response_body = convert_to(
      i.body || coalesce(document_number(p_number_kind, last_number - p_numbers + i.nth) || i.rest, ''), 'UTF8'),
    location = i.location, resource_type = CASE i.outcome WHEN 'succeeded' THEN p_resource_type END,
    resource_id = i.resource_id, completed_at = completed
  FROM jsonb_to_recordset(p_items) AS i (key text, outcome text, status_code smallint, body text, rest text, nth integer,
    location text, resource_id text)
  WHERE w.company_id = p_company AND w.idempotency_key = i.key
    AND w.idempotency_key = ANY (ARRAY(SELECT k.key FROM jsonb_to_recordset(p_items) AS k (key text)));
  GET DIAGNOSTICS finished = ROW_COUNT;
  IF finished <> jsonb_array_length(p_items) THEN
    RAISE EXCEPTION 'a claimed write that is not there' USING ERRCODE = 'no_data_found';
  END IF;

  INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, deterministic_id, idempotency_key,
    user_id, status, error_code, error_message, execution_duration_ms, request_id, route_path, http_method,
    workflows_triggered, side_effects_executed, metadata)
  SELECT p_company, p_operation, p_type, i.write_id, i.key, i.user_id,
    CASE i.outcome WHEN 'succeeded' THEN 'new' ELSE 'failed' END, i.error_code, i.error_message,
    extract(epoch FROM completed - now()) * 1000, i.request_id, i.route_path, i.http_method, 0,
    CASE WHEN i.event_id IS NULL THEN 0 ELSE 1 END, i.audit_metadata
  FROM jsonb_to_recordset(p_items) AS i (key text, write_id uuid, user_id uuid, request_id text, outcome text,
    error_code text, error_message text, route_path text, http_method text, event_id uuid, audit_metadata jsonb);

  INSERT INTO outbox (id, company_id, write_id, kind, payload)
  SELECT i.event_id, p_company, i.write_id, p_event_kind,
    CASE WHEN i.nth IS NULL THEN i.event_payload
      ELSE i.event_payload
        || jsonb_build_object('number', document_number(p_number_kind, last_number - p_numbers + i.nth)) END
  FROM jsonb_to_recordset(p_items) AS i (write_id uuid, event_id uuid, event_payload jsonb, nth integer)
  WHERE i.event_id IS NOT NULL;

  SET CONSTRAINTS ALL IMMEDIATE;
  RETURN NEXT;
END $$;

-- For the release before, whose answers have no number. A later migration drops it, when no process of that release is left.
CREATE OR REPLACE FUNCTION finish_writes(p_company uuid, p_operation text, p_type text, p_resource_type text,
  p_event_kind text, p_items jsonb)
RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT f.completed
  FROM finish_writes(p_company, p_operation, p_type, p_resource_type, p_event_kind, p_items, NULL, 0) AS f
$$;

-- The same for one write: with `p_rest`, its number is the last of the counter.
DROP FUNCTION finish_write(uuid, text, text, integer, bytea, text, text, text, text, text, text, text, uuid, text, jsonb,
  integer, jsonb);
CREATE FUNCTION finish_write(p_company uuid, p_key text, p_outcome text, p_status_code integer, p_body bytea,
  p_location text, p_resource_type text, p_resource_id text, p_error_code text, p_error_message text, p_route_path text,
  p_http_method text, p_event_id uuid, p_event_kind text, p_event_payload jsonb, p_workflows_triggered integer,
  p_audit_metadata jsonb, p_rest bytea DEFAULT NULL, p_number_kind text DEFAULT NULL)
RETURNS idempotent_writes LANGUAGE plpgsql AS $$
DECLARE
  body bytea := p_body;
  payload jsonb := p_event_payload;
  number text;
  finished idempotent_writes;
BEGIN
  IF p_rest IS NOT NULL THEN
    SELECT document_number(n.kind, n.last_number) INTO STRICT number FROM number_counters n
    WHERE n.company_id = p_company AND n.kind = p_number_kind;
    body := p_body || convert_to(number, 'UTF8') || p_rest;
    payload := p_event_payload || jsonb_build_object('number', number);
  END IF;
  UPDATE idempotent_writes w
  SET outcome = p_outcome, status_code = p_status_code, response_body = body, location = p_location,
    resource_type = p_resource_type, resource_id = p_resource_id, completed_at = clock_timestamp()
  WHERE w.company_id = p_company AND w.idempotency_key = p_key
  RETURNING * INTO STRICT finished;

  INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, deterministic_id, idempotency_key,
    user_id, status, error_code, error_message, execution_duration_ms, request_id, route_path, http_method,
    workflows_triggered, side_effects_executed, metadata)
  VALUES (p_company, finished.operation, finished.type, finished.write_id, p_key, finished.user_id,
    CASE p_outcome WHEN 'succeeded' THEN 'new' ELSE 'failed' END, p_error_code, p_error_message,
    extract(epoch FROM finished.completed_at - now()) * 1000, finished.request_id, p_route_path, p_http_method,
    p_workflows_triggered, CASE WHEN p_event_id IS NULL THEN 0 ELSE 1 END, p_audit_metadata);

  IF p_event_id IS NOT NULL THEN
    INSERT INTO outbox (id, company_id, write_id, kind, payload)
    VALUES (p_event_id, p_company, finished.write_id, p_event_kind, payload);
  END IF;

  SET CONSTRAINTS ALL IMMEDIATE;
  RETURN finished;
END $$;
