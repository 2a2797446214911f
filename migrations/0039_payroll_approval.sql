-- Whether a pay run demands approval is pinned when it is made. Before, the setting of the moment was asked at each step:
-- whoever could switch it off could approve and execute a run of their own that had been made under it.

ALTER TABLE pay_runs ADD COLUMN approval_required boolean;

-- The runs that are there; docs/decisions.md says why. Those approved at once were made without a demand; those that are or
-- were drafts though nobody asked for a draft were made under one. What was asked for as a draft takes the setting of today,
-- which has judged it until now. An executed run that does not keep the rule was judged by the setting of its time.
-- Without BYPASSRLS the owner would see no row of a table whose row-level security is forced.
ALTER TABLE idempotent_writes NO FORCE ROW LEVEL SECURITY;
ALTER TABLE companies NO FORCE ROW LEVEL SECURITY;
ALTER TABLE pay_runs NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER;
UPDATE pay_runs r SET approval_required =
  (r.status = 'draft' OR r.approved_by IS NOT NULL)
  AND (
    coalesce(w.request->'body'->>'asDraft' = 'false', false)
    OR (SELECT c.pay_run_approval_required FROM companies c WHERE c.id = r.company_id)
  )
  AND (r.status <> 'executed' OR r.approved_by <> r.created_by AND r.executed_by <> r.created_by)
FROM pay_runs k LEFT JOIN idempotent_writes w ON w.company_id = k.company_id AND w.write_id = k.id
WHERE k.company_id = r.company_id AND k.id = r.id;
ALTER TABLE idempotent_writes FORCE ROW LEVEL SECURITY;
ALTER TABLE companies FORCE ROW LEVEL SECURITY;
ALTER TABLE pay_runs FORCE ROW LEVEL SECURITY, ENABLE TRIGGER USER, ALTER COLUMN approval_required SET NOT NULL;

-- A run of before that its creator has approved stays so and is never executed.
ALTER TABLE pay_runs ADD CONSTRAINT pay_runs_approved_by_another CHECK (
  NOT approval_required OR status = 'draft'
  OR approved_by IS NOT NULL AND (status = 'approved' OR approved_by <> created_by AND executed_by <> created_by)
);

-- Whoever inserts a run, it has the demand of its company; processes of the release before do not know the column.
CREATE FUNCTION pin_pay_run_approval() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  SELECT c.pay_run_approval_required INTO NEW.approval_required FROM companies c WHERE c.id = NEW.company_id FOR SHARE;
  RETURN NEW;
END
$$;
CREATE TRIGGER pin_pay_run_approval BEFORE INSERT ON pay_runs
  FOR EACH ROW EXECUTE FUNCTION pin_pay_run_approval();

CREATE OR REPLACE FUNCTION move_pay_run_forward_only() RETURNS trigger
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
  IF OLD.approval_required AND NEW.status = 'approved' AND NEW.approved_by = NEW.created_by THEN
    RAISE EXCEPTION 'pay run % demands the approval of someone else than its creator', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'pay_runs_approved_by_another';
  END IF;
  RETURN NEW;
END
$$;

-- Locks a pay run, then reads it in a statement of its own, which sees what the one before us left. No row: no such run.
CREATE FUNCTION lock_pay_run_row(p_company uuid, p_run uuid) RETURNS SETOF pay_runs
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM pay_runs r WHERE r.company_id = p_company AND r.id = p_run FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM pay_runs r WHERE r.company_id = p_company AND r.id = p_run;
END
$$;

-- The release before prepares `SELECT (l.run).*, l.approval_required FROM lock_pay_run(…) AS l` once per connection: with one
-- column more, PostgreSQL would refuse to run it again. It gets the row as it was, and the demand that is pinned. A later
-- migration drops both, when no process of that release is left.
CREATE TYPE pay_run_without_approval AS (
  company_id uuid, id uuid, status text, pay_frequency text, year integer, period_number integer, pay_date date,
  currency text, employee_count integer, gross_minor bigint, pre_tax_deductions_minor bigint, tax_minor bigint,
  post_tax_deductions_minor bigint, net_minor bigint, employer_tax_minor bigint, created_by uuid, approved_by uuid,
  executed_by uuid, journal_entry_id uuid, created_at timestamptz
);
DROP FUNCTION lock_pay_run(uuid, uuid);
CREATE FUNCTION lock_pay_run(p_company uuid, p_run uuid)
RETURNS TABLE (run pay_run_without_approval, approval_required boolean)
LANGUAGE sql VOLATILE AS $$
  SELECT (r.company_id, r.id, r.status, r.pay_frequency, r.year, r.period_number, r.pay_date, r.currency,
    r.employee_count, r.gross_minor, r.pre_tax_deductions_minor, r.tax_minor, r.post_tax_deductions_minor, r.net_minor,
    r.employer_tax_minor, r.created_by, r.approved_by, r.executed_by, r.journal_entry_id,
    r.created_at)::pay_run_without_approval, r.approval_required
  FROM lock_pay_run_row(p_company, p_run) AS r
$$;
