import { z } from 'zod';
import { id } from '../../activities/fields.ts';
import { PAY_RUN_COLUMNS, type PayRunRow, toPayRun } from '../../activities/resources/pay-run.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const PAY_RUNS: List = {
  columns: PAY_RUN_COLUMNS,
  from: 'FROM pay_runs r',
  where: 'company_id = current_company()',
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

/** The maximum number of payslips on a page: 200 runs of 5,000 employees each would be 200 MB. One run may have as many. */
const MAX_PAYSLIPS_A_PAGE = 5_000;

export const listPayRuns = defineRead({
  path: '/api/payroll/pay-runs',
  summary: 'List pay runs; a page holds at most 5,000 payslips and may end early',
  group: 'payroll',
  answers: { kind: 'list', resource: 'pay_run' },
  shows: 'payroll',
  params: z.strictObject({}),
  query: z.strictObject(pageQuery),
  async read(tx, { query: { limit, cursor } }, { companyId, cursors }) {
    const page = { path: this.path, companyId, cursors, filters: {}, limit, cursor };
    const sizes = await readPage<{ employee_count: number }>(tx, { ...PAY_RUNS, columns: 'employee_count' }, [], page);
    const fitting = runsThatFit(sizes.rows.map((row) => row.employee_count));
    const { rows, nextCursor } = await readPage<PayRunRow>(tx, PAY_RUNS, [], { ...page, limit: fitting });
    return { items: rows.map(toPayRun), nextCursor };
  },
});

/** How many of these runs fit on one page: at least one, so that paging always advances. */
function runsThatFit(payslipCounts: readonly number[]): number {
  let payslips = 0;
  const tooMany = payslipCounts.findIndex((count) => {
    payslips += count;
    return payslips > MAX_PAYSLIPS_A_PAGE;
  });
  return Math.max(1, tooMany === -1 ? payslipCounts.length : tooMany);
}

export const readPayRun = defineRead({
  path: '/api/payroll/pay-runs/:payRunId',
  summary: 'Read a pay run with its payslips',
  group: 'payroll',
  answers: { kind: 'one', resource: 'pay_run' },
  shows: 'payroll',
  params: z.strictObject({ payRunId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { payRunId } }) {
    const [row] = await tx.query<PayRunRow>(
      `SELECT ${PAY_RUN_COLUMNS} FROM pay_runs r WHERE company_id = current_company() AND id = $1`,
      [payRunId],
    );
    if (row === undefined) throw notFound('pay_run', `There is no pay run ${payRunId}.`);
    return toPayRun(row);
  },
});
