import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { openPool, type Pool } from '../../activities/database.ts';
import { canonicalJson, SEALED_LOGS } from '../../activities/seal/content.ts';
import { headsWithoutEvidence, keepEvidence } from '../../activities/seal/evidence.ts';
import { publishHeads } from '../../activities/seal/heads.ts';
import { sealLagSeconds, sealPage } from '../../activities/seal/seal.ts';
import { type SigningKey, signingKey } from '../../activities/seal/signing-key.ts';
import { timeStampAuthority } from '../../activities/seal/time-stamp-authority.ts';
import { type SealFinding, verifyLog } from '../../activities/seal/verify-log.ts';
import { until } from './held-invoice.ts';
import type { System } from './system.ts';
import type { TestAuthority } from './time-stamp-authority.ts';

/** Connections of the sealer, as the worker has them. */
export function openSealer(system: Pick<System, 'environment'>): Pool {
  return openPool({
    connectionString: system.environment['SEALER_DATABASE_URL'] as string,
    max: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'test-sealer',
  });
}

/** Seals what may be sealed at this moment: behind an open transaction, in whichever database of the server, nothing is. */
export async function sealNow(sealer: Pool, rowsAPage?: number): Promise<void> {
  while ((await sealPage(sealer, rowsAPage)).isFull);
}

/** Seals all that is there, however long the tests of other files have transactions open. */
export async function sealAll(sealer: Pool, rowsAPage?: number): Promise<void> {
  await until('all rows to be sealed', async () => {
    await sealNow(sealer, rowsAPage);
    return (await sealLagSeconds(sealer)) === 0;
  });
}

/** The same with connections of its own. `onPage` runs after each page that was full. */
export function sealAllOf(
  system: Pick<System, 'environment'>,
  { rowsAPage, onPage }: { readonly rowsAPage?: number; readonly onPage?: () => Promise<void> } = {},
): Promise<void> {
  return asSealer(system, async (sealer) => {
    await until('all rows to be sealed', async () => {
      while ((await sealPage(sealer, rowsAPage)).isFull) await onPage?.();
      return (await sealLagSeconds(sealer)) === 0;
    });
  });
}

async function asSealer<T>(system: Pick<System, 'environment'>, work: (sealer: Pool) => Promise<T>): Promise<T> {
  const sealer = openSealer(system);
  try {
    return await work(sealer);
  } finally {
    await sealer.close();
  }
}

/** What does not agree with the seal of a company, log by log. */
export async function findingsOf(
  database: Pick<pg.ClientBase, 'query'>,
  companyId: string,
): Promise<readonly SealFinding[]> {
  const findings: SealFinding[] = [];
  for (const log of SEALED_LOGS) {
    for await (const page of verifyLog(database, { companyId, log })) findings.push(...page.findings);
  }
  return findings;
}

/** Publishes a head of each log of these companies that has new rows, whenever its last one was. */
export async function publishNow(system: System, companyIds: readonly string[], key: SigningKey): Promise<void> {
  const client = await system.owner.connect();
  await client.query("BEGIN; SELECT set_config('session_replication_role', 'replica', true)");
  await client.query("UPDATE seal_heads SET published_at = published_at - interval '1 hour'");
  await client.query('COMMIT');
  client.release();
  await asSealer(system, (sealer) => publishHeads(sealer, key, { companyIds }));
}

/** Has the newest heads of all logs time-stamped that are not. */
export function stampNow(system: System, { url, ca }: TestAuthority): Promise<void> {
  const witness = timeStampAuthority({ url, ca, timeoutMs: 30_000 });
  return asSealer(system, async (sealer) => {
    for (const head of await headsWithoutEvidence(sealer, 'time-stamp', 100)) {
      await keepEvidence(sealer, head, 'time-stamp', await witness.witness(head));
    }
  });
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
