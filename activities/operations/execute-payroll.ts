import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { id } from '../fields.ts';
import { type EntryLine, postEntry } from '../ledger/post-entry.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import { type LockedPayRun, lockPayRun } from '../payroll/lock-pay-run.ts';
import { PAY_RUN_COLUMNS, type PayRunRow, payRunResource, toPayRun } from '../resources/pay-run.ts';

export const executePayroll = defineOperation({
  name: 'executePayroll',
  type: 'financial',
  summary: 'Execute a pay run',
  description:
    'Pays exactly the run’s payslips. Posts one entry dated the pay date: debit wages expense and employer payroll tax ' +
    'expense, credit payroll taxes, deductions and wages payable. An employee is paid at most once per period, unless that run was voided. If the company ' +
    'required approval when the run was made (`approvalRequired`), its creator cannot execute it.',
  method: 'POST',
  path: '/api/payroll/pay-runs/:payRunId/execute',
  params: z.strictObject({ payRunId: id() }),
  body: z.strictObject({}),
  schemaVersion: 1,
  roles: ['owner', 'admin'],
  successStatus: 200,
  resource: payRunResource,
  event: 'pay_run.executed',
  effects: {
    posts: 'always',
    entry:
      'Dr 6000 gross · Dr 6010 employer tax · Cr 2200 tax withheld and employer tax · Cr 2210 deductions · Cr 2220 net',
    dated: 'the pay date',
  },
  rejections: {
    pay_run_not_found: { status: 404, title: 'There is no such pay run' },
    pay_run_not_approved: { status: 409, title: 'The pay run is not approved yet' },
    pay_run_already_executed: { status: 409, title: 'The pay run was executed already' },
    executor_is_creator: { status: 403, title: 'Someone else has to execute it' },
    period_already_paid: { status: 409, title: 'An employee has been paid for this period already' },
    period_closed: {
      status: 409,
      title: 'The books are closed for the pay date',
      about: { in: 'path', pointer: '/payRunId' },
      toldByDatabase: true,
    },
    date_too_late: {
      status: 422,
      title: 'The pay date is more than latestPostingDays after today',
      about: { in: 'path', pointer: '/payRunId' },
    },
  },
  constraints: {
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
    paid_periods_once: 'period_already_paid',
  },
  examples: [
    {
      name: 'execute',
      summary: 'Execute the approved pay run',
      params: { payRunId: DEMO.approvedPayRunId },
      body: {},
    },
  ],
  approvalAmount: amountAt('totals', 'gross'),
  summarize: ({ params }) => `executePayroll of pay run ${params.payRunId}`,

  async write(tx, { params }, context) {
    const run = await lockPayRun(tx, params.payRunId, context);
    if (run.status === 'executed' || run.status === 'voided') {
      const since = run.status === 'voided' ? `, and voided on ${run.voided_on}: make another` : '';
      throw context.reject(
        'pay_run_already_executed',
        `The pay run was executed already${since}.`,
        '/payRunId',
        'path',
      );
    }
    if (run.status !== 'approved') {
      throw context.reject('pay_run_not_approved', `The pay run is a ${run.status}.`, '/payRunId', 'path');
    }
    if (run.approval_required && run.created_by === context.userId) {
      throw context.reject('executor_is_creator', 'You created this pay run: someone else has to execute it.');
    }
    if (run.approval_required && run.approved_by === run.created_by) {
      // Approved before the demand was pinned, while the setting was switched off.
      throw context.reject(
        'pay_run_not_approved',
        'The pay run requires the approval of someone other than its creator, and has only the creator’s: make another.',
        '/payRunId',
        'path',
      );
    }
    await requireUnpaid(tx, run, context);
    const entryId = await postEntry(
      tx,
      {
        date: run.pay_date,
        description: `Payroll ${run.pay_frequency} ${run.year}/${run.period_number}, pay run ${run.id}`,
        lines: entryLines(run),
      },
      context,
    );
    const [row] = await tx.query<PayRunRow>(
      // Sorted, so that two runs with the same employees wait for each other instead of deadlocking.
      `WITH paid AS (
         INSERT INTO paid_periods (company_id, employee_id, year, pay_frequency, period_number, pay_run_id)
         SELECT s.company_id, s.employee_id, s.year, s.pay_frequency, s.period_number, s.pay_run_id
         FROM payslips s WHERE s.company_id = $1 AND s.pay_run_id = $2 ORDER BY s.employee_id
       )
       UPDATE pay_runs r SET status = 'executed', executed_by = $3, journal_entry_id = $4
       WHERE r.company_id = $1 AND r.id = $2
       RETURNING ${PAY_RUN_COLUMNS}`,
      [context.companyId, run.id, context.userId, entryId],
    );
    if (row === undefined) throw new Error('Bug! The locked pay run does not exist');
    return { resourceId: row.id, body: toPayRun(row) };
  },
});

/** Names who has been paid already. `paid_periods_once` catches a concurrent payment. */
async function requireUnpaid(tx: Tx, run: LockedPayRun, context: WriteContext<'period_already_paid'>): Promise<void> {
  const [paid] = await tx.query<{ employee_id: string; pay_run_id: string }>(
    `SELECT p.employee_id, p.pay_run_id
     FROM payslips s
     JOIN paid_periods p ON p.company_id = s.company_id AND p.employee_id = s.employee_id AND p.year = s.year
       AND p.pay_frequency = s.pay_frequency AND p.period_number = s.period_number
     WHERE s.company_id = $1 AND s.pay_run_id = $2
     ORDER BY p.employee_id LIMIT 1`,
    [context.companyId, run.id],
  );
  if (paid === undefined) return;
  throw context.reject(
    'period_already_paid',
    `Employee ${paid.employee_id} was paid for this period by pay run ${paid.pay_run_id}.`,
  );
}

/** Dr 6000 gross · Dr 6010 employer tax · Cr 2200 both taxes · Cr 2210 deductions · Cr 2220 net. */
function entryLines(run: LockedPayRun): EntryLine[] {
  const { currency } = run;
  return [
    { role: 'wages', amountMinor: run.gross_minor, currency },
    { role: 'employer_tax', amountMinor: run.employer_tax_minor, currency },
    { role: 'payroll_taxes', amountMinor: -(run.tax_minor + run.employer_tax_minor), currency },
    {
      role: 'payroll_deductions',
      amountMinor: -(run.pre_tax_deductions_minor + run.post_tax_deductions_minor),
      currency,
    },
    { role: 'wages_payable', amountMinor: -run.net_minor, currency },
  ];
}
