import { z } from 'zod';
import { failedControls } from '../controls/check-month.ts';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { fiscalYear } from '../fields.ts';
import { withHashJoins } from '../hash-joins.ts';
import {
  closeBooksThrough,
  FISCAL_YEAR_OUT_OF_ORDER,
  type LockedYear,
  type LockedYears,
  latestClosed,
  lockFiscalYears,
} from '../ledger/fiscal-years.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import { fiscalYearResource, readFiscalYear } from '../resources/fiscal-year.ts';

/** For the controls; the rest of the attempt is for posting. */
const CONTROLS_LIMIT_MS = 40_000;

export const closeFiscalYear = defineOperation({
  name: 'closeFiscalYear',
  type: 'financial',
  summary: 'Close a fiscal year',
  description:
    '`year` is the one in which the fiscal year ends, by the setting `fiscalYearEnd`. Years are closed in their order, from the ' +
    'first that has an entry, each once it is over, and only while everything holds that `closeMonth` asks for as of its last ' +
    'day: otherwise `failed` in the answer lists what is in the way. One entry, dated that day and of kind `closing`, moves the ' +
    'balance of each income and expense account to retained earnings, per currency; where there is nothing to move, there is ' +
    'none. The books are closed through that day, unless they are closed through a later one.',
  method: 'POST',
  path: '/api/ledger/fiscal-years/:year/close',
  params: z.strictObject({ year: fiscalYear() }),
  body: z.strictObject({}),
  schemaVersion: 1,
  roles: ['owner', 'admin'],
  successStatus: 201,
  resource: fiscalYearResource,
  event: 'fiscal_year.closed',
  attemptLimitMs: 60_000,
  effects: {
    posts: 'sometimes',
    entry:
      'per currency, the balance of each income and expense account to zero: Dr income · Cr expenses · Cr or Dr 3100 the rest',
    dated: 'the last day of the year',
    makes: 'fiscal_year_closings',
  },
  rejections: {
    fiscal_year_closed: {
      status: 409,
      title: 'The fiscal year is closed',
      nextAction: 'fix_request',
      about: { in: 'path', pointer: '/year' },
    },
    fiscal_year_out_of_order: FISCAL_YEAR_OUT_OF_ORDER,
    fiscal_year_not_over: {
      status: 409,
      title: 'The fiscal year is not over',
      about: { in: 'path', pointer: '/year' },
    },
    controls_failed: { status: 409, title: 'The controls do not hold as of the last day of the year' },
  },
  constraints: {
    fiscal_years_closed_once: 'fiscal_year_closed',
    fiscal_year_closed: 'fiscal_year_closed',
    fiscal_year_out_of_order: 'fiscal_year_out_of_order',
    fiscal_year_not_over: 'fiscal_year_not_over',
  },
  examples: [
    {
      name: 'close',
      summary: 'Close the fiscal year that ends in 2025',
      params: { year: DEMO.closableYear },
      body: {},
    },
  ],
  summarize: ({ params }) => `closeFiscalYear ${params.year}`,

  async write(tx, { params }, context) {
    const locked = await lockFiscalYears(tx, context);
    const year = yearToClose(locked, Number(params.year), context);
    await refuseFailedControls(tx, year, context);
    // Dates of the form YYYY-MM-DD compare correctly as text.
    if (locked.closedThrough === null || locked.closedThrough < year.ends_on) {
      await closeBooksThrough(tx, context.companyId, year.ends_on);
    }
    await tx.query(
      `INSERT INTO fiscal_year_closings (company_id, id, year, starts_on, ends_on, closed_through_before)
       VALUES ($1, $2, $3, $4, $5, $6)`,
      [context.companyId, context.writeId, year.year, year.starts_on, year.ends_on, locked.closedThrough],
    );
    const closed = await withHashJoins(tx, async () => {
      await postClosing(tx, year, context);
      return readFiscalYear(tx, year.year);
    });
    if (closed === undefined) throw new Error('Bug! The closed year is none of the company');
    return {
      resourceId: params.year,
      body: closed,
      auditMetadata: { closedThroughBefore: locked.closedThrough },
    };
  },
});

