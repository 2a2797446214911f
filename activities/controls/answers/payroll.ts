import type { Control } from '../control.ts';
import { differences, writesOf } from './compare.ts';

const PAY_RUN_STEPS = ['createPayRun', 'approvePayRun', 'executePayroll'];

/** Of employees and pay runs: rows against the answers stored for them. */
export const PAYROLL_ANSWERS: readonly Control[] = [
  {
    name: 'employee-answers',
    sentence: 'An employee says what the answer said: name, address, salary, tax rate, deductions.',
    closesMonth: false,
    of: writesOf('createEmployee'),
    sql: differences({
      operations: ['createEmployee'],
      rows: `
      JOIN employees e ON e.company_id = w.company_id AND e.id = w.write_id
      LEFT JOIN (
        SELECT company_id, employee_id,
          jsonb_agg(jsonb_build_object('name', name, 'amount', amount_minor, 'preTax', pre_tax) ORDER BY position) AS all_of_them
        FROM employee_deductions GROUP BY 1, 2
      ) AS d_ ON d_.company_id = e.company_id AND d_.employee_id = e.id`,
      id: 'e.id',
      members: {
        firstName: 'e.first_name',
        lastName: 'e.last_name',
        email: 'e.email',
        annualSalary: 'e.annual_salary_minor',
        currency: 'e.currency',
        payFrequency: 'e.pay_frequency',
        taxRateBasisPoints: 'e.tax_rate_basis_points',
        deductions: `coalesce(d_.all_of_them, '[]')`,
        createdAt: 'e.created_at',
      },
    }),
  },
  {
    name: 'pay-run-answers',
    sentence: 'A pay run and its payslips say what their answers said, with the salary and tax rate of the employee.',
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
        journalEntryId: { value: 'r.journal_entry_id', of: ['executePayroll'] },
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
      SELECT s.company_id, NULL, s.pay_run_id, s.employee_id::text, 'annualSalary, taxRateBasisPoints' FROM payslips s
      JOIN employees e ON e.company_id = s.company_id AND e.id = s.employee_id
      WHERE (s.annual_salary_minor, s.tax_rate_basis_points) <> (e.annual_salary_minor, e.tax_rate_basis_points)`,
  },
];
