-- What can be erased of a person, and into what: names, addresses, references and notes, never an amount, an ID or a date. The
-- triggers that keep rows as they are let exactly this through, and only within an erasure (the next migration).

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'accubooks_eraser') THEN
    CREATE ROLE accubooks_eraser NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL;
END
$$;
GRANT USAGE ON SCHEMA public TO accubooks_eraser;

-- Each erasure of one person: who asked for it, who confirmed it, what came of it. `texts`: what else to look for, gone once it
-- is done. `xid`: of the transaction that erases, while it does.
CREATE TABLE erasures (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  kind text NOT NULL CHECK (kind IN ('customer', 'employee', 'user')),
  -- Of a customer or employee; of a user, the companies of which the user may still be a member.
  companies uuid[] NOT NULL CHECK (cardinality(companies) <= 1000),
  person uuid NOT NULL,
  texts text[] NOT NULL DEFAULT '{}' CHECK (cardinality(texts) <= 20) CHECK (pg_column_size(texts) <= 16384),
  reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  asked_by text NOT NULL DEFAULT session_user CHECK (length(asked_by) <= 63),
  asked_operator text NOT NULL CHECK (length(asked_operator) BETWEEN 1 AND 200),
  asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- By the owner of the database, who needs nobody's confirmation to do anything: never in production.
  alone boolean NOT NULL DEFAULT false,
  confirmed_by text CHECK (length(confirmed_by) <= 63),
  confirmed_operator text CHECK (length(confirmed_operator) BETWEEN 1 AND 200),
  done_at timestamptz,
  result jsonb CHECK (pg_column_size(result) <= 1048576),
  xid xid8,
  CONSTRAINT erasures_done_whole CHECK (num_nulls(confirmed_by, confirmed_operator, done_at, result) IN (0, 4)),
  CONSTRAINT erasures_by_two CHECK (alone OR (confirmed_by <> asked_by AND confirmed_operator <> asked_operator)),
  CONSTRAINT erasures_forget_texts CHECK (done_at IS NULL OR texts = '{}')
);
CREATE INDEX erasures_running ON erasures (xid) WHERE xid IS NOT NULL;
CREATE INDEX erasures_of_person ON erasures (person);
GRANT SELECT ON erasures TO accubooks_auditor;
CREATE TRIGGER keep_erasures BEFORE DELETE ON erasures
  FOR EACH ROW EXECUTE FUNCTION refuse_change('it says who erased what');
CREATE TRIGGER keep_done_erasures BEFORE UPDATE ON erasures FOR EACH ROW WHEN (OLD.done_at IS NOT NULL)
  EXECUTE FUNCTION refuse_change('it is done');
CREATE TRIGGER keep_all_erasures BEFORE TRUNCATE ON erasures
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('they say who erased what');

-- Whether this transaction erases. Nobody but the functions of the next migration writes the table.
CREATE FUNCTION is_erasing() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT EXISTS (SELECT FROM erasures WHERE xid = pg_current_xact_id_if_assigned())
$$;

