import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuditCheck } from '../../activities/auditor/check.ts';
import { checksOf, RECORD_CHECKS } from '../../activities/auditor/checks.ts';
import { CONTROL_CHECKS } from '../../activities/auditor/controls-check.ts';
import { ALL_KINDS, FINDING_KINDS, type Finding } from '../../activities/auditor/finding.ts';
import { sampleWrites } from '../../activities/auditor/sample.ts';
import { STRAYS_CHECK } from '../../activities/auditor/strays-check.ts';
import { writesCheck } from '../../activities/auditor/writes-check.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import { openFileJournal } from '../../deploy/operator/audit-verify/file-journal.ts';
import { runsCheck } from '../../worker/auditor/runs-check.ts';
import { WRITE_WORKFLOW_TYPE } from '../../workflows/messages.ts';
import { auditIn, kindsOf } from '../support/audit.ts';
import { LONELY, PLANTS } from '../support/audit-plants.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { keepBooks } from '../support/kept-books.ts';
import { type System, startSystem } from '../support/system.ts';
import { inRolledBackTransaction } from '../support/tampering.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  await system.company('Neighbour Ltd');
  company = await system.company();
  await keepBooks(company, system.owner);
});
afterAll(() => system.stop());

/** It ends behind what it has found first. */
const HALF: AuditCheck = {
  ...STRAYS_CHECK,
  async *run(part, context) {
    for await (const step of STRAYS_CHECK.run(part, context)) {
      yield step;
      if (step.findings?.length) throw new Error('Stopped by the test');
    }
  },
};

