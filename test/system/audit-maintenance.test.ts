import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { archiveMonth } from '../../activities/audit/archive-month.ts';
import { keepPartitions } from '../../activities/audit/maintenance.ts';
import type { Pool } from '../../activities/database.ts';
import { restoreMonth } from '../../deploy/operator/audit/restore.ts';
import { loadWorkflowBundle } from '../../worker/bundle.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { startMaintenance } from '../../worker/maintenance.ts';
import { ensureMaintenanceSchedule, maintenanceScheduleId } from '../../worker/maintenance-schedule.ts';
import { type AuditMonths, auditMonths, openMaintenancePool } from '../support/audit-months.ts';
import { ownerUrlOf, startCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let pool: Pool;
let folder: string;
let months: AuditMonths;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  pool = openMaintenancePool(system);
  months = auditMonths(system, company, pool);
  folder = mkdtempSync(join(tmpdir(), 'accubooks-archive-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await pool.close();
  await system.stop();
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
    await months.move('2025-07', ['long-ago', 'failed-long-ago']);
    const read = async (key: string) => (await company.api.get(`/api/writes/${key}`)).json;
    const kinds = async () => (await read('long-ago')).timeline.map(({ kind }: { kind: string }) => kind);
    expect(await kinds()).toContain('replayed');
    expect(await read('failed-long-ago')).toMatchObject({ state: 'failed' });
    await archiveMonth(pool, folder, '2025-07');
    expect(await read('long-ago')).toMatchObject({ state: 'succeeded', status: 201, operation: 'createPayment' });
    expect(await kinds()).toEqual(['requested', 'started', 'completed', 'event_recorded']);
    expect(await read('failed-long-ago')).toMatchObject({ code: 'write_not_found' });
    // And it still replays.
    expect((await company.api.post('/api/payments', body, { key: 'long-ago' })).replayed).toBe(true);
    await restoreMonth(pool, folder, '2025-07', 1);
    expect(await kinds()).toContain('replayed');
    expect(await read('failed-long-ago')).toMatchObject({ state: 'failed' });
  });
});

const metrics = { temporalRefused: { inc() {} } };

describe('a worker', () => {
  const start = async (environment: Record<string, string>) => {
    const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
    const warnings: string[] = [];
    const logger = pino({ level: 'warn' }, { write: (line: string) => void warnings.push(line) });
    const queue = { TEMPORAL_TASK_QUEUE: `${system.environment['TEMPORAL_TASK_QUEUE']}-${Math.random()}` };
    const config = readWorkerConfig({ ...system.environment, ...queue, ...environment });
    try {
      await (
        await startMaintenance({
          config,
          connection,
          workflowBundle: await loadWorkflowBundle(config),
          metrics,
          logger,
        })
      ).close();
    } finally {
      await connection.close();
    }
    const schedule = system.temporal.schedule.getHandle(maintenanceScheduleId(config.TEMPORAL_TASK_QUEUE));
    return {
      warnings,
      scheduled: await schedule.delete().then(
        () => true,
        () => false,
      ),
    };
  };

  test('whose login may not maintain says so and goes on; one that was given a login for it must be able to', async () => {
    const relay = system.environment['RELAY_DATABASE_URL'] ?? '';
    const left = await start({ MAINTENANCE_DATABASE_URL: '' });
    expect(left).toMatchObject({ scheduled: false, warnings: [expect.stringContaining('accubooks_maintenance')] });
    expect(await start({})).toEqual({ scheduled: true, warnings: [] });
    await expect(start({ MAINTENANCE_DATABASE_URL: relay })).rejects.toThrow(/MAINTENANCE_DATABASE_URL.*not a member/);
  });

  test('refuses an archive that is no folder', async () => {
    await expect(start({ AUDIT_ARCHIVE_DIR: join(folder, 'not-mounted') })).rejects.toThrow('is not a folder');
  });

  test('that is killed in the middle of an export leaves the month as it was, and the next one archives it', async () => {
    await months.make('2025-09');
    const reader = await system.owner.connect();
    // What it reads with each page of rows, and not before.
    await reader.query('BEGIN; LOCK TABLE seal_salts IN ACCESS EXCLUSIVE MODE');
    const environment = { MIGRATION_DATABASE_URL: ownerUrlOf(system.owner), AUDIT_ARCHIVE_DIR: folder };
    const exporting = startCommand('deploy/operator/audit/main.ts', ['run'], environment);
    await until('the export to have begun', async () => readdirSync(folder).some((name) => name.endsWith('.partial')));
    exporting.kill('SIGKILL');
    await once(exporting, 'exit');
    await reader.query('COMMIT');
    reader.release();
    expect(readdirSync(folder).filter((name) => !name.endsWith('.partial') && name.includes('2025-09'))).toEqual([]);
    expect(await months.rowsOf('2025-09')).toHaveLength(2);
    await archiveMonth(pool, folder, '2025-09');
    expect(readdirSync(folder).filter((name) => name.includes('2025-09'))).toHaveLength(2);
    expect(await months.archived()).toContain('2025-09 detached');
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
    await months.make('2025-08');
    // This month has no partition, and rows of it stand in the one for all others.
    await system.owner.query(
      `DO $$ BEGIN EXECUTE 'DROP TABLE audit_partitions.' || audit_partition_name(date_trunc('month', now())::date); END $$`,
    );
    await system.owner.query(
      `DO $$ BEGIN EXECUTE 'DROP TABLE audit_partitions.' || audit_partition_name((date_trunc('month', now()) + interval '24 months')::date); END $$`,
    );
    await company.api.created('/api/customers', { name: 'Late' }, { key: 'without-a-month' });
    const inFallback = async () =>
      (await system.owner.query('SELECT count(*)::int AS n FROM audit_partitions.fallback')).rows[0].n;
    expect(await inFallback()).toBeGreaterThan(0);

    const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
    const config = readWorkerConfig({ ...system.environment, AUDIT_ARCHIVE_DIR: folder });
    const workflowBundle = await loadWorkflowBundle(config);
    const logger = pino({ level: 'silent' });
    const maintenance = await startMaintenance({ config, connection, workflowBundle, metrics, logger });
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
    expect(await keepPartitions(pool)).toEqual({ moved: 0, made: 0, dropped: 0 });
    expect(await months.archived()).toContain('2025-08 detached');
  });
});
