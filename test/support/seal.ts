import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { openPool, type Pool } from '../../activities/database.ts';
import { canonicalJson } from '../../activities/seal/content.ts';
import { publishHeads } from '../../activities/seal/heads.ts';
import { sealPage } from '../../activities/seal/seal.ts';
import { type SigningKey, signingKey } from '../../activities/seal/signing-key.ts';
import { until } from './held-invoice.ts';
import type { System } from './system.ts';

/**
 * Seals all that there is, as the worker does. `onPage` runs after each page. A transaction that is open in another database of
 * the server keeps rows back for a moment, since all of them count transactions together.
 */
export function sealAll(
  system: Pick<System, 'environment' | 'owner'>,
  { rowsAPage, onPage }: { readonly rowsAPage?: number; readonly onPage?: () => Promise<void> } = {},
): Promise<void> {
  return asSealer(system, async (pool) => {
    await until('all rows to be sealed', async () => {
      while ((await sealPage(pool, rowsAPage)).isFull) await onPage?.();
      return isSealed(system.owner);
    });
  });
}

async function isSealed(owner: pg.Pool): Promise<boolean> {
  const { rows } = await owner.query<{ left: boolean }>(
    `SELECT EXISTS (SELECT FROM idempotent_write_audit_log a WHERE NOT EXISTS (
       SELECT FROM sealed_audit_rows s
       WHERE s.company_id = a.company_id AND s.row_id = a.id AND s.row_timestamp = a.timestamp)) AS left`,
  );
  return rows[0]?.left === false;
}

/** Publishes a head of each log of these companies that has new rows, whenever its last one was. */
export async function publishNow(system: System, companyIds: readonly string[], key: SigningKey): Promise<void> {
  const client = await system.owner.connect();
  await client.query("BEGIN; SELECT set_config('session_replication_role', 'replica', true)");
  await client.query("UPDATE seal_heads SET published_at = published_at - interval '1 hour'");
  await client.query('COMMIT');
  client.release();
  await asSealer(system, (pool) => publishHeads(pool, key, { companyIds }));
}

async function asSealer<T>({ environment }: Pick<System, 'environment'>, work: (pool: Pool) => Promise<T>): Promise<T> {
  const pool = openPool({
    connectionString: environment['SEALER_DATABASE_URL'] as string,
    max: 1,
    statementTimeoutMs: 10_000,
    applicationName: 'test-sealer',
  });
  try {
    return await work(pool);
  } finally {
    await pool.close();
  }
}

/** A new key that signs heads. */
export function sealKey(id: string): SigningKey {
  return signingKey().parse(`${id}:${randomBytes(32).toString('base64')}`);
}

/** As a published head. */
export function signHead(head: object, key: SigningKey) {
  const text = canonicalJson(head);
  return { head: text, keyId: key.id, signature: key.sign(text).toString('base64') };
}
