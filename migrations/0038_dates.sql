-- Dates on which the books as of any day depend.
--
-- Reads every invoice that has a number once, and no other session uses these tables meanwhile: docs/deploying.md says for how
-- long.

-- In the order in which writes use them.
LOCK TABLE invoices, companies, number_counters IN ACCESS EXCLUSIVE MODE;

-- A payment before its invoice would make accounts receivable negative as of the days between the two. Only new payments:
-- those of before stay as they are.
CREATE FUNCTION require_payment_after_issue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.received_on < (SELECT i.issue_date FROM invoices i
                        WHERE i.company_id = NEW.company_id AND i.id = NEW.invoice_id) THEN
    RAISE EXCEPTION 'payment % is dated before its invoice', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_before_invoice';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER require_payment_after_issue BEFORE INSERT ON payments
  FOR EACH ROW EXECUTE FUNCTION require_payment_after_issue();

-- How many days after today the company posts at most: a date further ahead is a mistyped one.
ALTER TABLE companies ADD COLUMN latest_posting_days integer NOT NULL DEFAULT 366
  CHECK (latest_posting_days BETWEEN 0 AND 3660);
GRANT UPDATE (latest_posting_days) ON companies TO accubooks_app;

-- As before, and nothing is dated later than that: by the day of the company's time zone, as the setting and the zone are
-- once the company's row is held.
CREATE OR REPLACE FUNCTION begin_journal_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  closed_through date;
  latest date;
BEGIN
  NEW.created_xid := pg_current_xact_id();
  SELECT c.books_closed_through, (now() AT TIME ZONE c.time_zone)::date + c.latest_posting_days
  INTO closed_through, latest
  FROM companies c WHERE c.id = NEW.company_id FOR SHARE;
  IF NEW.entry_date <= closed_through THEN
    RAISE EXCEPTION 'the books are closed through %', closed_through
      USING ERRCODE = 'check_violation', CONSTRAINT = 'period_closed';
  END IF;
  IF NEW.entry_date > latest THEN
    RAISE EXCEPTION 'nothing is posted that is dated after %', latest
      USING ERRCODE = 'check_violation', CONSTRAINT = 'date_too_late';
  END IF;
  RETURN NEW;
END $$;

-- With `latest`. The release before this one names the columns that it reads, and goes on with these.
DROP FUNCTION posting_facts(uuid, text[]);
CREATE FUNCTION posting_facts(p_company uuid, p_codes text[])
RETURNS TABLE (now timestamptz, today date, closed_through date, latest date, accounts jsonb)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM companies c WHERE c.id = p_company FOR SHARE;
  RETURN QUERY
    SELECT pg_catalog.now(), day.today, c.books_closed_through, day.today + c.latest_posting_days,
      (SELECT coalesce(jsonb_object_agg(a.code, jsonb_build_object('id', a.id, 'type', a.type, 'isBank', a.is_bank,
         'isControl', a.is_control)), '{}')
       FROM accounts a WHERE a.company_id = p_company AND a.code = ANY (p_codes))
    FROM companies c CROSS JOIN LATERAL (SELECT (pg_catalog.now() AT TIME ZONE c.time_zone)::date AS today) AS day
    WHERE c.id = p_company;
END $$;

-- The latest date of what has a number of the counter: with it, a finalization knows whether a lower number is dated later.
-- Without BYPASSRLS the owner would see no row of a table whose row-level security is forced.
ALTER TABLE number_counters ADD COLUMN latest_date date, NO FORCE ROW LEVEL SECURITY;
ALTER TABLE invoices NO FORCE ROW LEVEL SECURITY;
UPDATE number_counters c SET latest_date = i.latest_date
FROM (SELECT company_id, max(issue_date) AS latest_date FROM invoices WHERE number IS NOT NULL GROUP BY company_id) AS i
WHERE c.company_id = i.company_id AND c.kind = 'invoice';
ALTER TABLE number_counters FORCE ROW LEVEL SECURITY;
ALTER TABLE invoices FORCE ROW LEVEL SECURITY;
GRANT UPDATE (latest_date) ON number_counters TO accubooks_app;

-- With both of them.
DROP FUNCTION numbering_facts(uuid);
CREATE FUNCTION numbering_facts(p_company uuid)
RETURNS TABLE (closed_through date, latest date, last_number integer, latest_date date)
LANGUAGE plpgsql AS $$
BEGIN
  -- Without a counter, the row of the company stands for it: finalizations that make it follow one another.
  IF EXISTS (SELECT FROM number_counters n WHERE n.company_id = p_company AND n.kind = 'invoice') THEN
    PERFORM 1 FROM companies c WHERE c.id = p_company FOR SHARE;
  ELSE
    PERFORM 1 FROM companies c WHERE c.id = p_company FOR NO KEY UPDATE;
  END IF;
  PERFORM 1 FROM number_counters n WHERE n.company_id = p_company AND n.kind = 'invoice' FOR NO KEY UPDATE;
  RETURN QUERY
    SELECT c.books_closed_through, (now() AT TIME ZONE c.time_zone)::date + c.latest_posting_days,
      coalesce(n.last_number, 0), n.latest_date
    FROM companies c LEFT JOIN number_counters n ON n.company_id = c.id AND n.kind = 'invoice'
    WHERE c.id = p_company;
END $$;

-- As before, and keeps the counter's latest date, also for the release before this one.
CREATE OR REPLACE FUNCTION number_invoices(p_company uuid, p_invoices jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE invoices i SET number = n.number, issue_date = n.issue_date, journal_entry_id = n.journal_entry_id
  FROM jsonb_to_recordset(p_invoices) AS n (id uuid, number integer, issue_date date, journal_entry_id uuid)
  WHERE i.company_id = p_company AND i.id = n.id
    AND i.id = ANY (ARRAY(SELECT k.id FROM jsonb_to_recordset(p_invoices) AS k (id uuid)));
  INSERT INTO number_counters AS c (company_id, kind, last_number, latest_date)
  SELECT p_company, 'invoice', max(n.number), max(n.issue_date)
  FROM jsonb_to_recordset(p_invoices) AS n (number integer, issue_date date)
  ON CONFLICT (company_id, kind) DO UPDATE
    SET last_number = excluded.last_number, latest_date = greatest(c.latest_date, excluded.latest_date);
END $$;
