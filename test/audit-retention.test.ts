import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { readManifest, writeArchive } from '../activities/archive/archive-file.ts';
import { archiveMonth, asMaintenance } from '../activities/archive/archive-month.ts';
import { findMonths, keepPartitions } from '../activities/audit-maintenance.ts';
import { type Database, openDatabase } from '../activities/database.ts';
import { listArchives } from '../deploy/operator/audit/list.ts';
import { dropMonth, restoreMonth, verifyMonth } from '../deploy/operator/audit/restore.ts';
import { readWorkerConfig } from '../worker/config.ts';
import { startMaintenance } from '../worker/maintenance.ts';
import { ensureMaintenanceSchedule, maintenanceScheduleId } from '../worker/maintenance-schedule.ts';
import { type Actors, actors } from './support/actors.ts';
import { ownerUrlOf, runCommand } from './support/commands.ts';
import type { Company } from './support/companies.ts';
import { paymentBody } from './support/effects.ts';
import { until } from './support/held-invoice.ts';
import { type System, startSystem } from './support/system.ts';

const REFUSED_BY_PRIVILEGE = '42501';
const REFUSED_BY_TRIGGER = '23001';
const NOT_IN_THAT_STATE = '55000';
const LOCK_NOT_AVAILABLE = '55P03';

let system: System;
let company: Company;
let database: Database;
let sql: Actors;
let folder: string;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  const connectionString = system.environment['DATABASE_URL'] ?? '';
  sql = actors(system.owner, connectionString);
  database = openDatabase({
    connectionString,
    writePoolMax: 1,
    lookupPoolMax: 2,
    statementTimeoutMs: 60_000,
    applicationName: 'accubooks-maintenance',
  });
  folder = mkdtempSync(join(tmpdir(), 'accubooks-archive-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await database.close();
  await sql.end();
  await system.stop();
});

/** Moves what the log has of some keys into a month of the past, text that is hard to carry included. */
async function moveIntoPast(month: string, keys: readonly string[]): Promise<void> {
  await system.owner.query('SELECT make_audit_partition($1)', [`${month}-01`]);
  const moved = await system.owner.query(
    `INSERT INTO idempotent_write_audit_log (id, timestamp, company_id, operation_name, operation_type, deterministic_id,
       idempotency_key, user_id, status, error_code, error_message, execution_duration_ms, request_id, route_path,
       http_method, metadata)
     SELECT id, $1::timestamptz + (timestamp - date_trunc('month', timestamp)) / 2, company_id, operation_name, operation_type,
       deterministic_id, idempotency_key, user_id, status, error_code, E'line\nbreak, "quotes", \\\\ and \u2028 \u00e9', 0.1 + 0.2,
       request_id, route_path, http_method, '{"b": [1, 2.50, null], "a": "\u2028"}'
     FROM idempotent_write_audit_log WHERE company_id = $2 AND idempotency_key = ANY ($3)`,
    [`${month}-01T00:00:00Z`, company.id, keys],
  );
  expect(moved.rowCount).toBeGreaterThan(0);
  const session = await system.owner.connect();
  await session.query('BEGIN');
  await session.query("SET LOCAL session_replication_role = 'replica'");
  await session.query(
    "DELETE FROM idempotent_write_audit_log WHERE company_id = $1 AND idempotency_key = ANY ($2) AND timestamp > now() - interval '60 days'",
    [company.id, keys],
  );
  await session.query('COMMIT');
  session.release();
}

const rowsOf = async (month: string) =>
  (
    await system.owner.query<{ line: string }>(
      `SELECT to_jsonb(a)::text AS line FROM idempotent_write_audit_log a
       WHERE timestamp >= $1::timestamptz AND timestamp < $1::timestamptz + interval '1 month' ORDER BY timestamp, id`,
      [`${month}-01T00:00:00Z`],
    )
  ).rows.map(({ line }) => line);
const customer = (key: string) => company.api.post('/api/customers', { name: 'Audited' }, { key });
async function oldMonth(month: string): Promise<void> {
  await customer(`of-${month}`);
  await customer(`of-${month}`);
  await moveIntoPast(month, [`of-${month}`]);
}
const archive = (month: string) => archiveMonth(database, folder, month);
const months = async () => (await listArchives(database)).map(({ month, where }) => `${month} ${where}`);

