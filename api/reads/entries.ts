import { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import { accountCode, id } from '../../activities/fields.ts';
import {
  ENTRY_COLUMNS,
  type EntryLineRow,
  type EntryRow,
  readEntryLines,
  readPosted,
  toEntry,
} from '../../activities/resources/journal-entry.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { withoutPayroll } from './payroll-entries.ts';
import { planJoins } from './plan-joins.ts';
import { dateRange, operationName, pageQuery } from './query.ts';
import { defineRead } from './read.ts';

/** By date and, within a day, in the order of posting; newest first. */
const ENTRIES: List = {
  columns: ENTRY_COLUMNS,
  from: 'FROM journal_entries e',
  where: 'company_id = current_company()',
  order: [
    { sql: 'entry_date', type: 'date' },
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

export const listEntries = defineRead({
  path: '/api/ledger/entries',
  summary: 'List journal entries, by date',
  group: 'ledger',
  answers: { kind: 'list', resource: 'journal_entry' },
  shows: 'entries',
  params: z.strictObject({}),
  query: z.strictObject({
    ...pageQuery,
    ...dateRange,
    accountCode: accountCode().optional(),
    operation: operationName().optional(),
  }),
  async read(tx, { query: { limit, cursor, ...filters } }, { companyId, cursors, roles }) {
    if (filters.accountCode !== undefined) await planJoins(tx, ['journal_lines']);
    const { rows, nextCursor } = await readPage<EntryRow>(
      tx,
      ENTRIES,
      [
        ['entry_date >= ?', filters.from],
        ['entry_date <= ?', filters.to],
        ['operation = ?', filters.operation],
        [
          `EXISTS (SELECT 1 FROM journal_lines l WHERE l.company_id = e.company_id AND l.entry_id = e.id AND l.account_id = (
             SELECT a.id FROM accounts a WHERE a.company_id = current_company() AND a.code = ?))`,
          filters.accountCode,
        ],
        withoutPayroll(roles),
      ],
      { path: this.path, companyId, cursors, filters, limit, cursor },
    );
    return { items: await withEntryLines(tx, rows), nextCursor };
  },
});

export const readEntry = defineRead({
  path: '/api/ledger/entries/:entryId',
  summary: 'Read a journal entry',
  group: 'ledger',
  answers: { kind: 'one', resource: 'journal_entry' },
  shows: 'entries',
  params: z.strictObject({ entryId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { entryId } }, { roles }) {
    const [sql, hidden] = withoutPayroll(roles);
    const rows = await tx.query<EntryRow>(
      `SELECT ${ENTRY_COLUMNS} FROM journal_entries e
       WHERE company_id = current_company() AND id = $1 AND ${sql.replace('?', '$2')}`,
      [entryId, hidden ?? []],
    );
    const [entry] = await withEntryLines(tx, rows);
    if (entry === undefined) throw notFound('journal_entry', `There is no journal entry ${entryId}.`);
    return entry;
  },
});

/** These entries, each with its lines in order. */
export async function withEntryLines(tx: Tx, rows: readonly EntryRow[]) {
  const ids = rows.map(({ id: entryId }) => entryId);
  const linesOf = new Map<string, EntryLineRow[]>(ids.map((entryId) => [entryId, []]));
  const [lines, postedBy] = await Promise.all([readEntryLines(tx, ids), readPosted(tx, rows)]);
  for (const line of lines) linesOf.get(line.entry_id)?.push(line);
  return rows.map((row) => toEntry({ ...row, posted: postedBy(row.write_id) }, linesOf.get(row.id) ?? []));
}
