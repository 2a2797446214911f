import type { MonthCheck } from '../../workflows/event-messages.ts';
import { StorageError, type Tx } from '../database.ts';
import type { Control } from './control.ts';
import { MONTH_CONTROLS } from './controls.ts';

/**
 * For all controls together; the statement that is then under way has its own limit, and the activity has a minute. What
 * takes longer is told instead of being tried again and again.
 */
const LIMIT_MS = 45_000;
/** SQLSTATE of the statement timeout. */
const QUERY_CANCELED = '57014';

/**
 * What stands in the way of closing the books through that day (the last of the month before this one when null). All in
 * one snapshot: the controls of the books either hold in it or they don't. They are asked of the books as they stand,
 * whatever the day.
 */
export async function checkMonth(tx: Tx, through: string | null, limitMs = LIMIT_MS): Promise<MonthCheck> {
  const [month] = await tx.query<{ through: string; version: number; closed: boolean; over: boolean }>(
    `SELECT d.through, c.version, coalesce(c.books_closed_through >= d.through, false) AS closed,
       d.through < company_today(c.id) AS over
     FROM companies c,
       LATERAL (SELECT coalesce($1::date, date_trunc('month', company_today(c.id))::date - 1) AS through) AS d
     WHERE c.id = current_company()`,
    [through],
  );
  if (month === undefined) throw new Error('Bug! A company without its row');
  const faults = month.closed
    ? []
    : [
        ...(month.over ? [] : [`${month.through} is not over`]),
        ...(await brokenMonthControls(tx, limitMs)),
        ...((await hasUnreconciled(tx, month.through)) ? ['A bank transaction is not reconciled'] : []),
      ];
  return { through: month.through, settingsVersion: month.version, alreadyClosed: month.closed, faults };
}

/** In words: those that do not hold, and those that did not answer in time. */
async function brokenMonthControls(tx: Tx, limitMs: number): Promise<string[]> {
  const deadline = performance.now() + limitMs;
  const broken: string[] = [];
  for (const control of MONTH_CONTROLS) {
    const answer = performance.now() < deadline ? await ask(tx, control) : 'too late';
    if (answer === 'broken') broken.push(`The control ${control.name} does not hold: ${control.sentence}`);
    if (answer === 'too late') broken.push(`The control ${control.name} took too long to be checked`);
  }
  return broken;
}

/**
 * In the transaction's company. Counted, since all rows are looked at where it holds: EXISTS is planned as if the first
 * one would do.
 */
async function ask(tx: Tx, { sql }: Control): Promise<'holds' | 'broken' | 'too late'> {
  await tx.query('SAVEPOINT control');
  try {
    const [found] = await tx.query<{ holds: boolean }>(
      `SELECT count(*) = 0 AS holds FROM (${sql}) AS broken WHERE company_id = current_company()`,
    );
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
