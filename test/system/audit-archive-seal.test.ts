import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { readManifest } from '../../activities/audit/archive-file.ts';
import { archiveMonth } from '../../activities/audit/archive-month.ts';
import type { ArchivedPart } from '../../activities/audit/archive-seal.ts';
import type { Pool } from '../../activities/database.ts';
import { jwkOf } from '../../activities/seal/signing-key.ts';
import { dropMonth, restoreMonth, verifyFiles, verifyMonth } from '../../deploy/operator/audit/restore.ts';
import { tamperedArchive } from '../support/archive-tampering.ts';
import { type AuditMonths, auditMonths, openAuditorPool, openMaintenancePool } from '../support/audit-months.ts';
import { runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { callErasure } from '../support/erasing.ts';
import { employeeBody } from '../support/payroll.ts';
import { findingsOf, publishNow, sealAllOf, sealKey, signHead } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';
import { inRolledBackTransaction } from '../support/tampering.ts';

let system: System;
let company: Company;
let pool: Pool;
let auditor: Pool;
let folder: string;
let months: AuditMonths;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  pool = openMaintenancePool(system);
  auditor = openAuditorPool(system);
  months = auditMonths(system, company, pool);
  folder = mkdtempSync(join(tmpdir(), 'accubooks-archive-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await Promise.all([pool.close(), auditor.close()]);
  await system.stop();
});

const archive = (month: string) => archiveMonth(pool, folder, month);
const letGo = (month: string) =>
  system.owner.query('UPDATE audit_archives SET restored_until = now() WHERE month = $1', [`${month}-01`]);

describe('where rows are sealed', () => {
  const key = sealKey('of-the-archive');
  const sealAndPublish = async () => {
    await sealAllOf(system);
    await publishNow(system, [company.id], key);
  };

  test('a month of before comes back, and leaves again, although nobody has sealed it', async () => {
    await months.make('2025-08');
    await archive('2025-08');
    await sealAndPublish();
    await restoreMonth(pool, folder, '2025-08', 1);
    await letGo('2025-08');
    await archive('2025-08');
    expect(await verifyMonth(auditor, folder, '2025-08')).toMatchObject({ rows: 2, seal: { sealed: 0, unsealed: 2 } });
  });

  test('a month stays until its rows are', async () => {
    await months.make('2025-09');
    await expect(archive('2025-09')).rejects.toThrow(
      /2 rows are not sealed, and stay until they are \(first row \d+ of .*, company .*\)\. Try again in some seconds; a worker with SEALER_DATABASE_URL has to run/,
    );
    expect(await months.rowsOf('2025-09')).toHaveLength(2);
    expect(await months.archived()).not.toContain('2025-09 detached');
    await sealAndPublish();
    expect(await archive('2025-09')).toMatchObject({ rows: 2 });
  });

  test('the files alone prove the rows, to whoever has a head from elsewhere, and have no salts', async () => {
    // Rows of two months in turn, as they are sealed.
    for (const turn of ['a', 'b']) {
      for (const month of ['2025-10', '2025-11']) {
        const own = `${turn}-${month}`;
        await company.api.created('/api/customers', { name: 'Audited' }, { key: own });
        await months.move(month, [own]);
        await sealAllOf(system);
      }
      await publishNow(system, [company.id], key);
    }
    await archive('2025-10');
    const manifest = await readManifest(folder, '2025-10');
    expect(manifest?.seal).toMatchObject({
      rows: 2,
      file: 'audit-2025-10.seal.jsonl.gz',
      keys: [{ kid: 'of-the-archive' }],
    });
    const [part] = manifest?.seal?.parts ?? [];
    expect(part).toMatchObject({ companyId: company.id, before: { head: {} }, after: { head: {} } });
    const seals = gunzipSync(readFileSync(join(folder, manifest?.seal?.file as string))).toString();
    const sealed = seals
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    // Of the other month, their numbers and leaves alone.
    expect(sealed.filter(({ id }) => id === undefined).map((line) => Object.keys(line))).toContainEqual([
      'company',
      'number',
      'leaf',
    ]);
    expect(sealed.filter(({ id }) => id !== undefined)).toHaveLength(2);
    const salts = await system.owner.query<{ salt: string }>(
      `SELECT encode(substring(salts FROM 16 * i + 1 FOR 16), 'hex') AS salt FROM seal_salts, generate_series(0, length(salts) / 16 - 1) AS i`,
    );
    expect(salts.rows.filter(({ salt }) => seals.includes(salt))).toEqual([]);

    const file = (name: string, content: string) => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const { rows: heads } = await system.owner.query<{ head: string; keyId: string; signature: string }>(
      `SELECT head, key_id AS "keyId", translate(encode(signature, 'base64'), E'\\n', '') AS signature FROM seal_heads WHERE company_id = $1`,
      [company.id],
    );
    const keys = file('kept-keys.json', JSON.stringify({ keys: [jwkOf(key.id, key.publicKey)] }));
    const collected = heads.map((head) => JSON.stringify({ data: { heads: [head] } })).join('\n');
    const offline = (...args: string[]) =>
      runCommand(
        'deploy/operator/audit/main.ts',
        ['verify', '--month', '2025-10', '--offline', '--dir', folder, ...args],
        {},
      );
    const verified = await offline('--keys', keys, '--heads', file('heads.ndjson', collected));
    expect(verified).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /^2 rows are what was sealed, and 1 of 1 parts of chains lead to a signed head\.\n3 heads from outside/m,
      ),
    });
    const stranger = sealKey('of-the-archive');
    const forged = signHead(
      { ...JSON.parse((part as ArchivedPart).after.head?.head as string), digest: '1'.repeat(64) },
      key,
    );
    expect(await offline('--heads', file('forged.ndjson', JSON.stringify(forged)))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('was published for other rows'),
    });
    const others = file('other-keys.json', JSON.stringify({ keys: [jwkOf(stranger.id, stranger.publicKey)] }));
    const ofOthers = signHead({ ...JSON.parse(heads[0]?.head as string), number: 999_999 }, key);
    for (const [name, content, why] of [
      ['none.ndjson', '{"a":1}', 'There is no head in'],
      ['of-others.ndjson', JSON.stringify(ofOthers), 'is of the rows of 2025-10: nothing was compared'],
    ] as const) {
      expect(await offline('--heads', file(name, content))).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(why),
      });
    }
    expect(await offline('--keys', others)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not signed by the key'),
    });
  });

  test.each([
    ['a row altered', 'is not what was sealed'],
    ['a row altered, with a leaf made anew', 'does not lead to its end'],
    ['a row removed, with its seal', 'a row is missing'],
    ['a head of another number', 'is of something else'],
  ])('the files alone tell %s', async (name, told) => {
    const to = mkdtempSync(join(tmpdir(), 'accubooks-altered-'));
    onTestFinished(() => rmSync(to, { recursive: true }));
    await tamperedArchive({ from: folder, to, month: '2025-10' }, ({ rows, seals, manifest }) => {
      const [own] = seals.filter(({ id }) => id !== undefined);
      if (name.startsWith('a row altered')) rows[0].status = 'failed';
      if (name.includes('leaf')) Object.assign(own, { leaf: '1'.repeat(64), salted: undefined });
      if (name.includes('removed')) {
        rows.shift();
        seals.splice(seals.indexOf(own), 1);
      }
      const part = manifest.seal?.parts[0] as { after: ArchivedPart['after']; before: ArchivedPart['before'] };
      if (name.includes('head')) part.after = { ...part.after, head: part.before.head };
    });
    await expect(verifyFiles(to, '2025-10', {})).rejects.toThrow(told);
  });

  test('a month stays while the sealer sweeps, and nothing is called altered', async () => {
    await system.owner.query("UPDATE seal_position SET phase = 'sweep audit rows'");
    await expect(archive('2025-11')).rejects.toThrow('stays while the sealer looks through all rows. Try again');
    await sealAllOf(system);
  });

  test('a month with all rows of a company gone stays, also for an owner who sees one company at a time', async () => {
    const other = await system.company('All gone');
    await other.api.created('/api/customers', { name: 'Gone' }, { key: 'all-gone' });
    await auditMonths(system, other, pool).move('2025-11', ['all-gone']);
    await sealAllOf(system);
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query('DELETE FROM idempotent_write_audit_log WHERE company_id = $1', [other.id]);
      await client.query(
        `CREATE ROLE sees_one NOLOGIN; GRANT sees_one TO CURRENT_USER; GRANT ALL ON ALL TABLES IN SCHEMA public, audit_partitions TO sees_one;
         GRANT USAGE ON SCHEMA audit_partitions TO sees_one; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO sees_one;
         ALTER POLICY owner ON sealed_audit_rows TO sees_one; SET LOCAL ROLE sees_one`,
      );
      const check = client.query(
        `SELECT check_sealed_month('2025-11-01', 'audit_partitions.y2025m11'::regclass, NULL)`,
      );
      await expect(check).rejects.toThrow(
        new RegExp(`row \\d+, company ${other.id}, number 1 of its audit log, is sealed`),
      );
    });
  });

  test('a month with a row that is altered, or gone, stays', async () => {
    await sealAllOf(system);
    for (const [change, told] of [
      ["UPDATE idempotent_write_audit_log SET route_path = '/other'", 'is not what was sealed'],
      ['DELETE FROM idempotent_write_audit_log', 'is sealed and is not there'],
    ]) {
      await inRolledBackTransaction(system.owner, async (client) => {
        await client.query(`${change} WHERE company_id = $1 AND idempotency_key = 'a-2025-11'`, [company.id]);
        const check = client.query(
          `SELECT check_sealed_month('2025-11-01', 'audit_partitions.y2025m11'::regclass, NULL)`,
        );
        await expect(check).rejects.toThrow(
          new RegExp(`row \\d+.*${company.id}, number \\d+ of its audit log, ${told}`),
        );
      });
    }
  });

  test('a month of which a person was erased comes back as it was, also a second time', async () => {
    const month = '2025-12';
    const body = employeeBody({ firstName: 'Quirin', lastName: 'Zwetschge', email: 'quirin@example.test' });
    const { id } = await company.api.created('/api/payroll/employees', body, { key: 'hired' });
    await months.move(month, ['hired']);
    await sealAndPublish();
    await archive(month);
    await verifyMonth(auditor, folder, month);
    await dropMonth(pool, folder, month);
    await callErasure(system.owner, 'erase_alone', { kind: 'employee', person: id, companies: [company.id] });
    // Its answer is another one now; its digest, which is in the archive, tells what it was.
    expect(await verifyMonth(auditor, folder, month)).toMatchObject({ seal: { sealed: 1, erased: 0 } });
    await restoreMonth(pool, folder, month, 1);
    expect(await months.rowsOf(month)).toHaveLength(1);
    expect(await findingsOf(system.owner, company.id)).toEqual([]);
    await letGo(month);
    await archive(month);
    expect(await verifyFiles(folder, month, {})).toMatchObject({ seal: { sealed: 0, erased: 1 } });
    await verifyMonth(auditor, folder, month);
    await dropMonth(pool, folder, month);
    await restoreMonth(pool, folder, month, 1);
    expect(await months.rowsOf(month)).toHaveLength(1);
  });
});
