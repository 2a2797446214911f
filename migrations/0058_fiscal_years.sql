-- Companies that were made by the function of before while 0057 was applied. It does nothing for the others.
LOCK TABLE companies, accounts IN ACCESS EXCLUSIVE MODE;
ALTER TABLE companies NO FORCE ROW LEVEL SECURITY;
ALTER TABLE accounts NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER;
SELECT complete_charts();
ALTER TABLE accounts FORCE ROW LEVEL SECURITY, ENABLE TRIGGER USER;
ALTER TABLE companies FORCE ROW LEVEL SECURITY;
DROP FUNCTION complete_charts(), free_account_code(uuid, bigint);
ALTER TABLE accounts VALIDATE CONSTRAINT accounts_role_known;

-- A fiscal year is closed by one entry, which moves the result of the year to retained earnings, and reopened by its mirror. A
-- closed period lets these two pass and no other. An entry names the operation of its write, so its kind follows from that.
CREATE FUNCTION entry_kind(p_operation text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_operation IN ('closeFiscalYear', 'reopenFiscalYear') THEN 'closing' ELSE 'normal' END;

-- The day and month on which fiscal years end. 02-29 is the last day of February: the 28th where there is no 29th.
ALTER TABLE companies ADD COLUMN fiscal_year_end text NOT NULL DEFAULT '12-31' CHECK (fiscal_year_end ~
  '^((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-9]))$');
GRANT UPDATE (fiscal_year_end) ON companies TO accubooks_app;

CREATE FUNCTION fiscal_year_end_in(p_year integer, p_end text) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_end WHEN '02-29' THEN make_date(p_year, 3, 1) - 1
  ELSE make_date(p_year, left(p_end, 2)::integer, right(p_end, 2)::integer) END;

-- One for each time that a year was closed. `id` is the write that closed it, and of its entry, if anything was to be moved.
-- `year` is the one in which it ends, so two years never have the same one, whatever the setting was.
CREATE TABLE fiscal_year_closings (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  year integer NOT NULL CHECK (year BETWEEN 1900 AND 2999),
  starts_on date NOT NULL,
  ends_on date NOT NULL,
  -- What `books_closed_through` was before, and is again when the year is reopened.
  closed_through_before date,
  reopened_by uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  CONSTRAINT fiscal_year_closings_days CHECK (starts_on <= ends_on AND extract(year FROM ends_on) = year),
  FOREIGN KEY (company_id, id) REFERENCES idempotent_writes (company_id, write_id),
  FOREIGN KEY (company_id, reopened_by) REFERENCES idempotent_writes (company_id, write_id)
);
CREATE UNIQUE INDEX fiscal_years_closed_once ON fiscal_year_closings (company_id, year) WHERE reopened_by IS NULL;

ALTER TABLE fiscal_year_closings ENABLE ROW LEVEL SECURITY;
ALTER TABLE fiscal_year_closings FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON fiscal_year_closings USING (company_id = current_company());
CREATE POLICY auditor ON fiscal_year_closings FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT, INSERT (company_id, id, year, starts_on, ends_on, closed_through_before), UPDATE (reopened_by)
  ON fiscal_year_closings TO accubooks_app;
GRANT SELECT ON fiscal_year_closings TO accubooks_auditor;

-- The fiscal years of a company, from that of its first entry to that of today or of its last entry. A closed year has the days
-- with which it was closed; the others end by the setting, and each begins on the day after the one before. So there is no gap
-- and no overlap whenever the setting changes: the first year after the change is shorter or longer.
CREATE FUNCTION fiscal_years(p_company uuid)
RETURNS TABLE (year integer, starts_on date, ends_on date, closing_id uuid)
LANGUAGE sql STABLE AS $$
  WITH company AS (
    SELECT c.fiscal_year_end, company_today(c.id) AS today,
      coalesce((SELECT min(e.entry_date) FROM journal_entries e WHERE e.company_id = c.id), company_today(c.id)) AS first_day,
      coalesce((SELECT max(e.entry_date) FROM journal_entries e WHERE e.company_id = c.id), company_today(c.id)) AS last_day,
      (SELECT min(k.year) FROM fiscal_year_closings k WHERE k.company_id = c.id AND k.reopened_by IS NULL) AS first_closed,
      (SELECT max(k.year) FROM fiscal_year_closings k WHERE k.company_id = c.id AND k.reopened_by IS NULL) AS last_closed
    FROM companies c WHERE c.id = p_company
  ), bounds AS (
    SELECT c.fiscal_year_end,
      coalesce(c.first_closed, extract(year FROM f.day)::integer
        + (f.day > fiscal_year_end_in(extract(year FROM f.day)::integer, c.fiscal_year_end))::integer) AS first_year,
      greatest(c.last_closed + 1, extract(year FROM l.day)::integer
        + (l.day > fiscal_year_end_in(extract(year FROM l.day)::integer, c.fiscal_year_end))::integer) AS last_year
    FROM company c
    CROSS JOIN LATERAL (SELECT least(c.first_day, c.today) AS day) AS f
    CROSS JOIN LATERAL (SELECT greatest(c.last_day, c.today) AS day) AS l
  )
  SELECT y.year, coalesce(k.starts_on, coalesce(p.ends_on, fiscal_year_end_in(y.year - 1, b.fiscal_year_end)) + 1),
    coalesce(k.ends_on, fiscal_year_end_in(y.year, b.fiscal_year_end)), k.id
  FROM bounds b CROSS JOIN LATERAL generate_series(b.first_year, b.last_year) AS y (year)
  LEFT JOIN fiscal_year_closings k ON k.company_id = p_company AND k.year = y.year AND k.reopened_by IS NULL
  LEFT JOIN fiscal_year_closings p ON p.company_id = p_company AND p.year = y.year - 1 AND p.reopened_by IS NULL
$$;

-- Years are closed in order, from the first that has an entry, once they are over, and with the books closed through them.
CREATE FUNCTION begin_fiscal_year_closing() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  closed_through date;
  latest fiscal_year_closings;
BEGIN
  SELECT c.books_closed_through INTO closed_through FROM companies c WHERE c.id = NEW.company_id FOR SHARE;
  -- Whoever does not see the company is refused by the policy of the table.
  IF NOT FOUND THEN
    RETURN NEW;
  END IF;
  SELECT * INTO latest FROM fiscal_year_closings k
  WHERE k.company_id = NEW.company_id AND k.reopened_by IS NULL ORDER BY k.year DESC LIMIT 1;
  IF latest.year >= NEW.year THEN
    RAISE EXCEPTION 'the fiscal year % is closed', latest.year
      USING ERRCODE = 'check_violation', CONSTRAINT = 'fiscal_year_closed';
  END IF;
  IF (latest.year + 1, latest.ends_on + 1) <> (NEW.year, NEW.starts_on) OR latest.year IS NULL AND EXISTS (
    SELECT FROM journal_entries e WHERE e.company_id = NEW.company_id AND e.entry_date < NEW.starts_on
  ) THEN
    RAISE EXCEPTION 'an earlier fiscal year than % is not closed', NEW.year
      USING ERRCODE = 'check_violation', CONSTRAINT = 'fiscal_year_out_of_order';
  END IF;
  IF NEW.ends_on >= company_today(NEW.company_id) THEN
    RAISE EXCEPTION 'the fiscal year % ends on %', NEW.year, NEW.ends_on
      USING ERRCODE = 'check_violation', CONSTRAINT = 'fiscal_year_not_over';
  END IF;
  IF closed_through IS NULL OR closed_through < NEW.ends_on THEN
    RAISE EXCEPTION 'the books are not closed through %', NEW.ends_on
      USING ERRCODE = 'check_violation', CONSTRAINT = 'fiscal_year_closes_books';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER begin_fiscal_year_closing BEFORE INSERT ON fiscal_year_closings
  FOR EACH ROW EXECUTE FUNCTION begin_fiscal_year_closing();

-- A year is reopened once, and only the latest that is closed.
CREATE FUNCTION reopen_latest_year_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM companies c WHERE c.id = NEW.company_id FOR SHARE;
  IF OLD.reopened_by IS NOT NULL OR NEW.reopened_by IS NULL THEN
    RAISE EXCEPTION 'UPDATE of fiscal_year_closings is refused: a closing is reopened once'
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF EXISTS (
    SELECT FROM fiscal_year_closings k
    WHERE k.company_id = NEW.company_id AND k.reopened_by IS NULL AND k.year > NEW.year
  ) THEN
    RAISE EXCEPTION 'a later fiscal year than % is closed', NEW.year
      USING ERRCODE = 'check_violation', CONSTRAINT = 'fiscal_year_out_of_order';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER reopen_latest_year_only BEFORE UPDATE OF reopened_by ON fiscal_year_closings
  FOR EACH ROW EXECUTE FUNCTION reopen_latest_year_only();
CREATE TRIGGER keep_fiscal_year_closings
  BEFORE DELETE OR UPDATE OF company_id, id, year, starts_on, ends_on, closed_through_before, created_at
  ON fiscal_year_closings FOR EACH ROW EXECUTE FUNCTION refuse_change('reopen the year');
CREATE TRIGGER keep_all_fiscal_year_closings BEFORE TRUNCATE ON fiscal_year_closings
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('reopen the year');

-- Nothing can be posted into a closed year, so the books stay closed through it, for the release before as well.
CREATE FUNCTION keep_closed_years() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM fiscal_year_closings k WHERE k.company_id = NEW.id AND k.reopened_by IS NULL
      AND k.ends_on > coalesce(NEW.books_closed_through, '-infinity')
  ) THEN
    RAISE EXCEPTION 'a fiscal year that ends after % is closed', coalesce(NEW.books_closed_through, '-infinity')
      USING ERRCODE = 'check_violation', CONSTRAINT = 'fiscal_year_closed';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER keep_closed_years BEFORE UPDATE OF books_closed_through ON companies
  FOR EACH ROW WHEN (NEW.books_closed_through IS NULL OR NEW.books_closed_through < OLD.books_closed_through)
  EXECUTE FUNCTION keep_closed_years();

