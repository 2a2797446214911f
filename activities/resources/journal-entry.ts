import { z } from 'zod';
import type { Tx } from '../database.ts';
import { toWireSum } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { calendarDate, currencyCode, instant, moneySum, notes, resourceId } from './members.ts';

/**
 * Who posted what these writes have posted, by which request, and who had approved it, by write. The write's row says so, which
 * never expires; audit rows leave the database by the month. One statement for all rows of a page: a look-up for each of them
 * would read all writes of a company that the statistics do not know, as often (see `HASH_JOINS`).
 */
export async function readPosted(
  tx: Tx,
  rows: readonly { readonly write_id: string }[],
): Promise<(writeId: string) => Posted> {
  const found = await tx.query<{ write_id: string; posted: Posted }>(
    `SELECT w.write_id, ARRAY[w.user_id::text, w.request_id, coalesce(q.approved_by, r.approved_by)::text] AS posted FROM idempotent_writes w
     LEFT JOIN pay_runs r ON r.company_id = w.company_id
       AND r.id = CASE w.operation WHEN 'executePayroll' THEN w.resource_id::uuid END
     LEFT JOIN approval_requests q ON q.company_id = w.company_id AND q.write_id = w.write_id
       AND q.write_id = ANY ($1::uuid[])
     WHERE w.company_id = current_company() AND w.write_id = ANY ($1::uuid[])`,
    [[...new Set(rows.map((row) => row.write_id))]],
  );
  const postedOf = new Map(found.map((row) => [row.write_id, row.posted]));
  return (writeId) => {
    const posted = postedOf.get(writeId);
    if (posted === undefined) throw new Error('Bug! An entry whose write has no row');
    return posted;
  };
}

/** As `readPosted` reads it. */
export type Posted = readonly [postedBy: string, requestId: string, approvedBy: string | null];

/** The members that tell who posted something, and when. */
export function toAttribution({ posted: [userId, requestId, approvedBy], created_at }: AttributedRow) {
  return { postedBy: userId, approvedBy, requestId, postedAt: created_at };
}

type AttributedRow = { readonly posted: Posted; readonly created_at: string };

export const attribution = {
  postedBy: resourceId().meta({ description: 'The user whose write it is' }),
  approvedBy: resourceId()
    .nullable()
    .meta({ description: 'Who had approved the write, as a policy asks for it, or the pay run' }),
  requestId: z
    .string()
    .meta({ description: 'Of the request that made the write: in its answer, the audit log and the event' }),
  postedAt: instant(),
};

/** The API's form of a journal entry and its columns. */
export const ENTRY_COLUMNS = `e.id, e.entry_date, entry_kind(e.operation) AS kind, e.description, e.operation, e.write_id, e.reverses, e.metadata,
  e.created_at, (SELECT s.number FROM sealed_entries s WHERE s.company_id = e.company_id AND s.entry_id = e.id) AS number`;

export type EntryRow = {
  id: string;
  entry_date: string;
  kind: 'normal' | 'closing';
  description: string;
  operation: string;
  write_id: string;
  reverses: string | null;
  metadata: Record<string, string>;
  created_at: string;
  /** Null until it is sealed. */
  number: bigint | null;
};

export type EntryLineRow = {
  entry_id: string;
  id: string;
  account_code: string;
  amount_minor: bigint;
  currency: string;
  memo: string | null;
};

export function toEntry(
  row: EntryRow & { readonly posted: Posted },
  lines: readonly EntryLineRow[],
): z.output<typeof journalEntrySchema> {
  return {
    id: row.id,
    entryNumber: toEntryNumber(row.number),
    date: row.entry_date,
    kind: row.kind,
    description: row.description,
    source: { operation: row.operation, writeId: row.write_id },
    reverses: row.reverses,
    lines: lines.map((line) => ({
      id: line.id,
      accountCode: line.account_code,
      amount: toWireSum(line.amount_minor),
      currency: line.currency,
      memo: line.memo,
    })),
    metadata: row.metadata,
    createdAt: row.created_at,
    ...toAttribution(row),
  };
}

/** No journal has more entries than a JSON number has whole numbers. */
export function toEntryNumber(number: bigint | null): number | null {
  return number === null ? null : Number(number);
}

export type NumberedLineRow = EntryLineRow & { line_number: number };

/** Reads the lines of entries of the current company, sorted by entry and number. */
export function readEntryLines(tx: Tx, entryIds: readonly string[]): Promise<NumberedLineRow[]> {
  return tx.query<NumberedLineRow>(
    `SELECT l.entry_id, l.id, l.line_number, a.code AS account_code, l.amount_minor, l.currency, l.memo
     FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
     WHERE l.company_id = current_company() AND l.entry_id = ANY ($1::uuid[])
     ORDER BY l.entry_id, l.line_number`,
    [entryIds],
  );
}

/** The body of the answer for the entry that this transaction has posted. */
export async function readPostedEntry(tx: Tx, entryId: string): Promise<z.output<typeof journalEntrySchema>> {
  const [row] = await tx.query<EntryRow>(
    `SELECT ${ENTRY_COLUMNS} FROM journal_entries e WHERE e.company_id = current_company() AND e.id = $1`,
    [entryId],
  );
  if (row === undefined) throw new Error('Bug! The posted entry does not exist');
  const [lines, postedBy] = await Promise.all([readEntryLines(tx, [entryId]), readPosted(tx, [row])]);
  return toEntry({ ...row, posted: postedBy(row.write_id) }, lines);
}

export const journalEntrySchema = z.object({
  id: resourceId(),
  entryNumber: z
    .int()
    .min(1)
    .nullable()
    .meta({
      description:
        'The number of the entry in the journal, without gaps, in the order in which entries became visible. Null until it is ' +
        'sealed, some seconds after it was posted, and in the answer of the write that posts it',
    }),
  date: calendarDate(),
  kind: z
    .enum(['normal', 'closing'])
    .meta({ description: 'closing: it closes a fiscal year, or reopens it; the profit and loss leaves it out' }),
  description: z.string(),
  source: z.object({ operation: z.string(), writeId: resourceId() }),
  reverses: resourceId().nullable(),
  lines: z.array(
    z.object({
      id: resourceId(),
      accountCode: z.string(),
      amount: moneySum(),
      currency: currencyCode(),
      memo: z.string().nullable(),
    }),
  ),
  metadata: notes(),
  createdAt: instant(),
  ...attribution,
});

export const journalEntryResource: ResourceType = {
  type: 'journalEntry',
  reads: '/api/ledger/entries',
  schema: journalEntrySchema,
};
