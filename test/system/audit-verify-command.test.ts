import { once } from 'node:events';
import { MockActivityEnvironment } from '@temporalio/testing';
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { createScheduledAudit } from '../../activities/auditor/scheduled-audit.ts';
import { queryOnce } from '../../activities/database.ts';
import { auditScheduleId, ensureAuditSchedules } from '../../worker/auditor/schedules.ts';
import { startAuditor } from '../../worker/auditor/start-auditor.ts';
import { loadWorkflowBundle } from '../../worker/bundle.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { openAuditorPool } from '../support/audit-months.ts';
import { runCommand, startCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { announceNow, publishNow, sealAllOf, sealKey } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';

const COMMAND = 'deploy/operator/audit-verify/main.ts';

let system: System;
let company: Company;
let customerId: string;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company('Audited Ltd');
  // By requests with keys: what is made without one has no run, and after a minute the auditor says so.
  const make = async ({ api }: Company) => (await api.created('/api/customers', { name: 'C' }, { key: 'made' })).id;
  customerId = await make(company);
  await make(await system.company('Other Ltd'));
});
afterAll(() => system.stop());

function verify(...args: string[]) {
  return runCommand(COMMAND, args, {
    AUDITOR_DATABASE_URL: system.environment['AUDITOR_DATABASE_URL'] ?? '',
    TEMPORAL_ADDRESS: system.environment['TEMPORAL_ADDRESS'] ?? '',
    TEMPORAL_TASK_QUEUE: system.environment['TEMPORAL_TASK_QUEUE'] ?? '',
  });
}

/** Past every trigger, for good. */
async function tamper(sql: string): Promise<void> {
  const session = await system.owner.connect();
  try {
    await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
    await session.query(sql);
    await session.query('COMMIT');
  } finally {
    session.release();
  }
}

describe('npm run audit:verify', () => {
  test('says what it has compared, and that nothing was found', async () => {
    const { code, stdout } = await verify('--json');
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(Object.keys(result)).toEqual(['from', 'to', 'checked', 'findings', 'explained', 'couldNotAsk']);
    expect(result).toEqual({
      from: null,
      to: null,
      checked: { companies: 2, writes: 2, entries: 0, auditRows: 2, events: 2, seals: 0, outsideHeads: 0 },
      findings: [],
      explained: [],
      couldNotAsk: [],
    });
    const text = await verify('--company', 'Audited Ltd');
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/^ +1 {2}companies$/m);
    expect(text.stdout).toContain('Nothing was found.');
  });

  test('compares only the writes of the days that were asked for', async () => {
    const { stdout } = await verify('--json', '--to', '2020-01-01');
    expect(JSON.parse(stdout)).toMatchObject({ from: null, to: '2020-01-01', checked: { companies: 2, writes: 0 } });
  });

  test('names the row and where to read on, as text and as JSON, and exits with 1', async () => {
    await tamper(`DELETE FROM outbox WHERE company_id = '${company.id}'`);
    const { rows } = await system.owner.query(
      'SELECT idempotency_key AS key, write_id FROM idempotent_writes WHERE company_id = $1',
      [company.id],
    );
    const found = await verify('--json', '--company', company.id);
    expect(found.code).toBe(1);
    expect(JSON.parse(found.stdout).findings).toEqual([
      {
        kind: 'event-missing',
        companyId: company.id,
        key: rows[0].key,
        writeId: customerId,
        table: 'outbox',
        rowId: null,
        detail: 'The write (createCustomer) is succeeded, and has no event.',
        runbook: 'docs/runbooks.md#finding-rows-of-a-write-are-missing',
      },
    ]);
    const text = await verify();
    expect(text.code).toBe(1);
    expect(text.stdout).toContain(`  write    ${customerId}`);
    expect(text.stdout).toContain('  next     docs/runbooks.md#finding-rows-of-a-write-are-missing');
    expect((await verify('--company', 'Other Ltd')).code).toBe(0);
  });

  test('draws a sample, and says of what share of all writes it speaks', async () => {
    const { code, stdout } = await verify('--sample', '2');
    expect(code).toBe(1);
    expect(stdout).toContain('All 2 writes were compared: 1 have a finding.');
    const one = await verify('--sample', '1', '--json');
    expect(JSON.parse(one.stdout).checked.writes).toBe(1);
    expect(one.stderr).toMatch(/[01] of 1 writes, drawn at random from 2, have a finding\. Confidence 95 %/);
  });

  test('exits with 2 where the database or Temporal cannot be asked, and says why', async () => {
    const url = (name: string) => ({ AUDITOR_DATABASE_URL: system.environment[name] ?? '' });
    const relay = await runCommand(COMMAND, ['--json'], url('RELAY_DATABASE_URL'));
    expect(relay.code).toBe(2);
    expect(JSON.parse(relay.stdout).couldNotAsk).toEqual([
      { what: 'the database', why: expect.stringContaining('accubooks_auditor') },
    ]);
    const other = ['--company', 'Other Ltd'];
    const away = { ...url('AUDITOR_DATABASE_URL'), TEMPORAL_ADDRESS: '127.0.0.1:1' };
    const withoutRuns = await runCommand(COMMAND, other, away);
    expect(withoutRuns.code).toBe(2);
    expect(withoutRuns.stdout).toMatch(/^ {2}the runs in Temporal: Temporal at 127\.0\.0\.1:1 cannot be reached/m);
    expect((await runCommand(COMMAND, [...other, '--no-runs'], away)).code).toBe(0);
    expect(await verify('--company', 'Nobody')).toMatchObject({ code: 2, stderr: 'There is no company Nobody.\n' });
    expect(await verify('--from', '2026-02-30')).toMatchObject({ code: 2, stderr: expect.stringContaining('a day') });
    expect((await verify('--help')).code).toBe(0);
  });

  test('says nothing of what was found where nobody reads on', async () => {
    const child = startCommand(COMMAND, ['--no-runs'], {
      AUDITOR_DATABASE_URL: system.environment['AUDITOR_DATABASE_URL'] ?? '',
    });
    child.stdout?.destroy();
    let told = '';
    child.stderr?.on('data', (text) => {
      told += text;
    });
    const [code] = await once(child, 'close');
    expect([code, told]).toEqual([2, expect.not.stringContaining('EPIPE')]);
  });
});

