import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { archiveMonth, asMaintenance } from '../../activities/audit/archive-month.ts';
import { openPool, type Pool, queryOnce } from '../../activities/database.ts';
import { dropMonth, restoreMonth, verifyMonth } from '../../deploy/operator/audit/restore.ts';
import { type AuditMonths, auditMonths, openAuditorPool, openMaintenancePool } from '../support/audit-months.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import { type System, startSystem } from '../support/system.ts';

const REFUSED_BY_PRIVILEGE = { sqlState: '42501' };
const NOT_IN_THAT_STATE = '55000';

let system: System;
let months: AuditMonths;
let maintenance: Pool;
let auditor: Pool;
let folder: string;
beforeAll(async () => {
  system = await startSystem();
  maintenance = openMaintenancePool(system);
  auditor = openAuditorPool(system);
  months = auditMonths(system, await system.company(), maintenance);
  folder = mkdtempSync(join(tmpdir(), 'accubooks-archive-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await Promise.all([maintenance.close(), auditor.close()]);
  await system.stop();
});

async function tableOf(month: string): Promise<string | null> {
  const name = `audit_detached.y${month.replace('-', 'm')}`;
  return (await system.owner.query('SELECT to_regclass($1)::text AS name', [name])).rows[0].name;
}

async function recordOf(month: string) {
  const { rows } = await system.owner.query(
    'SELECT archived_by, verified_by, verified_at, dropped_by FROM audit_archives WHERE month = $1',
    [`${month}-01`],
  );
  return rows[0];
}

describe('one login alone destroys no month of the audit log', () => {
  test('not the API’s: it cannot act as maintenance at all', async () => {
    const app = openPool({
      connectionString: system.environment['DATABASE_URL'] as string,
      max: 1,
      statementTimeoutMs: 10_000,
      applicationName: 'attacker',
    });
    try {
      await expect(archiveMonth(app, folder, '2025-01')).rejects.toMatchObject(REFUSED_BY_PRIVILEGE);
      await expect(queryOnce(app, "SELECT drop_detached_audit_month('2025-01-01', 0, 0)")).rejects.toMatchObject(
        REFUSED_BY_PRIVILEGE,
      );
    } finally {
      await app.close();
    }
  });

  test('not maintenance’s: it can answer for a file that does not exist, and then not drop the rows', async () => {
    await months.make('2025-02');
    const lines = await asMaintenance(maintenance, (tx) =>
      tx.query<{ line: string }>("SELECT line FROM audit_month_lines('2025-02-01', '-infinity', 0, 100)"),
    );
    const digest = lines.reduce(
      (sum, { line }) => sum + createHash('sha256').update(line).digest().readBigInt64BE(0),
      0n,
    );
    // What the database compares, computed from the rows alone: nothing was written to any disk.
    await asMaintenance(maintenance, (tx) =>
      tx.query('SELECT detach_audit_month($1, $2, $3, $4, $5)', [
        '2025-02-01',
        'nowhere.jsonl.gz',
        '0'.repeat(64),
        lines.length,
        String(digest),
      ]),
    );
    const drop = () =>
      asMaintenance(maintenance, (tx) =>
        tx.query('SELECT drop_detached_audit_month($1, $2, $3)', ['2025-02-01', lines.length, String(digest)]),
      );
    await expect(drop()).rejects.toMatchObject({ sqlState: NOT_IN_THAT_STATE });
    // It cannot verify in the auditor's name, and the auditor's login finds no such file.
    await expect(
      asMaintenance(maintenance, (tx) =>
        tx.query('SELECT verify_audit_archive($1, $2, $3, $4)', [
          '2025-02-01',
          '0'.repeat(64),
          lines.length,
          String(digest),
        ]),
      ),
    ).rejects.toMatchObject(REFUSED_BY_PRIVILEGE);
    await expect(verifyMonth(auditor, folder, '2025-02')).rejects.toThrow('has no manifest');
    await expect(drop()).rejects.toMatchObject({ sqlState: NOT_IN_THAT_STATE });
    expect(await tableOf('2025-02')).not.toBeNull();
  });

  test('not the auditor’s: it verifies, and neither archives nor drops', async () => {
    await months.make('2025-03');
    await archiveMonth(maintenance, folder, '2025-03');
    await verifyMonth(auditor, folder, '2025-03');
    for (const call of [
      "SELECT drop_detached_audit_month('2025-03-01', 2, 0)",
      "SELECT detach_audit_month('2025-03-01', 'f', repeat('0', 64), 0, 0)",
    ]) {
      await expect(queryOnce(auditor, call)).rejects.toMatchObject(REFUSED_BY_PRIVILEGE);
    }
    await expect(dropMonth(auditor, folder, '2025-03')).rejects.toMatchObject(REFUSED_BY_PRIVILEGE);
  });

  test('not even the owner’s commands: who verified does not drop', async () => {
    await months.make('2025-04');
    await archiveMonth(maintenance, folder, '2025-04');
    const owner = { MIGRATION_DATABASE_URL: ownerUrlOf(system.owner), AUDIT_ARCHIVE_DIR: folder };
    const audit = (environment: Record<string, string>, ...args: string[]) =>
      runCommand('deploy/operator/audit/main.ts', [...args, '--month', '2025-04'], { ...owner, ...environment });
    expect(await audit({}, 'verify')).toMatchObject({ code: 0 });
    expect(await audit({}, 'drop', '--yes')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('another login than accubooks_owner has to verify its file'),
    });
    expect(await tableOf('2025-04')).not.toBeNull();
    const asAuditor = { AUDITOR_DATABASE_URL: system.environment['AUDITOR_DATABASE_URL'] as string };
    const asMaintainer = { MAINTENANCE_DATABASE_URL: system.environment['MAINTENANCE_DATABASE_URL'] as string };
    expect(await audit(asAuditor, 'verify')).toMatchObject({ code: 0 });
    expect(await audit(asMaintainer, 'drop', '--yes')).toMatchObject({ code: 0 });
    expect(await tableOf('2025-04')).toBeNull();
    expect(await recordOf('2025-04')).toMatchObject({
      archived_by: 'accubooks_maintenance_login',
      verified_by: 'accubooks_auditor_login',
      dropped_by: 'accubooks_maintenance_login',
    });
  });
});

describe('what was verified is the file of today', () => {
  test('a month that is archived anew, or was verified long ago, has to be verified again', async () => {
    await months.make('2025-05');
    await archiveMonth(maintenance, folder, '2025-05');
    await verifyMonth(auditor, folder, '2025-05');
    await system.owner.query(
      "UPDATE audit_archives SET verified_at = now() - interval '8 days' WHERE month = '2025-05-01'",
    );
    await expect(dropMonth(maintenance, folder, '2025-05')).rejects.toThrow('nobody has verified its file');
    await verifyMonth(auditor, folder, '2025-05');
    await restoreMonth(maintenance, folder, '2025-05', 1);
    await archiveMonth(maintenance, folder, '2025-05');
    expect(await recordOf('2025-05')).toMatchObject({ verified_by: null, verified_at: null });
    await expect(dropMonth(maintenance, folder, '2025-05')).rejects.toThrow('nobody has verified its file');
  });

  test('another file with as many rows is not verified', async () => {
    await months.make('2025-06');
    const { file } = await archiveMonth(maintenance, folder, '2025-06');
    const whole = readFileSync(join(folder, file));
    writeFileSync(join(folder, file), gzipSync('{}\n{}\n'));
    await expect(verifyMonth(auditor, folder, '2025-06')).rejects.toThrow('is not what was archived');
    writeFileSync(join(folder, file), whole);
    // Nor do the right figures of the wrong file count, or the wrong figures of the right one.
    for (const values of [
      ['2025-06-01', '0'.repeat(64), 2, '0'],
      ['2025-06-01', createHash('sha256').update(whole).digest('hex'), 2, '0'],
    ]) {
      await expect(queryOnce(auditor, 'SELECT verify_audit_archive($1, $2, $3, $4)', values)).rejects.toMatchObject({
        sqlState: NOT_IN_THAT_STATE,
      });
    }
    expect(await recordOf('2025-06')).toMatchObject({ verified_by: null });
  });
});
