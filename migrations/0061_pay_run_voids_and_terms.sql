-- A pay run that was executed can be voided, and the terms of an employee hold from a date on. First the voids.

ALTER TABLE pay_runs
  ADD COLUMN voided_on date,
  ADD COLUMN void_reason text,
  ADD COLUMN voided_by uuid,
  ADD COLUMN void_entry_id uuid;
-- The rows that are there keep all of it; the next migration looks at each of them, when no write has to wait for that.
ALTER TABLE pay_runs
  DROP CONSTRAINT pay_runs_status_check,
  ADD CONSTRAINT pay_runs_status_check CHECK (status IN ('draft', 'approved', 'executed', 'voided')) NOT VALID,
  DROP CONSTRAINT pay_runs_executed_whole,
  ADD CONSTRAINT pay_runs_executed_whole CHECK (
    num_nulls(executed_by, journal_entry_id) = CASE WHEN status IN ('executed', 'voided') THEN 0 ELSE 2 END
    AND (status <> 'draft' OR approved_by IS NULL)
  ) NOT VALID,
  ADD CONSTRAINT pay_runs_voided_whole CHECK (
    num_nulls(voided_on, void_reason, voided_by, void_entry_id) = CASE status WHEN 'voided' THEN 0 ELSE 4 END
  ) NOT VALID,
  ADD CONSTRAINT pay_runs_voided_on_check CHECK (voided_on BETWEEN '1900-01-01' AND '2999-12-31') NOT VALID,
  ADD CONSTRAINT pay_runs_void_reason_check CHECK (length(void_reason) BETWEEN 1 AND 500) NOT VALID,
  -- Where the approval of another was demanded, nobody takes back alone what they have paid out.
  ADD CONSTRAINT pay_runs_voided_by_another CHECK (NOT approval_required OR voided_by <> executed_by) NOT VALID,
  ADD CONSTRAINT pay_runs_voided_by_fkey FOREIGN KEY (voided_by) REFERENCES users NOT VALID,
  ADD CONSTRAINT pay_runs_void_entry_fkey FOREIGN KEY (company_id, void_entry_id)
    REFERENCES journal_entries (company_id, id) NOT VALID;
GRANT UPDATE (voided_on, void_reason, voided_by, void_entry_id) ON pay_runs TO accubooks_app;

-- As before, and from executed to voided. Each step sets its own columns.
CREATE OR REPLACE FUNCTION move_pay_run_forward_only() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  moving constant text[] := CASE
    WHEN (OLD.status, NEW.status) = ('draft', 'approved') THEN ARRAY['status', 'approved_by']
    WHEN (OLD.status, NEW.status) = ('approved', 'executed') THEN ARRAY['status', 'executed_by', 'journal_entry_id']
    WHEN (OLD.status, NEW.status) = ('executed', 'voided')
      THEN ARRAY['status', 'voided_on', 'void_reason', 'voided_by', 'void_entry_id']
  END;
BEGIN
  IF moving IS NULL OR to_jsonb(OLD) - moving <> to_jsonb(NEW) - moving THEN
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

-- The periods of a voided run may be paid again. With the owner's rights: the application deletes nothing.
CREATE FUNCTION free_periods_of_voided_run() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  DELETE FROM paid_periods p WHERE p.company_id = NEW.company_id AND p.pay_run_id = NEW.id;
  RETURN NULL;
END
$$;
CREATE TRIGGER free_periods_of_voided_run AFTER UPDATE OF status ON pay_runs
  FOR EACH ROW WHEN (NEW.status = 'voided') EXECUTE FUNCTION free_periods_of_voided_run();

CREATE FUNCTION keep_paid_periods() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND EXISTS (
    SELECT FROM pay_runs r WHERE r.company_id = OLD.company_id AND r.id = OLD.pay_run_id AND r.status = 'voided'
  ) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION '% of paid_periods is refused: what is paid is paid, until its run is voided', TG_OP
    USING ERRCODE = 'restrict_violation';
END
$$;
DROP TRIGGER keep_paid_periods ON paid_periods;
CREATE TRIGGER keep_paid_periods BEFORE UPDATE OR DELETE ON paid_periods
  FOR EACH ROW EXECUTE FUNCTION keep_paid_periods();

