import { z } from 'zod';
import { fiscalYear } from '../../activities/fields.ts';
import {
  FISCAL_YEAR_COLUMNS,
  type FiscalYearRow,
  readFiscalYear as findFiscalYear,
  withResults,
} from '../../activities/resources/fiscal-year.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { planJoins } from './plan-joins.ts';
import { pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const FISCAL_YEARS: List = {
  columns: FISCAL_YEAR_COLUMNS,
  from: 'FROM fiscal_years(current_company()) AS f',
  where: 'true',
  order: [{ sql: 'f.year', type: 'integer' }],
};

/** From the year of the first entry to that of today, or of the last entry; the latest first. */
export const listFiscalYears = defineRead({
  path: '/api/ledger/fiscal-years',
  summary: 'List the fiscal years, each with its result',
  group: 'ledger',
  answers: { kind: 'list', resource: 'fiscal_year' },
  params: z.strictObject({}),
  query: z.strictObject(pageQuery),
  async read(tx, { query: { limit, cursor } }, { companyId, cursors }) {
    const page = { path: this.path, companyId, cursors, filters: {}, limit, cursor };
    const { rows, nextCursor } = await readPage<FiscalYearRow>(tx, FISCAL_YEARS, [], page);
    await planJoins(tx, ['journal_entries', 'journal_lines']);
    return { items: await withResults(tx, rows), nextCursor };
  },
});

export const readFiscalYear = defineRead({
  path: '/api/ledger/fiscal-years/:year',
  summary: 'Read a fiscal year',
  group: 'ledger',
  answers: { kind: 'one', resource: 'fiscal_year' },
  params: z.strictObject({ year: fiscalYear() }),
  query: z.strictObject({}),
  async read(tx, { params: { year } }) {
    await planJoins(tx, ['journal_entries', 'journal_lines']);
    const found = await findFiscalYear(tx, Number(year));
    if (found === undefined) throw notFound('fiscal_year', `The company has no fiscal year ${year}.`);
    return found;
  },
});
