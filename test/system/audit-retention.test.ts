import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { readManifest, writeArchive } from '../../activities/audit/archive-file.ts';
import { archiveMonth, asMaintenance } from '../../activities/audit/archive-month.ts';
import { findMonths } from '../../activities/audit/maintenance.ts';
import type { Pool } from '../../activities/database.ts';
import { dropMonth, restoreMonth, verifyMonth } from '../../deploy/operator/audit/restore.ts';
import { readFigures } from '../../deploy/reports/figures.ts';
import { reportMarkdown } from '../../deploy/reports/markdown.ts';
import { type Actors, actors } from '../support/actors.ts';
import { type AuditMonths, auditMonths, openAuditorPool, openMaintenancePool } from '../support/audit-months.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { untilWaiting } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

const REFUSED_BY_PRIVILEGE = '42501';
const REFUSED_BY_TRIGGER = '23001';
const NOT_IN_THAT_STATE = '55000';
const LOCK_NOT_AVAILABLE = '55P03';

let system: System;
let company: Company;
let pool: Pool;
let auditor: Pool;
let sql: Actors;
let folder: string;
let months: AuditMonths;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  sql = actors(system.owner, system.environment['DATABASE_URL'] ?? '');
  pool = openMaintenancePool(system);
  auditor = openAuditorPool(system);
  months = auditMonths(system, company, pool);
  folder = mkdtempSync(join(tmpdir(), 'accubooks-archive-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await Promise.all([pool.close(), auditor.close()]);
  await sql.end();
  await system.stop();
});

const archive = (month: string) => archiveMonth(pool, folder, month);

describe('a month of the audit log that is over', () => {
  test('is exported, read back and detached; what the file holds is what the rows were', async () => {
    await months.make('2025-03');
    expect(await findMonths(pool)).toEqual(['2025-03']);
    const rows = await months.rowsOf('2025-03');
    const done = await archive('2025-03');
    expect(done).toMatchObject({ month: '2025-03', rows: rows.length, file: 'audit-2025-03.jsonl.gz' });
    const text = gunzipSync(readFileSync(join(folder, done.file))).toString();
    expect(
      text
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line).id),
    ).toEqual(rows.map((line) => JSON.parse(line).id));
    const manifest = await readManifest(folder, '2025-03');
    expect(manifest).toMatchObject({
      rows: 2,
      sha256: done.sha256,
      rowDigest: done.rowDigest,
      table: 'idempotent_write_audit_log',
    });
    expect(manifest?.columns.map(({ name }) => name)).toEqual(
      Object.keys(JSON.parse(rows[0] ?? '{}')).toSorted(byManifest(manifest)),
    );
    expect(await months.rowsOf('2025-03')).toEqual([]);
    expect(await findMonths(pool)).toEqual([]);
    expect(await months.archived()).toEqual(['2025-03 detached']);
    expect((await verifyMonth(auditor, folder, '2025-03')).rows).toBe(2);
  });

  test('is said to be missing by a report on it', async () => {
    const figures = await readFigures(ownerUrlOf(system.owner), { from: '2025-03-01', to: '2025-05-01' });
    expect(figures).toMatchObject({ onlineFrom: '2025-04-01T00:00:00.000Z', all: { total: 0 } });
    expect(reportMarkdown(figures)).toContain('older rows are archived');
    const today = await readFigures(ownerUrlOf(system.owner), { from: null, to: null });
    expect(reportMarkdown(today)).not.toContain('older rows are archived');
  });

  test('stays append-only when it is detached, for its owner too', async () => {
    for (const statement of [
      'UPDATE audit_detached.y2025m03 SET id = 0',
      'DELETE FROM audit_detached.y2025m03',
      'TRUNCATE audit_detached.y2025m03',
    ]) {
      await expect(system.owner.query(statement)).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
    }
  });

  test('is dropped only by hand, restored from its file alone, and is the same to the byte', async () => {
    await months.make('2025-04');
    const before = await months.rowsOf('2025-04');
    await archive('2025-04');
    await verifyMonth(auditor, folder, '2025-04');
    await dropMonth(pool, folder, '2025-04');
    expect(await months.archived()).toContain('2025-04 dropped');
    expect((await system.owner.query("SELECT to_regclass('audit_detached.y2025m04') AS t")).rows[0].t).toBeNull();

    await restoreMonth(pool, folder, '2025-04', 10);
    expect(await months.rowsOf('2025-04')).toEqual(before);
    // Whoever asked for it has it for ten days; the maintenance of tonight leaves it.
    expect(await findMonths(pool)).toEqual([]);
    await expect(
      system.owner.query("DELETE FROM idempotent_write_audit_log WHERE timestamp < '2025-05-01'"),
    ).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
    await expect(restoreMonth(pool, folder, '2025-04', 10)).rejects.toThrow('is already in the audit log');
    await system.owner.query("UPDATE audit_archives SET restored_until = now() WHERE month = '2025-04-01'");
    expect(await findMonths(pool)).toEqual(['2025-04']);
    await archive('2025-04');
    expect(await months.archived()).toContain('2025-04 detached');
  });

  test('is restored from its detached table while that is there', async () => {
    await restoreMonth(pool, folder, '2025-03', 1);
    expect(await months.rowsOf('2025-03')).toHaveLength(2);
    await system.owner.query("UPDATE audit_archives SET restored_until = now() WHERE month = '2025-03-01'");
    await archive('2025-03');
  });
});

