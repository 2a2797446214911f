import type { Tx } from '../database.ts';
import { Rejection } from '../operation.ts';
import type { PayRunRow } from '../resources/pay-run.ts';

export type LockedPayRun = Omit<PayRunRow, 'payslips'> & {
  /** The company's current setting. If true, the creator may neither approve nor execute the run. */
  approval_required: boolean;
};

/** Locks the pay run that the path names and reads the approval setting. Throws `pay_run_not_found`. */
export async function lockPayRun(tx: Tx, payRunId: string, companyId: string): Promise<LockedPayRun> {
  const [run] = await tx.query<LockedPayRun>('SELECT (l.run).*, l.approval_required FROM lock_pay_run($1, $2) AS l', [
    companyId,
    payRunId,
  ]);
  if (run === undefined) {
    throw new Rejection('pay_run_not_found', `There is no pay run ${payRunId}.`, '/payRunId', 'path');
  }
  return run;
}
