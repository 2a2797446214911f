import { ACCOUNTS } from '../ledger/accounts.ts';
import { type Control, dated } from './control.ts';

export const PAYROLL_CONTROLS: readonly Control[] = [
  {
    name: 'payroll-posted',
    sentence:
      'The payslips of a run that was executed sum to its entry, which is dated the pay date and in the run’s currency, also if it was voided since.',
    closesMonth: true,
    of: `pay_runs WHERE status IN ('executed', 'voided')`,
    links: ['/api/ledger/entries/{entry_id}'],
    ...dated(
      ({ until }) => `
      WITH slips AS (
        SELECT r.company_id, r.id, r.journal_entry_id, r.currency, r.pay_date, sum(p.gross_minor) AS gross,
          sum(p.tax_minor) AS taxes, sum(p.net_minor) AS net,
          sum(p.pre_tax_deductions_minor + p.post_tax_deductions_minor) AS deductions, sum(p.employer_tax_minor) AS employer_tax
        FROM pay_runs r JOIN payslips p ON p.company_id = r.company_id AND p.pay_run_id = r.id
        WHERE r.status IN ('executed', 'voided') AND ${until('r.pay_date')}
        GROUP BY r.company_id, r.id
      ), due AS (
        SELECT s.company_id, s.journal_entry_id AS entry_id, s.currency, s.pay_date AS entry_date, account.*
        FROM slips s CROSS JOIN LATERAL (VALUES
          ('${ACCOUNTS.wages}', gross),
          ('${ACCOUNTS.employerTax}', employer_tax),
          ('${ACCOUNTS.payrollTaxes}', -taxes - employer_tax),
          ('${ACCOUNTS.payrollDeductions}', -deductions),
          ('${ACCOUNTS.wagesPayable}', -net)
        ) AS account (code, amount)
        WHERE account.amount <> 0
      ), posted AS (
        SELECT e.company_id, e.id AS entry_id, l.currency, e.entry_date, a.code, -l.amount_minor AS amount
        FROM journal_entries e
        JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
        JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
        WHERE e.operation = 'executePayroll' AND ${until('e.entry_date')}
      )
      SELECT company_id, entry_id, currency, entry_date, code, sum(amount) AS not_posted_minor
      FROM (SELECT *, NULL::bigint AS posted FROM due UNION ALL SELECT *, amount FROM posted) AS both_sides
      GROUP BY company_id, entry_id, currency, entry_date, code
      HAVING sum(amount) <> 0 OR min(posted) < 0 AND max(posted) > 0`,
    ),
  },
  {
    name: 'pay-run-voids',
    sentence: 'The entry of a voided pay run is reversed by that of its void, on its day; that of no other run is.',
    closesMonth: true,
    of: `pay_runs WHERE status IN ('executed', 'voided')`,
    links: ['/api/payroll/pay-runs/{id}'],
    ...dated(
      ({ until }) => `
      SELECT r.company_id, r.id FROM pay_runs r
      LEFT JOIN journal_entries m ON m.company_id = r.company_id AND m.reverses = r.journal_entry_id AND ${until('m.entry_date')}
      WHERE (r.status = 'voided' AND ${until('r.voided_on')}) <> (m.id IS NOT NULL)
        OR m.id IS NOT NULL AND (m.id, m.entry_date) IS DISTINCT FROM (r.void_entry_id, r.voided_on)`,
    ),
  },
  {
    name: 'pay-run-sums',
    sentence: 'The totals of a pay run equal the sums of its payslips.',
    closesMonth: true,
    of: 'pay_runs',
    links: ['/api/payroll/pay-runs/{id}'],
    ...dated(
      ({ until }) => `
      SELECT r.company_id, r.id
      FROM pay_runs r LEFT JOIN payslips s ON s.company_id = r.company_id AND s.pay_run_id = r.id
      WHERE ${until('r.pay_date')}
      GROUP BY r.company_id, r.id
      HAVING (r.employee_count, r.gross_minor, r.pre_tax_deductions_minor, r.tax_minor, r.post_tax_deductions_minor,
          r.net_minor, r.employer_tax_minor) IS DISTINCT FROM
        (count(s.employee_id), sum(s.gross_minor), sum(s.pre_tax_deductions_minor), sum(s.tax_minor),
          sum(s.post_tax_deductions_minor), sum(s.net_minor), sum(s.employer_tax_minor))`,
    ),
  },
  {
    name: 'paid-once',
    sentence:
      'An employee is paid at most once per period, and each that is paid is kept; nobody is paid by a run that was not executed, or was voided.',
    closesMonth: true,
    of: 'payslips',
    links: ['/api/payroll/employees/{employee_id}'],
    ...dated(
      ({ until }) => `
      SELECT s.company_id, s.employee_id, s.year, s.pay_frequency, s.period_number FROM payslips s
      JOIN pay_runs r ON r.company_id = s.company_id AND r.id = s.pay_run_id AND r.status = 'executed'
        AND ${until('r.pay_date')}
      LEFT JOIN paid_periods p ON p.company_id = s.company_id AND p.pay_run_id = s.pay_run_id AND p.employee_id = s.employee_id
        AND (p.year, p.pay_frequency, p.period_number) = (s.year, s.pay_frequency, s.period_number)
      GROUP BY 1, 2, 3, 4, 5 HAVING count(*) > 1 OR count(p.employee_id) < 1
      UNION ALL
      SELECT p.company_id, p.employee_id, p.year, p.pay_frequency, p.period_number FROM paid_periods p
      JOIN pay_runs r ON r.company_id = p.company_id AND r.id = p.pay_run_id
      WHERE r.status <> 'executed' AND ${until('r.pay_date')}`,
    ),
  },
];
