import type pg from 'pg';
import { INVOICE_PAID } from '../../activities/controls/invoices.ts';
import { TABLES_OF_WRITES } from '../../activities/controls/record.ts';
import type { Operation } from '../../activities/operation.ts';

/** One key of one company that a run has sent. */
export type SentKey = { readonly companyId: string; readonly key: string; readonly acknowledged: boolean };

/** What the database contains for the keys of a run. All but the first three counts must be zero. */
export type Findings = {
  readonly writes: number;
  readonly rejected: number;
  readonly cancelled: number;
  /** Effects in excess of one per key: main rows, entries, `new` audit rows, events. */
  readonly duplicates: number;
  /** Keys that were sent but have no row, or the row of a lost write. */
  readonly lost: number;
  /** Acknowledged keys without a row, whose write is lost, or whose write lacks its main row, its audit row or its event. */
  readonly acknowledgedButMissing: number;
  /** Effects of a write in another company. */
  readonly seenByAnother: number;
  /** Entries that do not sum to zero, and invoices whose paid amount differs from their payments. */
  readonly unbalanced: number;
};

/** The number of rows in the operation's table that no write had created before the run. */
export type Before = { readonly strays: number };

export async function lookBefore(auditor: pg.Client, operation: Operation, companyIds: readonly string[]) {
  return { strays: await countStrays(auditor, operation.effects.makes, companyIds) };
}

export async function check(
  auditor: pg.Client,
  operation: Operation,
  keys: readonly SentKey[],
  before: Before,
): Promise<Findings> {
  const table = operation.effects.makes;
  const companyIds = [...new Set(keys.map(({ companyId }) => companyId))];
  const { rows } = await auditor.query(FIND.replaceAll('main_table', table ?? 'nothing'), [
    keys.map(({ companyId }) => companyId),
    keys.map(({ key }) => key),
    keys.map(({ acknowledged }) => acknowledged),
    table !== undefined,
  ]);
  const [found] = rows as [Record<keyof Findings, number>];
  const strays = (await countStrays(auditor, table, companyIds)) - before.strays;
  return {
    ...found,
    duplicates: found.duplicates + Math.max(0, strays),
    unbalanced: found.unbalanced + (await countInvoicesOff(auditor, companyIds)),
  };
}

export function violationsIn(findings: Omit<Findings, 'writes' | 'rejected' | 'cancelled'>): string[] {
  const { duplicates, lost, acknowledgedButMissing, seenByAnother, unbalanced } = findings;
  const mustBeZero = {
    duplicates,
    lost,
    'acknowledged but missing': acknowledgedButMissing,
    'seen by another company': seenByAnother,
    unbalanced,
  };
  return Object.entries(mustBeZero)
    .filter(([, count]) => count !== 0)
    .map(([what, count]) => `${count} ${what}`);
}

/**
 * One row of counts over the pairs of company and key. `$4`: the operation creates a main row with the ID of the write.
 * `nothing` replaces the table of an operation that creates no row.
 */
const FIND = `
WITH nothing AS (SELECT NULL::uuid AS company_id, NULL::uuid AS id WHERE false),
sent AS (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::boolean[]) AS s (company_id, key, acknowledged)
), found AS (
  SELECT s.company_id, s.key, s.acknowledged, w.outcome, w.write_id,
    (SELECT count(*) FROM idempotent_write_audit_log a
     WHERE a.company_id = s.company_id AND a.idempotency_key = s.key AND a.status = 'new') AS new_rows,
    (SELECT count(*) FROM outbox o WHERE o.company_id = s.company_id AND o.write_id = w.write_id) AS events,
    (SELECT count(*) FROM journal_entries e WHERE e.company_id = s.company_id AND e.write_id = w.write_id) AS entries,
    (SELECT count(*) FROM main_table m WHERE m.company_id = s.company_id AND m.id = w.write_id) AS main_rows
  FROM sent s LEFT JOIN idempotent_writes w ON w.company_id = s.company_id AND w.idempotency_key = s.key
)
SELECT count(*) FILTER (WHERE outcome = 'succeeded')::int AS writes,
  count(*) FILTER (WHERE outcome = 'rejected')::int AS rejected,
  count(*) FILTER (WHERE outcome = 'cancelled')::int AS cancelled,
  coalesce(sum(CASE WHEN outcome = 'succeeded'
    THEN greatest(new_rows - 1, 0) + greatest(events - 1, 0) + greatest(entries - 1, 0)
    ELSE new_rows + events + entries + main_rows END), 0)::int AS duplicates,
  count(*) FILTER (WHERE coalesce(outcome, 'lost') = 'lost')::int AS lost,
  count(*) FILTER (WHERE acknowledged AND (coalesce(outcome, 'lost') = 'lost' OR outcome = 'succeeded'
    AND (new_rows = 0 OR events = 0 OR ($4 AND main_rows = 0))))::int AS "acknowledgedButMissing",
  (SELECT count(*) FROM found f JOIN main_table m ON m.id = f.write_id AND m.company_id <> f.company_id)::int
    + (SELECT count(*) FROM found f JOIN outbox o ON o.write_id = f.write_id AND o.company_id <> f.company_id)::int
    + (SELECT count(*) FROM found f JOIN journal_entries e
       ON e.write_id = f.write_id AND e.company_id <> f.company_id)::int AS "seenByAnother",
  (SELECT count(*) FROM (
    SELECT FROM found f JOIN journal_entries e ON e.company_id = f.company_id AND e.write_id = f.write_id
    JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
    GROUP BY e.company_id, e.id, l.currency HAVING sum(l.amount_minor) <> 0) AS unbalanced)::int AS unbalanced
FROM found`;

async function countStrays(auditor: pg.Client, table: string | undefined, companyIds: readonly string[]) {
  if (table === undefined || !TABLES_OF_WRITES.includes(table)) return 0;
  const { rows } = await auditor.query<{ strays: number }>(
    `SELECT count(*)::int AS strays FROM ${table} m WHERE m.company_id = ANY ($1)
     AND NOT EXISTS (SELECT FROM idempotent_writes w WHERE w.company_id = m.company_id AND w.write_id = m.id)`,
    [companyIds],
  );
  return rows[0]?.strays ?? 0;
}

async function countInvoicesOff(auditor: pg.Client, companyIds: readonly string[]): Promise<number> {
  const { rows } = await auditor.query<{ off: number }>(
    `SELECT count(*)::int AS off FROM (${INVOICE_PAID.sql}) AS invoices_off WHERE company_id = ANY ($1)`,
    [companyIds],
  );
  return rows[0]?.off ?? 0;
}
