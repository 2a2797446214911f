import { z } from 'zod';
import { DEMO } from '../demo.ts';
import { description, fiscalYear } from '../fields.ts';
import { withHashJoins } from '../hash-joins.ts';
import { closeBooksThrough, FISCAL_YEAR_OUT_OF_ORDER, latestClosed, lockFiscalYears } from '../ledger/fiscal-years.ts';
import { defineOperation } from '../operation.ts';
import { fiscalYearResource, readFiscalYear } from '../resources/fiscal-year.ts';

export const reopenFiscalYear = defineOperation({
  name: 'reopenFiscalYear',
  type: 'financial',
  summary: 'Reopen the latest closed fiscal year',
  description:
    'The books are closed through the day through which they were closed before the year was, unless the settings have opened ' +
    'more of them since, and the mirror of its closing entry is posted, dated the last day of the year. Only the latest closed ' +
    'year can be reopened; it can be closed again.',
  method: 'POST',
  path: '/api/ledger/fiscal-years/:year/reopen',
  params: z.strictObject({ year: fiscalYear() }),
  body: z.strictObject({ reason: description() }),
  schemaVersion: 1,
  roles: ['owner'],
  successStatus: 200,
  resource: fiscalYearResource,
  event: 'fiscal_year.reopened',
  effects: {
    posts: 'sometimes',
    entry: 'the mirror of what closing the year posted',
    dated: 'the last day of the year',
  },
  rejections: { fiscal_year_out_of_order: FISCAL_YEAR_OUT_OF_ORDER },
  constraints: { fiscal_year_out_of_order: 'fiscal_year_out_of_order' },
  examples: [
    {
      name: 'reopen',
      summary: 'Reopen the fiscal year that the example of closeFiscalYear has closed',
      params: { year: DEMO.closableYear },
      body: { reason: 'An invoice of December was found' },
    },
  ],
  summarize: ({ params }) => `reopenFiscalYear ${params.year}`,

  async write(tx, { params, body }, context) {
    const locked = await lockFiscalYears(tx, context);
    const latest = latestClosed(locked);
    if (latest === undefined || latest.year !== Number(params.year)) {
      const detail =
        latest === undefined ? 'No fiscal year is closed.' : `The latest closed fiscal year is ${latest.year}.`;
      throw context.reject('fiscal_year_out_of_order', detail, '/year', 'path');
    }
    const [closing] = await tx.query<{ closed_through_before: string | null; entry_id: string | null }>(
      `UPDATE fiscal_year_closings k SET reopened_by = $3 WHERE k.company_id = $1 AND k.id = $2
       RETURNING k.closed_through_before,
         (SELECT e.id FROM journal_entries e WHERE e.company_id = k.company_id AND e.write_id = k.id) AS entry_id`,
      [context.companyId, latest.closing_id, context.writeId],
    );
    if (closing === undefined) throw new Error('Bug! The closed year has no closing');
    const closedThrough = earlier(closing.closed_through_before, locked.closedThrough);
    if (closedThrough !== locked.closedThrough) await closeBooksThrough(tx, context.companyId, closedThrough);
    if (closing.entry_id !== null) {
      await tx.query(
        `SELECT post_mirror(
           p_company => $1, p_entry => $2, p_write => $3, p_operation => $4, p_date => $5, p_description => $6,
           p_original => $7
         )`,
        [
          context.companyId,
          context.rowId('journal_entries', 0),
          context.writeId,
          context.operation,
          latest.ends_on,
          body.reason,
          closing.entry_id,
        ],
      );
    }
    const reopened = await withHashJoins(tx, () => readFiscalYear(tx, latest.year));
    if (reopened === undefined) throw new Error('Bug! The reopened year is none of the company');
    const lowered = closedThrough === null || (locked.closedThrough !== null && closedThrough < locked.closedThrough);
    return {
      resourceId: params.year,
      body: reopened,
      auditMetadata: { reason: body.reason, closedThroughBefore: locked.closedThrough },
      security: lowered
        ? [
            {
              event: 'control_lowered',
              reason: 'booksClosedThrough',
              details: { before: locked.closedThrough, after: closedThrough },
            },
          ]
        : [],
    };
  },
});

/** Of two days through which books are closed, the one that leaves more of them open; null leaves all. */
function earlier(before: string | null, now: string | null): string | null {
  if (before === null || now === null) return null;
  // Dates of the form YYYY-MM-DD compare correctly as text.
  return before < now ? before : now;
}