-- Whatever the two entries name, the one takes back the other on the day of the void.
CREATE FUNCTION require_mirror_of_pay_run(p_run pay_runs) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM journal_entries e WHERE e.company_id = p_run.company_id AND e.id = p_run.void_entry_id
      AND e.reverses = p_run.journal_entry_id AND e.entry_date = p_run.voided_on
  ) OR EXISTS (
    SELECT FROM journal_lines l
    WHERE l.company_id = p_run.company_id AND l.entry_id IN (p_run.journal_entry_id, p_run.void_entry_id)
    GROUP BY l.account_id, l.currency HAVING sum(l.amount_minor) <> 0
  ) THEN
    RAISE EXCEPTION 'the void of pay run % is not the mirror of its entry', p_run.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'pay_run_void_is_mirror';
  END IF;
END
$$;

-- As before, also of a run that is voided: its entry stays the sum of its payslips, its mirror takes it back, and nobody is
-- paid by it any longer.
CREATE OR REPLACE FUNCTION require_whole_pay_run() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  wrong_line text;
BEGIN
  PERFORM require_sum_of_payslips(NEW.company_id, NEW.id);
  IF NEW.status NOT IN ('executed', 'voided') THEN
    RETURN NULL;
  END IF;
  IF (CASE NEW.status WHEN 'executed' THEN NEW.employee_count ELSE 0 END) <> (
    SELECT count(*) FROM paid_periods p WHERE p.company_id = NEW.company_id AND p.pay_run_id = NEW.id
  ) THEN
    RAISE EXCEPTION 'pay run % has not paid each of its employees', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'pay_run_pays_each_employee';
  END IF;
  IF NEW.status = 'voided' THEN
    PERFORM require_mirror_of_pay_run(NEW);
  END IF;
  SELECT format('%s is %s and not %s', code, posted, due) INTO wrong_line
  FROM (
    SELECT a.code, l.currency, sum(l.amount_minor) AS posted
    FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
    WHERE l.company_id = NEW.company_id AND l.entry_id = NEW.journal_entry_id
    GROUP BY a.code, l.currency
  ) AS line
  FULL JOIN (VALUES
    ('6000', NEW.currency, NEW.gross_minor),
    ('6010', NEW.currency, NEW.employer_tax_minor),
    ('2200', NEW.currency, -NEW.tax_minor - NEW.employer_tax_minor),
    ('2210', NEW.currency, -NEW.pre_tax_deductions_minor - NEW.post_tax_deductions_minor),
    ('2220', NEW.currency, -NEW.net_minor)
  ) AS slips (code, currency, due) USING (code, currency)
  WHERE coalesce(posted, 0) <> coalesce(due, 0)
  LIMIT 1;
  IF wrong_line IS NOT NULL THEN
    RAISE EXCEPTION 'the entry of pay run % is not the sum of its payslips: %', NEW.id, wrong_line
      USING ERRCODE = 'check_violation', CONSTRAINT = 'payroll_entry_is_sum_of_payslips';
  END IF;
  RETURN NULL;
END
$$;

-- Now the terms. The last day of an employee. Periods that begin after it do not pay them.
ALTER TABLE employees ADD COLUMN left_on date;
ALTER TABLE employees ADD CONSTRAINT employees_left_on_check
  CHECK (left_on BETWEEN '1900-01-01' AND '2999-12-31') NOT VALID;
GRANT UPDATE (first_name, last_name, email, left_on) ON employees TO accubooks_app;

-- Amounts are whole JSON numbers up to 10^13, which jsonb keeps as they are.
CREATE FUNCTION are_deductions(p_deductions jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN jsonb_typeof(p_deductions) = 'array' AND pg_column_size(p_deductions) <= 65536 THEN
  jsonb_array_length(p_deductions) <= 20 AND NOT EXISTS (
    SELECT FROM jsonb_array_elements(p_deductions) AS d
    WHERE CASE
      WHEN jsonb_typeof(d) = 'object' AND jsonb_typeof(d -> 'name') = 'string' AND jsonb_typeof(d -> 'amount') = 'number'
        AND jsonb_typeof(d -> 'preTax') = 'boolean'
      THEN length(d ->> 'name') NOT BETWEEN 1 AND 200 OR (d ->> 'amount')::numeric NOT BETWEEN 1 AND 10000000000000
        OR (d ->> 'amount')::numeric % 1 <> 0 OR d - ARRAY['name', 'amount', 'preTax'] <> '{}'
      ELSE true END)
  ELSE false END;

CREATE FUNCTION sum_of_deductions(p_deductions jsonb, p_pre_tax boolean) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
  SELECT coalesce(sum((d ->> 'amount')::bigint), 0)::bigint FROM jsonb_array_elements(p_deductions) AS d
  WHERE (d -> 'preTax')::boolean = p_pre_tax);

