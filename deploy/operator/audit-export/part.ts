import type pg from 'pg';
import type { SealedLog } from '../../../activities/seal/content.ts';
import { type HeadRow, type PublishedHead, publishedOf, TIME_STAMP_OF_HEAD } from './published-heads.ts';

/** Which part of a log goes into a bundle. */
export type Part = {
  /** Where there are no rows, `last` is before `first`. */
  readonly first: number;
  readonly last: number;
  /** What the part follows on, where it does not begin with number 1. */
  readonly start: Start | null;
  /** Rows that nobody has sealed yet, and that are in no bundle. */
  readonly unsealed: number;
};
type Start = { readonly number: number; readonly digest: string; readonly head: PublishedHead };

type Queryable = Pick<pg.ClientBase, 'query'>;
type Log = { readonly companyId: string; readonly log: SealedLog };
/** Days in UTC; null for no bound. */
type Days = { readonly from: string | null; readonly to: string | null };

/**
 * All that is sealed; with days, from the head before the first row of them to the head over the last, so that the part is
 * signed at both ends.
 */
export async function findPart(database: Queryable, of: Log, { from, to }: Days): Promise<Part> {
  const { last, unsealed } = await findEnd(database, of);
  if (from === null && to === null) return { first: 1, last, start: null, unsealed };
  const { rows } = await database.query<{ first: string | null; last: string | null }>(WRITTEN_ON[of.log], [
    of.companyId,
    from ?? '-infinity',
    to ?? 'infinity',
    last,
  ]);
  const [days] = rows;
  if (days?.first === null || days?.last === null || days === undefined)
    return { first: 1, last: 0, start: null, unsealed };
  const before = await findHead(database, of, Number(days.first), 'before');
  const behind = await findHead(database, of, Number(days.last), 'over');
  const start = before === undefined ? null : startBehind(before);
  return { first: start?.number ?? 1, last: behind === undefined ? last : Number(behind.number), start, unsealed };
}

/** In one statement: a row that is sealed meanwhile is counted once. */
async function findEnd(database: Queryable, { companyId, log }: Log): Promise<{ last: number; unsealed: number }> {
  const { rows } = await database.query<{ last: string; unsealed: string }>(
    `SELECT coalesce((SELECT last_number FROM seal_batches WHERE company_id = $1 AND log = $2
         ORDER BY first_number DESC LIMIT 1), 0)::text AS last,
       (${UNSEALED[log]})::text AS unsealed`,
    [companyId, log],
  );
  return { last: Number(rows[0]?.last), unsealed: Number(rows[0]?.unsealed) };
}

const UNSEALED: Readonly<Record<SealedLog, string>> = {
  journal: `SELECT count(*) FROM journal_entries e WHERE e.company_id = $1 AND NOT EXISTS (
    SELECT FROM sealed_entries s WHERE s.company_id = e.company_id AND s.entry_id = e.id)`,
  audit: `SELECT count(*) FROM idempotent_write_audit_log a WHERE a.company_id = $1 AND NOT EXISTS (
    SELECT FROM sealed_audit_rows s
    WHERE s.company_id = a.company_id AND s.row_id = a.id AND s.row_timestamp = a.timestamp)`,
};

/** The numbers of the first and the last row of these days. An entry that is gone has no day: its neighbours have. */
const WRITTEN_ON: Readonly<Record<SealedLog, string>> = {
  journal: `SELECT min(s.number)::text AS first, max(s.number)::text AS last FROM sealed_entries s
    JOIN journal_entries e ON e.company_id = s.company_id AND e.id = s.entry_id
    WHERE s.company_id = $1 AND s.number <= $4 AND e.created_at >= $2::timestamp AT TIME ZONE 'UTC'
      AND e.created_at < ($3::timestamp + interval '1 day') AT TIME ZONE 'UTC'`,
  audit: `SELECT min(s.number)::text AS first, max(s.number)::text AS last FROM sealed_audit_rows s
    WHERE s.company_id = $1 AND s.number <= $4 AND s.row_timestamp >= $2::timestamp AT TIME ZONE 'UTC'
      AND s.row_timestamp < ($3::timestamp + interval '1 day') AT TIME ZONE 'UTC'`,
};

type NumberedHead = HeadRow & { readonly number: string };

async function findHead(
  database: Queryable,
  { companyId, log }: Log,
  number: number,
  which: 'before' | 'over',
): Promise<NumberedHead | undefined> {
  const { rows } = await database.query<NumberedHead>(
    `SELECT h.head, h.key_id, h.signature, e.evidence AS time_stamp, h.number::text FROM seal_heads h ${TIME_STAMP_OF_HEAD}
     WHERE h.company_id = $1 AND h.log = $2
     ${which === 'before' ? 'AND h.number < $3 ORDER BY h.number DESC' : 'AND h.number >= $3 ORDER BY h.number'} LIMIT 1`,
    [companyId, log, number],
  );
  return rows[0];
}

function startBehind(head: NumberedHead): Start {
  const { digest } = JSON.parse(head.head) as { digest: string };
  return { number: Number(head.number) + 1, digest, head: publishedOf(head) };
}