type NotClosable = 'fiscal_year_closed' | 'fiscal_year_out_of_order' | 'fiscal_year_not_over';

function yearToClose(locked: LockedYears, wanted: number, context: WriteContext<NotClosable>): LockedYear {
  const refuse = (code: NotClosable, detail: string) => context.reject(code, detail, '/year', 'path');
  const found = locked.years.find(({ year }) => year === wanted);
  if (found !== undefined && found.closing_id !== null) {
    throw refuse('fiscal_year_closed', `The fiscal year ${wanted} is closed.`);
  }
  const latest = latestClosed(locked);
  const next = locked.years.find(({ year }) => latest === undefined || year > latest.year);
  if (found === undefined || next === undefined || found.year !== next.year) {
    throw refuse(
      'fiscal_year_out_of_order',
      next === undefined ? 'There is no year to close.' : `The next fiscal year to close is ${next.year}.`,
    );
  }
  if (found.ends_on >= locked.today) {
    throw refuse('fiscal_year_not_over', `The fiscal year ${wanted} ends on ${found.ends_on}.`);
  }
  return found;
}

async function refuseFailedControls(tx: Tx, year: LockedYear, context: WriteContext<'controls_failed'>): Promise<void> {
  const failed = await failedControls(tx, year.ends_on, CONTROLS_LIMIT_MS);
  if (failed.length === 0) return;
  const names = [...new Set(failed.map(({ control }) => control))].join(', ');
  throw context.reject('controls_failed', `In the way as of ${year.ends_on}: ${names}.`, '/year', 'path', { failed });
}

/**
 * One statement, so that what is moved is what was read. A line holds at most 10^17, and a sum has no limit: a larger one is
 * moved by several lines. The entry comes first where there is anything to move.
 */
async function postClosing(tx: Tx, year: LockedYear, context: WriteContext): Promise<void> {
  await tx.query(
    `WITH balances AS MATERIALIZED (
       SELECT a.id AS account_id, a.code, l.currency, sum(l.amount_minor) AS amount
       FROM journal_lines l
       JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
       JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
       WHERE l.company_id = $1 AND e.entry_date <= $2 AND a.type IN ('income', 'expense')
       GROUP BY a.id, a.code, l.currency HAVING sum(l.amount_minor) <> 0
     ), entry AS (
       INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description)
       SELECT $1, $3, $4, $5, $2, $6 WHERE EXISTS (SELECT FROM balances)
     ), moves AS (
       SELECT account_id, code, currency, -amount AS amount, 0 AS place FROM balances
       UNION ALL
       SELECT a.id, a.code, b.currency, b.amount, 1 FROM accounts a
       CROSS JOIN (SELECT currency, sum(amount) AS amount FROM balances GROUP BY currency HAVING sum(amount) <> 0) AS b
       WHERE a.company_id = $1 AND a.role = 'retained_earnings'
     ), parts AS (
       SELECT account_id, currency, sign(amount) * least(abs(amount) - part * $7::numeric, $7::numeric) AS amount,
         row_number() OVER (ORDER BY currency, place, code COLLATE "C", part) AS number
       FROM moves CROSS JOIN LATERAL generate_series(0, ceil(abs(amount) / $7::numeric) - 1) AS part
     )
     INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency)
     SELECT $1, row_id($4, 'journal_lines', (number - 1)::integer), $3, number, account_id, amount, currency FROM parts`,
    [
      context.companyId,
      year.ends_on,
      context.rowId('journal_entries', 0),
      context.writeId,
      context.operation,
      `Fiscal year ${year.year} closed`,
      MAX_LINE_MINOR,
    ],
  );
}

/** The largest amount of a line (`journal_lines_amount_minor_check`). */
const MAX_LINE_MINOR = 10n ** 17n;