-- As before; a closing entry passes.
CREATE OR REPLACE FUNCTION begin_journal_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  closed_through date;
  latest date;
  written_by text;
BEGIN
  NEW.created_xid := pg_current_xact_id();
  SELECT c.books_closed_through, (now() AT TIME ZONE c.time_zone)::date + c.latest_posting_days,
    (SELECT w.operation FROM idempotent_writes w WHERE w.company_id = NEW.company_id AND w.write_id = NEW.write_id)
  INTO closed_through, latest, written_by
  FROM companies c WHERE c.id = NEW.company_id FOR SHARE;
  IF NEW.entry_date <= closed_through AND entry_kind(NEW.operation) <> 'closing' THEN
    RAISE EXCEPTION 'the books are closed through %', closed_through
      USING ERRCODE = 'check_violation', CONSTRAINT = 'period_closed';
  END IF;
  IF NEW.entry_date > latest THEN
    RAISE EXCEPTION 'nothing is posted that is dated after %', latest
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_too_late';
  END IF;
  -- Without a write, the foreign key refuses it.
  IF NEW.operation <> written_by THEN
    RAISE EXCEPTION 'an entry of % is refused: its write is %', NEW.operation, written_by
      USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_names_its_operation';
  END IF;
  RETURN NEW;
END $$;

