-- Entries that take another back: the mirror of an entry has its lines with their signs turned, and names it.

-- The ID of a further row of a write where only the database knows how many there are: a UUIDv3 (RFC 9562, section 5.3) of
-- the write's ID, table and position. The application makes version 5, for which PostgreSQL has no SHA-1; a run that is
-- made again makes the same row either way.
CREATE FUNCTION row_id(p_write uuid, p_table text, p_position bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT encode(set_byte(set_byte(h, 6, get_byte(h, 6) & 15 | 48), 8, get_byte(h, 8) & 63 | 128), 'hex')::uuid
  FROM decode(md5(uuid_send(p_write) || convert_to(p_table || ':' || p_position, 'UTF8')), 'hex') AS h;
$$;

-- Nothing is taken back before it was. The operations say so first, with the dates; this holds it for all of them.
CREATE FUNCTION require_mirror_after_original() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.entry_date < (SELECT e.entry_date FROM journal_entries e
                       WHERE e.company_id = NEW.company_id AND e.id = NEW.reverses) THEN
    RAISE EXCEPTION 'entry % is dated before the one that it reverses', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_before_original';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER require_mirror_after_original BEFORE INSERT ON journal_entries
  FOR EACH ROW WHEN (NEW.reverses IS NOT NULL) EXECUTE FUNCTION require_mirror_after_original();

-- Posts the mirror of an entry in one round trip. An entry is reversed once: a second mirror of it is refused by
-- journal_entries_reversed_once, one of an entry that is not there by its foreign key. Answers the mirror's ID.
CREATE FUNCTION post_mirror(
  p_company uuid, p_entry uuid, p_write uuid, p_operation text, p_date date, p_description text, p_original uuid)
RETURNS uuid
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description, reverses)
  VALUES (p_company, p_entry, p_write, p_operation, p_date, p_description, p_original);
  INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency, memo)
  SELECT p_company, row_id(p_write, 'journal_lines', l.line_number), p_entry, l.line_number, l.account_id,
    -l.amount_minor, l.currency, l.memo
  FROM journal_lines l WHERE l.company_id = p_company AND l.entry_id = p_original;
  RETURN p_entry;
END
$$;
