import type { Tx } from '../../activities/database.ts';
import {
  ENTRY_COLUMNS,
  type EntryRow,
  type NumberedLineRow,
  type Posted,
  readEntryLines,
  readPosted,
  toEntryNumber,
} from '../../activities/resources/journal-entry.ts';
import type { Cursors } from '../reads/cursor.ts';
import { type List, readPage } from '../reads/page.ts';
import { withoutPayroll } from '../reads/payroll-entries.ts';
import { planJoins } from '../reads/plan-joins.ts';

/** A line of the general ledger, with what it says of its entry. The members stand in the order of the columns. */
export type LedgerLine = {
  readonly date: string;
  readonly entryId: string;
  readonly lineNumber: number;
  readonly lineId: string;
  readonly accountCode: string;
  readonly currency: string;
  /** Minor units; debit positive, credit negative. */
  readonly amount: bigint;
  readonly memo: string | null;
  readonly description: string;
  readonly operation: string;
  /** `closing`: it closes or reopens a fiscal year, and a profit and loss leaves it out. */
  readonly kind: EntryRow['kind'];
  readonly writeId: string;
  readonly requestId: string;
  readonly postedBy: string;
  readonly approvedBy: string | null;
  readonly postedAt: string;
  /** The entry that this one takes back. */
  readonly reverses: string | null;
  /** The entry that takes this one back. */
  readonly reversedBy: string | null;
  /** Of the entry in the journal; null until it is sealed. */
  readonly entryNumber: number | null;
};

/** Which entries an export has: those that were there when it began, in the order of `ENTRIES`. */
export type ExportRequest = {
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** Of the caller: who may not read payroll does not get its entries. */
  readonly roles: readonly string[];
  /** As PostgreSQL tells it of the transaction that read the first page. */
  readonly snapshot: string;
};

export type LedgerPage = {
  readonly lines: readonly LedgerLine[];
  /** Where the page ends; null of the last one. */
  readonly next: string | null;
};

/** A page has the lines of so many entries; one has 400 lines at most, and nearly all have two or three. */
const ENTRIES_A_PAGE = 200;

/** By date and, within a day, in the order of posting; oldest first. */
const ENTRIES: List = {
  columns: ENTRY_COLUMNS,
  from: 'FROM journal_entries e',
  where: 'company_id = current_company()',
  order: [
    { sql: 'entry_date', type: 'date', ascending: true },
    { sql: 'created_at', type: 'timestamptz', ascending: true },
    { sql: 'id', type: 'uuid', ascending: true },
  ],
};

/** What tells all pages of an export which entries were there when it began. */
export async function readSnapshot(tx: Tx): Promise<string> {
  const [row] = await tx.query<{ snapshot: string }>('SELECT pg_current_snapshot()::text AS snapshot');
  if (row === undefined) throw new Error('Bug! The statement returned no row');
  return row.snapshot;
}

/**
 * The lines of the next entries after `place`, the end of the page before.
 *
 * Entries never change or go, so that those which the first transaction saw can be told for ever: each has the ID of the
 * transaction that made it. All pages together are what one long transaction would have read, and none is held open meanwhile.
 */
export async function readLedgerPage(
  tx: Tx,
  { from, to, roles, snapshot }: ExportRequest,
  place: string | undefined,
): Promise<LedgerPage> {
  const { rows, nextCursor } = await readPage<EntryRow>(
    tx,
    ENTRIES,
    [['entry_date >= ?', from], ['entry_date <= ?', to], [wasThere('e'), snapshot, snapshot], withoutPayroll(roles)],
    { path: '', companyId: '', cursors: OWN_PLACES, filters: {}, limit: ENTRIES_A_PAGE, cursor: place },
  );
  await planJoins(tx, ['idempotent_writes', 'journal_lines']);
  const [lines, postedBy, reversedBy] = await Promise.all([
    readEntryLines(
      tx,
      rows.map(({ id }) => id),
    ),
    readPosted(tx, rows),
    readReversals(tx, rows, snapshot),
  ]);
  const linesOf = new Map<string, NumberedLineRow[]>(rows.map(({ id }) => [id, []]));
  for (const line of lines) linesOf.get(line.entry_id)?.push(line);
  return {
    lines: rows.flatMap((entry) => {
      const told = { ...entry, posted: postedBy(entry.write_id), reversedBy: reversedBy.get(entry.id) ?? null };
      return (linesOf.get(entry.id) ?? []).map((line) => toLine(told, line));
    }),
    next: nextCursor,
  };
}

/**
 * Of an entry, under that name in the statement: that it was there as of a snapshot, which is the value of both `?`.
 *
 * Where `pg_restore` has brought the books from another cluster, the IDs of transactions are those of that one, and say nothing
 * here. Such a row is there though the ID is not given yet; or its own `xmin`, that of the restore, precedes the snapshot. In
 * this cluster neither is true of an entry that came after the snapshot: its row was inserted by the transaction whose ID it
 * has, or by a later part of it. (`xmin` has 32 bits, and is compared as PostgreSQL does.)
 */
function wasThere(entry: string): string {
  return `(pg_visible_in_snapshot(${entry}.created_xid, ?::pg_snapshot)
    OR ${entry}.created_xid >= pg_snapshot_xmax(pg_current_snapshot())
    OR ((pg_snapshot_xmin(?::pg_snapshot)::text::bigint - ${entry}.xmin::text::bigint) & 4294967295) BETWEEN 1 AND 2147483647)`;
}

/** Entry → the one that reverses it, if that was there as well. */
async function readReversals(
  tx: Tx,
  rows: readonly EntryRow[],
  snapshot: string,
): Promise<ReadonlyMap<string, string>> {
  const found = await tx.query<{ id: string; reverses: string }>(
    `SELECT e.id, e.reverses FROM journal_entries e
     WHERE e.company_id = current_company() AND e.reverses = ANY ($1::uuid[]) AND ${wasThere('e').replaceAll('?', () => '$2')}`,
    [rows.map(({ id }) => id), snapshot],
  );
  return new Map(found.map(({ id, reverses }) => [reverses, id]));
}

/** The place stays in this process, so it needs no signature. */
const OWN_PLACES: Cursors = {
  encode: (place) => JSON.stringify(place),
  decode: (place) => JSON.parse(place) as string[],
};

type ToldEntry = EntryRow & { readonly posted: Posted; readonly reversedBy: string | null };

function toLine(entry: ToldEntry, line: NumberedLineRow): LedgerLine {
  const [postedBy, requestId, approvedBy] = entry.posted;
  return {
    date: entry.entry_date,
    entryId: entry.id,
    lineNumber: line.line_number,
    lineId: line.id,
    accountCode: line.account_code,
    currency: line.currency,
    amount: line.amount_minor,
    memo: line.memo,
    description: entry.description,
    operation: entry.operation,
    kind: entry.kind,
    writeId: entry.write_id,
    requestId,
    postedBy,
    approvedBy,
    postedAt: entry.created_at,
    reverses: entry.reverses,
    reversedBy: entry.reversedBy,
    entryNumber: toEntryNumber(entry.number),
  };
}
