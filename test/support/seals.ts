import { createHash, randomBytes } from 'node:crypto';
import type pg from 'pg';
import { pino } from 'pino';
import { openPool, type Pool } from '../../activities/database.ts';
import { canonicalJson, SEALED_LOGS, type SealedLog } from '../../activities/seal/content.ts';
import { leafOf, NO_DIGEST, nextInChain, rootOf } from '../../activities/seal/digests.ts';
import { headsWithoutEvidence, keepEvidence } from '../../activities/seal/evidence.ts';
import { publishHeads } from '../../activities/seal/heads.ts';
import { readBatches, readSealedRows, saltOf } from '../../activities/seal/read-log.ts';
import { sealLagSeconds, sealPage } from '../../activities/seal/seal.ts';
import { type SigningKey, signingKey } from '../../activities/seal/signing-key.ts';
import { timeStampAuthority } from '../../activities/seal/time-stamp-authority.ts';
import { type SealFinding, verifyLog } from '../../activities/seal/verify-log.ts';
import { announceHeads } from '../../worker/seal/announce-heads.ts';
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

/** Lets the heads that were published leave the database, as a worker does. */
export function announceNow(system: System, folder?: string): Promise<number> {
  const { temporal: client, environment } = system;
  const taskQueue = environment['TEMPORAL_TASK_QUEUE'] as string;
  const logger = pino({ level: 'silent' });
  return asSealer(system, (pool) => announceHeads({ pool, client, taskQueue, folder, logger }));
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

type Log = { readonly companyId: string; readonly log: SealedLog };

/** What an owner of the database with the key does who wants no trace: leaves, chain, trees and heads anew, of the rows as they are. */
export async function rebuildLog(client: pg.ClientBase, { companyId, log }: Log, key: SigningKey): Promise<void> {
  const table = log === 'journal' ? 'sealed_entries' : 'sealed_audit_rows';
  let chain = NO_DIGEST;
  const ends = new Map<number, { digest: string; root: Buffer }>();
  for (let next = 1n; ; ) {
    const batches = await readBatches(client, companyId, log, next);
    for (const batch of batches) {
      const rows = await readSealedRows(client, companyId, log, batch.first_number, batch.last_number);
      const leaves: Buffer[] = [];
      for (const [number, { content }] of [...rows].toSorted(([one], [other]) => Number(one - other))) {
        const leaf = leafOf(content?.(saltOf(batch, number)) ?? '');
        leaves.push(leaf);
        chain = nextInChain(chain, number, leaf);
        await client.query(`UPDATE ${table} SET leaf = $3 WHERE company_id = $1 AND number = $2`, [
          companyId,
          number,
          leaf,
        ]);
      }
      const root = rootOf(leaves);
      ends.set(Number(batch.last_number), { digest: chain.toString('hex'), root });
      await client.query(
        'UPDATE seal_batches SET head = $4, root = $5 WHERE company_id = $1 AND log = $2 AND first_number = $3',
        [companyId, log, batch.first_number, chain, root],
      );
      next = batch.last_number + 1n;
    }
    if (batches.length === 0) break;
  }
  const { rows: heads } = await client.query<{ head: string }>(
    'SELECT head FROM seal_heads WHERE company_id = $1 AND log = $2 ORDER BY position',
    [companyId, log],
  );
  let before: { head: string; number: number } | undefined;
  for (const { head } of heads) {
    const members = JSON.parse(head);
    const [first, last] = [before?.number ?? 0, members.number];
    const roots = [...ends].filter(([number]) => number > first && number <= last).map(([, { root }]) => root);
    const signed = signHead(
      {
        ...{ ...members, digest: ends.get(last)?.digest, root: rootOf(roots).toString('hex') },
        previous: before === undefined ? '0'.repeat(64) : createHash('sha256').update(before.head).digest('hex'),
      },
      key,
    );
    await client.query(
      `UPDATE seal_heads SET head = $4, signature = decode($5, 'base64')
       WHERE company_id = $1 AND log = $2 AND position = $3`,
      [companyId, log, members.position, signed.head, signed.signature],
    );
    before = { head: signed.head, number: last };
  }
}

/** What a restore takes of a log that was sealed: all behind that number. */
export async function loseBehind(client: pg.ClientBase, { companyId, log }: Log, number: number): Promise<void> {
  const table = log === 'journal' ? 'sealed_entries' : 'sealed_audit_rows';
  await client.query(`DELETE FROM ${table} WHERE company_id = $1 AND number > $2`, [companyId, number]);
  for (const of of ['seal_salts', 'seal_batches']) {
    await client.query(`DELETE FROM ${of} WHERE company_id = $1 AND log = $2 AND first_number > $3`, [
      ...[companyId, log, number],
    ]);
  }
  await client.query('DELETE FROM seal_heads WHERE company_id = $1 AND log = $2 AND number > $3', [
    ...[companyId, log, number],
  ]);
}
