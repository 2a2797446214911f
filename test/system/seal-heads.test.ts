import { createHash, randomBytes, verify } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HEADS_CHECK, SEALS_CHECK, UNSEALED_CHECK } from '../../activities/auditor/seals-check.ts';
import type { Pool } from '../../activities/database.ts';
import { rootOf } from '../../activities/seal/digests.ts';
import { publishHeads } from '../../activities/seal/heads.ts';
import { publicKeyOf, signingKey } from '../../activities/seal/signing-key.ts';
import { announceHeads } from '../../worker/seal/announce-heads.ts';
import { auditIn } from '../support/audit.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { startReceiver } from '../support/receiver.ts';
import { startRelay } from '../support/relay.ts';
import { openSealer, sealAll } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';
import { inRolledBackTransaction } from '../support/tampering.ts';

const KEY = signingKey().parse(`first:${randomBytes(32).toString('base64')}`);

let system: System;
let company: Company;
let sealer: Pool;
let folder: string;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
let relay: Awaited<ReturnType<typeof startRelay>>;
beforeAll(async () => {
  system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } });
  [company, receiver, relay] = [await system.company(), await startReceiver(), await startRelay(system)];
  await system.owner.query('UPDATE companies SET webhook_url = $2 WHERE id = $1', [company.id, receiver.url]);
  folder = await mkdtemp(join(tmpdir(), 'accubooks-heads-'));
  sealer = openSealer(system);
});
afterAll(async () => {
  await relay.close();
  await sealer.close();
  await receiver.close();
  await rm(folder, { recursive: true });
  await system.stop();
});

/** Seals what is there, and publishes the heads that are due. */
async function sealAndPublish(key = KEY): Promise<number> {
  await sealAll(sealer);
  return publishHeads(sealer, key);
}

async function heads() {
  const { rows } = await system.owner.query<{ head: string; key_id: string; signature: Buffer; first_number: string }>(
    'SELECT head, key_id, signature, first_number FROM seal_heads WHERE company_id = $1 ORDER BY log, position',
    [company.id],
  );
  return rows.map((row) => ({ ...row, members: JSON.parse(row.head) }));
}

/** As if the last heads were of more than an hour ago. */
async function letAnHourPass(): Promise<void> {
  const client = await system.owner.connect();
  try {
    await client.query("SET session_replication_role = 'replica'");
    await client.query("UPDATE seal_heads SET published_at = published_at - interval '61 minutes'");
  } finally {
    await client.query('RESET session_replication_role');
    client.release();
  }
}

test('a log has its first head at once, and another after an hour with something new', async () => {
  await company.invoice();
  expect(await sealAndPublish()).toBe(2);
  await company.invoice();
  expect(await sealAndPublish()).toBe(0);
  await letAnHourPass();
  expect(await sealAndPublish()).toBe(2);
  await letAnHourPass();
  expect(await sealAndPublish()).toBe(0);
  expect((await heads()).map(({ members }) => [members.log, members.position])).toEqual([
    ['audit', 1],
    ['audit', 2],
    ['journal', 1],
    ['journal', 2],
  ]);
});

test('a head is signed, names the one before, and covers its batches', async () => {
  const { body } = await fetchKeys();
  const [key] = body.keys;
  expect(body.keys).toHaveLength(1);
  expect(key).toMatchObject({ kty: 'OKP', crv: 'Ed25519', kid: 'first' });
  const publicKey = publicKeyOf(Buffer.from(key.x, 'base64url'));
  const found = await heads();
  for (const [i, { head, signature, members, first_number }] of found.entries()) {
    expect(verify(null, Buffer.from(head), publicKey, signature)).toBe(true);
    const before = members.position === 1 ? undefined : found[i - 1];
    const previous = before && createHash('sha256').update(before.head).digest('hex');
    expect(members.previous).toBe(previous ?? '0'.repeat(64));
    const { rows: batches } = await system.owner.query(
      `SELECT head, root FROM seal_batches WHERE company_id = $1 AND log = $2 AND first_number BETWEEN $3 AND $4
       ORDER BY first_number`,
      [company.id, members.log, first_number, members.number],
    );
    expect(members.digest).toBe(batches.at(-1).head.toString('hex'));
    expect(members.root).toBe(rootOf(batches.map(({ root }) => root)).toString('hex'));
  }
});

