import type { Control } from './control.ts';

/** What a company has to have done before its books are closed. Unlike a control, it does not hold at any time. */
type Step = Required<Pick<Control, 'name' | 'sqlAsOf' | 'links'>> & {
  /** What the result of the workflow says while it is not done, for operators. */
  readonly fault: string;
  /** The same for the company, which is then told how much is left, or what to do. */
  undone(through: string): string;
  readonly todo: string;
};

/**
 * The steps of closing through a day (`$1`). Nothing that is decided may be left unposted: an approved pay run is dated its pay
 * date, so it could never be executed afterwards. A run that can never be executed anyway is in nobody's way: one that pays
 * someone whom another run has paid for the period, or one whose creator alone has approved it against the rule. Drafts, of
 * invoices as well, are proposals: they are no claim and no debt, and an invoice can be dated later when it is finalized.
 *
 * What can leave a step undone holds the company's row until its COMMIT, by the function that locks or imports: the write that
 * closes the books looks again while it holds that row.
 */
export const MONTH_STEPS: readonly Step[] = [
  {
    name: 'bank-reconciled',
    fault: 'A bank transaction in this period is not reconciled',
    undone: (through) => `Not every bank transaction up to and including ${through} is reconciled`,
    todo: 'reconcile these',
    links: ['/api/bank-transactions/{id}'],
    sqlAsOf: `
      SELECT b.company_id, b.id FROM bank_transactions b WHERE b.booked_on <= $1::date AND b.status = 'unreconciled'`,
  },
  {
    name: 'pay-runs-executed',
    fault: 'An approved pay run of this period is not executed',
    undone: (through) => `Not every approved pay run with a pay date up to and including ${through} is executed`,
    // No operation withdraws an approved run: a company that does not want it closes by the settings.
    todo: 'execute these, or close the books by the settings (booksClosedThrough alone), which asks nothing',
    links: ['/api/payroll/pay-runs/{id}'],
    sqlAsOf: `
      SELECT r.company_id, r.id FROM pay_runs r JOIN companies c ON c.id = r.company_id
      WHERE r.status = 'approved' AND r.pay_date <= $1::date
        AND r.pay_date > coalesce(c.books_closed_through, '-infinity')
        AND (NOT r.approval_required OR r.approved_by <> r.created_by)
        AND NOT EXISTS (
          SELECT FROM payslips s
          JOIN paid_periods p ON p.company_id = s.company_id AND p.employee_id = s.employee_id AND p.year = s.year
            AND p.pay_frequency = s.pay_frequency AND p.period_number = s.period_number
          WHERE s.company_id = r.company_id AND s.pay_run_id = r.id)`,
  },
];
