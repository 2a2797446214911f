import { generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto';
import canonicalize from 'canonicalize';
import type pg from 'pg';
import { openPool } from '../../activities/database.ts';
import { SEALED_LOGS, type SealedLog } from '../../activities/seal/content.ts';
import { rootOf } from '../../activities/seal/digests.ts';
import { sealPage } from '../../activities/seal/seal.ts';
import type { System } from './system.ts';

/** Seals all that there is, as the worker does. `onPage` runs after each page. */
export async function sealAll(
  { environment }: Pick<System, 'environment'>,
  { rowsAPage, onPage }: { readonly rowsAPage?: number; readonly onPage?: () => Promise<void> } = {},
): Promise<void> {
  const pool = openPool({
    connectionString: environment['SEALER_DATABASE_URL'] as string,
    max: 1,
    statementTimeoutMs: 10_000,
    applicationName: 'test-sealer',
  });
  try {
    while ((await sealPage(pool, rowsAPage)).isFull) await onPage?.();
  } finally {
    await pool.close();
  }
}

/** A key that signs heads. */
export type SealKey = { readonly keyId: string; readonly privateKey: KeyObject; readonly publicKey: Buffer };

export function sealKey(keyId: string): SealKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { keyId, privateKey, publicKey: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url') };
}

/** Signs what docs/seal-format.md calls a head. */
export function signHead(head: object, { keyId, privateKey }: SealKey) {
  const text = canonicalize(head) ?? '';
  return { head: text, keyId, signature: sign(null, Buffer.from(text), privateKey).toString('base64') };
}

/** Publishes a head of each log of a company that has rows behind its last one. */
export async function publishHeads(owner: pg.Pool, companyId: string, key: SealKey): Promise<void> {
  await owner.query('INSERT INTO seal_keys (key_id, public_key) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
    key.keyId,
    key.publicKey,
  ]);
  for (const log of SEALED_LOGS) await publishHead(owner, { companyId, log }, key);
}

async function publishHead(
  owner: pg.Pool,
  { companyId, log }: { companyId: string; log: SealedLog },
  key: SealKey,
): Promise<void> {
  const last = await owner.query(
    'SELECT position, number, head FROM seal_heads WHERE company_id = $1 AND log = $2 ORDER BY position DESC LIMIT 1',
    [companyId, log],
  );
  const before = last.rows[0] ?? { position: 0, number: '0', head: undefined };
  const { rows: batches } = await owner.query(
    `SELECT first_number, last_number, head, root, epoch FROM seal_batches
     WHERE company_id = $1 AND log = $2 AND first_number > $3 ORDER BY first_number`,
    [companyId, log, before.number],
  );
  const end = batches.at(-1);
  if (end === undefined) return;
  const position = before.position + 1;
  const { head, signature } = signHead(
    {
      version: 1,
      companyId,
      log,
      position,
      epoch: end.epoch,
      number: Number(end.last_number),
      digest: end.head.toString('hex'),
      root: rootOf(batches.map(({ root }) => root)).toString('hex'),
      previous: before.head === undefined ? '0'.repeat(64) : hash('sha256', before.head, 'hex'),
      publishedAt: new Date().toISOString().replace('Z', '000Z'),
    },
    key,
  );
  await owner.query(
    `INSERT INTO seal_heads (company_id, log, position, epoch, first_number, number, head, key_id, signature)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      ...[companyId, log, position, end.epoch, batches[0].first_number, end.last_number],
      ...[head, key.keyId, Buffer.from(signature, 'base64')],
    ],
  );
}