-- Terms that hold from a day on, until others do; each change is a row of its own, and its ID that of its write. The row of
-- the employee and employee_deductions are the terms of the beginning, which hold before all of these. Of two that begin on
-- one day, the later version holds.
CREATE TABLE employee_terms (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  employee_id uuid NOT NULL,
  -- Bounds an employee's terms in answers.
  version integer NOT NULL CHECK (version BETWEEN 1 AND 100),
  effective_from date NOT NULL CHECK (effective_from BETWEEN '1900-01-01' AND '2999-12-31'),
  annual_salary_minor bigint NOT NULL CHECK (annual_salary_minor BETWEEN 1 AND 10000000000000),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  pay_frequency text NOT NULL CHECK (pay_frequency IN ('weekly', 'biweekly', 'semimonthly', 'monthly')),
  tax_rate_basis_points integer NOT NULL CHECK (tax_rate_basis_points BETWEEN 0 AND 10000),
  deductions jsonb NOT NULL CHECK (are_deductions(deductions) AND pg_column_size(deductions) <= 65536),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  CONSTRAINT employee_terms_version_once UNIQUE (company_id, employee_id, version),
  FOREIGN KEY (company_id, employee_id) REFERENCES employees (company_id, id),
  FOREIGN KEY (company_id, id) REFERENCES idempotent_writes (company_id, write_id)
);
ALTER TABLE employee_terms ENABLE ROW LEVEL SECURITY;
ALTER TABLE employee_terms FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON employee_terms USING (company_id = current_company());
CREATE POLICY auditor ON employee_terms FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT, INSERT (company_id, id, employee_id, effective_from, annual_salary_minor, currency, pay_frequency,
  tax_rate_basis_points, deductions) ON employee_terms TO accubooks_app;
GRANT SELECT ON employee_terms TO accubooks_auditor;
CREATE TRIGGER keep_employee_terms BEFORE UPDATE OR DELETE ON employee_terms
  FOR EACH ROW EXECUTE FUNCTION refuse_change('later terms, or others for the same day, take their place');
CREATE TRIGGER keep_all_employee_terms BEFORE TRUNCATE ON employee_terms
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('later terms, or others for the same day, take their place');

-- The version follows from those that are there, under the employee's lock: whoever inserts cannot choose it.
CREATE FUNCTION number_employee_terms() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM employees e WHERE e.company_id = NEW.company_id AND e.id = NEW.employee_id FOR NO KEY UPDATE;
  NEW.version := (SELECT coalesce(max(t.version), 0) + 1 FROM employee_terms t
                  WHERE t.company_id = NEW.company_id AND t.employee_id = NEW.employee_id);
  RETURN NEW;
END
$$;
CREATE TRIGGER number_employee_terms BEFORE INSERT ON employee_terms
  FOR EACH ROW EXECUTE FUNCTION number_employee_terms();

-- The first day of a period, whose terms it is paid by. The periods of a year divide it without a gap: months, halves of
-- months (from the 1st and the 16th), or weeks or pairs of weeks from the 1st of January, the last of which ends with the year.
CREATE FUNCTION first_day_of_period(p_frequency text, p_year integer, p_period integer) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_frequency
  WHEN 'weekly' THEN make_date(p_year, 1, 1) + 7 * (p_period - 1)
  WHEN 'biweekly' THEN make_date(p_year, 1, 1) + 14 * (p_period - 1)
  WHEN 'semimonthly' THEN make_date(p_year, (p_period + 1) / 2, CASE p_period % 2 WHEN 1 THEN 1 ELSE 16 END)
  WHEN 'monthly' THEN make_date(p_year, p_period, 1) END;

-- The terms of the beginning (version 0, from -infinity) and all later ones of an employee.
CREATE FUNCTION all_terms(p_company uuid, p_employee uuid)
RETURNS TABLE (
  employee_id uuid, version integer, effective_from date, annual_salary_minor bigint, currency text, pay_frequency text,
  tax_rate_basis_points integer, deductions jsonb)
LANGUAGE sql STABLE AS $$
  SELECT e.id, 0, date '-infinity', e.annual_salary_minor, e.currency, e.pay_frequency, e.tax_rate_basis_points, (
    SELECT coalesce(jsonb_agg(jsonb_build_object('name', d.name, 'amount', d.amount_minor, 'preTax', d.pre_tax)
      ORDER BY d.position), '[]')
    FROM employee_deductions d WHERE d.company_id = e.company_id AND d.employee_id = e.id)
  FROM employees e WHERE e.company_id = p_company AND e.id = p_employee
  UNION ALL
  SELECT t.employee_id, t.version, t.effective_from, t.annual_salary_minor, t.currency, t.pay_frequency,
    t.tax_rate_basis_points, t.deductions
  FROM employee_terms t WHERE t.company_id = p_company AND t.employee_id = p_employee