describe('the schedule', () => {
  test('has the audit made by a worker, which records what it has found, and whose login then verifies no archive', async () => {
    expect(await verify('--last')).toMatchObject({ code: 2, stderr: expect.stringContaining('No scheduled audit') });
    const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
    const config = readWorkerConfig(system.environment);
    const shared = {
      config,
      connection,
      metrics: { temporalRefused: { inc() {} } },
      logger: pino({ level: 'silent' }),
    };
    const auditor = await startAuditor({ ...shared, workflowBundle: await loadWorkflowBundle(config) });
    const schedules = ['recent', 'all'] as const;
    const [recent, all] = schedules.map((scope) =>
      system.temporal.schedule.getHandle(auditScheduleId(scope, config.TEMPORAL_TASK_QUEUE)),
    );
    await sealAllOf(system);
    await publishNow(system, [company.id], sealKey('test-key'));
    await announceNow(system);
    const query = `WorkflowType = 'announceHeads' AND TaskQueue = '${config.TEMPORAL_TASK_QUEUE}-events'`;
    await until('the run with the heads to be listed', async () => {
      return (await system.temporal.workflow.count(query)).count > 0;
    });
    try {
      await recent?.trigger();
      const runs = async () => (await system.owner.query('SELECT * FROM audit_runs')).rows;
      await until('the run to be recorded', async () => (await runs()).length > 0);
      const [run] = await runs();
      expect(run).toMatchObject({
        scope: 'recent',
        to_day: null,
        // The heads of the memo are compared, too.
        checked: { companies: 2, writes: 2, outsideHeads: 1 },
        explained: [],
        finding_count: '1',
        findings: [{ kind: 'event-missing', writeId: customerId }],
        could_not_ask: [],
        recorded_by: 'accubooks_auditor_login',
      });
      expect(run.from_day).not.toBeNull();
      await all?.pause('a test');
      // As the next release does.
      await ensureAuditSchedules(system.temporal, config.TEMPORAL_TASK_QUEUE);
      expect(await all?.describe()).toMatchObject({ spec: { calendars: [{}] }, state: { paused: true } });
    } finally {
      await Promise.all([recent?.delete(), all?.delete()]);
      await auditor.close();
      await connection.close();
    }
    const last = await verify('--last', '--json');
    expect(last).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('The scheduled audit of the recent writes'),
    });
    expect(Object.keys(JSON.parse(last.stdout))).toEqual([
      'from',
      'to',
      'checked',
      'findings',
      'explained',
      'couldNotAsk',
    ]);
    const text = await verify('--last');
    expect(text.stdout).toContain(`  write    ${customerId}`);

    const pool = openAuditorPool(system);
    const audit = createScheduledAudit({ pool, checks: [], requireOrder: true });
    const workflowExecution = { workflowId: 'a test', runId: 'a lost answer' };
    const attempt = () => new MockActivityEnvironment({ workflowExecution });
    const unordered = attempt().run(audit.auditBooks, undefined as never);
    await expect(unordered).rejects.toThrow('Its schedule has not ordered it');
    const counts = async () =>
      (
        await system.owner.query(
          'SELECT count(*)::int AS runs, count(DISTINCT run_id)::int AS different FROM audit_runs',
        )
      ).rows[0];
    expect(await counts()).toEqual({ runs: 1, different: 1 });
    const order = { schedule: 'a test', scope: 'all' } as const;
    for (let i = 0; i < 2; i += 1) await attempt().run(audit.auditBooks, order);
    expect(await counts()).toEqual({ runs: 2, different: 2 });

    const verifying = queryOnce(pool, "SELECT verify_audit_archive('2026-01-01', '', 0, 0)");
    await expect(verifying).rejects.toThrow('is the login of scheduled runs, and a person has to verify it');
    await pool.close();
    await expect(system.owner.query('DELETE FROM audit_runs')).rejects.toThrow('it is what a run has found');
  });
});
