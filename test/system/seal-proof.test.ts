import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SigningKey } from '../../activities/seal/signing-key.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { setPolicies } from '../support/approvals.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { hire, payRun, stockedItem } from '../support/payroll.ts';
import { pythonMissing, verifiedText, verify, verifyInPython } from '../support/seal-bundles.ts';
import { publishNow, sealAllOf, sealKey, stampNow } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';
import { startAuthority, type TestAuthority } from '../support/time-stamp-authority.ts';

const VERIFIER = join(import.meta.dirname, '../../deploy/operator/audit-export');

let system: System;
let authority: TestAuthority;
let company: Company;
let other: Company;
let key: SigningKey;
let folder: ThrowawayFolder;
let keys: string;
let noPython: string | undefined;
beforeAll(async () => {
  folder = openThrowawayFolder();
  [noPython, authority] = await Promise.all([pythonMissing(), startAuthority()]);
  system = await startSystem();
  company = await system.company('Proven');
  other = await system.company('Other');
  key = sealKey('test-key');
  keys = writeKeys('keys.json', key);
});
afterAll(async () => {
  await authority.close();
  await system.stop();
  folder.remove();
});

function writeKeys(name: string, { id: kid, publicKey }: SigningKey): string {
  const path = join(folder.path, name);
  const x = publicKey.toString('base64url');
  writeFileSync(path, JSON.stringify({ keys: [{ kty: 'OKP', crv: 'Ed25519', kid, x }] }));
  return path;
}

const proofOf = (of: string, as = company.api): Promise<Answer> => as.get(`/api/writes/${of}/proof`);

async function sealAndPublish(): Promise<void> {
  await sealAllOf(system, { rowsAPage: 5 });
  await publishNow(system, [company.id], key);
}

/** By both verifiers, where there is a Python: what differs. */
async function check(proof: object, knownKeys = keys): Promise<readonly object[] | undefined> {
  const path = join(folder.path, 'proof.json');
  writeFileSync(path, JSON.stringify(proof));
  const { code, differences, told } = await verify(VERIFIER, { proof: path, keys: knownKeys });
  expect(code, told).toBe(differences?.length === 0 ? 0 : 1);
  const options = { proof: path, keys: knownKeys };
  const second = noPython === undefined ? await verifyInPython(VERIFIER, options) : { code, differences, told };
  expect([second.code, second.differences], second.told).toEqual([code, differences]);
  return differences;
}

/** As the owner of the database can. Returns how many rows the last statement has changed. */
async function pastTriggers(sql: string, values: readonly unknown[] = []): Promise<number | null> {
  const client = await system.owner.connect();
  await client.query("BEGIN; SELECT set_config('session_replication_role', 'replica', true)");
  const { rowCount } = values.length === 0 ? lastOf(await client.query(sql)) : await client.query(sql, [...values]);
  await client.query('COMMIT');
  client.release();
  return rowCount;
}

/** Of several statements there are several results. */
function lastOf<T>(results: T | T[]): T {
  return Array.isArray(results) ? (results.at(-1) as T) : results;
}

async function whileChanged(change: string, back: string, work: () => Promise<void>): Promise<void> {
  expect(await pastTriggers(change)).toBeGreaterThan(0);
  try {
    await work();
  } finally {
    await pastTriggers(back);
  }
}

