import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { StorageError } from '../../activities/database.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { runsCheck } from '../../worker/auditor/runs-check.ts';
import { auditIn } from '../support/audit.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { type Groups, startGroups, untilQueued } from '../support/groups.ts';
import { until } from '../support/held-invoice.ts';
import { oneByOne } from '../support/one-by-one.ts';
import { type System, startSystem } from '../support/system.ts';
import { inRolledBackTransaction } from '../support/tampering.ts';

/** createCustomer, which fails as the customer's name says. */
function troubled(): Operation {
  const failures = new Map<string, number>();
  return {
    ...oneByOne(createCustomer),
    async write(tx, input, context) {
      const name = String(input.body['name']);
      if (name === 'bug') throw new Error('a bug of the test');
      const failed = failures.get(context.writeId) ?? 0;
      // Twice: on a busy machine a group's workflow task may time out, and its items are attempted once more.
      if (name === 'transient' && failed < 2) {
        failures.set(context.writeId, failed + 1);
        const failure = await tx.query("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$").then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failure instanceof StorageError) throw failure;
      }
      return createCustomer.write(tx, input, context);
    },
  };
}

type Mixed = [Answer, Answer, Answer, Answer, Answer, ...Answer[]];

describe('writes that travel in one group', () => {
  let groups: Groups;
  let system: System;
  let company: Company;
  beforeAll(async () => {
    groups = await startGroups();
    system = await startSystem({ environment: groups.environment, operations: [troubled()] });
    company = await system.company();
  });
  afterAll(async () => {
    await system.stop();
    await groups.close();
  });

  const send = (key: string, body: Record<string, unknown>, prefer = 'wait=30') =>
    company.api.post('/api/customers', { currency: 'USD', ...body }, { key, headers: { prefer } });

  async function workflowIds(prefix: string): Promise<Map<string, string>> {
    const { rows } = await system.owner.query(
      `SELECT idempotency_key, workflow_id FROM idempotent_writes
       WHERE company_id = $1 AND starts_with(idempotency_key, $2) AND workflow_id IS NOT NULL`,
      [company.id, prefix],
    );
    return new Map(rows.map((row) => [row.idempotency_key, row.workflow_id]));
  }

  test('each get their own right answer, whatever becomes of the others', async () => {
    await send('mixed-taken', { name: 'first', externalReference: 'R-1' });
    const other = await system.another({ environment: { TEMPORAL_ADDRESS: inject('temporalAddress') } });

    const sent = await groups.together(system.url, company, async () => {
      const waiting = [
        send('mixed-rejected', { name: 'second', externalReference: 'R-1' }),
        send('mixed-mismatch', { name: 'another' }),
        send('mixed-cancelled', { name: 'never' }),
        send('mixed-bug', { name: 'bug' }),
        send('mixed-transient', { name: 'transient' }),
        ...Array.from({ length: 40 }, (_, index) => send(`mixed-good-${index}`, { name: `good ${index}` })),
      ];
      await untilQueued(system.url, waiting.length);
      // Two keys get their outcome from elsewhere when their requests have been let in already.
      await company.api.send('POST', '/api/writes/mixed-cancelled/cancel');
      const original = { currency: 'USD', name: 'the original' };
      await company.as('owner', other.url).created('/api/customers', original, { key: 'mixed-mismatch' });
      return waiting;
    });
    const [rejected, mismatched, cancelled, bug, transient, ...good] = (await Promise.all(sent)) as Mixed;
    for (const answer of good) expect([answer.status, answer.replayed]).toEqual([201, false]);
    expect([rejected.status, rejected.json.code, rejected.replayed]).toEqual([409, 'customer_reference_taken', false]);
    expect([mismatched.status, mismatched.json.code]).toEqual([422, 'idempotency_key_reused']);
    expect([cancelled.status, cancelled.json.code, cancelled.replayed]).toEqual([409, 'write_cancelled', true]);
    expect([bug.status, bug.json.code]).toEqual([500, 'write_failed']);
    expect([transient.status, transient.replayed]).toEqual([201, false]);

    const ids = await workflowIds('mixed-');
    const grouped = [...ids].filter(([key, id]) => key.startsWith('mixed-good-') && id.startsWith('group:'));
    expect(grouped).toHaveLength(40);
    // The one that failed for a moment went on in its own workflow, like the one with the bug.
    expect(ids.get('mixed-transient')).toBe(workflowIdOf(company.id, 'mixed-transient'));
    const failed = await system.temporal.workflow.getHandle(workflowIdOf(company.id, 'mixed-bug')).describe();
    expect(failed.status.name).toBe('FAILED');
    const { rows } = await system.owner.query(
      `SELECT count(*)::int AS failed FROM idempotent_write_audit_log
       WHERE company_id = $1 AND idempotency_key = 'mixed-bug' AND error_code = 'write_failed'`,
      [company.id],
    );
    expect(rows[0].failed).toBe(1);

    // What an operator sees of it: two left, each write's wait was measured, and the group had all of them.
    const page = await (await fetch(`${system.url}/metrics`)).text();
    const value = (name: string) => Number(page.match(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm'))?.[1]);
    expect(value('write_group_leavers_total')).toBeGreaterThanOrEqual(2);
    expect(value('write_group_size_sum')).toBeGreaterThanOrEqual(45);
    expect(page).toMatch(/^write_start_wait_ms_count\{lane="group"\} (4[5-9]|[5-9]\d)$/m);

    // An auditor misses the rows of those that went with the group, and none of what has left it.
    const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] ?? '';
    const checks = [runsCheck({ client: system.temporal, taskQueue, lagMs: 0 })];
    await inRolledBackTransaction(system.owner, async (client) => {
      await client.query("DELETE FROM idempotent_writes WHERE starts_with(idempotency_key, 'mixed-')");
      const missed = async () =>
        (await auditIn(client, { checks })).named.flatMap(({ kind, key }) => (kind === 'run-without-row' ? [key] : []));
      await until('the group to be listed', async () => (await missed()).includes('mixed-good-0'));
      const keys = await missed();
      expect(keys).toEqual(expect.arrayContaining(grouped.map(([key]) => key)));
      expect(keys).not.toContain('mixed-bug');
    });
  });

  /** Temporal returned the first workflow task with the answer to the start. */
  async function isEager(workflowId: string): Promise<boolean | null | undefined> {
    const { events } = await system.temporal.workflow.getHandle(workflowId).fetchHistory();
    return events?.[0]?.workflowExecutionStartedEventAttributes?.eagerExecutionAccepted;
  }

  test('are one write a key when two processes group the same keys at the same moment', async () => {
    const other = await system.another({ environment: { WRITE_GROUPING: 'on' } });
    const keys = Array.from({ length: 60 }, (_, index) => `pair-${index}`);
    const through = (url: string) =>
      Promise.all(
        keys.map((key) =>
          company
            .as('owner', url)
            .post('/api/customers', { currency: 'USD', name: key }, { key, headers: { prefer: 'wait=30' } }),
        ),
      );
    const [here, there] = await Promise.all([through(system.url), through(other.url)]);
    const pairs = keys.map((_, index) => [here[index], there[index]] as [Answer, Answer]);
    for (const [a, b] of pairs) {
      expect([a.status, b.status]).toEqual([201, 201]);
      expect(a.text).toBe(b.text);
      expect([a.replayed, b.replayed].filter((replayed) => !replayed).length).toBe(1);
    }
    const { rows } = await system.owner.query(
      `SELECT (SELECT count(*) FROM customers WHERE company_id = $1 AND name LIKE 'pair-%')::int AS rows,
         (SELECT count(*) FROM idempotent_write_audit_log
          WHERE company_id = $1 AND idempotency_key LIKE 'pair-%' AND status = 'new')::int AS "newAudit",
         (SELECT count(*) FROM outbox o JOIN idempotent_writes w USING (company_id, write_id)
          WHERE o.company_id = $1 AND w.idempotency_key LIKE 'pair-%')::int AS events`,
      [company.id],
    );
    expect(rows[0]).toEqual({ rows: 60, newAudit: 60, events: 60 });
  });

  test('come out of it with final answers only: a 202 follows the start of a workflow of its own', async () => {
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) => send(`async-${index}`, { name: `async ${index}` }, 'respond-async')),
    );
    const accepted = answers
      .map((answer, index) => ({ answer, key: `async-${index}` }))
      .filter(({ answer }) => answer.status === 202);
    expect(accepted.length).toBeGreaterThan(0);
    for (const { key } of accepted) {
      const run = await system.temporal.workflow.getHandle(workflowIdOf(company.id, key)).describe();
      expect(run.memo).toMatchObject({ operation: 'createCustomer' });
    }
    for (const [index, answer] of answers.entries()) {
      // On a busy machine Temporal may not take the start in time: 503 promises nothing, and the same key is made later.
      expect([201, 202, 503]).toContain(answer.status);
      const again = await send(`async-${index}`, { name: `async ${index}` });
      expect([again.status, again.replayed || answer.status === 503]).toEqual([201, true]);
    }
  });

  test('are found by their key, with the group that carried them', async () => {
    await Promise.all(Array.from({ length: 30 }, (_, index) => send(`found-${index}`, { name: `found ${index}` })));
    const [grouped] = [...(await workflowIds('found-'))].filter(([, id]) => id.startsWith('group:'));
    const status = await company.api.get(`/api/writes/${grouped?.[0]}`);
    expect(status.json).toMatchObject({ state: 'succeeded', workflow: { id: grouped?.[1] } });
    const started = status.json.timeline.find(({ kind }: { kind: string }) => kind === 'started');
    expect(started.detail).toBe(`In a group of writes, ${grouped?.[1]}`);
    const run = await system.temporal.workflow.getHandle(grouped?.[1] ?? '').describe();
    expect(await run.staticDetails()).toContain(`\`${grouped?.[0]}\``);
    // Should its process be killed, another worker takes it over within so long.
    expect(Number(run.raw.executionConfig?.defaultWorkflowTaskTimeout?.seconds)).toBe(2);
    expect(await isEager(grouped?.[1] ?? '')).toBe(true);
  });
});