-- A closing entry is of the write that has closed a year, or the mirror of that entry and of the write that has reopened it, and
-- is dated the last day of that year.
CREATE FUNCTION require_fiscal_year_of_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM fiscal_year_closings k
    LEFT JOIN journal_entries e ON e.company_id = k.company_id AND e.write_id = k.id
    WHERE k.company_id = NEW.company_id AND k.ends_on = NEW.entry_date
      AND (k.id = NEW.write_id AND NEW.reverses IS NULL OR k.reopened_by = NEW.write_id AND NEW.reverses = e.id)
  ) THEN
    RAISE EXCEPTION 'a closing entry dated % is refused: its write has closed or reopened no year that ends then',
      NEW.entry_date USING ERRCODE = 'check_violation', CONSTRAINT = 'closing_entry_of_a_year';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER require_fiscal_year_of_entry BEFORE INSERT ON journal_entries
  FOR EACH ROW WHEN (entry_kind(NEW.operation) = 'closing') EXECUTE FUNCTION require_fiscal_year_of_entry();

-- It moves income and expenses to retained earnings, and nothing else. The mirror of one takes back all of it.
CREATE FUNCTION require_closing_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
    WHERE l.company_id = NEW.company_id AND l.entry_id = NEW.id
      AND a.type NOT IN ('income', 'expense') AND a.role IS DISTINCT FROM 'retained_earnings'
  ) THEN
    RAISE EXCEPTION 'closing entry % moves something else than income and expenses', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'closing_entry_lines';
  END IF;
  IF NEW.reverses IS NOT NULL AND EXISTS (
    SELECT FROM journal_lines l WHERE l.company_id = NEW.company_id AND l.entry_id IN (NEW.id, NEW.reverses)
    GROUP BY l.account_id, l.currency HAVING sum(l.amount_minor) <> 0
  ) THEN
    RAISE EXCEPTION 'entry % is not the mirror of the closing entry %', NEW.id, NEW.reverses
      USING ERRCODE = 'check_violation', CONSTRAINT = 'closing_entry_mirror';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER require_closing_lines AFTER INSERT ON journal_entries
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (entry_kind(NEW.operation) = 'closing')
  EXECUTE FUNCTION require_closing_lines();