describe('the proof of a write', () => {
  test('is there once its rows are sealed and a published head covers them, and until then says what is awaited', async () => {
    await setPolicies(company, [{ operation: 'createAccount', approverRoles: ['admin'] }]);
    const account = { code: '7700', name: 'Waiting', type: 'expense' };
    expect((await company.api.post('/api/ledger/accounts', account, { key: 'waits' })).status).toBe(202);
    expect(await proofOf('waits')).toMatchObject({
      status: 409,
      json: { code: 'proof_not_ready', detail: 'The write has no outcome yet: its state is pending_approval.' },
    });
    const invoiceId = await company.invoice();
    await company.api.created('/api/payments', paymentBody(invoiceId), { key: 'paid' });
    const unsealed = await proofOf('paid');
    expect(unsealed).toMatchObject({
      status: 409,
      json: { code: 'proof_not_ready', retryable: true, nextAction: 'wait', writeUrl: '/api/writes/paid' },
    });
    expect(unsealed.json.detail).toMatch(/^The entry of the write is not sealed yet/);
    expect(unsealed.headers.get('retry-after')).toBe('2');
    await sealAllOf(system);
    const unpublished = await proofOf('paid');
    expect(unpublished.json.detail).toMatch(/^The entry of the write is sealed, and no published head covers it yet/);
    expect(unpublished.headers.get('retry-after')).toBe('60');
    await sealAndPublish();
    expect(await proofOf('paid')).toMatchObject({
      status: 200,
      json: {
        companyId: company.id,
        key: 'paid',
        rows: [{ log: 'journal', number: 2 }, { log: 'audit' }],
        missing: [],
      },
    });
  });

  test('holds for both verifiers, with the first head that covers the row, however many follow', async () => {
    for (let i = 0; i < 6; i += 1) await company.invoice();
    const invoiceId = await company.invoice();
    await company.api.created('/api/payments', paymentBody(invoiceId), { key: 'among-others' });
    await company.customer();
    await sealAndPublish();
    const { json } = await proofOf('among-others');
    await company.invoice();
    await sealAndPublish();
    expect((await proofOf('among-others')).json).toEqual(json);
    for (const row of json.rows) {
      expect(row.path.length + row.batchPath.length).toBeGreaterThanOrEqual(2);
      expect(row.batchPath.length).toBeGreaterThan(0);
    }
    expect(await check(json)).toEqual([]);
    const path = join(folder.path, 'proof.json');
    const text = await verifiedText(VERIFIER, { proof: path, keys });
    expect(text).toContain(`Proof of the write among-others of company ${company.id}`);
    expect(text).toContain('journal: proved');
    expect(text).toMatch(/1000 100 USD\n\s+1100 -100 USD\n\s+It is in the log as head 2 .* signed by test-key/);

    const [entry, audit] = json.rows;
    const flipped = { ...entry.batchPath[0], digest: '0'.repeat(64) };
    const falsified = (row: object) => check({ ...json, rows: [{ ...entry, ...row }, audit] });
    expect(await falsified({ content: entry.content.replace('"100"', '"900"') })).toMatchObject([
      { kind: 'row-altered' },
    ]);
    expect(await falsified({ batchPath: [flipped] })).toMatchObject([{ kind: 'head-altered' }]);
    expect(await falsified({ head: { ...entry.head, signature: audit.head.signature } })).toMatchObject([
      { kind: 'head-signature', log: 'journal', number: entry.number, id: JSON.parse(entry.content).entryId },
    ]);
    expect(await falsified({ head: audit.head })).toMatchObject([{ kind: 'head-altered' }]);
    expect(await check({ ...json, companyId: other.id })).toMatchObject([
      { kind: 'row-foreign' },
      { kind: 'row-foreign' },
    ]);
    // Of another write: the rows are real, and what is said of them is not.
    for (const key of ['paid', 'never-written']) {
      expect(await check({ ...json, key })).toMatchObject([{ kind: 'row-foreign' }, { kind: 'row-foreign' }]);
    }
    // The last four would lead to the head all the same, for whoever reads on.
    const [step] = entry.path;
    const ofStep = (changed: object) => [{ ...entry, path: [{ ...step, ...changed }, ...entry.path.slice(1)] }, audit];
    for (const rows of [
      [],
      [entry, entry],
      ofStep({ digest: `${step.digest}zz` }),
      ofStep({ digest: ` ${step.digest}` }),
      ofStep({ digest: step.digest.toUpperCase() }),
      [{ ...entry, number: String(entry.number) }, audit],
    ]) {
      writeFileSync(path, JSON.stringify({ ...json, rows }));
      const second = noPython === undefined ? verifyInPython : verify;
      expect((await verify(VERIFIER, { proof: path, keys })).code).toBe(2);
      expect((await second(VERIFIER, { proof: path, keys })).code).toBe(2);
    }
    expect(await check(json, writeKeys('other.json', sealKey('test-key')))).toMatchObject([
      { kind: 'head-signature' },
      { kind: 'head-signature' },
    ]);
  });

  test('has the time stamp of its head', async () => {
    await company.api.created('/api/customers', { name: 'Stamped', currency: 'USD' }, { key: 'stamped' });
    await sealAndPublish();
    await stampNow(system, authority);
    const { json } = await proofOf('stamped');
    const [audit] = json.rows;
    writeFileSync(authority.file('head'), audit.head.head);
    writeFileSync(authority.file('token'), Buffer.from(audit.head.timeStamp, 'base64'));
    const asked = ['ts', '-verify', '-data', 'head', '-in', 'token', '-token_in', '-CAfile', 'root.pem'];
    const { stdout, stderr } = await authority.openssl(...asked);
    expect(`${stdout}${stderr}`).toContain('Verification: OK');
    expect(await check(json)).toEqual([]);
    const text = await verifiedText(VERIFIER, { proof: join(folder.path, 'proof.json'), keys });
    expect(text).toMatch(/The head has a time stamp of \d{4}-\d\d-\d\dT[\d:]+Z, as its token claims/);
    const timeStamp = Buffer.from(audit.head.timeStamp, 'base64').subarray(0, -1).toString('base64');
    const cut = { ...json, rows: [{ ...audit, head: { ...audit.head, timeStamp } }] };
    expect(await check(cut)).toMatchObject([{ kind: 'head-time-stamp', log: 'audit', number: audit.number }]);
  });

  test('of a write that was refused or cancelled is the audit row that says so', async () => {
    const refused = paymentBody(await company.invoice({ total: 10 }));
    expect((await company.api.post('/api/payments', refused, { key: 'refused' })).status).toBe(422);
    await company.api.post('/api/payments', refused, { key: 'refused' });
    expect((await company.api.send('POST', '/api/writes/never/cancel')).status).toBe(200);
    await sealAndPublish();
    for (const [name, errorCode] of [
      ['refused', 'payment_exceeds_outstanding'],
      ['never', 'write_cancelled'],
    ]) {
      const { json } = await proofOf(name as string);
      expect(json.rows.map(({ log }: { log: string }) => log)).toEqual(['audit']);
      expect(JSON.parse(json.rows[0].content)).toMatchObject({ status: 'failed', errorCode, idempotencyKey: name });
      expect(await check(json)).toEqual([]);
      expect(await check({ ...json, key: 'another' })).toMatchObject([{ kind: 'row-foreign', log: 'audit' }]);
    }
  });

  test('stays the same where a salt was erased', async () => {
    const { json } = await proofOf('among-others');
    const [entry] = json.rows;
    const content = JSON.parse(entry.content);
    const digests = Object.fromEntries(
      ['description', 'metadata', 'request', 'answer'].flatMap((name) =>
        content[name] === null ? [] : [[name, content[name]]],
      ),
    );
    const erased = await pastTriggers(
      `UPDATE seal_salts SET erased = jsonb_build_object($3::text, $4::jsonb),
         salts = overlay(salts PLACING decode(repeat('00', 16), 'hex') FROM (16 * ($3::int - first_number))::int + 1)
       WHERE company_id = $1 AND log = 'journal'
         AND first_number = (SELECT max(first_number) FROM seal_batches WHERE company_id = $1 AND log = 'journal' AND first_number <= $2)`,
      [company.id, entry.number, String(entry.number), digests],
    );
    expect(erased).toBe(1);
    expect((await proofOf('among-others')).json).toEqual(json);
  });
});

