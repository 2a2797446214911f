-- Erasing a person: asked for by one operator, confirmed by another, done in one transaction. Whoever has the role
-- accubooks_eraser can call five functions and nothing else: they say whom, and the functions alone say what.

-- What an erasure works on, while it does: the IDs of what belongs to the person, and the writes that change. `whole`: the write is
-- the person's, and each of its texts gives way; otherwise only those that mention the person.
CREATE TABLE erasing_resources (
  erasure uuid NOT NULL,
  id text NOT NULL CHECK (length(id) <= 200),
  PRIMARY KEY (erasure, id)
);
CREATE TABLE erasing_writes (
  erasure uuid NOT NULL,
  write_id uuid NOT NULL,
  whole boolean NOT NULL,
  PRIMARY KEY (erasure, write_id)
);

-- The canonical JSON of RFC 8785. Refuses what JSON's numbers cannot carry.
CREATE FUNCTION canonical_json(p_value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = public, pg_temp AS $$
DECLARE
  number double precision;
BEGIN
  CASE jsonb_typeof(p_value)
    WHEN 'object' THEN
      RETURN '{' || coalesce((
        SELECT string_agg(to_json(key) || ':' || canonical_json(value), ',' ORDER BY utf16(key)) FROM jsonb_each(p_value)), '') || '}';
    WHEN 'array' THEN
      RETURN '[' || coalesce((
        SELECT string_agg(canonical_json(value), ',' ORDER BY place)
        FROM jsonb_array_elements(p_value) WITH ORDINALITY AS e (value, place)), '') || ']';
    WHEN 'string' THEN
      RETURN to_json(p_value #>> '{}');
    WHEN 'number' THEN
      number := p_value::text;
      IF number <> 0 AND (abs(number) < 1e-6 OR abs(number) >= 1e21) THEN
        RAISE EXCEPTION 'the number % has no place in a sealed row', p_value;
      END IF;
      -- The shortest digits that give this number, without an exponent.
      RETURN trim_scale(number::text::numeric);
    ELSE
      RETURN p_value;
  END CASE;
END
$$;

-- The order of RFC 8785: by UTF-16 code units.
CREATE FUNCTION utf16(p_text text) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = public, pg_temp AS $$
  SELECT coalesce(string_agg(CASE WHEN u < 65536 THEN int2send((u - 65536 * (u / 32768))::int2)
    ELSE int2send((55296 + (u - 65536) / 1024 - 65536)::int2) || int2send((56320 + (u - 65536) % 1024 - 65536)::int2) END,
    '\x'::bytea ORDER BY place), '')
  FROM (SELECT ascii(c) AS u, place FROM string_to_table(p_text, NULL) WITH ORDINALITY AS t (c, place)) AS letters
$$;

-- A member of a sealed row as a digest (docs/seal-format.md); NULL stays NULL.
CREATE FUNCTION salted_digest(p_salt bytea, p_name text, p_value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = public, pg_temp AS $$
  SELECT CASE WHEN p_value <> 'null' THEN
    encode(sha256(p_salt || convert_to('[' || to_json(p_name) || ',' || canonical_json(p_value) || ']', 'UTF8')), 'hex') END
$$;

-- Whether a text has one of those that the pattern is of. In the text of a JSON document, quotation marks are escaped.
CREATE FUNCTION mentions(p_text text, p_pattern text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN coalesce(p_text ~* p_pattern OR replace(p_text, '\"', '"') ~* p_pattern, false);

-- A regular expression for any of these texts, as words of their own, with whatever space there is between them.
CREATE FUNCTION pattern_of(p_texts text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = public, pg_temp AS $$
  SELECT '(^|[^[:alnum:]])(' || string_agg(DISTINCT
    regexp_replace(regexp_replace(trim(t), '([^[:alnum:][:space:]])', '\\\1', 'g'), '[[:space:]]+', '[[:space:]]+', 'g'), '|')
    || ')($|[^[:alnum:]])'
  FROM unnest(p_texts) AS t WHERE trim(t) <> ''
$$;

-- The JSON with members erased; all others, and the order of all, are as they were, byte for byte.
CREATE FUNCTION erased_json(p_value json, p_name text, p_whole boolean, p_pattern text, p_person uuid, p_any boolean DEFAULT false)
RETURNS json LANGUAGE plpgsql IMMUTABLE SET search_path = public, pg_temp AS $$
DECLARE
  kind constant text := CASE WHEN p_any THEN 'text' ELSE erasable_member(p_name) END;
BEGIN
  CASE json_typeof(p_value)
    WHEN 'object' THEN
      IF kind = 'notes' THEN
        RETURN CASE WHEN p_value::jsonb <> '{}' AND (p_whole OR mentions(p_value::text, p_pattern)) THEN '{"erased":"[erased]"}'
          ELSE p_value END;
      END IF;
      RETURN '{' || coalesce((
        SELECT string_agg(to_json(m.key) || ':' || erased_json(m.value, m.key, p_whole, p_pattern, p_person, p_any), ',' ORDER BY place)
        FROM json_each(p_value) WITH ORDINALITY AS m (key, value, place)), '') || '}';
    WHEN 'array' THEN
      RETURN '[' || coalesce((
        SELECT string_agg(erased_json(m.value, p_name, p_whole, p_pattern, p_person, p_any)::text, ',' ORDER BY place)
        FROM json_array_elements(p_value) WITH ORDINALITY AS m (value, place)), '') || ']';
    WHEN 'string' THEN
      IF kind IN ('text', 'email', 'unique') AND (p_whole OR mentions(p_value #>> '{}', p_pattern)) THEN
        RETURN to_json(erased_value(kind, p_person) #>> '{}');
      END IF;
    ELSE NULL;
  END CASE;
  RETURN p_value;
END
$$;

-- JSON pointers (RFC 6901) of the members in which the one differs from the other.
CREATE FUNCTION differing_members(p_old jsonb, p_new jsonb, p_path text DEFAULT '') RETURNS SETOF text
LANGUAGE plpgsql IMMUTABLE SET search_path = public, pg_temp AS $$
BEGIN
  IF jsonb_typeof(p_old) = 'object' AND jsonb_typeof(p_new) = 'object'
    AND ARRAY(SELECT jsonb_object_keys(p_old)) = ARRAY(SELECT jsonb_object_keys(p_new)) THEN
    RETURN QUERY SELECT d FROM jsonb_each(p_old) AS m (name, value),
      differing_members(m.value, p_new -> m.name, p_path || '/' || replace(replace(m.name, '~', '~0'), '/', '~1')) AS d;
  ELSIF jsonb_typeof(p_old) = 'array' AND jsonb_typeof(p_new) = 'array'
    AND jsonb_array_length(p_old) = jsonb_array_length(p_new) THEN
    RETURN QUERY SELECT d FROM generate_series(0, jsonb_array_length(p_old) - 1) AS i,
      differing_members(p_old -> i, p_new -> i, p_path || '/' || i) AS d;
  ELSIF p_old <> p_new THEN
    RETURN NEXT p_path;
  END IF;
END
$$;

-- A request with members of its body erased. `erased` says which: in a comparison they count as equal. `p_lines`: of an import of
-- bank transactions, the answer's items; the lines of which these are the person's.
CREATE FUNCTION erased_request(p_request jsonb, p_erasure uuid, p_whole boolean, p_pattern text, p_person uuid, p_items jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
  before constant jsonb := p_request -> 'body';
  after jsonb := erased_json(before::json, NULL, p_whole, p_pattern, p_person);
BEGIN
  IF p_items IS NOT NULL AND jsonb_typeof(after -> 'transactions') = 'array' THEN
    after := jsonb_set(after, '{transactions}', (
      SELECT jsonb_agg(CASE WHEN r.id IS NULL THEN line ELSE line || '{"description": "[erased]"}' END ORDER BY place)
      FROM jsonb_array_elements(after -> 'transactions') WITH ORDINALITY AS t (line, place)
      LEFT JOIN erasing_resources r ON r.erasure = p_erasure AND r.id = p_items -> (place - 1)::int ->> 'id'));
  END IF;
  IF after = before THEN
    RETURN p_request;
  END IF;
  RETURN p_request || jsonb_build_object('body', after, 'erased', (
    SELECT jsonb_agg(DISTINCT p) FROM (
      SELECT jsonb_array_elements_text(coalesce(p_request -> 'erased', '[]')) UNION ALL SELECT differing_members(before, after)
    ) AS pointers (p)));
END
$$;

-- What a write becomes.
CREATE FUNCTION erased_write(w idempotent_writes, p_erasure uuid, p_whole boolean, p_pattern text, p_person uuid,
  OUT request jsonb, OUT response_body bytea)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
  answer constant text := convert_from(w.response_body, 'UTF8');
  after text;
BEGIN
  after := erased_json(answer::json, NULL, p_whole, p_pattern, p_person);
  -- The bytes stay where nothing is erased, however they were written.
  response_body := CASE WHEN after::jsonb = answer::jsonb THEN w.response_body ELSE convert_to(after, 'UTF8') END;
  request := erased_request(w.request, p_erasure, p_whole, p_pattern, p_person,
    CASE WHEN w.operation = 'importBankTransactions' AND w.outcome = 'succeeded' THEN answer::jsonb -> 'items' END);
END
$$;

-- Erases columns in rows of one table: all of them, or those that mention the person. Returns how many rows it changed.
CREATE FUNCTION erase_rows(p_table text, p_company uuid, p_where text, p_erasure uuid, p_whole boolean, p_pattern text, p_person uuid)
RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  columns text;
  erased text;
  changed bigint;
BEGIN
  SELECT string_agg(quote_ident(c.column_name), ', '), string_agg(CASE c.kind
    WHEN 'notes' THEN format('CASE WHEN t.%1$I <> ''{}'' AND ($3 OR mentions(t.%1$I::text, $4)) THEN erased_value(%2$L, $5) ELSE t.%1$I END', c.column_name, c.kind)
    WHEN 'json' THEN format('erased_json(t.%1$I::json, NULL, $3, $4, $5)::jsonb', c.column_name)
    WHEN 'any' THEN format('erased_json(t.%1$I::json, NULL, false, $4, $5, true)::jsonb', c.column_name)
    ELSE format('CASE WHEN t.%1$I IS NOT NULL AND ($3 OR mentions(t.%1$I, $4)) THEN erased_value(%2$L, $5) #>> ''{}'' ELSE t.%1$I END', c.column_name, c.kind)
    END, ', ')
  INTO STRICT columns, erased FROM erasable_columns() AS c WHERE c.table_name = p_table AND c.kind NOT IN ('body', 'content');
  EXECUTE format('UPDATE %1$I AS t SET (%2$s) = ROW(%3$s) WHERE %4$s AND ROW(%5$s) IS DISTINCT FROM ROW(%3$s)',
    p_table, columns, erased, p_where, regexp_replace(columns, '(\w+)', 't.\1', 'g'))
  USING p_company, p_erasure, p_whole, p_pattern, p_person;
  GET DIAGNOSTICS changed = ROW_COUNT;
  RETURN changed;
END
$$;

-- Before their members change: the digests of sealed rows in the place of their salts. Refuses rows that are not sealed yet.
CREATE FUNCTION erase_salts(p_company uuid, p_erasure uuid, p_pattern text) RETURNS bigint
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  unsealed bigint;
  erased bigint;
BEGIN
  WITH targets AS (
    SELECT 'journal' AS log, s.number, jsonb_build_object('description', to_jsonb(e.description),
      'metadata', nullif(e.metadata, '{}'), 'request', w.fingerprint, 'answer', encode(sha256(w.response_body), 'hex'))
      || coalesce((SELECT jsonb_object_agg('lines.' || place - 1 || '.memo', memo) FROM (
        SELECT l.memo, row_number() OVER (ORDER BY l.line_number) AS place FROM journal_lines l
        WHERE l.company_id = e.company_id AND l.entry_id = e.id) AS l), '{}') AS members
    FROM journal_entries e
    LEFT JOIN idempotent_writes w ON w.company_id = e.company_id AND w.write_id = e.write_id
    LEFT JOIN sealed_entries s ON s.company_id = e.company_id AND s.entry_id = e.id
    WHERE e.company_id = p_company AND (
      EXISTS (SELECT FROM erasing_writes k WHERE k.erasure = p_erasure AND k.write_id = e.write_id)
      OR mentions(e.description, p_pattern) OR mentions(e.metadata::text, p_pattern)
      OR EXISTS (SELECT FROM journal_lines l
        WHERE l.company_id = e.company_id AND l.entry_id = e.id AND mentions(l.memo, p_pattern)))
    UNION ALL
    SELECT 'audit', s.number, jsonb_build_object('errorMessage', a.error_message, 'metadata', nullif(a.metadata, '{}'),
      'request', w.fingerprint, 'answer', encode(sha256(w.response_body), 'hex'))
    FROM idempotent_write_audit_log a
    LEFT JOIN idempotent_writes w ON a.status = 'new' AND w.company_id = a.company_id AND w.write_id = a.deterministic_id
    LEFT JOIN sealed_audit_rows s ON s.company_id = a.company_id AND s.row_id = a.id AND s.row_timestamp = a.timestamp
    WHERE a.company_id = p_company AND NOT is_archived_month(a.timestamp) AND (
      EXISTS (SELECT FROM erasing_writes k WHERE k.erasure = p_erasure AND k.write_id = a.deterministic_id
        AND (a.status = 'new' OR k.whole AND (a.error_message IS NOT NULL OR a.metadata <> '{}')))
      OR mentions(a.error_message, p_pattern) OR a.metadata <> '{}' AND mentions(a.metadata::text, p_pattern))
  ), digests AS (
    SELECT t.log, b.first_number, t.number, (
      SELECT coalesce(jsonb_object_agg(m.key, salted_digest(salt, m.key, m.value)), '{}')
      FROM jsonb_each(t.members) AS m WHERE m.value <> 'null') AS digests
    FROM targets t
    LEFT JOIN LATERAL (
      SELECT k.first_number, substring(k.salts FROM (16 * (t.number - k.first_number))::int + 1 FOR 16) AS salt,
        k.erased ? t.number::text AS gone
      FROM seal_salts k WHERE k.company_id = p_company AND k.log = t.log AND k.first_number <= t.number
      ORDER BY k.first_number DESC LIMIT 1
    ) AS b ON true
    WHERE b.gone IS NOT TRUE
  ), batches AS (
    SELECT log, first_number, array_agg(number) AS numbers, jsonb_object_agg(number, digests) AS digests
    FROM digests WHERE number IS NOT NULL GROUP BY log, first_number
  ), changed AS (
    UPDATE seal_salts k SET erased = k.erased || b.digests, salts = (
      SELECT string_agg(CASE WHEN k.first_number + i = ANY (b.numbers) THEN '\x00000000000000000000000000000000'
        ELSE substring(k.salts FROM 16 * i + 1 FOR 16) END, '\x'::bytea ORDER BY i)
      FROM generate_series(0, length(k.salts) / 16 - 1) AS i)
    FROM batches b WHERE k.company_id = p_company AND k.log = b.log AND k.first_number = b.first_number
    RETURNING cardinality(b.numbers) AS numbers
  )
  SELECT (SELECT count(*) FROM digests WHERE number IS NULL), (SELECT coalesce(sum(numbers), 0) FROM changed)
  INTO STRICT unsealed, erased;
  IF unsealed > 0 THEN
    RAISE EXCEPTION 'not everything is sealed yet, and what is erased first is never sealed as it was (rows: %). Try again in some seconds; a worker with SEALER_DATABASE_URL has to run', unsealed
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  RETURN erased;
END
$$;

-- Rows of a month that is in the archive are there for a while only, as the file has them.
CREATE FUNCTION is_archived_month(p_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT EXISTS (SELECT FROM audit_archives a WHERE a.month = date_trunc('month', p_at AT TIME ZONE 'UTC')::date)
$$;