$$;

CREATE FUNCTION begins_period(p_frequency text, p_day date) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_frequency
  WHEN 'weekly' THEN extract(doy FROM p_day)::integer % 7 = 1 AND extract(doy FROM p_day) <= 7 * 51 + 1
  WHEN 'biweekly' THEN extract(doy FROM p_day)::integer % 14 = 1 AND extract(doy FROM p_day) <= 14 * 25 + 1
  WHEN 'semimonthly' THEN extract(day FROM p_day) IN (1, 16)
  WHEN 'monthly' THEN extract(day FROM p_day) = 1 END;

-- Two frequencies divide a year differently. Where one takes the place of the other as a period of each begins, every day is paid for
-- once; within a period of one of them, days would be paid for twice, or by nobody.
CREATE FUNCTION require_frequency_of_whole_periods() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  before text := (
    SELECT t.pay_frequency FROM all_terms(NEW.company_id, NEW.employee_id) AS t WHERE t.effective_from < NEW.effective_from
    ORDER BY t.effective_from DESC, t.version DESC LIMIT 1);
  later record;
BEGIN
  SELECT t.effective_from, t.pay_frequency INTO later FROM all_terms(NEW.company_id, NEW.employee_id) AS t
  WHERE t.effective_from > NEW.effective_from ORDER BY t.effective_from, t.version DESC LIMIT 1;
  IF before <> NEW.pay_frequency
      AND NOT (begins_period(before, NEW.effective_from) AND begins_period(NEW.pay_frequency, NEW.effective_from))
    OR later.pay_frequency <> NEW.pay_frequency
      AND NOT (begins_period(NEW.pay_frequency, later.effective_from) AND begins_period(later.pay_frequency, later.effective_from))
  THEN
    RAISE EXCEPTION 'the pay frequency of employee % would change within a period', NEW.employee_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'pay_frequency_within_period';
  END IF;
  RETURN NULL;
END
$$;
-- After the version, and the lock of the employee.
CREATE TRIGGER require_frequency_of_whole_periods AFTER INSERT ON employee_terms
  FOR EACH ROW EXECUTE FUNCTION require_frequency_of_whole_periods();

-- The terms that are in force on a day, of these employees or of all. What is in the row of the employee is needed only
-- where nothing has changed since.
CREATE FUNCTION terms_on(p_company uuid, p_day date, p_employees uuid[] DEFAULT NULL)
RETURNS TABLE (
  employee_id uuid, annual_salary_minor bigint, currency text, pay_frequency text, tax_rate_basis_points integer,
  pre_tax_minor bigint, post_tax_minor bigint, has_left boolean)
LANGUAGE sql STABLE AS $$
  SELECT e.id, coalesce(t.annual_salary_minor, e.annual_salary_minor), coalesce(t.currency, e.currency),
    coalesce(t.pay_frequency, e.pay_frequency), coalesce(t.tax_rate_basis_points, e.tax_rate_basis_points),
    CASE WHEN t.id IS NULL THEN d.pre_tax ELSE sum_of_deductions(t.deductions, true) END,
    CASE WHEN t.id IS NULL THEN d.post_tax ELSE sum_of_deductions(t.deductions, false) END,
    coalesce(e.left_on < p_day, false)
  FROM employees e
  LEFT JOIN LATERAL (
    SELECT * FROM employee_terms k
    WHERE k.company_id = p_company AND k.employee_id = e.id AND k.effective_from <= p_day
    ORDER BY k.effective_from DESC, k.version DESC LIMIT 1
  ) AS t ON true
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(amount_minor) FILTER (WHERE pre_tax), 0)::bigint AS pre_tax,
      coalesce(sum(amount_minor) FILTER (WHERE NOT pre_tax), 0)::bigint AS post_tax
    FROM employee_deductions k WHERE k.company_id = p_company AND k.employee_id = e.id
  ) AS d
  WHERE e.company_id = p_company AND (p_employees IS NULL OR e.id = ANY (p_employees))
$$;

