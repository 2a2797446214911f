-- The erasure itself, and the functions by which operators ask for it and confirm it.

-- Whether a text is somebody's in particular: an address, a reference, a name of several words. A name of one word may be any word.
CREATE FUNCTION is_distinctive(p_text text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN length(trim(p_text)) >= 5 AND p_text ~ '[[:alpha:]]' AND p_text ~ '[@0-9[:space:]]'
  AND p_text !~ '\[erased\]|^erased[+:][0-9a-f-]{36}';

-- The IDs of what belongs to the person: documents, and the lines of the bank that paid them.
CREATE FUNCTION find_resources(e erasures, p_company uuid) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO erasing_resources VALUES (e.id, e.person::text);
  IF e.kind <> 'customer' THEN
    RETURN;
  END IF;
  WITH sold AS (SELECT i.id FROM invoices i WHERE i.company_id = p_company AND i.customer_id = e.person),
    paid AS (SELECT p.id, p.journal_entry_id, p.void_entry_id FROM payments p JOIN sold i ON i.id = p.invoice_id
      WHERE p.company_id = p_company),
    refunded AS (SELECT r.id, r.journal_entry_id, r.void_entry_id FROM refunds r JOIN paid p ON p.id = r.payment_id
      WHERE r.company_id = p_company),
    moved AS (SELECT unnest(ARRAY[journal_entry_id, void_entry_id]) AS entry_id FROM (TABLE paid UNION ALL TABLE refunded) AS m)
  INSERT INTO erasing_resources
  SELECT e.id, id::text FROM sold
  UNION SELECT e.id, id::text FROM paid
  UNION SELECT e.id, id::text FROM refunded
  UNION SELECT e.id, n.id::text FROM credit_notes n JOIN sold i ON i.id = n.invoice_id WHERE n.company_id = p_company
  UNION SELECT e.id, o.id::text FROM write_offs o JOIN sold i ON i.id = o.invoice_id WHERE o.company_id = p_company
  UNION SELECT e.id, r.id::text FROM invoice_reminders r JOIN sold i ON i.id = r.invoice_id WHERE r.company_id = p_company
  UNION SELECT e.id, m.bank_transaction_id::text FROM moved
  JOIN journal_lines l ON l.company_id = p_company AND l.entry_id = moved.entry_id
  JOIN bank_matches m ON m.company_id = p_company AND m.journal_line_id = l.id
  WHERE m.bank_transaction_id IS NOT NULL
  ON CONFLICT DO NOTHING;
END
$$;

-- The pattern of the person's distinctive texts, as they are and as they were, and of those that were asked for.
CREATE FUNCTION pattern_of_person(e erasures, p_company uuid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
  texts text[];
BEGIN
  WITH told AS (
    SELECT to_jsonb(c) - 'metadata' || jsonb_build_object('externalReference', c.external_reference) AS person
    FROM customers c WHERE e.kind = 'customer' AND c.company_id = p_company AND c.id = e.person
    UNION ALL
    SELECT jsonb_build_object('firstName', m.first_name, 'lastName', m.last_name, 'email', m.email)
    FROM employees m WHERE e.kind = 'employee' AND m.company_id = p_company AND m.id = e.person
    UNION ALL
    SELECT jsonb_build_object('email', u.email, 'subject', u.subject) FROM users u WHERE e.kind = 'user' AND u.id = e.person
    UNION ALL
    SELECT convert_from(w.response_body, 'UTF8')::jsonb FROM idempotent_writes w
    WHERE w.company_id = p_company AND w.resource_id = e.person::text AND w.outcome = 'succeeded'
      AND w.operation IN ('createCustomer', 'updateCustomer', 'createEmployee', 'updateEmployee')
  )
  SELECT array_agg(DISTINCT t) INTO texts FROM told, unnest(ARRAY[
    told.person ->> 'name', told.person ->> 'email', told.person ->> 'externalReference', told.person ->> 'subject',
    told.person ->> 'firstName' || ' ' || (told.person ->> 'lastName'),
    told.person ->> 'lastName' || ' ' || (told.person ->> 'firstName'),
    told.person ->> 'lastName' || ', ' || (told.person ->> 'firstName')]) AS t
  WHERE is_distinctive(t) OR t = told.person ->> 'subject' AND length(t) >= 5;
  RETURN pattern_of(texts || e.texts);
END
$$;

-- The writes that change. What other customers and employees are called stays, whoever else is called so.
CREATE FUNCTION find_writes(e erasures, p_company uuid, p_pattern text) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO erasing_writes
  SELECT e.id, w.write_id, own.whole
  FROM idempotent_writes w
  CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM erasing_resources r WHERE r.erasure = e.id AND r.id IN (w.write_id::text, w.resource_id,
        lower(w.request #>> '{params,customerId}'), lower(w.request #>> '{params,invoiceId}'), lower(w.request #>> '{params,paymentId}'),
        lower(w.request #>> '{params,refundId}'), lower(w.request #>> '{params,creditNoteId}'),
        lower(w.request #>> '{params,employeeId}'), lower(w.request #>> '{params,userId}'),
        lower(w.request #>> '{params,bankTransactionId}'), lower(w.request #>> '{body,customerId}'),
        lower(w.request #>> '{body,invoiceId}'), lower(w.request #>> '{body,paymentId}'))) AS of_person,
      mentions((w.request -> 'body')::text, p_pattern) AS asked_of_person
  ) AS found
  CROSS JOIN LATERAL (
    SELECT found.of_person OR found.asked_of_person AND w.outcome <> 'succeeded' AND w.operation IN ('createCustomer', 'createEmployee')
      AS whole
  ) AS own
  -- What the company itself is called stays, too.
  WHERE w.company_id = p_company AND w.request IS NOT NULL
    AND w.operation NOT IN ('updateCompanySettings', 'updateApprovalPolicies') AND (own.whole
    OR (w.operation NOT IN ('createCustomer', 'updateCustomer', 'createEmployee', 'updateEmployee') OR w.outcome <> 'succeeded')
      AND (found.asked_of_person OR mentions(convert_from(w.response_body, 'UTF8'), p_pattern))
    OR w.operation = 'importBankTransactions' AND w.outcome = 'succeeded' AND EXISTS (
      SELECT FROM jsonb_array_elements(convert_from(w.response_body, 'UTF8')::jsonb -> 'items') AS item
      JOIN erasing_resources r ON r.erasure = e.id AND r.id = item ->> 'id'));
END
$$;

-- Whether path or body of a request name what belongs to the person.
CREATE FUNCTION names_resource(p_input jsonb, p_erasure uuid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT EXISTS (SELECT FROM jsonb_path_query(p_input, 'lax $.*.* ? (@.type() == "string")') AS v
    JOIN erasing_resources r ON r.erasure = p_erasure AND r.id = lower(v #>> '{}'))
$$;

-- A write that waits for its approval would bring back what is erased, and so would rows of a batch that has not ended.
CREATE FUNCTION refuse_while_open(e erasures, p_company uuid, p_pattern text) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  open text;
BEGIN
  SELECT string_agg(quote_literal(q.idempotency_key), ', ') INTO open FROM approval_requests q
  WHERE q.company_id = p_company AND q.closed_at IS NULL AND (mentions((q.arguments -> 'input')::text, p_pattern)
    OR names_resource(q.arguments -> 'input', e.id));
  IF open IS NOT NULL THEN
    RAISE EXCEPTION 'writes about this person wait for their approval: decide or cancel them first (keys %)', open
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  SELECT string_agg(DISTINCT quote_literal(b.batch_key), ', ') INTO open FROM batches b
  WHERE b.company_id = p_company AND b.state NOT IN ('completed', 'cancelled') AND b.upload_id IS NOT NULL;
  IF open IS NOT NULL THEN
    RAISE EXCEPTION 'batches of the company have not ended, whose rows may be about this person: wait for them, or cancel them (%)', open
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
END
$$;

-- Everything of one company, which the transaction has entered. Returns how many rows of each table have changed.
CREATE FUNCTION erase_in_company(e erasures, p_company uuid) RETURNS jsonb
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  pattern text;
  counts jsonb := '{}';
  changed bigint;
  rule record;
BEGIN
  -- Writes that refer to the person wait for this one, and it for them.
  EXECUTE format('SELECT count(*) FROM (SELECT FROM %I WHERE %s AND id = $2 FOR UPDATE) AS person', e.kind || 's',
    CASE e.kind WHEN 'user' THEN '$1 IS NOT NULL' ELSE 'company_id = $1' END) INTO changed USING p_company, e.person;
  IF changed = 0 THEN
    RAISE EXCEPTION 'there is no % % in company %', e.kind, e.person, p_company USING ERRCODE = 'no_data_found';
  END IF;
  PERFORM find_resources(e, p_company);
  pattern := pattern_of_person(e, p_company);
  IF mentions(e.reason, pattern) THEN
    RAISE EXCEPTION 'the reason names the person, and it stays: give another one' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM find_writes(e, p_company, pattern);
  PERFORM refuse_while_open(e, p_company, pattern);
  counts := jsonb_build_object(
    'archivedMonths', (SELECT jsonb_agg(to_char(a.month, 'YYYY-MM') ORDER BY a.month) FROM audit_archives a WHERE EXISTS (
      SELECT FROM erasing_writes k JOIN idempotent_writes w ON w.company_id = p_company AND w.write_id = k.write_id
      WHERE k.erasure = e.id AND date_trunc('month', w.completed_at AT TIME ZONE 'UTC')::date = a.month)),
    -- Keys stay: without them a write could happen again. Only their number is told, since this stays, too.
    'keysNamingThem', (SELECT nullif(count(*), 0) FROM idempotent_writes w
      WHERE w.company_id = p_company AND mentions(w.idempotency_key, pattern)),
    'sameNames', (SELECT jsonb_agg(o.id ORDER BY o.id) FROM (
      SELECT id FROM customers WHERE company_id = p_company AND (mentions(name, pattern) OR mentions(email, pattern))
      UNION ALL SELECT id FROM employees WHERE company_id = p_company
        AND (mentions(first_name || ' ' || last_name, pattern) OR mentions(email, pattern))) AS o WHERE o.id <> e.person));
  RAISE NOTICE '% writes are looked at', (SELECT count(*) FROM erasing_writes k WHERE k.erasure = e.id);
  DELETE FROM erasing_writes k USING erasing_writes o, idempotent_writes w, erased_write(w, e.id, o.whole, pattern, e.person) AS n
  WHERE k.erasure = e.id AND o.erasure = e.id AND o.write_id = k.write_id AND w.company_id = p_company AND w.write_id = o.write_id
    AND n.request = w.request AND n.response_body = w.response_body;
  changed := erase_salts(p_company, e.id, pattern);
  RAISE NOTICE '% sealed rows keep their digests, and lose their salts', changed;
  counts := counts || jsonb_build_object('salts', changed);

  UPDATE idempotent_writes w SET request = n.request, response_body = n.response_body
  FROM erasing_writes k, idempotent_writes o, erased_write(o, e.id, k.whole, pattern, e.person) AS n
  WHERE k.erasure = e.id AND w.company_id = p_company AND w.write_id = k.write_id
    AND o.company_id = w.company_id AND o.write_id = w.write_id;
  GET DIAGNOSTICS changed = ROW_COUNT;
  counts := counts || jsonb_build_object('idempotent_writes', changed);
  RAISE NOTICE '% writes have their erased form', changed;
  -- Also of those that came to nothing.
  UPDATE approval_requests q SET arguments = q.arguments || jsonb_build_object('input', n.request)
  FROM approval_requests o, erased_request(o.arguments -> 'input', e.id, names_resource(o.arguments -> 'input', e.id), pattern,
    e.person, NULL) AS n (request)
  WHERE q.company_id = p_company AND o.company_id = p_company AND o.idempotency_key = q.idempotency_key
    AND o.arguments -> 'input' <> n.request;
  GET DIAGNOSTICS changed = ROW_COUNT;
  counts := counts || jsonb_build_object('approval_requests', nullif(changed, 0));
  UPDATE batch_chunks c SET content = NULL, is_kept = false WHERE c.company_id = p_company AND c.is_kept
    AND EXISTS (SELECT FROM erasing_writes k WHERE k.erasure = e.id);

  FOR rule IN
    SELECT r.table_name, r.whole, 't.company_id = $1 AND ' || r.condition AS condition FROM (VALUES
      ('customers', 't.id = $5', true), ('employees', 't.id = $5', true),
      ('employee_deductions', 't.employee_id = $5', true), ('employee_terms', 't.employee_id = $5', true),
      ('invoices', '%s t.id::text)', true), ('invoice_lines', '%s t.invoice_id::text)', true),
      ('payments', '%s t.id::text)', true), ('refunds', '%s t.id::text)', true), ('credit_notes', '%s t.id::text)', true),
      ('write_offs', '%s t.id::text)', true), ('bank_transactions', '%s t.id::text)', true),
      ('reconciliations', '%s t.bank_transaction_id::text)', true),
      ('approval_decisions', 'EXISTS (SELECT FROM erasing_writes k JOIN idempotent_writes w ON w.company_id = $1
         AND w.write_id = k.write_id WHERE k.erasure = $2 AND k.whole AND w.idempotency_key = t.idempotency_key)', true),
      ('idempotent_write_audit_log', '(t.error_message IS NOT NULL OR t.metadata <> ''{}'') AND NOT is_archived_month(t.timestamp)
         AND EXISTS (SELECT FROM erasing_writes k WHERE k.erasure = $2 AND k.whole AND k.write_id = t.deterministic_id)', true),
      ('idempotent_write_audit_log', '(t.error_message IS NOT NULL OR t.metadata <> ''{}'') AND NOT is_archived_month(t.timestamp)', false),
      ('security_log', 'mentions(concat_ws('' '', t.subject, t.details::text), $4)', false),
      ('batch_chunks', 'mentions(t.problems::text, $4)', false),
      ('invoices', 'true', false), ('invoice_lines', 'true', false), ('payments', 'true', false), ('refunds', 'true', false),
      ('credit_notes', 'true', false), ('write_offs', 'true', false), ('bank_transactions', 'true', false),
      ('reconciliations', 'true', false), ('journal_entries', 'true', false), ('journal_lines', 'true', false),
      ('inventory_items', 'true', false), ('inventory_movements', 'true', false), ('accounts', 'true', false),
      ('pay_runs', 'true', false), ('workflow_triggers', 'true', false), ('approval_decisions', 'true', false)
    ) AS r (table_name, condition, whole)
  LOOP
    changed := erase_rows(rule.table_name, p_company,
      replace(rule.condition, '%s', 'EXISTS (SELECT FROM erasing_resources r WHERE r.erasure = $2 AND r.id ='), e.id, rule.whole,
      pattern, e.person);
    counts := counts || CASE WHEN changed = 0 THEN '{}'
      ELSE jsonb_build_object(rule.table_name, coalesce((counts ->> rule.table_name)::bigint, 0) + changed) END;
  END LOOP;
  DELETE FROM erasing_writes WHERE erasure = e.id;
  DELETE FROM erasing_resources WHERE erasure = e.id;
  RETURN jsonb_strip_nulls(counts);
END
$$;

-- The companies that an erasure looks at: of a user, also those whose answers have told the address. Refuses a user who is still a
-- member elsewhere.
CREATE FUNCTION companies_of(e erasures) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  others uuid[];
BEGIN
  IF e.kind <> 'user' THEN
    RETURN e.companies;
  END IF;
  IF row_security_active('memberships') THEN
    RAISE EXCEPTION 'the owner of the database sees one company at a time, and a user may be in any: grant it BYPASSRLS'
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  SELECT array_agg(m.company_id) INTO others FROM memberships m WHERE m.user_id = e.person AND m.company_id <> ALL (e.companies);
  IF others IS NOT NULL THEN
    RAISE EXCEPTION 'the user is a member of other companies, which did not ask: % (take their roles first, or name these companies, too)', others
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  RETURN ARRAY(SELECT unnest(e.companies) UNION SELECT w.company_id FROM idempotent_writes w
    WHERE w.operation = 'grantUserAccess' AND w.resource_id = e.person::text);
END
$$;

-- Erases what was asked for, and says by whom it was confirmed.
CREATE FUNCTION erase_person(p_id uuid, p_operator text, p_alone boolean) RETURNS jsonb
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  e erasures;
  company uuid;
  found jsonb;
  results jsonb := '[]';
BEGIN
  UPDATE erasures SET xid = pg_current_xact_id() WHERE id = p_id RETURNING * INTO STRICT e;
  FOREACH company IN ARRAY companies_of(e) LOOP
    PERFORM set_config('app.company_id', company::text, true);
    PERFORM record_operator_command('privacy:erase', company, jsonb_build_object('erasure', e.id, e.kind, e.person,
      'askedBy', e.asked_by, 'askedOperator', e.asked_operator, 'askedAt', e.asked_at, 'confirmedOperator', p_operator));
    found := erase_in_company(e, company);
    results := results || (jsonb_build_object('company', company) || found);
  END LOOP;
  IF e.kind = 'user' THEN
    -- Rows of the log that are of no company.
    PERFORM set_config('app.company_id', '00000000-0000-0000-0000-000000000000', true);
    PERFORM record_operator_command('privacy:erase', NULL, jsonb_build_object('erasure', e.id, e.kind, e.person,
      'askedBy', e.asked_by, 'askedOperator', e.asked_operator, 'askedAt', e.asked_at, 'confirmedOperator', p_operator));
    PERFORM erase_rows('security_log', NULL, 't.company_id = ''00000000-0000-0000-0000-000000000000''
      AND mentions(concat_ws('' '', t.subject, t.details::text), $4)', e.id, false, pattern_of_person(e, NULL), e.person);
    IF erase_rows('users', NULL, 't.id = $5', e.id, true, NULL, e.person) = 0 THEN
      PERFORM 1 FROM users WHERE id = e.person;
      IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no user %', e.person USING ERRCODE = 'no_data_found';
      END IF;
    END IF;
  END IF;
  UPDATE erasures SET xid = NULL, texts = '{}', alone = p_alone, confirmed_by = session_user, confirmed_operator = p_operator,
    done_at = clock_timestamp(), result = results WHERE id = p_id;
  RETURN jsonb_build_object('erasure', p_id, 'companies', results);
END
$$;

CREATE FUNCTION ask_erasure(p_kind text, p_companies uuid[], p_person uuid, p_texts text[], p_reason text, p_operator text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  asked uuid;
BEGIN
  IF EXISTS (SELECT FROM unnest(p_texts) AS t WHERE length(trim(t)) < 4) THEN
    RAISE EXCEPTION 'a text of fewer than four characters is found everywhere' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- What nobody has confirmed in time does not stay either.
  UPDATE erasures SET texts = '{}' WHERE done_at IS NULL AND asked_at < clock_timestamp() - erasure_time() AND texts <> '{}';
  INSERT INTO erasures (kind, companies, person, texts, reason, asked_operator)
  VALUES (p_kind, p_companies, p_person, p_texts, p_reason, p_operator) RETURNING id INTO asked;
  PERFORM record_operator_command('privacy:erase ask', c, jsonb_build_object('erasure', asked, p_kind, p_person, 'operator', p_operator))
  FROM unnest(CASE WHEN p_companies = '{}' THEN ARRAY[NULL::uuid] ELSE p_companies END) AS c;
  RETURN asked;
END
$$;

-- How long a request for an erasure can be confirmed.
CREATE FUNCTION erasure_time() RETURNS interval
LANGUAGE sql IMMUTABLE RETURN interval '7 days';

-- Refuses whoever has asked: the same login of the database, or the same operator by another one.
CREATE FUNCTION confirm_erasure(p_id uuid, p_operator text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  e erasures;
BEGIN
  SELECT * INTO e FROM erasures WHERE id = p_id FOR UPDATE;
  IF e.id IS NULL OR e.done_at IS NOT NULL OR e.asked_at < clock_timestamp() - erasure_time() THEN
    RAISE EXCEPTION '%', CASE WHEN e.id IS NULL THEN 'nobody has asked for this erasure' WHEN e.done_at IS NULL
      THEN 'it was asked for too long ago: ask again' ELSE 'it is done' END USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF session_user = e.asked_by OR lower(p_operator) = lower(e.asked_operator) THEN
    RAISE EXCEPTION 'another person has to confirm, by another login of the database: % has asked as %', e.asked_operator, e.asked_by
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN erase_person(p_id, p_operator, false);
END
$$;

CREATE FUNCTION owns_database() RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = current_database() AND r.rolname = session_user)
$$;

-- At once. For the owner of the database, who can do everything without asking anybody; not for production.
CREATE FUNCTION erase_alone(p_kind text, p_companies uuid[], p_person uuid, p_texts text[], p_reason text, p_operator text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT owns_database() THEN
    RAISE EXCEPTION 'another person has to confirm: only the owner of the database erases alone' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN erase_person(ask_erasure(p_kind, p_companies, p_person, p_texts, p_reason, p_operator), p_operator, true);
END
$$;

-- What an erasure would change: it is done, and undone again.
CREATE FUNCTION preview_erasure(p_kind text, p_companies uuid[], p_person uuid, p_texts text[], p_reason text, p_operator text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  found text;
BEGIN
  found := erase_person(ask_erasure(p_kind, p_companies, p_person, p_texts, p_reason, p_operator), p_operator, true) -> 'companies';
  RAISE EXCEPTION USING ERRCODE = 'AB001', MESSAGE = found;
EXCEPTION WHEN SQLSTATE 'AB001' THEN
  PERFORM record_operator_command('privacy:erase dry-run', c, jsonb_build_object(p_kind, p_person, 'operator', p_operator))
  FROM unnest(CASE WHEN p_companies = '{}' THEN ARRAY[NULL::uuid] ELSE p_companies END) AS c;
  RETURN jsonb_build_object('companies', SQLERRM::jsonb);
END
$$;

-- The companies of that name, or the one with that ID.
CREATE FUNCTION erasable_companies(p_name_or_id text) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT c.id FROM companies c WHERE c.name = p_name_or_id OR c.id::text = lower(p_name_or_id)
$$;

-- For whoever confirms. The texts are there until it is done.
CREATE FUNCTION asked_erasure(p_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT to_jsonb(e) - 'xid' FROM erasures e WHERE e.id = p_id
$$;

DO $$
DECLARE
  name regprocedure;
BEGIN
  FOR name IN
    SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proname IN ('erase_rows', 'erase_salts', 'erased_write',
      'erased_request', 'find_resources', 'find_writes', 'pattern_of_person', 'refuse_while_open', 'erase_in_company', 'companies_of',
      'erase_person', 'ask_erasure', 'confirm_erasure', 'erase_alone', 'preview_erasure', 'asked_erasure', 'erasable_companies')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name);
  END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION ask_erasure(text, uuid[], uuid, text[], text, text), confirm_erasure(uuid, text),
  erase_alone(text, uuid[], uuid, text[], text, text), preview_erasure(text, uuid[], uuid, text[], text, text), asked_erasure(uuid),
  erasable_companies(text) TO accubooks_eraser;
