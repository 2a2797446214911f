import { afterAll, beforeAll, expect, test } from 'vitest';
import { CONTROLS } from '../../activities/controls/controls.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

function check(...args: string[]) {
  return runCommand('deploy/reports/books-check.ts', args, { AUDITOR_DATABASE_URL: ownerUrlOf(system.owner) });
}

test('an auditor has every control of a company checked, and its rows named where it does not hold', async () => {
  const company = await system.company('Checked Ltd');
  const other = await system.company('Other Ltd');
  const customerId = await company.customer();
  await other.customer();
  const honest = await check('--company', 'Checked Ltd', '--json');
  expect(honest).toMatchObject({ code: 0, stderr: '' });
  const rows = JSON.parse(honest.stdout);
  expect(rows.map(({ control }: { control: string }) => control)).toEqual(CONTROLS.map(({ name }) => name));
  expect(rows.find(({ control }: { control: string }) => control === 'customer-answers')).toMatchObject({
    of: 1,
    violations: 0,
    broken: [],
  });

  const session = await system.owner.connect();
  try {
    await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
    await session.query("UPDATE customers SET name = 'By hand' WHERE id = $1", [customerId]);
    await session.query('COMMIT');
  } finally {
    session.release();
  }
  const tampered = await check();
  expect(tampered).toMatchObject({ code: 1, stderr: '' });
  expect(tampered.stdout).toMatch(/^customer-answers +2 +1$/m);
  expect(tampered.stdout).toContain(`"id":"${customerId}","members":"name"`);
  expect(await check('--company', other.id)).toMatchObject({ code: 0 });
  expect(await check('--company', 'Nobody')).toMatchObject({ code: 1, stderr: 'There is no company Nobody.\n' });
});

test('controls that need audit rows are not asked once a month is archived', async () => {
  await system.owner.query(
    `INSERT INTO audit_archives (month, file_name, file_sha256, row_count, row_digest)
     VALUES ('2020-01-01', 'audit-2020-01.jsonl.gz', repeat('0', 64), 0, '0')`,
  );
  const { stdout } = await check('--company', (await system.company()).id);
  expect(stdout).toMatch(/^successes-told +not asked +0$/m);
  expect(stdout).toMatch(/^entries-balance +0 +0$/m);
});