-- Locks whom a run of that period would pay, or who is named, so that their terms stay until its COMMIT, and answers them:
-- sorted, and one more than a run may have. Who is among them is asked again after each wait, since a change of terms that it
-- has waited for may have added or removed somebody.
CREATE FUNCTION lock_employees_to_pay(p_company uuid, p_frequency text, p_year integer, p_period integer, p_employees uuid[])
RETURNS uuid[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  first_day date := first_day_of_period(p_frequency, p_year, p_period);
  locked uuid[];
  found_now uuid[];
BEGIN
  LOOP
    found_now := ARRAY(
      SELECT t.employee_id FROM terms_on(p_company, first_day, p_employees) AS t
      WHERE p_employees IS NOT NULL OR t.pay_frequency = p_frequency AND NOT t.has_left
      ORDER BY t.employee_id LIMIT 5001);
    EXIT WHEN found_now = locked;
    PERFORM 1 FROM employees e WHERE e.company_id = p_company AND e.id = ANY (found_now) ORDER BY e.id FOR SHARE;
    locked := found_now;
  END LOOP;
  RETURN found_now;
END
$$;

-- What these employees are paid for a period, by the terms of its first day; also one who is paid in another frequency or has
-- left, for the caller to refuse. The function of the same name without a year is that of the release before, which knows no
-- terms by date; a later migration drops it.
CREATE FUNCTION pay_of_period(
  p_company uuid, p_frequency text, p_year integer, p_period integer, p_employees uuid[], p_employer_rate integer)
RETURNS TABLE (
  employee_id uuid, pay_frequency text, has_left boolean, currency text, annual_salary_minor bigint,
  tax_rate_basis_points integer, gross_minor bigint, pre_tax_deductions_minor bigint, tax_minor bigint,
  post_tax_deductions_minor bigint, net_minor bigint, employer_tax_minor bigint)
LANGUAGE sql STABLE AS $$
  SELECT e.employee_id, e.pay_frequency, e.has_left, e.currency, e.annual_salary_minor, e.tax_rate_basis_points, g.gross,
    e.pre_tax_minor, t.tax, e.post_tax_minor, g.gross - e.pre_tax_minor - t.tax - e.post_tax_minor,
    share_of(g.gross, p_employer_rate)
  FROM terms_on(p_company, first_day_of_period(p_frequency, p_year, p_period), p_employees) AS e
  CROSS JOIN LATERAL (SELECT gross_of_period(e.annual_salary_minor, p_frequency, p_period) AS gross) AS g
  CROSS JOIN LATERAL (SELECT share_of(g.gross - e.pre_tax_minor, e.tax_rate_basis_points) AS tax) AS t
$$;

-- The frequency and currency of an employee change from a day on: that a payslip has those of its period is held below.
ALTER TABLE payslips
  DROP CONSTRAINT payslips_company_id_employee_id_pay_frequency_currency_fkey,
  ADD CONSTRAINT payslips_company_id_employee_id_fkey FOREIGN KEY (company_id, employee_id)
    REFERENCES employees (company_id, id) NOT VALID;
ALTER TABLE employees DROP CONSTRAINT employees_terms_key;

-- Whoever makes a payslip, it has the terms of the first day of its period, and its employee had not left. Processes of the
-- release before know the terms of the beginning alone: where there are others, they are refused instead of paying too much.
CREATE FUNCTION require_terms_of_period() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  run record;
  wrong uuid;
BEGIN
  FOR run IN
    SELECT a.company_id, a.pay_run_id, first_day_of_period(a.pay_frequency, a.year, a.period_number) AS first_day,
      array_agg(a.employee_id) AS employees
    FROM added a GROUP BY 1, 2, 3
  LOOP
    SELECT a.employee_id INTO wrong
    FROM added a
    LEFT JOIN terms_on(run.company_id, run.first_day, run.employees) AS t ON t.employee_id = a.employee_id
    WHERE a.company_id = run.company_id AND a.pay_run_id = run.pay_run_id
      AND (t.employee_id IS NULL OR t.has_left
        OR (a.pay_frequency, a.currency, a.annual_salary_minor, a.tax_rate_basis_points, a.pre_tax_deductions_minor,
            a.post_tax_deductions_minor)
          <> (t.pay_frequency, t.currency, t.annual_salary_minor, t.tax_rate_basis_points, t.pre_tax_minor, t.post_tax_minor))
    LIMIT 1;
    IF wrong IS NOT NULL THEN
      RAISE EXCEPTION 'the payslip of employee % does not have the terms of its period', wrong
        USING ERRCODE = 'check_violation', CONSTRAINT = 'payslip_has_terms_of_period';
    END IF;
  END LOOP;
  RETURN NULL;
END
$$;
CREATE TRIGGER require_terms_of_period AFTER INSERT ON payslips
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION require_terms_of_period();