-- The columns. Kinds: `text` and `notes` give way to a marker; `email` and `unique` to one with the person's ID, since no two may
-- be equal; `json` has members that do (erasable_member), `body` is the JSON of an answer, `any` is JSON that is searched as a
-- whole, `content` is taken away.
CREATE FUNCTION erasable_columns() RETURNS TABLE (table_name text, column_name text, kind text)
LANGUAGE sql IMMUTABLE AS $$
  VALUES
    ('customers', 'name', 'text'), ('customers', 'email', 'email'), ('customers', 'external_reference', 'unique'),
    ('customers', 'metadata', 'notes'),
    ('employees', 'first_name', 'text'), ('employees', 'last_name', 'text'), ('employees', 'email', 'email'),
    ('employee_deductions', 'name', 'text'), ('employee_terms', 'deductions', 'json'),
    ('users', 'email', 'email'), ('users', 'subject', 'unique'),
    ('invoices', 'memo', 'text'), ('invoices', 'void_reason', 'text'), ('invoices', 'discard_reason', 'text'),
    ('invoices', 'metadata', 'notes'), ('invoice_lines', 'description', 'text'),
    ('payments', 'reference', 'text'), ('payments', 'void_reason', 'text'), ('payments', 'metadata', 'notes'),
    ('refunds', 'reason', 'text'), ('refunds', 'void_reason', 'text'), ('refunds', 'metadata', 'notes'),
    ('credit_notes', 'reason', 'text'), ('credit_notes', 'void_reason', 'text'),
    ('write_offs', 'reason', 'text'), ('write_offs', 'recover_reason', 'text'),
    ('bank_transactions', 'description', 'text'), ('reconciliations', 'reason', 'text'),
    ('journal_entries', 'description', 'text'), ('journal_entries', 'metadata', 'notes'), ('journal_lines', 'memo', 'text'),
    ('inventory_items', 'name', 'text'), ('inventory_movements', 'reason', 'text'), ('accounts', 'name', 'text'),
    ('pay_runs', 'void_reason', 'text'), ('workflow_triggers', 'payload', 'notes'),
    ('approval_requests', 'arguments', 'json'), ('approval_decisions', 'comment', 'text'),
    ('idempotent_writes', 'request', 'json'), ('idempotent_writes', 'response_body', 'body'),
    ('idempotent_write_audit_log', 'error_message', 'text'), ('idempotent_write_audit_log', 'metadata', 'json'),
    ('batch_chunks', 'content', 'content'), ('batch_chunks', 'is_kept', 'content'), ('batch_chunks', 'problems', 'json'),
    ('security_log', 'subject', 'text'), ('security_log', 'details', 'any')
$$;