describe('the auditor', () => {
  test('finds nothing in books that nobody has tampered with, and says what it has looked at', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      const { named, couldNotAsk, checked } = await auditIn(client);
      expect(named).toEqual([]);
      expect(couldNotAsk).toEqual([]);
      const count = async (table: string) => (await client.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n;
      expect(checked).toMatchObject({
        companies: 0,
        writes: await count('idempotent_writes'),
        entries: await count('journal_entries'),
        events: await count('outbox'),
        seals: 0,
      });
    });
  });

  test.each(Object.entries(PLANTS))('%s', async (_, [plant, kinds]) => {
    await inRolledBackTransaction(system.owner, async (client) => {
      const results = [await client.query(plant)].flat().filter(({ command }) => command !== 'ALTER');
      for (const { rowCount } of results) expect(rowCount).not.toBe(0);
      const { named, couldNotAsk } = await auditIn(client);
      expect(kindsOf(named)).toEqual(kinds.toSorted());
      expect(couldNotAsk).toEqual([]);
    });
  });

  test('names the rows without a run, and the completed runs without a row, alone and as items of a group', async () => {
    const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] ?? '';
    const checks = [runsCheck({ client: system.temporal, taskQueue, lagMs: 0 })];
    // With keys, since what comes without is made without a request.
    const made = (n: number) => company.api.created('/api/customers', { name: `C${n}` }, { key: `customer-${n}` });
    await Promise.all(Array.from({ length: 40 }, (_, n) => made(n)));
    await inRolledBackTransaction(system.owner, async (client) => {
      // What tests begin with was made without a run.
      await client.query(`UPDATE idempotent_writes SET workflow_id = NULL WHERE workflow_id LIKE 'prepared:%'`);
      expect(await auditIn(client, { checks })).toMatchObject({ named: [], couldNotAsk: [] });
      await client.query("UPDATE idempotent_writes SET workflow_id = 'by hand' WHERE idempotency_key = 'customer-0'");
      const { named } = await auditIn(client, { checks });
      expect(named).toMatchObject([{ kind: 'row-without-run', detail: expect.stringContaining('by hand') }]);
      const anHourAgo = [runsCheck({ client: system.temporal, taskQueue, lagMs: 3_600_000 })];
      expect((await auditIn(client, { checks: anHourAgo })).named).toEqual([]);

      const { rows } = await client.query(
        `DELETE FROM idempotent_writes WHERE outcome IN ('succeeded', 'rejected') AND workflow_id IS NOT NULL
         RETURNING idempotency_key AS key, workflow_id, workflow_id LIKE 'group:%' AS grouped`,
      );
      expect(rows.map(({ grouped }) => grouped)).toEqual(expect.arrayContaining([true, false]));
      // The list of runs lags behind the runs.
      await until('each run to be listed', async () => {
        const found = (await auditIn(client, { checks })).named.filter(({ kind }) => kind === 'run-without-row');
        return found.length === rows.length;
      });
      expect((await auditIn(client, { checks, company: 'Neighbour Ltd' })).named).toEqual([]);
      expect((await auditIn(client, { checks: anHourAgo })).named).toEqual([]);
      const reopened = await client.query(
        `INSERT INTO reopened_runs (company_id, idempotency_key, workflow_id) VALUES ($1, 'customer-1', $2)`,
        [company.id, rows.find(({ key }) => key === 'customer-1')?.workflow_id],
      );
      expect(reopened.rowCount).toBe(1);
      expect((await auditIn(client, { checks })).named).toHaveLength(rows.length - 1);
    });
  });

  test('asks for no runs that Temporal has forgotten, and believes no run with a false name', async () => {
    const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] ?? '';
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query(
        `UPDATE idempotent_writes SET workflow_id = CASE WHEN ${LONELY} THEN 'by hand' END,
           claimed_at = claimed_at - interval '1 year', completed_at = completed_at - interval '1 year'`,
      );
      const checks = [runsCheck({ client: system.temporal, taskQueue, lagMs: 0 })];
      const forgotten = (await auditIn(client, { checks })).named.filter(({ kind }) => kind === 'row-without-run');
      expect(forgotten).toEqual([]);
    });
    const searchAttributes = { CompanyId: [company.id], IdempotencyKey: ['made-up'] };
    const [runId, own] = ['of no run', workflowIdOf(company.id, 'made-up')];
    const listed = [{ workflowId: 'another name', runId, searchAttributes }];
    const workflow = Object.create(system.temporal.workflow, {
      list: {
        value: ({ query }: { query: string }) =>
          query.startsWith(`WorkflowType = '${WRITE_WORKFLOW_TYPE}'`) ? listed : [],
      },
    });
    const client = Object.create(system.temporal, { workflow: { value: workflow } });
    const checks = [runsCheck({ client, taskQueue, lagMs: 0 })];
    await inRolledBackTransaction(system.owner, async (database) => {
      await database.query('UPDATE idempotent_writes SET workflow_id = NULL');
      expect(await auditIn(database, { checks })).toMatchObject({ named: [], couldNotAsk: [] });
      listed.push({ workflowId: own, runId, searchAttributes });
      expect((await auditIn(database, { checks })).named).toMatchObject([{ kind: 'run-without-row', key: 'made-up' }]);
    });
  });

  test('names the write that a row of a control is of, and says when there is more than it lists', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      const { rows } = await client.query(
        `SELECT idempotency_key AS key, write_id FROM idempotent_writes WHERE ${LONELY}`,
      );
      await client.query(`UPDATE customers SET email = 'by.hand@example.test' WHERE name = 'Lonely'`);
      const [{ key, write_id: writeId }] = rows;
      const { named } = await auditIn(client, { checks: CONTROL_CHECKS });
      expect(named).toMatchObject([{ kind: 'customer-answers', table: 'customers', key, writeId }]);
      await client.query(
        `WITH made AS (SELECT gen_random_uuid() AS id FROM generate_series(1, 1001))
         INSERT INTO customers SELECT (jsonb_populate_record(c, jsonb_build_object('id', made.id))).*
         FROM customers c, made WHERE c.name = 'Lonely'`,
      );
      const { findings, named: strays } = await auditIn(client, { checks: [STRAYS_CHECK] });
      expect(findings).toBe(1_001);
      expect(kindsOf(strays)).toEqual(['business-row-without-write']);
    });
  });

  test('misses no audit row whose month is archived, and says that it was not asked for', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query(
        `INSERT INTO audit_archives (month, file_name, file_sha256, row_count, row_digest)
         SELECT m::date, 'f', repeat('0', 64), 1, '0'
         FROM generate_series(date_trunc('month', now()) - interval '1 month', now(), interval '1 month') AS m`,
      );
      await client.query('DELETE FROM idempotent_write_audit_log');
      const { named, couldNotAsk } = await auditIn(client);
      expect(named).toEqual([]);
      const month = new Date().toISOString().slice(0, 7);
      expect(couldNotAsk).toContainEqual({
        what: `the audit rows of ${month}`,
        why: expect.stringContaining('archived'),
      });
      expect(couldNotAsk.map(({ what }) => what)).toContainEqual(expect.stringContaining('the control losses-told'));
      await client.query("UPDATE audit_archives SET restored_until = now() + interval '1 hour'");
      expect(kindsOf((await auditIn(client, { checks: RECORD_CHECKS })).named)).toEqual(['audit-row-missing']);
    });
  });

  test('draws each write of a sample by chance', async () => {
    const drawn = new Set<string>();
    const ask = async <Row>(sql: string, values: readonly unknown[] = []) =>
      (await system.owner.query(sql, [...values])).rows as Row[];
    for (let i = 0; i < 50; i += 1) {
      const { sample, of } = await sampleWrites(ask, [company.id], { from: null, to: null }, 1);
      expect(sample).toHaveLength(1);
      expect(of).toBeGreaterThan(50);
      for (const { key } of sample) drawn.add(key);
    }
    expect(drawn.size).toBeGreaterThan(2);
  });

  test('finds by a sample, too, that a rejected write has a row', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      const { rows } = await client.query(
        `SELECT company_id AS "companyId", idempotency_key AS key, write_id AS "writeId" FROM idempotent_writes WHERE ${LONELY}`,
      );
      const [plant, kinds] = PLANTS['a success is called a rejection'] ?? [];
      await client.query(plant ?? '');
      expect(kindsOf((await auditIn(client, { checks: checksOf(rows) })).named)).toEqual(kinds?.toSorted());
    });
  });

  test('comes to the same by pages of any size, and when it goes on after an interruption', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query(PLANTS['an event is added']?.[0] ?? '');
      await client.query(`DELETE FROM outbox WHERE ${LONELY}`);
      const whole = await auditIn(client, { checks: RECORD_CHECKS });
      expect(kindsOf(whole.named)).toEqual(['event-missing', 'event-without-write']);
      const checks = [writesCheck({ writesAPage: 7 }), ...RECORD_CHECKS.slice(1)];
      expect(await auditIn(client, { checks })).toEqual(whole);
      const of = `a test of ${company.id}`;
      const first = await openFileJournal(of, { resume: false });
      await expect(auditIn(client, { checks, journal: first, stopAfter: 9 })).rejects.toThrow('Stopped by the test');
      const second = await openFileJournal(of, { resume: true });
      expect(second.resumed).toBe(true);
      expect(second.tally.checked.writes).toBeGreaterThan(0);
      expect(second.tally.checked.writes).toBeLessThan(whole.checked.writes);
      await auditIn(client, {
        checks: checks.map((check) => (check === STRAYS_CHECK ? HALF : check)),
        journal: second,
      });
      expect(second.tally).toMatchObject({ checked: whole.checked, findings: 2, couldNotAsk: [{}] });
      // What has no cursor begins again.
      const third = await openFileJournal(of, { resume: true });
      await auditIn(client, { checks, journal: third });
      expect(third.tally).toEqual({ checked: whole.checked, findings: whole.findings, couldNotAsk: [] });
      const found: Finding[] = [];
      for await (const finding of third.findings()) found.push(finding);
      expect(found).toEqual(whole.named);
      // What is finished is not asked again.
      const fourth = await openFileJournal(of, { resume: true });
      const run = () => expect.fail('It was asked again.');
      await auditIn(client, { checks: checks.map((check) => ({ ...check, run })), journal: fourth });
      expect(fourth.tally).toEqual(third.tally);
      fourth.remove();
      expect((await openFileJournal(of, { resume: true })).resumed).toBe(false);
    });
  });

  test('names an answer that is no JSON, and what could not be asked because of it', async () => {
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query(`UPDATE idempotent_writes SET response_body = 'garbage' WHERE ${LONELY}`);
      const { named, couldNotAsk, checked } = await auditIn(client, { checks: RECORD_CHECKS });
      expect(named).toMatchObject([
        { kind: 'answer-altered', table: 'idempotent_writes', detail: 'The stored answer is no JSON.' },
      ]);
      expect(couldNotAsk).toEqual([]);
      const { rows } = await client.query('SELECT count(*)::int AS n FROM idempotent_writes');
      expect(checked.writes).toBe(rows[0].n);
    });
  });

  test('tells where to read on of each kind that it has found', () => {
    const found = new Set(Object.values(PLANTS).flatMap(([, kinds]) => kinds));
    // Those of the seal are planted in the tests of the seal.
    const missed = Object.entries(FINDING_KINDS)
      .filter(([kind, section]) => !found.has(kind) && section !== 'finding-the-seal-does-not-hold')
      .map(([kind]) => kind);
    expect(missed).toEqual(['run-without-row', 'row-without-run']);
    expect(ALL_KINDS).toEqual(expect.arrayContaining([...found]));
  });
});
