import type { FailedControl, MonthCheck } from '../../workflows/event-messages.ts';
import { StorageError, type Tx } from '../database.ts';
import { TransientFailure } from '../failures.ts';
import { HASH_JOINS } from '../hash-joins.ts';
import type { Control } from './control.ts';
import { type Found, inTheWay, MAX_IN_THE_WAY, NOTHING_FOUND } from './in-the-way.ts';
import { MONTH_CONTROLS } from './month-controls.ts';
import { MONTH_STEPS } from './month-steps.ts';

/** For all checks together, well below the limit of the activity (a minute): what takes longer is reported, not retried. */
const LIMIT_MS = 45_000;
/** SQLSTATE of the statement timeout. */
const QUERY_CANCELED = '57014';

/** A step of closing or a control, and what it is called when it takes too long. */
type Check = Pick<Control, 'name' | 'compares' | 'links' | 'sqlAsOf'> & {
  readonly sql?: string;
  readonly title: string;
  /** What operators are told when it fails. */
  readonly fault: string;
  /** What the company is told. */
  detail(through: string): string;
};

const CHECKS: readonly Check[] = [
  ...MONTH_STEPS.map((step) => ({
    ...step,
    title: `The step ${step.name}`,
    detail: (through: string) => `${step.undone(through)}: ${step.todo}.`,
  })),
  ...MONTH_CONTROLS.map((control) => {
    const title = `The control ${control.name}`;
    return {
      ...control,
      title,
      fault: `${title} does not hold: ${control.sentence}`,
      detail: () => `Does not hold: ${control.sentence}`,
    };
  }),
];

/**
 * Checks whether the books may be closed through that day; null means the last day of the month before this one. All
 * queries share one snapshot. What is dated later does not count, except for the controls that cannot be asked as of a date.
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
    : [...(month.over ? [] : [notOver(month.through)]), ...(await failedChecks(tx, month, deadline))];
  return {
    through: month.through,
    settingsVersion: month.version,
    alreadyClosed: month.closed,
    faults: faults.map(({ fault }) => fault),
    failed: faults.flatMap(({ failed }) => failed),
  };
}

/**
 * What is in the way of closing the books through that day, as of that day; nothing if they may be closed. In a transaction that
 * holds the company's row, nothing comes between. Leaves the transaction with the limits and plans that it had. Throws a
 * {@link TransientFailure} where nothing was found and not all could be asked in time: that says nothing about the books.
 */
export async function failedControls(tx: Tx, through: string, limitMs: number): Promise<readonly FailedControl[]> {
  const deadline = performance.now() + limitMs;
  const [limits] = await tx.query<Pick<Month, 'statement_timeout_ms'>>(
    "SELECT setting::int AS statement_timeout_ms FROM pg_settings WHERE name = 'statement_timeout'",
  );
  if (limits === undefined) throw new Error('Bug! The server has no statement timeout');
  const faults = await failedChecks(tx, { through, ...limits }, deadline);
  await tx.query("SELECT set_config('statement_timeout', $1, true), set_config('enable_nestloop', 'on', true)", [
    String(limits.statement_timeout_ms),
  ]);
  const late = faults.find((one) => one.late);
  const found = faults.filter((one) => !one.late);
  if (found.length === 0 && late !== undefined) throw new TransientFailure(late.fault, { mayHaveCommitted: false });
  return found.flatMap(({ failed }) => failed);
}

type Month = {
  readonly through: string;
  readonly version: number;
  readonly closed: boolean;
  readonly over: boolean;
  /** Of this transaction; 0 means that there is none. */
  readonly statement_timeout_ms: number;
};

/**
 * One sentence for the result of the workflow, which operators see, and its parts for the company. `late`: nothing was found,
 * because it could not be asked in time.
 */
type Fault = { readonly fault: string; readonly failed: readonly FailedControl[]; readonly late?: true };

function notOver(through: string): Fault {
  const fault = `${through} has not ended yet`;
  const detail = `${fault}: wait until it has, or close through an earlier day.`;
  return { fault, failed: [{ control: 'period-over', ...NOTHING_FOUND, detail }] };
}

/** The steps that are left, the controls that do not hold, and what could not be checked in time. */
async function failedChecks(
  tx: Tx,
  month: Pick<Month, 'through' | 'statement_timeout_ms'>,
  deadline: number,
): Promise<Fault[]> {
  const failed: Fault[] = [];
  for (const check of CHECKS) {
    const leftMs = Math.floor(deadline - performance.now());
    const limitMs = Math.min(leftMs, month.statement_timeout_ms || leftMs);
    const found = leftMs > 0 ? await findInTime(tx, check, month.through, limitMs) : 'too late';
    if (found === 'too late') failed.push(tooLate(check));
    else if (found.length > 0) failed.push({ fault: check.fault, failed: toldOf(check, found, month.through) });
  }
  return failed;
}

function toldOf(check: Check, found: readonly Found[], through: string): readonly FailedControl[] {
  return inTheWay({ ...check, detail: check.detail(through) }, found, through);
}

function tooLate({ name, title }: Check): Fault {
  const fault = `${title} could not be checked in time`;
  const detail = `${fault}: trigger the workflow again, and ask the operators if that does not help.`;
  return { fault, failed: [{ control: name, ...NOTHING_FOUND, detail }], late: true };
}

async function findInTime(
  tx: Tx,
  check: Check,
  through: string,
  limitMs: number,
): Promise<readonly Found[] | 'too late'> {
  await Promise.all([
    tx.query('SAVEPOINT month_check'),
    tx.query(`SELECT set_config('statement_timeout', $1, true), ${HASH_JOINS}`, [String(limitMs)]),
  ]);
  try {
    const found = await findRows(tx, check, through);
    await tx.query('RELEASE SAVEPOINT month_check');
    return found;
  } catch (error) {
    if (!(error instanceof StorageError) || error.sqlState !== QUERY_CANCELED) throw error;
    await tx.query('ROLLBACK TO SAVEPOINT month_check');
    return 'too late';
  }
}

/**
 * The first rows of the transaction's company that are in the way, and one more, by one statement, so that its limit holds for
 * all of it. Where nothing is in the way, the query reads every row: MATERIALIZED has it planned for that, and not for the
 * first rows.
 */
function findRows(tx: Tx, { sql = '', sqlAsOf }: Check, through: string): Promise<readonly Found[]> {
  return tx.query<Found>(
    `WITH broken AS MATERIALIZED (SELECT * FROM (${sqlAsOf ?? sql}) AS violation WHERE company_id = current_company())
     SELECT * FROM broken LIMIT ${MAX_IN_THE_WAY + 1}`,
    sqlAsOf === undefined ? [] : [through],
  );
}
