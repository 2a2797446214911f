import type pg from 'pg';
import type { Rows, RowsOfKey } from './contender.ts';

/** One database call reads this many keys. */
const KEYS_PER_READ = 20_000;

/** Reads the rows of keys with the two statements of a schema; both get the company as `$1`, the first the keys as `$2`. */
export async function readRows(
  client: pg.Client,
  statements: { readonly ofKeys: string; readonly strays: string },
  companyId: string,
  keys: readonly string[],
): Promise<Rows> {
  const ofKeys: RowsOfKey[] = [];
  for (let from = 0; from < keys.length; from += KEYS_PER_READ) {
    const some = keys.slice(from, from + KEYS_PER_READ);
    const { rows } = await client.query<RowsOfKey>(statements.ofKeys, [companyId, some]);
    ofKeys.push(...rows);
  }
  const { rows } = await client.query<{ strays: number }>(statements.strays, [companyId]);
  return { ofKeys, strays: rows[0]?.strays ?? 0 };
}

/** For `schema.sql`, the tables of every contender but ours. */
export const PEER_ROWS = {
  ofKeys: `
    SELECT k.key, count(p.id)::int AS payments, min(p.id::text) AS "paymentId",
      coalesce(sum(l.lines), 0)::int AS lines, coalesce(sum(l.sum_minor), 0)::float8 AS "sumMinor",
      coalesce(sum(a.audit_rows), 0)::int AS "auditRows"
    FROM unnest($2::text[]) AS k (key)
    LEFT JOIN payments p ON p.company_id = $1 AND p.key = k.key
    LEFT JOIN LATERAL (
      SELECT count(*) AS lines, sum(amount_minor) AS sum_minor FROM journal_lines WHERE payment_id = p.id
    ) AS l ON true
    LEFT JOIN LATERAL (SELECT count(*) AS audit_rows FROM audit_log WHERE payment_id = p.id) AS a ON true
    GROUP BY k.key`,
  strays: `
    SELECT count(*)::int AS strays FROM payments p WHERE company_id = $1
    AND NOT EXISTS (SELECT FROM idempotency_keys k WHERE k.company_id = p.company_id AND k.key = p.key)`,
};

/** For our own schema, where a payment has the ID of its write. */
export const OUR_ROWS = {
  ofKeys: `
    SELECT k.key, count(p.id)::int AS payments, min(p.id::text) AS "paymentId",
      coalesce(sum(l.lines), 0)::int AS lines, coalesce(sum(l.sum_minor), 0)::float8 AS "sumMinor",
      coalesce(sum(a.audit_rows), 0)::int AS "auditRows"
    FROM unnest($2::text[]) AS k (key)
    LEFT JOIN idempotent_writes w ON w.company_id = $1::uuid AND w.idempotency_key = k.key
    LEFT JOIN payments p ON p.company_id = w.company_id AND p.id = w.write_id
    LEFT JOIN LATERAL (
      SELECT count(*) AS lines, sum(amount_minor) AS sum_minor FROM journal_lines jl
      WHERE jl.company_id = p.company_id AND jl.entry_id IN (
        SELECT e.id FROM journal_entries e WHERE e.company_id = p.company_id AND e.write_id = w.write_id)
    ) AS l ON true
    LEFT JOIN LATERAL (
      SELECT count(*) AS audit_rows FROM idempotent_write_audit_log al
      WHERE al.company_id = w.company_id AND al.idempotency_key = w.idempotency_key AND al.status = 'new'
    ) AS a ON true
    GROUP BY k.key`,
  strays: `
    SELECT count(*)::int AS strays FROM payments p WHERE company_id = $1
    AND NOT EXISTS (SELECT FROM idempotent_writes w WHERE w.company_id = p.company_id AND w.write_id = p.id)`,
};
