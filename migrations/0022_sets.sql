-- Sets: several writes of one company and one operation in one transaction of a few statements. What a set leaves is what
-- the same writes leave one by one; each function here is the form for many of the function that its comment names.
-- One company a set: deferred triggers run at COMMIT under the company that was entered last, and row-level security
-- would hide the rows of any other from the very checks that guard them.
-- A plan stays until the next ANALYZE, and one that was made while a table was small reads all rows of the company to join
-- them with a set. So each statement finds its rows by an array of keys, and then joins those.

-- claim_write for many: claims the keys in their order, so that two sets with the same keys wait for each other in turn.
-- A key that is taken is not among the answers. The roles of each requesting member come once.
CREATE FUNCTION claim_writes(
  p_company uuid, p_operation text, p_type text, p_workflow_id text, p_requested_at timestamptz, p_items jsonb)
RETURNS TABLE (claimed_key text, member_id uuid, member_roles text[])
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM enter_company(p_company);
  PERFORM plan_by_key();
  RETURN QUERY
    WITH claimed AS (
      INSERT INTO idempotent_writes (company_id, idempotency_key, write_id, submission_id, operation, type, fingerprint,
        schema_version, request, user_id, request_id, workflow_id, attempt, requested_at)
      SELECT p_company, i.key, i.write_id, i.submission_id, p_operation, p_type, i.fingerprint, i.schema_version,
        i.request, i.user_id, i.request_id, p_workflow_id, 1, p_requested_at
      FROM jsonb_to_recordset(p_items) AS i (key text, write_id uuid, submission_id uuid, fingerprint text,
        schema_version integer, request jsonb, user_id uuid, request_id text)
      ORDER BY i.key COLLATE "C"
      ON CONFLICT DO NOTHING
      RETURNING idempotency_key
    )
    SELECT c.idempotency_key::text, NULL::uuid, NULL::text[] FROM claimed c;
  -- A statement of its own, after the wait for a twin: roles as they are now.
  RETURN QUERY
    SELECT NULL::text, m.user_id, m.roles FROM memberships m
    WHERE m.company_id = p_company
      AND m.user_id = ANY (ARRAY(SELECT i.user_id FROM jsonb_to_recordset(p_items) AS i (user_id uuid)));
END
$$;

-- finish_write for many: outcomes, audit rows, events, then every deferred constraint. Every claimed key has to be among
-- the items. Returns the time of completion, the same for all.
CREATE FUNCTION finish_writes(
  p_company uuid, p_operation text, p_type text, p_resource_type text, p_event_kind text, p_items jsonb)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  completed timestamptz := clock_timestamp();
  finished integer;
BEGIN
  UPDATE idempotent_writes w
  SET outcome = i.outcome, status_code = i.status_code, response_body = convert_to(i.body, 'UTF8'),
    location = i.location, resource_type = CASE i.outcome WHEN 'succeeded' THEN p_resource_type END,
    resource_id = i.resource_id, completed_at = completed
  FROM jsonb_to_recordset(p_items) AS i (key text, outcome text, status_code smallint, body text, location text,
    resource_id text)
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
  SELECT i.event_id, p_company, i.write_id, p_event_kind, i.event_payload
  FROM jsonb_to_recordset(p_items) AS i (write_id uuid, event_id uuid, event_payload jsonb)
  WHERE i.event_id IS NOT NULL;

  SET CONSTRAINTS ALL IMMEDIATE;
  RETURN completed;
END
$$;

-- What a posting's rules rest on: the company's row (locked FOR SHARE, as by the trigger of each entry), and the accounts
-- of these codes, as an object by code.
CREATE FUNCTION posting_facts(p_company uuid, p_codes text[])
RETURNS TABLE (now timestamptz, today date, closed_through date, accounts jsonb)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM companies c WHERE c.id = p_company FOR SHARE;
  RETURN QUERY
    SELECT pg_catalog.now(), (pg_catalog.now() AT TIME ZONE c.time_zone)::date, c.books_closed_through,
      (SELECT coalesce(jsonb_object_agg(a.code, jsonb_build_object('id', a.id, 'type', a.type, 'isBank', a.is_bank,
         'isControl', a.is_control)), '{}')
       FROM accounts a WHERE a.company_id = p_company AND a.code = ANY (p_codes))
    FROM companies c WHERE c.id = p_company;
END
$$;

