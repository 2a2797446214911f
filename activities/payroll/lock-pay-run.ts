import type { Tx } from '../database.ts';
import type { WriteContext } from '../operation.ts';
import type { PayRunRow } from '../resources/pay-run.ts';

export type LockedPayRun = Omit<PayRunRow, 'payslips'> & {
  /** The company's current setting. If true, the creator may neither approve nor execute the run. */
  approval_required: boolean;
};

/** The pay run of a path, locked with the setting that says who may move it on. */
export async function lockPayRun(
  tx: Tx,
  payRunId: string,
  context: WriteContext<'pay_run_not_found'>,
): Promise<LockedPayRun> {
  const [run] = await tx.query<LockedPayRun>('SELECT (l.run).*, l.approval_required FROM lock_pay_run($1, $2) AS l', [
    context.companyId,
    payRunId,
  ]);
  if (run === undefined) {
    throw context.reject('pay_run_not_found', `There is no pay run ${payRunId}.`, '/payRunId', 'path');
  }
  return run;
}
