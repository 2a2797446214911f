import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { archiveMonth, asMaintenance } from '../../activities/audit/archive-month.ts';
import { openPool, type Pool, queryOnce } from '../../activities/database.ts';
import { dropMonth, restoreMonth, verifyMonth } from '../../deploy/operator/audit/restore.ts';
import { type ArchiveFiles, tamperedArchive } from '../support/archive-tampering.ts';
import { type AuditMonths, auditMonths, openAuditorPool, openMaintenancePool } from '../support/audit-months.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { publishNow, sealAllOf, sealKey } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';

const REFUSED_BY_PRIVILEGE = { sqlState: '42501' };
const NOT_IN_THAT_STATE = '55000';

let system: System;
let months: AuditMonths;
let company: Company;
let maintenance: Pool;
let auditor: Pool;
let folder: string;
beforeAll(async () => {
  system = await startSystem();
  maintenance = openMaintenancePool(system);
  auditor = openAuditorPool(system);
  company = await system.company();
  months = auditMonths(system, company, maintenance);
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

describe('a month whose file was altered does not come back, although manifest and digests fit it', () => {
  const month = '2025-07';
  const kept = () => join(folder, 'kept');
  let number: number;
  let place: string;
  beforeAll(async () => {
    await months.make(month);
    await sealAllOf(system);
    await publishNow(system, [company.id], sealKey('of-the-archive'));
    mkdirSync(kept());
    await archiveMonth(maintenance, kept(), month);
    await verifyMonth(auditor, kept(), month);
    await dropMonth(maintenance, kept(), month);
    const { rows } = await system.owner.query(
      `SELECT number::int, row_id FROM sealed_audit_rows
       WHERE company_id = $1 AND row_timestamp < '2025-08-01' AND row_timestamp >= '2025-07-01' ORDER BY number LIMIT 1`,
      [company.id],
    );
    ({ number } = rows[0]);
    place = rows[0].row_id;
  });

  const stateOf = async () =>
    (
      await system.owner.query('SELECT a.*, to_regclass($2) AS there FROM audit_archives a WHERE month = $1', [
        `${month}-01`,
        `audit_detached.y${month.replace('-', 'm')}`,
      ])
    ).rows;

  /** What is said of it: by a restore, after which the database is as before, and by whoever verifies it. */
  async function refusals(name: string, edit: (files: ArchiveFiles) => void): Promise<readonly string[]> {
    const record = await stateOf();
    const to = join(folder, name.replaceAll(' ', '-'));
    await tamperedArchive({ from: kept(), to, month, owner: system.owner }, edit);
    const before = await stateOf();
    const messages = [
      await restoreMonth(maintenance, to, month, 1).catch((error: Error) => error.message),
      await verifyMonth(auditor, to, month).catch((error: Error) => error.message),
    ];
    expect(await stateOf()).toEqual(before);
    expect(await months.rowsOf(month)).toEqual([]);
    const [{ file_sha256, row_count, row_digest }] = record;
    await system.owner.query(
      'UPDATE audit_archives SET file_sha256 = $2, row_count = $3, row_digest = $4 WHERE month = $1',
      [`${month}-01`, file_sha256, row_count, row_digest],
    );
    return messages.map(String);
  }

  const edits: Readonly<Record<string, (files: ArchiveFiles) => void>> = {
    'a row altered': ({ rows }) => {
      rows[0].status = 'failed';
    },
    'a text altered, which the file has as a digest': ({ rows }) => {
      rows[0].error_message = 'Another one';
    },
    'a row removed': ({ rows }) => rows.shift(),
    'two rows swapped': ({ rows }) => rows.reverse(),
    'a row of another company': ({ rows }) => {
      rows[0].company_id = '00000000-0000-4000-8000-000000000001';
    },
    'a row backdated': ({ rows }) => {
      rows[0].timestamp = '2025-07-01T00:00:00+00:00';
    },
  };

  test.each(Object.entries(edits))('%s', async (name, edit) => {
    for (const message of await refusals(name, edit)) {
      expect(message).toContain(place);
      expect(message).toMatch(/docs\/runbooks\.md#finding-an-archived-month/);
      expect(message).toContain(`number ${number}`);
      expect(message).toContain(company.id);
    }
  });

  test.each([
    [
      'a row altered',
      () => [`row ${place}, number ${number} of the audit log of company ${company.id} is not what was sealed`],
    ],
    [
      'a text altered, which the file has as a digest',
      () => [`row ${place}, number ${number} of the audit log of company ${company.id}`],
    ],
    [
      'a row removed',
      () => [
        `row ${place}, company ${company.id}, number ${number} of its audit log, is sealed and is not there`,
        `company ${company.id} has 2 sealed rows in 2025-07, and the archive has 1 of them`,
      ],
    ],
    ['a row of another company', () => [`row ${place} of company 00000000-0000-4000-8000-000000000001 is not sealed`]],
    ['a row backdated', () => [`row ${place} of company ${company.id} is not sealed, and was not in the log`]],
  ])('%s, and the seal taken out of the manifest', async (name, told) => {
    const messages = await refusals(`${name} without seal`, (files) => {
      edits[name]?.(files);
      delete files.manifest.seal;
    });
    const [restored, verified = restored] = told();
    expect(messages).toEqual([
      expect.stringContaining(restored as string),
      expect.stringContaining(verified as string),
    ]);
  });

  test.each([true, false])('a row added (with the seal: %s)', async (hasSeal) => {
    const [restored = '', verified = ''] = await refusals(`a row added ${hasSeal}`, ({ rows, seals, manifest }) => {
      rows.push({ ...rows.at(-1), id: 999_999, timestamp: '2025-07-31T00:00:00+00:00' });
      seals.push({ id: '999999' });
      if (!hasSeal) delete manifest.seal;
    });
    for (const message of [restored, verified]) {
      expect(message).toContain(`row 999999 of company ${company.id} is not sealed, and was not in the log`);
    }
  });

  test.each(['altered', 'removed', 'swapped'])('a row %s, and the seal in the archive made anew', async (how) => {
    const [restored = ''] = await refusals(`made anew ${how}`, ({ rows, seals }) => {
      const own = seals.filter(({ id }) => id !== undefined);
      if (how === 'altered') {
        rows[0].status = 'failed';
        Object.assign(own[0], { leaf: own[1].leaf, salted: undefined });
      }
      if (how === 'removed') {
        rows.shift();
        seals.splice(seals.indexOf(own[0]), 1);
      }
      if (how === 'swapped') {
        rows.reverse();
        const [one, two] = [own[0].number, own[1].number];
        seals.splice(-2, 2, { ...own[1], number: one }, { ...own[0], number: two });
      }
    });
    expect(restored).toContain(company.id);
    expect(restored).toContain(how === 'removed' ? `has no number ${number}` : `number ${number}`);
  });

  test.each([
    ['a row altered', /is not what was sealed/],
    ['a row removed', /is sealed and is not there/],
    ['a row added', /row 999999 of 2025-07-31T00:00:00.000000Z, company .*, is not sealed, and was not in the log/],
  ])('by whoever has maintenance’s login, past the command: %s', async (name, told) => {
    const to = join(folder, `loaded ${name}`);
    const before = await stateOf();
    await tamperedArchive({ from: kept(), to, month, owner: system.owner }, (files) => {
      if (name === 'a row added')
        files.rows.push({ ...files.rows.at(-1), id: 999_999, timestamp: '2025-07-31T00:00:00+00:00' });
      else edits[name]?.(files);
    });
    const lines = gunzipSync(readFileSync(join(to, `audit-${month}.jsonl.gz`)))
      .toString()
      .trimEnd()
      .split('\n');
    const call = (sql: string, values: unknown[]) => asMaintenance(maintenance, (tx) => tx.query(sql, values));
    await call('SELECT begin_audit_restore($1)', [`${month}-01`]);
    await call('SELECT load_audit_lines($1, $2)', [`${month}-01`, lines]);
    await expect(call('SELECT attach_audit_month($1, now())', [`${month}-01`])).rejects.toMatchObject({
      sqlState: NOT_IN_THAT_STATE,
      message: expect.stringMatching(told),
    });
    const [{ file_sha256, row_count, row_digest }] = before;
    await system.owner.query(
      'UPDATE audit_archives SET file_sha256 = $2, row_count = $3, row_digest = $4 WHERE month = $1',
      [`${month}-01`, file_sha256, row_count, row_digest],
    );
  });

  test('and the file as it was does', async () => {
    expect(await restoreMonth(maintenance, kept(), month, 1)).toMatchObject({ rows: 2 });
    expect(await months.rowsOf(month)).toHaveLength(2);
  });
});