describe('a month of the audit log that is over', () => {
  test('is exported, read back and detached; what the file holds is what the rows were', async () => {
    await oldMonth('2025-03');
    expect(await findMonths(database)).toEqual(['2025-03']);
    const rows = await rowsOf('2025-03');
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
    expect(await rowsOf('2025-03')).toEqual([]);
    expect(await findMonths(database)).toEqual([]);
    expect(await months()).toEqual(['2025-03 detached']);
    expect((await verifyMonth(database, folder, '2025-03')).rows).toBe(2);
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
    await oldMonth('2025-04');
    const before = await rowsOf('2025-04');
    await archive('2025-04');
    await dropMonth(database, folder, '2025-04');
    expect(await months()).toContain('2025-04 dropped');
    expect((await system.owner.query("SELECT to_regclass('audit_detached.y2025m04') AS t")).rows[0].t).toBeNull();

    await restoreMonth(database, folder, '2025-04', 10);
    expect(await rowsOf('2025-04')).toEqual(before);
    // Whoever asked for it has it for ten days; the maintenance of tonight leaves it.
    expect(await findMonths(database)).toEqual([]);
    await expect(
      system.owner.query("DELETE FROM idempotent_write_audit_log WHERE timestamp < '2025-05-01'"),
    ).rejects.toMatchObject({ code: REFUSED_BY_TRIGGER });
    await expect(restoreMonth(database, folder, '2025-04', 10)).rejects.toThrow('is in the audit log');
    await system.owner.query("UPDATE audit_archives SET restored_until = now() WHERE month = '2025-04-01'");
    expect(await findMonths(database)).toEqual(['2025-04']);
    await archive('2025-04');
    expect(await months()).toContain('2025-04 detached');
  });

  test('is restored from its detached table while that is there', async () => {
    await restoreMonth(database, folder, '2025-03', 1);
    expect(await rowsOf('2025-03')).toHaveLength(2);
    await system.owner.query("UPDATE audit_archives SET restored_until = now() WHERE month = '2025-03-01'");
    await archive('2025-03');
  });
});

describe('no month leaves the audit log', () => {
  test('while it is hot, whoever asks', async () => {
    const detach = asMaintenance(database, (tx) =>
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
    await oldMonth('2025-05');
    const lines = await asMaintenance(database, (tx) =>
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
      const detach = asMaintenance(database, (tx) =>
        tx.query("SELECT detach_audit_month('2025-05-01', 'f', $1, $2, $3)", [
          content.sha256,
          content.rows,
          content.rowDigest,
        ]),
      );
      await expect(detach).rejects.toMatchObject({ sqlState: NOT_IN_THAT_STATE });
    }
    expect(await rowsOf('2025-05')).toHaveLength(2);
    expect(await months()).not.toContain('2025-05 detached');
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
    await oldMonth('2025-06');
    const reader = await system.owner.connect();
    await reader.query('BEGIN');
    await reader.query('SELECT count(*) FROM idempotent_write_audit_log');
    await expect(archive('2025-06')).rejects.toMatchObject({ sqlState: LOCK_NOT_AVAILABLE });
    expect((await customer('meanwhile')).status).toBe(201);
    await reader.query('COMMIT');
    reader.release();
    expect(await rowsOf('2025-06')).toHaveLength(2);
    await archive('2025-06');
    expect(await months()).toContain('2025-06 detached');
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
      await expect(verifyMonth(database, folder, '2025-06')).rejects.toThrow(/cannot be read|is not what was archived/);
      await expect(dropMonth(database, folder, '2025-06')).rejects.toThrow();
    }
    rmSync(path);
    await expect(dropMonth(database, folder, '2025-06')).rejects.toThrow('Fetch it from the backup');
    expect(await months()).toContain('2025-06 detached');
    await expect(verifyMonth(database, folder, '2024-01')).rejects.toThrow('2024-01 was not archived');
  });

  test('by rows that are not those that were archived', async () => {
    await dropMonth(database, folder, '2025-06');
    await asMaintenance(database, (tx) => tx.query("SELECT begin_audit_restore('2025-06-01')"));
    const attach = asMaintenance(database, (tx) => tx.query("SELECT attach_audit_month('2025-06-01', now())"));
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
      const read = asMaintenance(database, (tx) => tx.query(`SELECT FROM ${table}`));
      await expect(read).rejects.toMatchObject({ sqlState: REFUSED_BY_PRIVILEGE });
    }
  });
});

