import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { anotherEraser, callErasure, whereIs } from '../support/erasing.ts';
import { employeeBody, hire } from '../support/payroll.ts';
import { findingsOf, sealAllOf } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company('Guarded Ltd');
});
afterAll(() => system.stop());

const nameOf = async (employee: string) =>
  (await system.owner.query('SELECT first_name FROM employees WHERE id = $1', [employee])).rows[0].first_name;

describe('the command', () => {
  const erase = (args: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
    runCommand('deploy/operator/privacy/main.ts', args, {
      TEMPORAL_ADDRESS: system.environment['TEMPORAL_ADDRESS'] as string,
      ...environment,
    });

  test('erases at once outside production, and tells the day by which Temporal has nothing left', async () => {
    const person = await hire(company, { firstName: 'Xaver', lastName: 'Yggdrasil' });
    await sealAllOf(system);
    const local = { NODE_ENV: 'test', MIGRATION_DATABASE_URL: ownerUrlOf(system.owner) };
    const args = ['--employee', person, '--company', 'Guarded Ltd', '--reason', 'Asked by letter'];
    const dry = await erase([...args, '--dry-run'], local);
    expect(dry).toMatchObject({ code: 0 });
    expect(dry.stdout).toMatch(/^Nothing was changed\. This would be:$/m);
    expect(await nameOf(person)).toBe('Xaver');
    expect(await erase(args, local)).toMatchObject({ code: 1, stderr: expect.stringContaining('use --yes') });
    const done = await erase([...args, '--yes', '--json'], local);
    expect(done).toMatchObject({ code: 0 });
    expect(JSON.parse(done.stdout)).toMatchObject({
      companies: [{ company: company.id, employees: 1 }],
      temporal: { goneBy: expect.stringMatching(/^\d{4}-\d\d-\d\d$/), retentionDays: expect.any(Number) },
    });
    expect(await whereIs(system.owner, 'Yggdrasil')).toEqual([]);
  });

  test('only asks in production, whoever it is that asks', async () => {
    const person = await hire(company, { firstName: 'Zoe' });
    await sealAllOf(system);
    const eraser = { ERASER_DATABASE_URL: system.environment['ERASER_DATABASE_URL'] as string };
    const asked = await erase(
      ['--employee', person, '--company', company.id, '--reason', 'r', '--yes', '--operator', 'first', '--json'],
      eraser,
    );
    expect(asked).toMatchObject({ code: 0 });
    const { erasure } = JSON.parse(asked.stdout);
    expect(await nameOf(person)).toBe('Zoe');
    const same = await erase(['--confirm', erasure, '--yes', '--operator', 'first'], {
      ERASER_DATABASE_URL: await anotherEraser(system),
    });
    expect(same).toMatchObject({ code: 1, stderr: expect.stringContaining('another person has to confirm') });
    const other = await erase(['--confirm', erasure, '--yes', '--operator', 'bert'], {
      ERASER_DATABASE_URL: await anotherEraser(system),
    });
    expect(other).toMatchObject({ code: 0, stdout: expect.stringContaining(`Erased (${erasure}).`) });
    expect(await nameOf(person)).toBe('[erased]');
    expect(await erase(['--employee', person, '--company', company.id, '--reason', 'r'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Set ERASER_DATABASE_URL'),
    });
  });
});

test('the file of a batch goes with the first of its rows that is erased, and rows that were refused with it', async () => {
  const worker = await startBatchWorker(system);
  const other = await system.company('Batched Ltd');
  try {
    const api = batchClient(system, other);
    await api.send(
      ndjson([{ body: employeeBody({ email: 'a@batch.test' }) }, { body: employeeBody({ email: 'b@batch.test' }) }]),
      {
        key: 'staff',
        operation: 'createEmployee',
      },
    );
    await api.over('staff');
    await sealAllOf(system);
    const { rows } = await system.owner.query(`SELECT id FROM employees WHERE email = 'a@batch.test'`);
    const kept = async () =>
      (
        await system.owner.query(
          'SELECT count(*)::int FROM batch_chunks WHERE company_id = $1 AND content IS NOT NULL',
          [other.id],
        )
      ).rows[0].count;
    expect(await kept()).toBe(1);
    await callErasure(system.owner, 'erase_alone', { kind: 'employee', person: rows[0].id, companies: [other.id] });
    expect(await kept()).toBe(0);
    expect(await findingsOf(system.owner, other.id)).toEqual([]);
    expect(await brokenControls(system.owner)).toEqual({});
  } finally {
    await worker.close();
  }
});

test('a month of the audit log that is archived stays as it is, and the seal holds while it is restored', async () => {
  const other = await system.company('Archived Ltd');
  const person = await hire(other, { firstName: 'Olga' });
  await sealAllOf(system);
  await system.owner.query(
    `INSERT INTO audit_archives (month, file_name, file_sha256, row_count, row_digest, restored_until)
     VALUES (date_trunc('month', now() AT TIME ZONE 'UTC'), 'audit.jsonl.gz', repeat('0', 64), 0, '0', now() + interval '1 day')`,
  );
  const rows = async () =>
    (await system.owner.query('SELECT * FROM idempotent_write_audit_log WHERE company_id = $1 ORDER BY id', [other.id]))
      .rows;
  const before = await rows();
  const erased = await callErasure(system.owner, 'erase_alone', { kind: 'employee', person, companies: [other.id] });
  expect(erased.companies[0].archivedMonths).toEqual([new Date().toISOString().slice(0, 7)]);
  expect(await rows()).toEqual(before);
  expect(await findingsOf(system.owner, other.id)).toEqual([]);
});
