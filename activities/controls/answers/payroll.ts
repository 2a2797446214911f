import { TERMS_OF_EMPLOYEE } from '../../resources/employee.ts';
import type { Control } from '../control.ts';
import { differences, writesOf } from './compare.ts';

const EMPLOYEE_STEPS = ['createEmployee', 'updateEmployee'];
const PAY_RUN_STEPS = ['createPayRun', 'approvePayRun', 'executePayroll', 'voidPayRun'];

/** Of employees and pay runs: rows against the answers stored for them. */
export const PAYROLL_ANSWERS: readonly Control[] = [
  {
    name: 'employee-answers',
    sentence:
      'An employee says what the last answer said: name, address, last day, terms by date. The terms of the beginning are those of the first answer, and each change of terms is that of a write.',
    closesMonth: false,
    of: writesOf(...EMPLOYEE_STEPS),
    sql: `${differences({
      operations: ['createEmployee'],
      rows: `
      JOIN employees e ON e.company_id = w.company_id AND e.id = w.write_id
      CROSS JOIN LATERAL (
        SELECT v.deductions FROM all_terms(e.company_id, e.id) AS v WHERE v.version = 0
      ) AS beginning`,
      id: 'e.id',
      members: {
        annualSalary: 'e.annual_salary_minor',
        currency: 'e.currency',
        payFrequency: 'e.pay_frequency',
        taxRateBasisPoints: 'e.tax_rate_basis_points',
        deductions: 'beginning.deductions',
        createdAt: 'e.created_at',
      },
    })}
      UNION ALL${differences({
        operations: EMPLOYEE_STEPS,
        // Each change holds the row of the employee until its COMMIT: the last one is the one that was completed last.
        rows: `
      JOIN (
        SELECT company_id, resource_id, max(completed_at) AS at FROM ${writesOf(...EMPLOYEE_STEPS)} GROUP BY 1, 2
      ) AS last ON last.company_id = w.company_id AND last.resource_id = w.resource_id AND last.at = w.completed_at
      JOIN employees e ON e.company_id = w.company_id AND e.id = w.resource_id::uuid`,
        id: 'e.id',
        members: {
          firstName: 'e.first_name',
          lastName: 'e.last_name',
          email: 'e.email',
          leftOn: 'e.left_on',
          terms: TERMS_OF_EMPLOYEE,
          createdAt: 'e.created_at',
        },
      })}
      UNION ALL${differences({
        operations: ['updateEmployee'],
        rows: `
      CROSS JOIN LATERAL jsonb_array_elements(a.body -> 'terms') AS told (terms)
      LEFT JOIN employee_terms t ON t.company_id = w.company_id AND t.id = w.write_id AND t.employee_id = w.resource_id::uuid`,
        id: 'w.resource_id',
        // Only those that the write made.
        answer: `CASE WHEN told.terms -> 'effectiveFrom' = w.request #> '{body,effectiveFrom}' THEN told.terms ELSE '{}' END`,
        members: {
          effectiveFrom: 't.effective_from',
          annualSalary: 't.annual_salary_minor',
          currency: 't.currency',
          payFrequency: 't.pay_frequency',
          taxRateBasisPoints: 't.tax_rate_basis_points',
          deductions: 't.deductions',
        },
      })}
      UNION ALL
      SELECT t.company_id, NULL, t.id, t.employee_id::text, 'terms' FROM employee_terms t
      WHERE NOT EXISTS (
        SELECT FROM idempotent_writes w WHERE w.company_id = t.company_id AND w.write_id = t.id AND w.outcome = 'succeeded'
          AND w.operation = 'updateEmployee' AND w.resource_id = t.employee_id::text)`,
  },
  {
    name: 'pay-run-answers',
    sentence:
      'A pay run and its payslips say what their answers said, with the terms that were known when the run was made and in force on the first day of its period.',
    closesMonth: false,
    of: writesOf(...PAY_RUN_STEPS),
    sql: `${differences({
      operations: PAY_RUN_STEPS,
      rows: `JOIN pay_runs r ON r.company_id = w.company_id AND r.id = (a.body ->> 'id')::uuid`,
      id: 'r.id',
      members: {
        payFrequency: 'r.pay_frequency',
        year: 'r.year',
        periodNumber: 'r.period_number',
        approvalRequired: 'r.approval_required',
        payDate: 'r.pay_date',
        currency: 'r.currency',
        totals: `jsonb_build_object('gross', r.gross_minor, 'preTaxDeductions', r.pre_tax_deductions_minor,
          'tax', r.tax_minor, 'postTaxDeductions', r.post_tax_deductions_minor, 'net', r.net_minor,
          'employerTax', r.employer_tax_minor)`,
        journalEntryId: { value: 'r.journal_entry_id', of: ['executePayroll', 'voidPayRun'] },
        voidedOn: { value: 'r.voided_on', of: ['voidPayRun'] },
        voidReason: { value: 'r.void_reason', of: ['voidPayRun'] },
        voidedBy: { value: 'r.voided_by', of: ['voidPayRun'] },
        voidEntryId: { value: 'r.void_entry_id', of: ['voidPayRun'] },
        createdAt: 'r.created_at',
      },
    })}
      UNION ALL${differences({
        operations: ['createPayRun'],
        rows: `
      CROSS JOIN LATERAL jsonb_array_elements(a.body -> 'payslips') AS told (slip)
      LEFT JOIN payslips s
        ON s.company_id = w.company_id AND s.pay_run_id = w.write_id AND s.employee_id = (told.slip ->> 'employeeId')::uuid`,
        id: 'w.write_id',
        answer: 'told.slip',
        members: {
          employeeId: 's.employee_id',
          gross: 's.gross_minor',
          preTaxDeductions: 's.pre_tax_deductions_minor',
          tax: 's.tax_minor',
          postTaxDeductions: 's.post_tax_deductions_minor',
          net: 's.net_minor',
          employerTax: 's.employer_tax_minor',
        },
      })}
      UNION ALL
      -- A run locks its employees, and so does a change of their terms. Which came first is known where the one was completed
      -- before the other's key was claimed; where neither was, the run may have had either terms.
      SELECT s.company_id, NULL, s.pay_run_id, s.employee_id::text, 'annualSalary, taxRateBasisPoints, deductions'
      FROM payslips s
      LEFT JOIN idempotent_writes w ON w.company_id = s.company_id AND w.write_id = s.pay_run_id
      WHERE NOT EXISTS (
        SELECT FROM all_terms(s.company_id, s.employee_id) AS last
        CROSS JOIN LATERAL (
          SELECT v.* FROM all_terms(s.company_id, s.employee_id) AS v
          WHERE v.version <= last.version AND v.effective_from <= first_day_of_period(s.pay_frequency, s.year, s.period_number)
          ORDER BY v.effective_from DESC, v.version DESC LIMIT 1
        ) AS t
        WHERE (s.pay_frequency, s.currency, s.annual_salary_minor, s.tax_rate_basis_points, s.pre_tax_deductions_minor,
            s.post_tax_deductions_minor) = (t.pay_frequency, t.currency, t.annual_salary_minor, t.tax_rate_basis_points,
            sum_of_deductions(t.deductions, true), sum_of_deductions(t.deductions, false))
          AND NOT EXISTS (
            SELECT FROM employee_terms k JOIN idempotent_writes u ON u.company_id = k.company_id AND u.write_id = k.id
            WHERE k.company_id = s.company_id AND k.employee_id = s.employee_id
              AND CASE WHEN k.version > last.version THEN u.completed_at < w.claimed_at ELSE u.claimed_at > w.completed_at END))`,
  },
];
