-- Dates on which the books as of any day depend.

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

-- Both with `latest`. The release before this one names the columns that it reads, and goes on with these.
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

DROP FUNCTION numbering_facts(uuid);
CREATE FUNCTION numbering_facts(p_company uuid)
RETURNS TABLE (closed_through date, latest date, last_number integer)
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
      coalesce((SELECT n.last_number FROM number_counters n WHERE n.company_id = p_company AND n.kind = 'invoice'), 0)
    FROM companies c WHERE c.id = p_company;
END $$;
