-- What the migration before demands of pay runs, employees and payslips holds for all rows that are there. Looking at them
-- blocks no write. Of the foreign keys, the owner's query sees no row of a table whose row-level security is forced, unless it
-- has BYPASSRLS: the columns of a void are empty in each of these rows, and a payslip's employee was held by a stricter key.
ALTER TABLE pay_runs
  VALIDATE CONSTRAINT pay_runs_status_check,
  VALIDATE CONSTRAINT pay_runs_executed_whole,
  VALIDATE CONSTRAINT pay_runs_voided_whole,
  VALIDATE CONSTRAINT pay_runs_voided_on_check,
  VALIDATE CONSTRAINT pay_runs_void_reason_check,
  VALIDATE CONSTRAINT pay_runs_voided_by_another,
  VALIDATE CONSTRAINT pay_runs_voided_by_fkey,
  VALIDATE CONSTRAINT pay_runs_void_entry_fkey;
ALTER TABLE employees VALIDATE CONSTRAINT employees_left_on_check;
ALTER TABLE payslips VALIDATE CONSTRAINT payslips_company_id_employee_id_fkey;