describe('who may read a proof', () => {
  test('is who may read the write; of any other key it says as little as its status', async () => {
    expect((await proofOf('paid', company.as('auditor'))).status).toBe(200);
    for (const [as, of] of [
      [company.as('employee'), 'paid'],
      [other.api, 'paid'],
      [company.api, 'unknown'],
    ] as const) {
      const [proof, status] = [await proofOf(of, as), await as.get(`/api/writes/${of}`)];
      const words = ({ json }: Answer) => [json.type, json.title, json.detail, json.code, json.nextAction];
      expect([proof.status, words(proof)]).toEqual([404, words(status)]);
    }
    expect((await proofOf('%00')).json.code).toBe('validation_failed');
  });

  test('shows an entry to those who may read entries, one of payroll to those who may read pay, and the log tells of that', async () => {
    const item = await stockedItem(company);
    const shrinkage = { quantityDelta: -1, reason: 'Lost', date: '2026-02-03' };
    const keeper = company.as('inventory_manager');
    await keeper.created(`/api/inventory/${item.id}/adjust`, shrinkage, { key: 'stock' });
    await hire(company);
    const { id } = await payRun(company);
    const admin = company.as('admin');
    await admin.created(`/api/payroll/pay-runs/${id}/execute`, {}, { key: 'pay' });
    await sealAndPublish();
    const logs = ({ json }: Answer) => [json.rows.map(({ log }: { log: string }) => log), json.missing];
    const notPermitted = [['audit'], [{ log: 'journal', reason: 'not_permitted' }]];
    expect(logs(await proofOf('stock', keeper))).toEqual(notPermitted);
    expect(logs(await proofOf('stock'))).toEqual([['journal', 'audit'], []]);
    expect((await proofOf('pay', company.as('manager'))).status).toBe(404);
    expect(logs(await proofOf('pay', company.as('auditor')))).toEqual([['journal', 'audit'], []]);
    // Whoever has made it may still read what became of it.
    await system.owner.query(`UPDATE memberships SET roles = '{manager}' WHERE company_id = $1 AND user_id = $2`, [
      company.id,
      company.users.admin.id,
    ]);
    expect(logs(await proofOf('pay', admin))).toEqual(notPermitted);
    await expect
      .poll(async () => {
        const { rows } = await system.owner.query(
          `SELECT user_id, details->>'key' AS key FROM security_log
           WHERE company_id = $1 AND event = 'payroll_read' AND action = 'GET /api/writes/:key/proof'`,
          [company.id],
        );
        return rows;
      })
      .toEqual([{ user_id: company.users.auditor.id, key: 'pay' }]);
  });
});