-- The kind of a member of a request or an answer, by its name; NULL where it stays.
CREATE FUNCTION erasable_member(p_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE
  WHEN p_name IN ('name', 'firstName', 'lastName', 'memo', 'description', 'reason', 'reference', 'comment', 'detail',
    'voidReason', 'discardReason', 'recoverReason', 'reconcileReason', 'reopenReason') THEN 'text'
  WHEN p_name = 'email' THEN 'email'
  WHEN p_name = 'externalReference' THEN 'unique'
  WHEN p_name IN ('metadata', 'payload') THEN 'notes'
END;

-- What stands in the place of a value of this kind.
CREATE FUNCTION erased_value(p_kind text, p_person uuid) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE p_kind
  WHEN 'text' THEN '"[erased]"'::jsonb
  WHEN 'email' THEN to_jsonb('erased+' || p_person || '@erased.invalid')
  WHEN 'unique' THEN to_jsonb('erased:' || p_person)
  WHEN 'notes' THEN '{"erased": "[erased]"}'::jsonb
END;

-- Whether the value is what can stand there, whoever the person was.
CREATE FUNCTION is_marker(p_kind text, p_value jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN coalesce(p_value = erased_value(p_kind,
  CASE WHEN p_kind IN ('email', 'unique') THEN substring(p_value #>> '{}' FROM '[+:]([0-9a-f-]{36})')::uuid END), false);

-- Whether the one JSON is the other with members erased, and nothing else. `p_name`: of the member that has them; `p_any`: each
-- text may be.
CREATE FUNCTION is_erased_json(p_old jsonb, p_new jsonb, p_name text, p_any boolean) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = public, pg_temp AS $$
BEGIN
  IF p_old = p_new OR is_marker(CASE WHEN p_any THEN 'text' ELSE erasable_member(p_name) END, p_new)
    AND jsonb_typeof(p_old) = jsonb_typeof(p_new) THEN
    RETURN true;
  END IF;
  IF jsonb_typeof(p_old) = 'array' AND jsonb_typeof(p_new) = 'array' THEN
    RETURN jsonb_array_length(p_old) = jsonb_array_length(p_new) AND NOT EXISTS (
      SELECT FROM generate_series(0, jsonb_array_length(p_old) - 1) AS i
      WHERE NOT is_erased_json(p_old -> i, p_new -> i, p_name, p_any));
  END IF;
  RETURN jsonb_typeof(p_old) = 'object' AND jsonb_typeof(p_new) = 'object' AND NOT EXISTS (
    SELECT FROM jsonb_each(p_old) AS o FULL JOIN jsonb_each(p_new) AS n USING (key)
    -- The list of what a request has lost comes with the first that it loses, and grows.
    WHERE NOT (key = 'erased' AND jsonb_typeof(n.value) = 'array' AND n.value @> coalesce(o.value, '[]'))
      AND (o.value IS NULL OR n.value IS NULL OR NOT is_erased_json(o.value, n.value, key, p_any)));
END
$$;

-- Whether a row is another with columns erased, and nothing else.
CREATE FUNCTION is_erased_row(p_table regclass, p_old jsonb, p_new jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
  -- Of a partition, the table that it is of.
  named text := coalesce((SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = p_table), p_table::text);
BEGIN
  RETURN NOT EXISTS (
    SELECT FROM jsonb_each(p_old) AS o
    JOIN jsonb_each(p_new) AS n USING (key)
    -- Generated columns are made after the triggers.
    JOIN pg_attribute a ON a.attrelid = p_table AND a.attname = key AND a.attgenerated = ''
    LEFT JOIN erasable_columns() AS c ON c.table_name = named AND c.column_name = key
    WHERE o.value <> n.value AND NOT coalesce(CASE c.kind
      WHEN 'json' THEN is_erased_json(o.value, n.value, NULL, false)
      WHEN 'any' THEN is_erased_json(o.value, n.value, NULL, true)
      WHEN 'body' THEN is_erased_json(json_of_body(o.value), json_of_body(n.value), NULL, false)
      WHEN 'content' THEN n.value IN ('null', 'false')
      ELSE jsonb_typeof(o.value) = jsonb_typeof(n.value) AND is_marker(c.kind, n.value) END, false));
END
$$;

-- Of bytes as a row's JSON has them.
CREATE FUNCTION json_of_body(p_body jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE RETURN convert_from((p_body #>> '{}')::bytea, 'UTF8')::jsonb;

-- As before, but for an erasure.
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND TG_LEVEL = 'ROW' THEN
    IF is_erasing() THEN
      IF is_erased_row(TG_RELID, to_jsonb(OLD), to_jsonb(NEW)) THEN
        RETURN NEW;
      END IF;
    END IF;
  END IF;
  RAISE EXCEPTION '% of % is refused: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END
$$;

CREATE OR REPLACE FUNCTION keep_finished_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.outcome IS NOT NULL THEN
    IF is_erasing() THEN
      IF is_erased_row(TG_RELID, to_jsonb(OLD), to_jsonb(NEW)) THEN
        RETURN NEW;
      END IF;
    END IF;
    RAISE EXCEPTION 'UPDATE of idempotent_writes is refused: a write that has its outcome never changes'
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF (OLD.company_id, OLD.idempotency_key, OLD.write_id, OLD.submission_id, OLD.operation, OLD.type, OLD.fingerprint,
      OLD.schema_version, OLD.request, OLD.user_id, OLD.request_id)
     IS DISTINCT FROM
     (NEW.company_id, NEW.idempotency_key, NEW.write_id, NEW.submission_id, NEW.operation, NEW.type, NEW.fingerprint,
      NEW.schema_version, NEW.request, NEW.user_id, NEW.request_id) THEN
    RAISE EXCEPTION 'UPDATE of idempotent_writes is refused: only the outcome can be added to a claimed write'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION move_pay_run_forward_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  moving constant text[] := CASE
    WHEN (OLD.status, NEW.status) = ('draft', 'approved') THEN ARRAY['status', 'approved_by']
    WHEN (OLD.status, NEW.status) = ('approved', 'executed') THEN ARRAY['status', 'executed_by', 'journal_entry_id']
    WHEN (OLD.status, NEW.status) = ('executed', 'voided')
      THEN ARRAY['status', 'voided_on', 'void_reason', 'voided_by', 'void_entry_id']
  END;
BEGIN
  IF moving IS NULL OR to_jsonb(OLD) - moving <> to_jsonb(NEW) - moving THEN
    IF is_erasing() THEN
      IF is_erased_row(TG_RELID, to_jsonb(OLD), to_jsonb(NEW)) THEN
        RETURN NEW;
      END IF;
    END IF;
    RAISE EXCEPTION 'UPDATE of pay_runs is refused: a run is a snapshot, and goes from draft to approved, executed and voided'
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.approval_required AND NEW.status = 'approved' AND NEW.approved_by = NEW.created_by THEN
    RAISE EXCEPTION 'pay run % demands the approval of someone else than its creator', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'pay_runs_approved_by_another';
  END IF;
  RETURN NEW;
END
$$;

-- A salt becomes zeros and nothing else, and what was digested with it stays.
CREATE FUNCTION keep_salts_until_erased() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT is_erasing() OR length(NEW.salts) <> length(OLD.salts) OR NOT NEW.erased @> OLD.erased OR EXISTS (
    SELECT FROM generate_series(0, length(OLD.salts) / 16 - 1) AS i
    CROSS JOIN LATERAL (SELECT substring(NEW.salts FROM 16 * i + 1 FOR 16) AS salt) AS now
    WHERE now.salt <> substring(OLD.salts FROM 16 * i + 1 FOR 16)
      AND (now.salt <> '\x00000000000000000000000000000000' OR NOT NEW.erased ? (NEW.first_number + i)::text)
  ) THEN
    RAISE EXCEPTION 'UPDATE of seal_salts is refused: salts are erased one by one, and their digests stay'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER keep_salts_until_erased BEFORE UPDATE OF salts, erased ON seal_salts
  FOR EACH ROW EXECUTE FUNCTION keep_salts_until_erased();
-- The functions of an erasure are the owner's, who needs a policy where BYPASSRLS is missing; none but the owner may update.
CREATE POLICY erasing ON seal_salts FOR UPDATE USING (company_id = current_company());

-- As before, but that a description which was erased is taken for the same: a line of the bank is never known twice.
CREATE OR REPLACE FUNCTION import_bank_transactions(p_company uuid, p_write uuid, p_account_code text, p_rows jsonb)
RETURNS TABLE (id uuid, bank_reference text, result text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  account uuid;
BEGIN
  PERFORM 1 FROM companies c WHERE c.id = p_company FOR SHARE;
  SELECT a.id INTO account FROM accounts a WHERE a.company_id = p_company AND a.code = p_account_code AND a.is_bank;
  -- In the order of the references, whatever the order of the file: two imports that share some of them wait for each
  -- other in turn, and never in a circle.
  INSERT INTO bank_transactions (company_id, id, import_id, account_id, bank_reference, booked_on, amount_minor, currency,
    description)
  SELECT p_company, r.id, p_write, account, r.bank_reference, r.booked_on, r.amount_minor, r.currency, r.description
  FROM bank_rows(p_rows) AS r
  WHERE account IS NOT NULL
  ORDER BY r.bank_reference COLLATE "C", r.place
  ON CONFLICT (company_id, account_id, bank_reference) DO NOTHING;
  -- A later statement, which sees the rows of an import that this one has waited for.
  RETURN QUERY
    SELECT t.id, t.bank_reference, CASE
      WHEN t.id = r.id THEN 'imported'
      WHEN (t.booked_on, t.amount_minor, t.currency) = (r.booked_on, r.amount_minor, r.currency)
        AND t.description IN (r.description, '[erased]') THEN 'already_known'
      ELSE 'conflict' END
    FROM bank_rows(p_rows) AS r
    JOIN bank_transactions t
      ON t.company_id = p_company AND t.account_id = account AND t.bank_reference = r.bank_reference COLLATE "C"
    ORDER BY r.place;
END
$$;