describe('what is told of a write whose month was archived', () => {
  test('its outcome, from its row; replays and failed runs, only while the log has them', async () => {
    const body = paymentBody(await company.invoice());
    await company.api.created('/api/payments', body, { key: 'long-ago' });
    await company.api.created('/api/payments', body, { key: 'long-ago' });
    await system.owner.query(
      `INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, idempotency_key, user_id, status,
         error_code, request_id, route_path, http_method)
       VALUES ($1, 'createPayment', 'financial', 'failed-long-ago', $2, 'failed', 'write_failed', 'r', '/api/payments', 'POST')`,
      [company.id, company.users.owner.id],
    );
    await moveIntoPast('2025-07', ['long-ago', 'failed-long-ago']);
    const read = async (key: string) => (await company.api.get(`/api/writes/${key}`)).json;
    const kinds = async () => (await read('long-ago')).timeline.map(({ kind }: { kind: string }) => kind);
    expect(await kinds()).toContain('replayed');
    expect(await read('failed-long-ago')).toMatchObject({ state: 'failed' });
    await archive('2025-07');
    expect(await read('long-ago')).toMatchObject({ state: 'succeeded', status: 201, operation: 'createPayment' });
    expect(await kinds()).toEqual(['requested', 'started', 'completed', 'event_recorded']);
    expect(await read('failed-long-ago')).toMatchObject({ code: 'write_not_found' });
    // And it still replays.
    expect((await company.api.post('/api/payments', body, { key: 'long-ago' })).replayed).toBe(true);
    await restoreMonth(database, folder, '2025-07', 1);
    expect(await kinds()).toContain('replayed');
    expect(await read('failed-long-ago')).toMatchObject({ state: 'failed' });
  });
});

describe('the schedule', () => {
  test('is made once, skips what overlaps, and stays as an operator left it', async () => {
    const queue = `${system.environment['TEMPORAL_TASK_QUEUE']}-schedule`;
    expect(await ensureMaintenanceSchedule(system.temporal, queue)).toBe('made');
    const handle = system.temporal.schedule.getHandle(maintenanceScheduleId(queue));
    await handle.pause('a test');
    expect(await ensureMaintenanceSchedule(system.temporal, queue)).toBe('exists');
    const { policies, state, spec } = await handle.describe();
    expect([policies.overlap, state.paused, spec.calendars?.length]).toEqual(['SKIP', true, 1]);
    await handle.delete();
    expect(maintenanceScheduleId('accubooks-writes')).toBe('auditMaintenance');
  });

  test('has months made ahead, rows without a month put into theirs, and old months archived', async () => {
    await oldMonth('2025-08');
    // This month has no partition, and rows of it stand in the one for all others.
    await system.owner.query(
      `DO $$ BEGIN EXECUTE 'DROP TABLE audit_partitions.' || audit_partition_name(date_trunc('month', now())::date); END $$`,
    );
    await system.owner.query(
      `DO $$ BEGIN EXECUTE 'DROP TABLE audit_partitions.' || audit_partition_name((date_trunc('month', now()) + interval '24 months')::date); END $$`,
    );
    await customer('without-a-month');
    const inFallback = async () =>
      (await system.owner.query('SELECT count(*)::int AS n FROM audit_partitions.fallback')).rows[0].n;
    expect(await inFallback()).toBeGreaterThan(0);

    const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
    const config = readWorkerConfig({ ...system.environment, AUDIT_ARCHIVE_DIR: folder });
    const maintenance = await startMaintenance({ config, connection, logger: pino({ level: 'silent' }) });
    try {
      const id = maintenanceScheduleId(config.TEMPORAL_TASK_QUEUE);
      const schedule = system.temporal.schedule.getHandle(id);
      await schedule.trigger();
      await until('the run', async () => (await schedule.describe()).info.recentActions.length > 0);
      const [started] = (await schedule.describe()).info.recentActions;
      if (started?.action.type !== 'startWorkflow') throw new Error('Not a workflow');
      const result = await system.temporal.workflow.getHandle(started.action.workflow.workflowId).result();
      expect(result).toMatchObject({ moved: expect.any(Number), made: 1, archived: [{ month: '2025-08', rows: 2 }] });
      await schedule.delete();
    } finally {
      await maintenance.close();
      await connection.close();
    }
    expect(await inFallback()).toBe(0);
    const { rows } = await system.owner.query(
      "SELECT tableoid::regclass::text AS t FROM idempotent_write_audit_log WHERE idempotency_key = 'without-a-month'",
    );
    expect(rows.map(({ t }) => t)).toEqual([expect.stringMatching(/^audit_partitions\.y\d{4}m\d\d$/)]);
    expect(await keepPartitions(database)).toEqual({ moved: 0, made: 0 });
    expect(await months()).toContain('2025-08 detached');
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
