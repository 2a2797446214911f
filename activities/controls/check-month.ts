import type { MonthCheck } from '../../workflows/event-messages.ts';
import { StorageError, type Tx } from '../database.ts';
import type { Control } from './control.ts';
import { MONTH_CONTROLS } from './controls.ts';

/** For all queries together, well below the limit of the activity (a minute): what takes longer is reported, not retried. */
const LIMIT_MS = 45_000;
/** SQLSTATE of the statement timeout. */
const QUERY_CANCELED = '57014';

/**
 * Checks whether the books may be closed through that day; null means the last day of the month before this one. All
 * queries share one snapshot. The controls check the books as they are now, whatever the day.
 */
export async function checkMonth(tx: Tx, through: string | null, limitMs = LIMIT_MS): Promise<MonthCheck> {
  const deadline = performance.now() + limitMs;
  const [month] = await tx.query<Month>(
    `SELECT d.through, c.version, coalesce(c.books_closed_through >= d.through, false) AS closed,
       d.through < company_today(c.id) AS over,
       (SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout') AS statement_timeout_ms
     FROM companies c,
       LATERAL (SELECT coalesce($1::date, date_trunc('month', company_today(c.id))::date - 1) AS through) AS d
     WHERE c.id = current_company()`,
    [through],
  );
  if (month === undefined) throw new Error('Bug! The company has no row');
  const faults = month.closed
    ? []
    : [
        ...(month.over ? [] : [`${month.through} has not ended yet`]),
        ...((await hasUnreconciled(tx, month.through)) ? ['A bank transaction in this period is not reconciled'] : []),
        ...(await brokenMonthControls(tx, deadline, month.statement_timeout_ms)),
      ];
  return { through: month.through, settingsVersion: month.version, alreadyClosed: month.closed, faults };
}

type Month = {
  readonly through: string;
  readonly version: number;
  readonly closed: boolean;
  readonly over: boolean;
  /** Of this transaction; 0 means that there is none. */
  readonly statement_timeout_ms: number;
};

/** Names the controls that do not hold, and those that could not be checked in time. */
async function brokenMonthControls(tx: Tx, deadline: number, statementMs: number): Promise<string[]> {
  const broken: string[] = [];
  for (const control of MONTH_CONTROLS) {
    const leftMs = Math.floor(deadline - performance.now());
    const result = leftMs > 0 ? await checkControl(tx, control, Math.min(leftMs, statementMs || leftMs)) : 'too late';
    if (result === 'broken') broken.push(`The control ${control.name} does not hold: ${control.sentence}`);
    if (result === 'too late') broken.push(`The control ${control.name} could not be checked in time`);
  }
  return broken;
}

/**
 * Checks one control for the company of the transaction. It counts, because the query reads every row where the control
 * holds: EXISTS is planned as if the first row would do.
 */
async function checkControl(tx: Tx, { sql }: Control, limitMs: number): Promise<'holds' | 'broken' | 'too late'> {
  await Promise.all([
    tx.query('SAVEPOINT control'),
    tx.query("SELECT set_config('statement_timeout', $1, true)", [String(limitMs)]),
  ]);
  try {
    const [found] = await tx.query<{ holds: boolean }>(
      `SELECT count(*) = 0 AS holds FROM (${sql}) AS broken WHERE company_id = current_company()`,
    );
    await tx.query('RELEASE SAVEPOINT control');
    return found?.holds ? 'holds' : 'broken';
  } catch (error) {
    if (!(error instanceof StorageError) || error.sqlState !== QUERY_CANCELED) throw error;
    await tx.query('ROLLBACK TO SAVEPOINT control');
    return 'too late';
  }
}

async function hasUnreconciled(tx: Tx, through: string): Promise<boolean> {
  const [found] = await tx.query<{ found: boolean }>(
    `SELECT EXISTS (
       SELECT FROM bank_transactions b
       WHERE b.company_id = current_company() AND b.booked_on <= $1 AND b.status = 'unreconciled') AS found`,
    [through],
  );
  return found?.found ?? false;
}