describe('a row that is not what was sealed', () => {
  test('has no proof, and the answer says so', async () => {
    const { json } = await proofOf('paid');
    const { entryId } = JSON.parse(json.rows[0].content);
    const lines = `UPDATE journal_lines SET amount_minor = amount_minor`;
    await whileChanged(
      `${lines} * 2 WHERE entry_id = '${entryId}'`,
      `${lines} / 2 WHERE entry_id = '${entryId}'`,
      async () => {
        expect((await proofOf('paid')).json).toEqual({
          ...json,
          rows: [json.rows[1]],
          missing: [{ log: 'journal', reason: 'altered' }],
        });
      },
    );
    const erase = (erased: string) =>
      `UPDATE idempotent_writes SET request = ${erased} WHERE idempotency_key = 'paid';
       UPDATE idempotent_write_audit_log SET side_effects_executed = 1 - side_effects_executed
       WHERE idempotency_key = 'paid' AND status = 'new'`;
    await whileChanged(erase(`request || '{"erased": []}'`), erase("request - 'erased'"), async () => {
      expect((await proofOf('paid')).json.missing).toEqual([{ log: 'audit', reason: 'erased' }]);
    });
    const changeKey = (from: string, to: string) =>
      `UPDATE idempotent_write_audit_log SET idempotency_key = '${to}' WHERE idempotency_key = '${from}'`;
    await whileChanged(changeKey('paid', 'gone'), changeKey('gone', 'paid'), async () => {
      expect((await proofOf('paid')).json.missing).toEqual([{ log: 'audit', reason: 'absent' }]);
    });
    const batches = `UPDATE seal_batches SET root = decode(reverse(encode(root, 'hex')), 'hex') WHERE company_id = '${company.id}' AND log = 'journal'`;
    await whileChanged(batches, batches, async () => {
      expect((await proofOf('paid')).json.missing).toEqual([{ log: 'journal', reason: 'altered' }]);
    });
    // Of the rows beside it in its batch alone: the batch and its head are as they were, and the path leads elsewhere.
    const beside = `UPDATE sealed_audit_rows SET leaf = decode(reverse(encode(leaf, 'hex')), 'hex')
      WHERE company_id = '${company.id}' AND number <> ${json.rows[1].number}`;
    await whileChanged(beside, beside, async () => {
      expect((await proofOf('paid')).json.missing).toEqual([{ log: 'audit', reason: 'altered' }]);
    });
    expect((await proofOf('paid')).json).toEqual(json);
  });

  test('is in the archive, where its month of the audit log has left the database', async () => {
    const { json } = await proofOf('paid');
    const { rows } = await system.owner.query(
      `SELECT a.tableoid::regclass::text AS month, pg_get_expr(c.relpartbound, c.oid) AS bounds
       FROM idempotent_write_audit_log a JOIN pg_class c ON c.oid = a.tableoid WHERE idempotency_key = 'paid' LIMIT 1`,
    );
    const [{ month, bounds }] = rows;
    await system.owner.query(`ALTER TABLE idempotent_write_audit_log DETACH PARTITION ${month}`);
    try {
      expect((await proofOf('paid')).json).toEqual({
        ...json,
        rows: [json.rows[0]],
        missing: [{ log: 'audit', reason: 'archived' }],
      });
    } finally {
      await system.owner.query(`ALTER TABLE idempotent_write_audit_log ATTACH PARTITION ${month} ${bounds}`);
    }
  });
});
