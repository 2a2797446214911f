import type pg from 'pg';
import { companyTables } from './catalog.ts';

/** What Postgres holds of the writes of one company under some keys: the effects that anyone could observe. */
export type Effects = {
  /** Rows in `idempotent_writes` that succeeded. */
  readonly writes: number;
  readonly rows: number;
  readonly entries: number;
  readonly newAudit: number;
  readonly replayedAudit: number;
  readonly failedAudit: number;
  readonly events: number;
};

/** Counts effects; without `key`, those of all keys of the company. `table` holds the operation's main rows. */
export async function countEffects(
  owner: pg.Pool,
  { companyId, table, key }: { companyId: string; table: string; key?: string },
): Promise<Effects> {
  // Named, here and below: to plan it takes longer than to run it, and it is run thousands of times.
  const text = `WITH w AS (
       SELECT write_id FROM idempotent_writes
       WHERE company_id = $1 AND outcome = 'succeeded' AND ($2::text IS NULL OR idempotency_key = $2)
     ), a AS (
       SELECT status FROM idempotent_write_audit_log WHERE company_id = $1 AND ($2::text IS NULL OR idempotency_key = $2)
     )
     SELECT (SELECT count(*) FROM w)::int AS writes,
       (SELECT count(*) FROM ${table} t WHERE t.company_id = $1 AND ($2::text IS NULL OR t.id IN (SELECT write_id FROM w)))::int AS rows,
       (SELECT count(*) FROM journal_entries e WHERE e.company_id = $1 AND e.write_id IN (SELECT write_id FROM w))::int AS entries,
       (SELECT count(*) FROM a WHERE status = 'new')::int AS "newAudit",
       (SELECT count(*) FROM a WHERE status = 'replayed')::int AS "replayedAudit",
       (SELECT count(*) FROM a WHERE status = 'failed')::int AS "failedAudit",
       (SELECT count(*) FROM outbox o WHERE o.company_id = $1 AND o.write_id IN (SELECT write_id FROM w))::int AS events`;
  const { rows } = await owner.query({ name: `effects-${table}`, text, values: [companyId, key ?? null] });
  return rows[0];
}

export function paymentBody(invoiceId: string, amount = 100) {
  return { invoiceId, amount, currency: 'USD', method: 'bank_transfer', receivedOn: '2026-02-01' };
}

/** How many rows the company has in each of its tables, whichever there are; except the security log, which tells of refusals too. */
export async function countEverything(owner: pg.Pool, companyId: string): Promise<Readonly<Record<string, number>>> {
  const tables = (await companyTables(owner)).filter((table) => table !== 'companies' && table !== 'security_log');
  const text = tables
    .map((table) => `SELECT '${table}' AS t, count(*)::int AS n FROM ${table} WHERE company_id = $1`)
    .join(' UNION ALL ');
  const { rows } = await owner.query({ name: 'everything', text, values: [companyId] });
  return Object.fromEntries(rows.map(({ t, n }) => [t, n]));
}