describe('no month leaves the audit log', () => {
  test('while it is hot, whoever asks', async () => {
    const detach = asMaintenance(pool, (tx) =>
      tx.query(
        "SELECT detach_audit_month(date_trunc('month', now() - interval '80 days')::date, 'f', repeat('0', 64), 0, 0)",
      ),
    );
    await expect(detach).rejects.toMatchObject({
      sqlState: NOT_IN_THAT_STATE,
      message: expect.stringContaining('is hot'),
    });
  });

  test('for a file that lacks a row, or has another', async () => {
    await months.make('2025-05');
    const lines = await asMaintenance(pool, (tx) =>
      tx.query<{ line: string }>("SELECT line FROM audit_month_lines('2025-05-01', '-infinity', 0, 10)"),
    );
    const wrong = {
      'a row less': lines.slice(1),
      'another row': lines.map(({ line }, index) => ({
        line: index === 0 ? line.replace('of-2025', 'OF-2025') : line,
      })),
      'a row twice': [...lines, ...lines.slice(0, 1)],
    };
    for (const pages of Object.values(wrong)) {
      const content = await writeArchive(folder, '2025-05', pagesOf(pages.map(({ line }) => line)));
      const detach = asMaintenance(pool, (tx) =>
        tx.query("SELECT detach_audit_month('2025-05-01', 'f', $1, $2, $3)", [
          content.sha256,
          content.rows,
          content.rowDigest,
        ]),
      );
      await expect(detach).rejects.toMatchObject({ sqlState: NOT_IN_THAT_STATE });
    }
    expect(await months.rowsOf('2025-05')).toHaveLength(2);
    expect(await months.archived()).not.toContain('2025-05 detached');
  });

  test('for an export that was interrupted, which leaves nothing half', async () => {
    rmSync(join(folder, 'audit-2025-05.jsonl.gz'), { force: true });
    const interrupted = writeArchive(folder, '2025-05', failing());
    await expect(interrupted).rejects.toThrow('interrupted');
    expect(readdirSync(folder).filter((name) => name.includes('2025-05'))).toEqual([]);
    // As a process that was killed leaves it.
    writeFileSync(join(folder, 'audit-2025-05.jsonl.gz.1.partial'), 'half');
    await archive('2025-05');
    expect(readdirSync(folder).filter((name) => name.includes('2025-05'))).toEqual([
      'audit-2025-05.json',
      'audit-2025-05.jsonl.gz',
    ]);
  });

  test('while somebody reads it for long: writers wait behind for a second at most, and it is tried again', async () => {
    await months.make('2025-06');
    const reader = await system.owner.connect();
    await reader.query('BEGIN');
    await reader.query('SELECT count(*) FROM idempotent_write_audit_log');
    const refused = archive('2025-06').catch((error: unknown) => error);
    await untilWaiting(system.owner, 1);
    // Behind one who waited for as long as a transaction may, it would be answered 202.
    expect((await company.api.post('/api/customers', { name: 'Meanwhile' })).status).toBe(201);
    expect(await refused).toMatchObject({ sqlState: LOCK_NOT_AVAILABLE });
    await reader.query('COMMIT');
    reader.release();
    expect(await months.rowsOf('2025-06')).toHaveLength(2);
    await archive('2025-06');
    expect(await months.archived()).toContain('2025-06 detached');
  });

  test('while a row of it is being written, which its file does not have', async () => {
    await months.make('2025-07');
    const writer = await system.owner.connect();
    await writer.query('BEGIN');
    await writer.query(`
      INSERT INTO idempotent_write_audit_log (timestamp, company_id, operation_name, operation_type, idempotency_key, user_id,
        status, request_id, route_path, http_method)
      SELECT timestamp, company_id, operation_name, operation_type, 'late', user_id, status, request_id, route_path, http_method
      FROM idempotent_write_audit_log WHERE timestamp >= '2025-07-01Z' AND timestamp < '2025-08-01Z' LIMIT 1`);
    const refused = archive('2025-07').catch((error: unknown) => error);
    await untilWaiting(system.owner, 1);
    await writer.query('COMMIT');
    writer.release();
    // On a busy machine the second for which it waits may be over.
    expect([NOT_IN_THAT_STATE, LOCK_NOT_AVAILABLE]).toContain(((await refused) as { sqlState?: string }).sqlState);
    expect(await months.rowsOf('2025-07')).toHaveLength(3);
    expect(await archive('2025-07')).toMatchObject({ rows: 3 });
  });
});