-- A closed year leaves nothing on income and expense accounts as of its end. One pass over what the company has posted until then,
-- by hash: statistics that do not know the company yet would have an index read for each of its lines.
CREATE FUNCTION require_nothing_left() RETURNS trigger
LANGUAGE plpgsql SET enable_nestloop = off SET plan_cache_mode = force_custom_plan AS $$
BEGIN
  IF EXISTS (
    SELECT FROM journal_lines l
    JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
    JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
    WHERE l.company_id = NEW.company_id AND e.entry_date <= NEW.ends_on AND a.type IN ('income', 'expense')
    GROUP BY l.account_id, l.currency HAVING sum(l.amount_minor) <> 0
  ) THEN
    RAISE EXCEPTION 'the closing of % leaves something on income or expense accounts', NEW.year
      USING ERRCODE = 'check_violation', CONSTRAINT = 'fiscal_year_leaves_nothing';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER require_nothing_left AFTER INSERT ON fiscal_year_closings
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_nothing_left();

-- What closing a year has posted is taken back once it is reopened.
CREATE FUNCTION require_mirror_of_closing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM journal_entries e
    WHERE e.company_id = NEW.company_id AND e.write_id = NEW.id AND NOT EXISTS (
      SELECT FROM journal_entries m
      WHERE m.company_id = e.company_id AND m.reverses = e.id AND m.write_id = NEW.reopened_by)
  ) THEN
    RAISE EXCEPTION 'the fiscal year % is reopened without the mirror of its closing entry', NEW.year
      USING ERRCODE = 'check_violation', CONSTRAINT = 'reopened_year_has_mirror';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER require_mirror_of_closing AFTER UPDATE OF reopened_by ON fiscal_year_closings
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.reopened_by IS NOT NULL)
  EXECUTE FUNCTION require_mirror_of_closing();
