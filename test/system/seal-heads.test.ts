import { createHash, randomBytes, verify } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EPOCHS_CHECK, HEADS_CHECK, SEALS_CHECK, UNSEALED_CHECK } from '../../activities/auditor/seals-check.ts';
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
let other: Company;
let sealer: Pool;
let folder: string;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
let relay: Awaited<ReturnType<typeof startRelay>>;
beforeAll(async () => {
  system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } });
  [company, receiver, relay] = [await system.company(), await startReceiver(), await startRelay(system)];
  other = await system.company('Other');
  await system.owner.query('UPDATE companies SET webhook_url = $1', [receiver.url]);
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

/** Seals what is there, each row in a batch of its own, and publishes the heads that are due. */
async function sealAndPublish(key = KEY, batchesAHead?: number): Promise<number> {
  await sealAll(sealer, 1);
  return publishHeads(sealer, key, batchesAHead === undefined ? {} : { batchesAHead });
}

async function heads(of = company) {
  const { rows } = await system.owner.query<{ head: string; key_id: string; signature: Buffer; first_number: string }>(
    'SELECT head, key_id, signature, first_number FROM seal_heads WHERE company_id = $1 ORDER BY log, position',
    [of.id],
  );
  return rows.map((row) => ({ ...row, first: Number(row.first_number), members: JSON.parse(row.head) }));
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
  await sealAll(sealer, 1);
  // While another worker publishes.
  const client = await system.owner.connect();
  try {
    await client.query('BEGIN; SELECT FROM seal_position FOR UPDATE');
    expect(await publishHeads(sealer, KEY)).toBe(0);
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
  expect(await publishHeads(sealer, KEY)).toBe(2);
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

test('where many batches have gathered, several heads follow one another at once', async () => {
  for (let i = 0; i < 5; i += 1) await company.invoice();
  const before = (await heads()).length;
  const published = await sealAndPublish(KEY, 2);
  const found = await heads();
  expect(published).toBe(found.length - before);
  const journal = found.filter(({ members }) => members.log === 'journal').slice(2);
  expect(journal.map(({ first, members }) => members.number - first + 1)).toEqual([2, 2, 1]);
  expect(new Set(journal.map(({ members }) => members.publishedAt)).size).toBe(1);
  await company.invoice();
  expect(await sealAndPublish(KEY, 2)).toBe(0);
  // And as many rows: here batches of one.
  for (let i = 0; i < 2; i += 1) await company.invoice();
  await sealAll(sealer, 1);
  await letAnHourPass();
  await publishHeads(sealer, KEY, { rowsAHead: 2 });
  const later = (await heads()).filter(({ members }) => members.log === 'journal').slice(5);
  expect(later.map(({ first, members }) => members.number - first + 1)).toEqual([2, 1]);
});

test('a head is signed, names the one before, and covers the batches behind it', async () => {
  const { body } = await fetchKeys();
  const [key] = body.keys;
  expect(body.keys).toHaveLength(1);
  expect(key).toMatchObject({ kty: 'OKP', crv: 'Ed25519', kid: 'first' });
  const publicKey = publicKeyOf(Buffer.from(key.x, 'base64url'));
  const found = await heads();
  for (const [i, { head, signature, members, first }] of found.entries()) {
    expect(verify(null, Buffer.from(head), publicKey, signature)).toBe(true);
    const before = members.position === 1 ? undefined : found[i - 1];
    const previous = before && createHash('sha256').update(before.head).digest('hex');
    expect(members.previous).toBe(previous ?? '0'.repeat(64));
    expect(first).toBe((before?.members.number ?? 0) + 1);
    const { rows: batches } = await system.owner.query(
      `SELECT head, root, last_number FROM seal_batches WHERE company_id = $1 AND log = $2 AND first_number BETWEEN $3 AND $4
       ORDER BY first_number`,
      [company.id, members.log, first, members.number],
    );
    expect(members.number).toBe(Number(batches.at(-1).last_number));
    expect(members.digest).toBe(batches.at(-1).head.toString('hex'));
    expect(members.root).toBe(rootOf(batches.map(({ root }) => root)).toString('hex'));
  }
});

test('heads leave the database once: into log, file, memo and webhook', async () => {
  await other.invoice();
  expect(await sealAndPublish()).toBe(2);
  const lines: string[] = [];
  const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] as string;
  const announce = () =>
    announceHeads({ pool: sealer, client: system.temporal, taskQueue, folder, logger, delaysMs: [10, 10] });
  const sealed = (of: Company) =>
    receiver.calls.filter(({ json }) => json.type === 'ledger.sealed' && json.data.companyId === of.id);
  // The first call of the one company fails, and is made again.
  receiver.answer(({ json }, response) => {
    const fails = json.data?.companyId === company.id && sealed(company).length === 1;
    response.writeHead(fails ? 500 : 204).end();
  });
  const toPublished = ({ head, key_id, signature }: Awaited<ReturnType<typeof heads>>[number]) => ({
    head,
    keyId: key_id,
    signature: signature.toString('base64'),
  });
  const [own, others] = [(await heads()).map(toPublished), (await heads(other)).map(toPublished)];
  expect(await announce()).toBe(own.length + others.length);
  expect(await announce()).toBe(0);
  const sorted = (list: readonly object[]) =>
    list.map((published) => JSON.stringify(published, ['head', 'keyId', 'signature'])).sort();
  const all = sorted([...own, ...others]);

  expect(sorted(lines.map((line) => JSON.parse(line)))).toEqual(all);
  const month = new Date().toISOString().slice(0, 7);
  const file = await readFile(join(folder, `seal-heads-${month}.ndjson`), 'utf8');
  expect(file.trimEnd().split('\n').sort()).toEqual(all);

  const query = `WorkflowType = 'announceHeads' AND TaskQueue = '${taskQueue}-events'`;
  const runs = async () => {
    const found = [];
    for await (const run of system.temporal.workflow.list({ query })) found.push(run);
    return found;
  };
  await until('the run to be listed', async () => (await runs()).length > 0);
  const [run] = await runs();
  await system.temporal.workflow.getHandle(run?.workflowId ?? '').result();
  expect(sorted(run?.memo?.['heads'] as object[])).toEqual(all);

  // A company is told its own heads, until it has received them.
  const [first, again, ...more] = sealed(company);
  expect(more).toEqual([]);
  expect(again?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
  expect(sorted(again?.json.data.heads)).toEqual(sorted(own));
  expect(sealed(other).map(({ json }) => sorted(json.data.heads))).toEqual([sorted(others)]);

  // As after a crash before it was noted: it is the same run.
  await system.owner.query('UPDATE seal_heads SET announced_at = NULL');
  expect(await announce()).toBe(all.length);
  expect(await announce()).toBe(0);
  expect(await runs()).toHaveLength(1);
});

test('a new key signs under an ID of its own, is known before its first head, and the old one stays published', async () => {
  await company.invoice();
  const second = signingKey().parse(`second:${randomBytes(32).toString('base64')}`);
  expect(await sealAndPublish(second)).toBe(0);
  expect((await fetchKeys()).body.keys).toMatchObject([{ kid: 'first' }, { kid: 'second' }]);
  await letAnHourPass();
  const sameId = signingKey().parse(`first:${randomBytes(32).toString('base64')}`);
  await expect(sealAndPublish(sameId)).rejects.toThrow(/SEAL_SIGNING_KEY has the ID first/);
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
    'a head that says another epoch than its row': [
      "UPDATE seal_heads SET epoch = epoch + 1 WHERE company_id = $1 AND log = 'journal' AND position = 1",
      ['head-differs'],
    ],
    'a batch of an epoch that never began': [
      `UPDATE seal_batches SET epoch = epoch + 1 WHERE company_id = $1 AND log = 'journal'
         AND last_number = (SELECT number FROM seal_heads WHERE company_id = $1 AND log = 'journal' AND position = 1)`,
      ['seal-epoch-altered', 'seal-epoch-altered', 'head-differs'],
    ],
    'a row of no transaction': [
      `INSERT INTO idempotent_write_audit_log (xid, company_id, operation_name, operation_type, idempotency_key, user_id, status,
         request_id, route_path, http_method)
       SELECT NULL, company_id, operation_name, operation_type, idempotency_key, user_id, 'replayed', request_id, route_path,
         http_method FROM idempotent_write_audit_log WHERE company_id = $1 LIMIT 1`,
      ['row-unsealed'],
    ],
    'an entry of a transaction that is still to come': [
      `INSERT INTO journal_entries SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(), 'write_id',
         gen_random_uuid(), 'created_xid', '999999999999'))).* FROM journal_entries e WHERE company_id = $1 LIMIT 1`,
      ['row-unsealed'],
    ],
    'an entry behind the seal': [
      `INSERT INTO journal_entries SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(), 'write_id',
         gen_random_uuid(), 'created_xid', '3'))).* FROM journal_entries e WHERE company_id = $1 LIMIT 1`,
      ['row-unsealed'],
    ],
  };

  test.each(Object.entries(PLANTS))('%s', async (_what, [sql, kinds]) => {
    await inRolledBackTransaction(system.owner, async (client) => {
      const checks = [SEALS_CHECK, EPOCHS_CHECK, HEADS_CHECK, UNSEALED_CHECK];
      expect(await auditIn(client, { checks })).toMatchObject({ named: [], couldNotAsk: [] });
      expect((await client.query(sql, [company.id])).rowCount).toBeGreaterThan(0);
      const { named } = await auditIn(client, { checks });
      expect(named.map(({ kind }) => kind)).toEqual(kinds);
      expect(new Set(named.map(({ companyId }) => companyId))).toEqual(new Set([company.id]));
    });
  });

  test('and that the place of the sealer is gone', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query('DELETE FROM seal_position');
      const { named } = await auditIn(client, { checks: [UNSEALED_CHECK] });
      expect(named).toMatchObject([{ kind: 'row-unsealed', table: 'seal_position', companyId: null }]);
    });
  });

  test('but asks for no rows that a sweep has still to come to', async () => {
    const [sql] = PLANTS['a row behind the seal'] ?? [''];
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query(sql, [company.id]);
      await client.query("UPDATE seal_position SET phase = 'sweep entries'");
      expect(await auditIn(client, { checks: [UNSEALED_CHECK] })).toMatchObject({
        named: [],
        couldNotAsk: [{ what: 'rows without a seal', why: expect.stringContaining('the sealer is sweeping') }],
      });
    });
  });
});