describe('nothing is dropped or restored', () => {
  test('by a file that has changed or gone', async () => {
    const path = join(folder, 'audit-2025-06.jsonl.gz');
    const whole = readFileSync(path);
    onTestFinished(() => writeFileSync(path, whole));
    const damaged = Buffer.from(whole);
    damaged[damaged.length - 5] = (damaged[damaged.length - 5] ?? 0) ^ 1;
    for (const content of [damaged, whole.subarray(0, -20), readFileSync(join(folder, 'audit-2025-05.jsonl.gz'))]) {
      writeFileSync(path, content);
      await expect(verifyMonth(auditor, folder, '2025-06')).rejects.toThrow(/cannot be read|is not what was archived/);
      await expect(dropMonth(pool, folder, '2025-06')).rejects.toThrow(/cannot be read|is not what was archived/);
    }
    rmSync(path);
    await expect(dropMonth(pool, folder, '2025-06')).rejects.toThrow('Restore it from the backup');
    expect(await months.archived()).toContain('2025-06 detached');
    await expect(verifyMonth(auditor, folder, '2024-01')).rejects.toThrow('2024-01 has not been archived');
  });

  test('by rows that are not those that were archived', async () => {
    await verifyMonth(auditor, folder, '2025-06');
    await dropMonth(pool, folder, '2025-06');
    await asMaintenance(pool, (tx) => tx.query("SELECT begin_audit_restore('2025-06-01')"));
    const attach = asMaintenance(pool, (tx) => tx.query("SELECT attach_audit_month('2025-06-01', now())"));
    await expect(attach).rejects.toMatchObject({ sqlState: NOT_IN_THAT_STATE });
  });
});

describe('only accubooks_maintenance', () => {
  const calls = [
    "SELECT detach_audit_month('2025-03-01', 'f', repeat('0', 64), 0, 0)",
    "SELECT drop_detached_audit_month('2025-03-01', 0, 0)",
    "SELECT attach_audit_month('2025-03-01', now())",
    "SELECT begin_audit_restore('2025-03-01')",
    "SELECT load_audit_lines('2025-03-01', '{}')",
    "SELECT * FROM audit_month_lines('2025-03-01', '-infinity', 0, 1)",
    'SELECT * FROM archivable_audit_months()',
    'SELECT empty_audit_fallback(24)',
    'SELECT ensure_audit_partitions(24)',
  ];
  test.each(calls)('may %s', async (call) => {
    await expect(sql.as('application', company.id, (client) => client.query(call))).rejects.toMatchObject({
      code: REFUSED_BY_PRIVILEGE,
    });
  });

  test('and it reads neither the log, nor writes, nor books', async () => {
    for (const table of [
      'idempotent_write_audit_log',
      'idempotent_writes',
      'journal_lines',
      'audit_partitions.fallback',
      'audit_detached.y2025m03',
    ]) {
      const read = asMaintenance(pool, (tx) => tx.query(`SELECT FROM ${table}`));
      await expect(read).rejects.toMatchObject({ sqlState: REFUSED_BY_PRIVILEGE });
    }
  });
});

test('npm run audit:archive lists, checks, and asks before it drops', async () => {
  const environment = { MIGRATION_DATABASE_URL: ownerUrlOf(system.owner), AUDIT_ARCHIVE_DIR: folder };
  const audit = (...args: string[]) => runCommand('deploy/operator/audit/main.ts', args, environment);
  const [list, verified, dropped] = await Promise.all([
    audit('list'),
    audit('verify', '--month', '2025-03', '--json'),
    audit('drop', '--month', '2025-03'),
  ]);
  expect(list).toMatchObject({ code: 0, stdout: expect.stringMatching(/2025-03 .*detached/) });
  expect(JSON.parse(verified.stdout)).toMatchObject({ month: '2025-03', rows: 2 });
  expect(dropped).toMatchObject({ code: 1, stderr: expect.stringContaining('--yes') });
});

function byManifest(manifest: { columns: readonly { name: string }[] } | undefined) {
  const names = manifest?.columns.map(({ name }) => name) ?? [];
  return (a: string, b: string) => names.indexOf(a) - names.indexOf(b);
}

async function* pagesOf(lines: readonly string[]): AsyncGenerator<readonly string[]> {
  yield lines;
}

async function* failing(): AsyncGenerator<readonly string[]> {
  yield ['{}'];
  throw new Error('interrupted');
}
