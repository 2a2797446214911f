import type { FailedControl, MonthCheck } from '../../workflows/event-messages.ts';
import { StorageError, type Tx } from '../database.ts';
import { MONTH_CONTROLS } from './controls.ts';
import { type Found, inTheWay, MAX_IN_THE_WAY, NOTHING_FOUND } from './in-the-way.ts';
import { MONTH_STEPS } from './month-steps.ts';

/** For all controls together, well below the limit of the activity (a minute): what takes longer is reported, not retried. */
const LIMIT_MS = 45_000;
/** SQLSTATE of the statement timeout. */
const QUERY_CANCELED = '57014';

/**
 * Checks whether the books may be closed through that day; null means the last day of the month before this one. All
 * queries share one snapshot. What is dated later does not count, except for the controls that no day can be asked of.
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
        ...(month.over ? [] : [notOver(month.through)]),
        ...(await stepsLeft(tx, month.through)),
        ...(await brokenMonthControls(tx, month, deadline)),
      ];
  return {
    through: month.through,
    settingsVersion: month.version,
    alreadyClosed: month.closed,
    faults: faults.map(({ fault }) => fault),
    failed: faults.flatMap(({ failed }) => failed),
  };
}

type Month = {
  readonly through: string;
  readonly version: number;
  readonly closed: boolean;
  readonly over: boolean;
  /** Of this transaction; 0 means that there is none. */
  readonly statement_timeout_ms: number;
};

/** One sentence for the result of the workflow, which operators see, and its parts for the company. */
type Fault = { readonly fault: string; readonly failed: readonly FailedControl[] };

function notOver(through: string): Fault {
  const fault = `${through} has not ended yet`;
  return { fault, failed: [{ control: 'period-over', ...NOTHING_FOUND, detail: `${fault}.` }] };
}

async function stepsLeft(tx: Tx, through: string): Promise<Fault[]> {
  const left: Fault[] = [];
  for (const step of MONTH_STEPS) {
    const found = await findRows(tx, step, through);
    if (found.length > 0) left.push({ fault: step.fault, failed: inTheWay(step, found, through) });
  }
  return left;
}

/** Names the controls that do not hold, and those that could not be checked in time. */
async function brokenMonthControls(tx: Tx, month: Month, deadline: number): Promise<Fault[]> {
  const broken: Fault[] = [];
  for (const control of MONTH_CONTROLS) {
    const leftMs = Math.floor(deadline - performance.now());
    const limitMs = Math.min(leftMs, month.statement_timeout_ms || leftMs);
    const found = leftMs > 0 ? await findInTime(tx, control, month.through, limitMs) : 'too late';
    if (found === 'too late') {
      const fault = `The control ${control.name} could not be checked in time`;
      broken.push({ fault, failed: [{ control: control.name, ...NOTHING_FOUND, detail: `${fault}.` }] });
    } else if (found.length > 0) {
      const fault = `The control ${control.name} does not hold: ${control.sentence}`;
      broken.push({ fault, failed: inTheWay(control, found, month.through) });
    }
  }
  return broken;
}

type Query = { readonly sql?: string; readonly sqlAsOf?: string };

async function findInTime(
  tx: Tx,
  control: Query,
  through: string,
  limitMs: number,
): Promise<readonly Found[] | 'too late'> {
  await Promise.all([
    tx.query('SAVEPOINT control'),
    tx.query("SELECT set_config('statement_timeout', $1, true)", [String(limitMs)]),
  ]);
  try {
    const found = await findRows(tx, control, through);
    await tx.query('RELEASE SAVEPOINT control');
    return found;
  } catch (error) {
    if (!(error instanceof StorageError) || error.sqlState !== QUERY_CANCELED) throw error;
    await tx.query('ROLLBACK TO SAVEPOINT control');
    return 'too late';
  }
}

/**
 * The first rows of the transaction's company that are in the way. It counts before it reads any, because the query reads every
 * row where the control holds: EXISTS and LIMIT are planned as if the first rows would do.
 */
async function findRows(tx: Tx, { sql = '', sqlAsOf }: Query, through: string): Promise<readonly Found[]> {
  const rows = `FROM (${sqlAsOf ?? sql}) AS broken WHERE company_id = current_company()`;
  const values = sqlAsOf === undefined ? [] : [through];
  const [counted] = await tx.query<{ none: boolean }>(`SELECT count(*) = 0 AS none ${rows}`, values);
  return counted?.none ? [] : tx.query<Found>(`SELECT * ${rows} LIMIT ${MAX_IN_THE_WAY}`, values);
}
