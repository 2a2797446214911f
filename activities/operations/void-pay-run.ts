import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { DEMO } from '../demo.ts';
import { date, description, id } from '../fields.ts';
import { correctionDate, DATE_BEFORE_ORIGINAL } from '../ledger/correction-date.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { postMirror } from '../ledger/post-mirror.ts';
import { defineOperation } from '../operation.ts';
import { lockPayRun } from '../payroll/lock-pay-run.ts';
import { PAY_RUN_COLUMNS, type PayRunRow, payRunResource, toPayRun } from '../resources/pay-run.ts';

export const voidPayRun = defineOperation({
  name: 'voidPayRun',
  type: 'financial',
  summary: 'Void a pay run',
  description:
    'Takes back an executed pay run as a whole. Posts the mirror of its entry, dated `date` or today in the company’s time zone. ' +
    'Its periods may then be run again, by another run. Wages that were paid out meanwhile stay as a debit on 2220: the employees ' +
    'owe them. If the company required approval when the run was made (`approvalRequired`), whoever executed it cannot void it.',
  method: 'POST',
  path: '/api/payroll/pay-runs/:payRunId/void',
  params: z.strictObject({ payRunId: id() }),
  body: z.strictObject({ reason: description(), date: date().optional() }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 200,
  resource: payRunResource,
  event: 'pay_run.voided',
  effects: {
    posts: 'always',
    entry: 'the mirror of what executing posted: Cr 6000 · Cr 6010 · Dr 2200 · Dr 2210 · Dr 2220',
    dated: '`date`',
  },
  rejections: {
    pay_run_not_found: { status: 404, title: 'There is no such pay run' },
    already_voided: { status: 409, title: 'It is void already' },
    pay_run_not_executed: { status: 409, title: 'The pay run was not executed: nothing is posted' },
    voider_is_executor: { status: 403, title: 'Someone else has to void it' },
    date_before_original: DATE_BEFORE_ORIGINAL,
    period_closed: PERIOD_CLOSED,
    date_too_late: { ...DATE_TOO_LATE, about: { in: 'body', pointer: '/date' } },
  },
  constraints: { period_closed: 'period_closed', date_too_late: 'date_too_late' },
  examples: [
    {
      name: 'void',
      summary: 'A run with the wrong terms, of which nobody has been paid out',
      params: { payRunId: DEMO.executedPayRunId },
      body: { reason: 'Run before the raise was entered', date: '2026-04-01' },
    },
  ],
  approvalAmount: amountAt('totals', 'gross'),
  summarize: ({ params }) => `voidPayRun ${params.payRunId}`,

  async write(tx, { params, body }, context) {
    const run = await lockPayRun(tx, params.payRunId, context);
    if (run.status === 'voided') {
      throw context.reject('already_voided', `The pay run was voided on ${run.voided_on}.`, '/payRunId', 'path');
    }
    const entryId = run.journal_entry_id;
    if (run.status !== 'executed' || entryId === null) {
      throw context.reject('pay_run_not_executed', `The pay run is ${run.status}.`, '/payRunId', 'path');
    }
    if (run.approval_required && run.executed_by === context.userId) {
      throw context.reject('voider_is_executor', 'You executed this pay run: someone else has to void it.');
    }
    const [day] = await tx.query<{ today: string }>('SELECT company_today($1) AS today', [context.companyId]);
    if (day === undefined) throw new Error('Bug! The company has no today');
    const voidedOn = correctionDate({ requested: body.date, today: day.today, originalDate: run.pay_date }, context);
    const voidEntryId = await postMirror(
      tx,
      { entryId, date: voidedOn, description: `Pay run ${run.id} voided` },
      context,
    );
    const [row] = await tx.query<PayRunRow>(
      `UPDATE pay_runs r SET status = 'voided', voided_on = $3, void_reason = $4, voided_by = $5, void_entry_id = $6
       WHERE r.company_id = $1 AND r.id = $2
       RETURNING ${PAY_RUN_COLUMNS}`,
      [context.companyId, run.id, voidedOn, body.reason, context.userId, voidEntryId],
    );
    if (row === undefined) throw new Error('Bug! The locked pay run does not exist');
    return { resourceId: row.id, body: toPayRun(row) };
  },
});
