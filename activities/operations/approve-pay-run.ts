import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { DEMO } from '../demo.ts';
import { id } from '../fields.ts';
import { defineOperation } from '../operation.ts';
import { lockPayRun } from '../payroll/lock-pay-run.ts';
import { PAY_RUN_COLUMNS, type PayRunRow, payRunResource, toPayRun } from '../resources/pay-run.ts';

export const approvePayRun = defineOperation({
  name: 'approvePayRun',
  type: 'financial',
  summary: 'Approve a pay run',
  description:
    'Approves a draft, so that it can be executed. If the company required approval when the run was ' +
    'made (`approvalRequired`), its creator cannot approve it.',
  method: 'POST',
  path: '/api/payroll/pay-runs/:payRunId/approve',
  params: z.strictObject({ payRunId: id() }),
  body: z.strictObject({}),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 200,
  resource: payRunResource,
  event: 'pay_run.approved',
  effects: { posts: 'never' },
  rejections: {
    pay_run_not_found: { status: 404, title: 'There is no such pay run' },
    pay_run_not_draft: { status: 409, title: 'The pay run is no longer a draft' },
    approver_is_creator: { status: 403, title: 'Someone else has to approve it' },
  },
  constraints: {},
  examples: [{ name: 'approve', summary: 'Approve the draft', params: { payRunId: DEMO.draftPayRunId }, body: {} }],
  approvalAmount: amountAt('totals', 'gross'),
  summarize: ({ params }) => `approvePayRun ${params.payRunId}`,

  async write(tx, { params }, context) {
    const run = await lockPayRun(tx, params.payRunId, context);
    if (run.status !== 'draft') {
      throw context.reject('pay_run_not_draft', `The pay run is ${run.status}.`, '/payRunId', 'path');
    }
    if (run.approval_required && run.created_by === context.userId) {
      throw context.reject('approver_is_creator', 'You created this pay run: someone else has to approve it.');
    }
    const [row] = await tx.query<PayRunRow>(
      `UPDATE pay_runs r SET status = 'approved', approved_by = $3 WHERE r.company_id = $1 AND r.id = $2
       RETURNING ${PAY_RUN_COLUMNS}`,
      [context.companyId, run.id, context.userId],
    );
    if (row === undefined) throw new Error('Bug! The locked pay run does not exist');
    return { resourceId: row.id, body: toPayRun(row) };
  },
});
