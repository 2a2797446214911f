import type { Tx } from '../database.ts';
import type { WriteContext } from '../operation.ts';
import { PAY_RUN_ROW_COLUMNS, type PayRunRow } from '../resources/pay-run.ts';

export type LockedPayRun = Omit<PayRunRow, 'payslips'>;

/** The pay run of a path, locked. */
export async function lockPayRun(
  tx: Tx,
  payRunId: string,
  context: WriteContext<'pay_run_not_found'>,
): Promise<LockedPayRun> {
  const [run] = await tx.query<LockedPayRun>(`SELECT ${PAY_RUN_ROW_COLUMNS} FROM lock_pay_run_row($1, $2) AS r`, [
    context.companyId,
    payRunId,
  ]);
  if (run === undefined) {
    throw context.reject('pay_run_not_found', `There is no pay run ${payRunId}.`, '/payRunId', 'path');
  }
  return run;
}