test('heads leave the database once: into log, file, memo and webhook', async () => {
  const lines: string[] = [];
  const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] as string;
  const announce = () =>
    announceHeads({ pool: sealer, client: system.temporal, taskQueue, folder, logger, delaysMs: [10, 10] });
  const sealed = () => receiver.calls.filter(({ json }) => json.type === 'ledger.sealed');
  // The first call fails, and is made again.
  receiver.answer((_call, response) => void response.writeHead(sealed().length === 1 ? 500 : 204).end());
  expect(await announce()).toBe(4);
  expect(await announce()).toBe(0);
  const expected = (await heads()).map(({ head, key_id, signature }) => ({
    head,
    keyId: key_id,
    signature: signature.toString('base64'),
  }));
  const sorted = (list: readonly { head: string }[]) => list.map(({ head }) => head).sort();

  expect(sorted(lines.map((line) => JSON.parse(line)))).toEqual(sorted(expected));
  const month = new Date().toISOString().slice(0, 7);
  const file = await readFile(join(folder, `seal-heads-${month}.ndjson`), 'utf8');
  expect(
    sorted(
      file
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ),
  ).toEqual(sorted(expected));

  const runs = system.temporal.workflow.list({
    query: `WorkflowType = 'announceHeads' AND TaskQueue = '${taskQueue}-events'`,
  });
  await until('the call to be received', async () => sealed().length === 2);
  const memos = [];
  for await (const { memo } of runs) memos.push(memo);
  expect(memos).toHaveLength(1);
  expect(sorted(memos[0]?.['heads'] as { head: string }[])).toEqual(sorted(expected));

  const [first, again] = sealed();
  expect(again?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
  expect(again?.json.data.companyId).toBe(company.id);
  expect(sorted(again?.json.data.heads)).toEqual(sorted(expected));
});

test('a new key signs under an ID of its own, and the old one stays published', async () => {
  await company.invoice();
  await letAnHourPass();
  const sameId = signingKey().parse(`first:${randomBytes(32).toString('base64')}`);
  await expect(sealAndPublish(sameId)).rejects.toThrow(/SEAL_SIGNING_KEY has the ID first/);
  const second = signingKey().parse(`second:${randomBytes(32).toString('base64')}`);
  expect(await sealAndPublish(second)).toBe(2);
  const { body } = await fetchKeys();
  expect(body.keys.map(({ kid }: { kid: string }) => kid)).toEqual(['first', 'second']);
});

async function fetchKeys() {
  const response = await fetch(`${system.url}/.well-known/accubooks-seal-keys.json`);
  expect(response.status).toBe(200);
  return { body: JSON.parse(await response.text()) };
}

describe('the auditor names what of the heads does not agree, and what was gone past', () => {
  const PLANTS: Readonly<Record<string, readonly [sql: string, kinds: readonly string[]]>> = {
    'a head that another key has signed': [
      "UPDATE seal_heads SET signature = sha256('a') || sha256('b') WHERE company_id = $1 AND log = 'audit' AND position = 1",
      ['head-forged'],
    ],
    'a chain that was rebuilt with its batch, while the head is out': [
      `UPDATE seal_batches SET head = sha256('rebuilt') WHERE company_id = $1 AND log = 'journal'
         AND last_number = (SELECT number FROM seal_heads WHERE company_id = $1 AND log = 'journal' AND position = 1)`,
      ['seal-chain-broken', 'seal-chain-broken', 'head-differs'],
    ],
    'a head that was deleted': [
      "DELETE FROM seal_heads WHERE company_id = $1 AND log = 'journal' AND position = 1",
      ['head-missing'],
    ],
    'a row behind the seal': [
      `INSERT INTO idempotent_write_audit_log (xid, company_id, operation_name, operation_type, idempotency_key, user_id, status,
         request_id, route_path, http_method)
       SELECT '3', company_id, operation_name, operation_type, idempotency_key, user_id, 'replayed', request_id, route_path,
         http_method FROM idempotent_write_audit_log WHERE company_id = $1 LIMIT 1`,
      ['row-unsealed'],
    ],
  };

  test.each(Object.entries(PLANTS))('%s', async (_what, [sql, kinds]) => {
    await inRolledBackTransaction(system.owner, async (client) => {
      const checks = [SEALS_CHECK, HEADS_CHECK, UNSEALED_CHECK];
      expect(await auditIn(client, { checks })).toMatchObject({ named: [], couldNotAsk: [] });
      expect((await client.query(sql, [company.id])).rowCount).toBeGreaterThan(0);
      const { named } = await auditIn(client, { checks });
      expect(named.map(({ kind }) => kind)).toEqual(kinds);
      expect(new Set(named.map(({ companyId }) => companyId))).toEqual(new Set([company.id]));
    });
  });
});
