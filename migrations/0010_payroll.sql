-- Employees, pay runs and payslips. A pay run is a snapshot: what it pays stands from its first moment, and executing it
-- posts exactly that.

CREATE FUNCTION pay_periods(p_frequency text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_frequency WHEN 'weekly' THEN 52 WHEN 'biweekly' THEN 26 WHEN 'semimonthly' THEN 24 WHEN 'monthly' THEN 12 END;

-- Differences of rounded-down running totals: the periods of a year sum to the salary exactly.
CREATE FUNCTION gross_of_period(p_annual_minor bigint, p_frequency text, p_period integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN p_period * p_annual_minor / pay_periods(p_frequency) - (p_period - 1) * p_annual_minor / pay_periods(p_frequency);

-- Half away from zero, in exact arithmetic: round() of numeric does that.
CREATE FUNCTION share_of(p_amount_minor bigint, p_basis_points integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(p_amount_minor::numeric * p_basis_points / 10000)::bigint;

CREATE TABLE employees (
  company_id uuid NOT NULL REFERENCES companies,
  id uuid NOT NULL,
  first_name text NOT NULL CHECK (length(first_name) BETWEEN 1 AND 200),
  last_name text NOT NULL CHECK (length(last_name) BETWEEN 1 AND 200),
  email text NOT NULL CHECK (length(email) BETWEEN 3 AND 200),
  annual_salary_minor bigint NOT NULL CHECK (annual_salary_minor BETWEEN 1 AND 10000000000000),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  pay_frequency text NOT NULL CHECK (pay_frequency IN ('weekly', 'biweekly', 'semimonthly', 'monthly')),
  tax_rate_basis_points integer NOT NULL CHECK (tax_rate_basis_points BETWEEN 0 AND 10000),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  -- The target of foreign keys by which payslips are of their run's frequency and currency.
  CONSTRAINT employees_terms_key UNIQUE (company_id, id, pay_frequency, currency)
);
-- A mailbox is one person's, however its name is spelled.
CREATE UNIQUE INDEX employees_email_key ON employees (company_id, lower(email));
CREATE INDEX employees_newest ON employees (company_id, created_at DESC, id DESC);
CREATE INDEX employees_by_frequency ON employees (company_id, pay_frequency, id);

-- What is taken from the pay of each period, before tax or after it.
CREATE TABLE employee_deductions (
  company_id uuid NOT NULL,
  employee_id uuid NOT NULL,
  position smallint NOT NULL CHECK (position BETWEEN 1 AND 20),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  amount_minor bigint NOT NULL CHECK (amount_minor BETWEEN 1 AND 10000000000000),
  pre_tax boolean NOT NULL,
  PRIMARY KEY (company_id, employee_id, position),
  FOREIGN KEY (company_id, employee_id) REFERENCES employees (company_id, id)
);

CREATE TABLE pay_runs (
  company_id uuid NOT NULL REFERENCES companies,
  id uuid NOT NULL,
  status text NOT NULL CHECK (status IN ('draft', 'approved', 'executed')),
  pay_frequency text NOT NULL CHECK (pay_frequency IN ('weekly', 'biweekly', 'semimonthly', 'monthly')),
  year integer NOT NULL CHECK (year BETWEEN 1900 AND 2999),
  period_number integer NOT NULL,
  pay_date date NOT NULL CHECK (pay_date BETWEEN '1900-01-01' AND '2999-12-31'),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  employee_count integer NOT NULL CHECK (employee_count BETWEEN 1 AND 5000),
  -- Sums of the payslips. An entry needs lines, so a run pays something.
  gross_minor bigint NOT NULL CHECK (gross_minor BETWEEN 1 AND 100000000000000000),
  pre_tax_deductions_minor bigint NOT NULL CHECK (pre_tax_deductions_minor BETWEEN 0 AND 100000000000000000),
  tax_minor bigint NOT NULL CHECK (tax_minor BETWEEN 0 AND 100000000000000000),
  post_tax_deductions_minor bigint NOT NULL CHECK (post_tax_deductions_minor BETWEEN 0 AND 100000000000000000),
  net_minor bigint NOT NULL CHECK (net_minor BETWEEN 0 AND 100000000000000000),
  employer_tax_minor bigint NOT NULL CHECK (employer_tax_minor BETWEEN 0 AND 100000000000000000),
  created_by uuid NOT NULL REFERENCES users,
  -- NULL in a run that is approved: nobody had to.
  approved_by uuid REFERENCES users,
  executed_by uuid REFERENCES users,
  journal_entry_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  -- Targets of foreign keys, by which payslips are of their run's period and currency.
  CONSTRAINT pay_runs_period_key UNIQUE (company_id, id, pay_frequency, year, period_number),
  CONSTRAINT pay_runs_currency_key UNIQUE (company_id, id, currency),
  CONSTRAINT pay_runs_period_of_the_year CHECK (period_number BETWEEN 1 AND pay_periods(pay_frequency)),
  CONSTRAINT pay_runs_gross_is_paid_out CHECK (
    gross_minor = pre_tax_deductions_minor + tax_minor + post_tax_deductions_minor + net_minor
  ),
  CONSTRAINT pay_runs_executed_whole CHECK (
    num_nulls(executed_by, journal_entry_id) = CASE status WHEN 'executed' THEN 0 ELSE 2 END
    AND (status <> 'draft' OR approved_by IS NULL)
  ),
  FOREIGN KEY (company_id, journal_entry_id) REFERENCES journal_entries (company_id, id)
);
CREATE INDEX pay_runs_newest ON pay_runs (company_id, created_at DESC, id DESC);

CREATE TABLE payslips (
  company_id uuid NOT NULL,
  pay_run_id uuid NOT NULL,
  employee_id uuid NOT NULL,
  pay_frequency text NOT NULL CHECK (length(pay_frequency) <= 20),
  year integer NOT NULL,
  period_number integer NOT NULL,
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  -- The terms as they were when the run was made.
  annual_salary_minor bigint NOT NULL CHECK (annual_salary_minor BETWEEN 1 AND 10000000000000),
  tax_rate_basis_points integer NOT NULL CHECK (tax_rate_basis_points BETWEEN 0 AND 10000),
  employer_tax_rate_basis_points integer NOT NULL CHECK (employer_tax_rate_basis_points BETWEEN 0 AND 10000),
  gross_minor bigint NOT NULL CHECK (gross_minor BETWEEN 0 AND 10000000000000),
  pre_tax_deductions_minor bigint NOT NULL CHECK (pre_tax_deductions_minor BETWEEN 0 AND 10000000000000),
  tax_minor bigint NOT NULL CHECK (tax_minor BETWEEN 0 AND 10000000000000),
  post_tax_deductions_minor bigint NOT NULL CHECK (post_tax_deductions_minor BETWEEN 0 AND 10000000000000),
  net_minor bigint NOT NULL CHECK (net_minor BETWEEN 0 AND 10000000000000),
  employer_tax_minor bigint NOT NULL CHECK (employer_tax_minor BETWEEN 0 AND 10000000000000),
  PRIMARY KEY (company_id, pay_run_id, employee_id),
  CONSTRAINT payslips_gross_is_share_of_year CHECK (
    gross_minor = gross_of_period(annual_salary_minor, pay_frequency, period_number)
  ),
  CONSTRAINT payslips_tax_is_share_of_taxable CHECK (
    pre_tax_deductions_minor <= gross_minor
    AND tax_minor = share_of(gross_minor - pre_tax_deductions_minor, tax_rate_basis_points)
  ),
  CONSTRAINT payslips_gross_is_paid_out CHECK (
    gross_minor = pre_tax_deductions_minor + tax_minor + post_tax_deductions_minor + net_minor
  ),
  CONSTRAINT payslips_employer_tax_is_share CHECK (
    employer_tax_minor = share_of(gross_minor, employer_tax_rate_basis_points)
  ),
  FOREIGN KEY (company_id, pay_run_id, pay_frequency, year, period_number)
    REFERENCES pay_runs (company_id, id, pay_frequency, year, period_number),
  FOREIGN KEY (company_id, pay_run_id, currency) REFERENCES pay_runs (company_id, id, currency),
  FOREIGN KEY (company_id, employee_id, pay_frequency, currency)
    REFERENCES employees (company_id, id, pay_frequency, currency)
);

-- The periods that employees have been paid for. Any number of runs may be made for a period; each employee is in one that
-- is executed.
CREATE TABLE paid_periods (
  company_id uuid NOT NULL,
  employee_id uuid NOT NULL,
  year integer NOT NULL,
  pay_frequency text NOT NULL CHECK (length(pay_frequency) <= 20),
  period_number integer NOT NULL,
  pay_run_id uuid NOT NULL,
  CONSTRAINT paid_periods_once PRIMARY KEY (company_id, employee_id, year, pay_frequency, period_number),
  CONSTRAINT paid_periods_payslip_key UNIQUE (company_id, pay_run_id, employee_id),
  FOREIGN KEY (company_id, pay_run_id, employee_id) REFERENCES payslips (company_id, pay_run_id, employee_id),
  FOREIGN KEY (company_id, pay_run_id, pay_frequency, year, period_number)
    REFERENCES pay_runs (company_id, id, pay_frequency, year, period_number)
);

-- What an employee is paid for a period, for one of the employees named, or for all of that frequency where none are. Of
-- those named, one of another frequency is told too, for the caller to refuse. One more than a run may have, likewise.
CREATE FUNCTION pay_of_period(
  p_company uuid, p_frequency text, p_period integer, p_employees uuid[], p_employer_rate integer)
RETURNS TABLE (
  employee_id uuid, pay_frequency text, currency text, annual_salary_minor bigint, tax_rate_basis_points integer,
  gross_minor bigint, pre_tax_deductions_minor bigint, tax_minor bigint, post_tax_deductions_minor bigint, net_minor bigint,
  employer_tax_minor bigint)
LANGUAGE sql STABLE AS $$
  SELECT e.id, e.pay_frequency, e.currency, e.annual_salary_minor, e.tax_rate_basis_points, g.gross, d.pre_tax, t.tax,
    d.post_tax, g.gross - d.pre_tax - t.tax - d.post_tax, share_of(g.gross, p_employer_rate)
  FROM (
    SELECT * FROM employees
    WHERE company_id = p_company
      AND (p_employees IS NULL AND pay_frequency = p_frequency OR id = ANY (p_employees))
    ORDER BY id LIMIT 5001
  ) AS e
  CROSS JOIN LATERAL (SELECT gross_of_period(e.annual_salary_minor, p_frequency, p_period) AS gross) AS g
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(amount_minor) FILTER (WHERE pre_tax), 0)::bigint AS pre_tax,
      coalesce(sum(amount_minor) FILTER (WHERE NOT pre_tax), 0)::bigint AS post_tax
    FROM employee_deductions WHERE company_id = p_company AND employee_id = e.id
  ) AS d
  CROSS JOIN LATERAL (SELECT share_of(g.gross - d.pre_tax, e.tax_rate_basis_points) AS tax) AS t;
$$;

-- Locks a pay run, then reads it in a statement of its own, which sees what the one before us left; and before that the
-- company's row, shared, since who may approve and execute rests on a setting. No row: no such pay run.
CREATE FUNCTION lock_pay_run(p_company uuid, p_run uuid) RETURNS TABLE (run pay_runs, approval_required boolean)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  SELECT c.pay_run_approval_required INTO approval_required FROM companies c WHERE c.id = p_company FOR SHARE;
  PERFORM 1 FROM pay_runs r WHERE r.company_id = p_company AND r.id = p_run FOR NO KEY UPDATE;
  RETURN QUERY SELECT r, approval_required FROM pay_runs r WHERE r.company_id = p_company AND r.id = p_run;
END
$$;

CREATE FUNCTION require_sum_of_payslips(p_company uuid, p_run uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM pay_runs r WHERE r.company_id = p_company AND r.id = p_run
      AND (r.employee_count, r.gross_minor, r.pre_tax_deductions_minor, r.tax_minor, r.post_tax_deductions_minor,
           r.net_minor, r.employer_tax_minor) = (
        SELECT count(*), sum(s.gross_minor), sum(s.pre_tax_deductions_minor), sum(s.tax_minor),
          sum(s.post_tax_deductions_minor), sum(s.net_minor), sum(s.employer_tax_minor)
        FROM payslips s WHERE s.company_id = p_company AND s.pay_run_id = p_run)
  ) THEN
    RAISE EXCEPTION 'pay run % is not the sum of its payslips', p_run
      USING ERRCODE = 'check_violation', CONSTRAINT = 'pay_run_is_sum_of_payslips';
  END IF;
END
$$;

-- A run and all its payslips come in one statement, so a payslip that comes later is one too many.
CREATE FUNCTION add_payslips_with_their_run_only() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM require_sum_of_payslips(a.company_id, a.pay_run_id)
  FROM (SELECT DISTINCT company_id, pay_run_id FROM added) AS a;
  RETURN NULL;
END
$$;

-- Asked at the end of the transaction: a run has its payslips, and one that is executed has paid each of them and posted
-- their sums.
CREATE FUNCTION require_whole_pay_run() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  wrong_line text;
BEGIN
  PERFORM require_sum_of_payslips(NEW.company_id, NEW.id);
  IF NEW.status <> 'executed' THEN
    RETURN NULL;
  END IF;
  IF NEW.employee_count <> (
    SELECT count(*) FROM paid_periods p WHERE p.company_id = NEW.company_id AND p.pay_run_id = NEW.id
  ) THEN
    RAISE EXCEPTION 'pay run % has not paid each of its employees', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'pay_run_pays_each_employee';
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

CREATE FUNCTION move_pay_run_forward_only() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  moving constant text[] := ARRAY['status', 'approved_by', 'executed_by', 'journal_entry_id'];
BEGIN
  IF (OLD.status, NEW.status) NOT IN (('draft', 'approved'), ('approved', 'executed'))
    OR to_jsonb(OLD) - moving <> to_jsonb(NEW) - moving
    OR OLD.status = 'approved' AND OLD.approved_by IS DISTINCT FROM NEW.approved_by THEN
    RAISE EXCEPTION 'UPDATE of pay_runs is refused: a run is a snapshot, and goes from draft to approved to executed'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;

CREATE TRIGGER add_payslips_with_their_run_only AFTER INSERT ON payslips
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION add_payslips_with_their_run_only();
CREATE CONSTRAINT TRIGGER require_whole_pay_run AFTER INSERT OR UPDATE ON pay_runs
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_whole_pay_run();
CREATE TRIGGER move_pay_run_forward_only BEFORE UPDATE ON pay_runs
  FOR EACH ROW EXECUTE FUNCTION move_pay_run_forward_only();
CREATE TRIGGER keep_pay_runs BEFORE DELETE ON pay_runs
  FOR EACH ROW EXECUTE FUNCTION refuse_change('a run that is not wanted is never executed');
CREATE TRIGGER keep_payslips BEFORE UPDATE OR DELETE ON payslips
  FOR EACH ROW EXECUTE FUNCTION refuse_change('a pay run is a snapshot; make another');
CREATE TRIGGER keep_paid_periods BEFORE UPDATE OR DELETE ON paid_periods
  FOR EACH ROW EXECUTE FUNCTION refuse_change('what is paid is paid');
CREATE TRIGGER keep_all_pay_runs BEFORE TRUNCATE ON pay_runs
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('a run that is not wanted is never executed');
CREATE TRIGGER keep_all_payslips BEFORE TRUNCATE ON payslips
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('a pay run is a snapshot; make another');
CREATE TRIGGER keep_all_paid_periods BEFORE TRUNCATE ON paid_periods
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('what is paid is paid');

ALTER TABLE employees ENABLE ROW LEVEL SECURITY;
ALTER TABLE employees FORCE ROW LEVEL SECURITY;
ALTER TABLE employee_deductions ENABLE ROW LEVEL SECURITY;
ALTER TABLE employee_deductions FORCE ROW LEVEL SECURITY;
ALTER TABLE pay_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE pay_runs FORCE ROW LEVEL SECURITY;
ALTER TABLE payslips ENABLE ROW LEVEL SECURITY;
ALTER TABLE payslips FORCE ROW LEVEL SECURITY;
ALTER TABLE paid_periods ENABLE ROW LEVEL SECURITY;
ALTER TABLE paid_periods FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON employees USING (company_id = current_company());
CREATE POLICY company ON employee_deductions USING (company_id = current_company());
CREATE POLICY company ON pay_runs USING (company_id = current_company());
CREATE POLICY company ON payslips USING (company_id = current_company());
CREATE POLICY company ON paid_periods USING (company_id = current_company());
CREATE POLICY auditor ON employees FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON employee_deductions FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON pay_runs FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON payslips FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON paid_periods FOR SELECT TO accubooks_auditor USING (true);

GRANT SELECT, INSERT ON employees, employee_deductions, pay_runs, payslips, paid_periods TO accubooks_app;
GRANT UPDATE (status, approved_by, executed_by, journal_entry_id) ON pay_runs TO accubooks_app;
GRANT SELECT ON employees, employee_deductions, pay_runs, payslips, paid_periods TO accubooks_auditor;