-- post_entry for many: entries with their lines, of one operation.
CREATE FUNCTION post_entries(p_company uuid, p_operation text, p_entries jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  unknown_account text;
BEGIN
  SELECT l.account INTO unknown_account
  FROM jsonb_to_recordset(p_entries) AS e (lines jsonb)
  CROSS JOIN LATERAL jsonb_to_recordset(e.lines) AS l (account text)
  WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.company_id = p_company AND a.code = l.account)
  LIMIT 1;
  IF unknown_account IS NOT NULL THEN
    RAISE EXCEPTION 'there is no account %', unknown_account
      USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'account_not_usable';
  END IF;
  INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description, metadata)
  SELECT p_company, e.id, e.write_id, p_operation, e.date, e.description, e.metadata
  FROM jsonb_to_recordset(p_entries) AS e (id uuid, write_id uuid, date date, description text, metadata jsonb);
  INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency, memo)
  SELECT p_company, l.id, e.id, row_number() OVER (PARTITION BY e.id ORDER BY l.position), a.id, l.amount, l.currency,
    l.memo
  FROM jsonb_to_recordset(p_entries) AS e (id uuid, lines jsonb)
  CROSS JOIN LATERAL ROWS FROM (
    jsonb_to_recordset(e.lines) AS (id uuid, account text, amount bigint, currency text, memo text))
    WITH ORDINALITY AS l (id, account, amount, currency, memo, position)
  JOIN accounts a ON a.company_id = p_company AND a.code = l.account
  WHERE l.amount <> 0;
END
$$;

-- lock_invoice for many: in the order of their IDs, and read in a later statement.
CREATE FUNCTION lock_invoices(p_company uuid, p_invoices uuid[]) RETURNS SETOF invoices
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM invoices i WHERE i.company_id = p_company AND i.id = ANY (p_invoices)
    ORDER BY i.id FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM invoices i WHERE i.company_id = p_company AND i.id = ANY (p_invoices);
END
$$;

-- Payments and what they change on their invoices. UPDATE … FROM joins one row: the sums come first.
CREATE FUNCTION record_payments(p_company uuid, p_payments jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE invoices i SET paid_minor = i.paid_minor + p.amount_minor
  FROM (
    SELECT q.invoice_id, sum(q.amount_minor)::bigint AS amount_minor
    FROM jsonb_to_recordset(p_payments) AS q (invoice_id uuid, amount_minor bigint) GROUP BY q.invoice_id
  ) AS p
  WHERE i.company_id = p_company AND i.id = p.invoice_id
    AND i.id = ANY (ARRAY(SELECT q.invoice_id FROM jsonb_to_recordset(p_payments) AS q (invoice_id uuid)));
  INSERT INTO payments (company_id, id, invoice_id, amount_minor, currency, method, received_on, reference,
    bank_account_id, metadata, journal_entry_id)
  SELECT p_company, p.id, p.invoice_id, p.amount_minor, p.currency, p.method, p.received_on, p.reference,
    p.bank_account_id, p.metadata, p.journal_entry_id
  FROM jsonb_to_recordset(p_payments) AS p (id uuid, invoice_id uuid, amount_minor bigint, currency text, method text,
    received_on date, reference text, bank_account_id uuid, metadata jsonb, journal_entry_id uuid);
END
$$;

-- lookup_write for many, of many companies: a row for each requesting member and one for each key that is taken.
CREATE FUNCTION lookup_writes(p_companies uuid[], p_subjects text[], p_keys text[])
RETURNS TABLE (company uuid, subject text, member_id uuid, member_roles text[], write idempotent_writes)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  one uuid;
BEGIN
  FOR one IN SELECT DISTINCT c FROM unnest(p_companies) AS c LOOP
    PERFORM enter_company(one);
    RETURN QUERY
      SELECT one, a.subject, m.user_id, m.roles, NULL::idempotent_writes
      FROM (SELECT DISTINCT s.subject FROM unnest(p_companies, p_subjects) AS s (company, subject)
            WHERE s.company = one AND s.subject IS NOT NULL) AS a
      JOIN users u ON u.token_subject = a.subject AND u.token_subject = ANY (p_subjects)
      JOIN memberships m ON m.user_id = u.id AND m.company_id = one;
    RETURN QUERY
      SELECT one, NULL::text, NULL::uuid, NULL::text[], w
      FROM idempotent_writes w
      WHERE w.company_id = one AND w.idempotency_key = ANY (ARRAY(
        SELECT k.key FROM unnest(p_companies, p_keys) AS k (company, key) WHERE k.company = one));
  END LOOP;
END
$$;
