import pg from 'pg';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { webhooksWorkflowId } from '../../workflows/event-messages.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { startWorkerProcess } from '../support/processes.ts';
import { startReceiver } from '../support/receiver.ts';
import { steppedRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

/** Whoever holds it keeps a relay from marking a batch as started (see the trigger below). */
const MARK_LOCK = 4713;
/** Temporal waits 10 s for a killed process's workflow task before another gets it. */
const TAKEOVER_MS = 90_000;

let system: System;
let company: Company;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
beforeAll(async () => {
  system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } });
  [company, receiver] = [await system.company(), await startReceiver()];
  await system.owner.query('UPDATE companies SET webhook_url = $2 WHERE id = $1', [company.id, receiver.url]);
});
afterAll(async () => {
  await receiver.close();
  await system.stop();
});

test(
  'a worker process killed between the starts and their marks loses no event, and has nothing started twice',
  async () => {
    await company.customer();
    await company.customer();
    await numberWithoutStarting();
    const { workflowId } = await company.api.created('/api/workflows/sendInvoiceReminders/trigger', {
      payload: { asOf: '2020-01-01' },
    });
    const held = await holdMarks();
    // Nor is an event marked by what becomes of its call.
    receiver.answer(() => undefined);

    const victim = await startWorkerProcess(system.environment);
    onTestFinished(() => victim.kill());
    await held.untilMet();
    const [batchId] = (await outbox()).map(({ batch }) => batch);
    const batchWorkflowId = webhooksWorkflowId(company.id, batchId ?? '');
    const started = await Promise.all([workflowId, batchWorkflowId].map(runIdOf));
    await victim.kill();
    await held.release();
    // Started, all three of them, and not marked: this is what the process died between.
    expect(await outbox()).toEqual([
      { kind: 'customer.created', numbered: true, batch: batchId, started: false, state: 'pending' },
      { kind: 'customer.created', numbered: true, batch: batchId, started: false, state: 'pending' },
      { kind: 'workflow.triggered', numbered: false, batch: null, started: false, state: 'none' },
    ]);

    receiver.answer((_call, response) => void response.writeHead(204).end());
    const survivor = await startWorkerProcess(system.environment);
    onTestFinished(() => survivor.kill());
    await until('every event to be delivered', async () =>
      (await outbox()).every(({ state }) => state === 'delivered'),
    );
    expect((await outbox()).every(({ numbered, started }) => numbered && started)).toBe(true);
    const { rows } = await system.owner.query('SELECT id FROM outbox WHERE company_id = $1 ORDER BY sequence', [
      company.id,
    ]);
    // Each was called at least once, in order; who is called again knows it by its ID.
    const called = new Set(receiver.calls.map(({ headers }) => headers['webhook-id']));
    expect([...called]).toEqual(rows.map(({ id }) => id));
    expect(await Promise.all([workflowId, batchWorkflowId].map(runIdOf))).toEqual(started);
    for (const id of [workflowId, batchWorkflowId]) expect([id, await runsOf(id)]).toEqual([id, 1]);
    expect(await survivor.terminate()).toBe(0);
  },
  TAKEOVER_MS,
);

/** Events that have their number and their batch, and of which nobody has been told. */
async function numberWithoutStarting(): Promise<void> {
  const relay = steppedRelay(system);
  try {
    await relay.runOnce({ webhooks: () => Promise.reject(new Error('Temporal is away')) });
  } finally {
    await relay.close();
  }
}

/**
 * Keeps any relay from marking what it has started: a triggered workflow, since another seems to be giving numbers, and a
 * batch, by a trigger that waits. `release` ends the sessions that wait first, as the database does with those of a process
 * that is gone: else they would do now what their process never saw done.
 */
async function holdMarks() {
  await system.owner.query(`
    CREATE FUNCTION hold_mark() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared(${MARK_LOCK}); RETURN NEW; END $$;
    CREATE TRIGGER hold_mark BEFORE UPDATE ON outbox FOR EACH ROW
      WHEN (OLD.started_at IS NULL AND NEW.started_at IS NOT NULL AND NEW.delivery_state = 'pending')
      EXECUTE FUNCTION hold_mark()`);
  const session = await system.owner.connect();
  let held = true;
  const release = async () => {
    if (!held) return;
    held = false;
    await endSessionsOfWorkers();
    await session.query('DROP TRIGGER hold_mark ON outbox');
    await session.query('SELECT pg_advisory_unlock_all()');
    session.release();
  };
  onTestFinished(release);
  await session.query(`SELECT pg_advisory_lock(${MARK_LOCK}), pg_advisory_lock(hashtext('accubooks: number events'))`);
  return {
    untilMet: () =>
      until('a relay to come to its mark', async () => {
        const { rows } = await system.owner.query(
          `SELECT count(*)::int AS waiting FROM pg_locks WHERE locktype = 'advisory' AND objid = ${MARK_LOCK} AND NOT granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
        );
        return rows[0].waiting > 0;
      }),
    release,
  };
}

/** The owner of a database may not end the sessions of others. */
async function endSessionsOfWorkers(): Promise<void> {
  const superuser = new pg.Client({ connectionString: inject('superuserUrl') });
  await superuser.connect();
  try {
    await superuser.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
       WHERE datname = $1 AND application_name IN ('accubooks-relay', 'accubooks-worker')`,
      [new URL(system.environment['DATABASE_URL'] ?? '').pathname.slice(1)],
    );
  } finally {
    await superuser.end();
  }
}

async function outbox() {
  const { rows } = await system.owner.query<{
    kind: string;
    numbered: boolean;
    batch: string | null;
    started: boolean;
    state: string;
  }>(
    `SELECT kind, sequence IS NOT NULL AS numbered, batch_id AS batch, started_at IS NOT NULL AS started,
       delivery_state AS state
     FROM outbox WHERE company_id = $1 ORDER BY occurred_at`,
    [company.id],
  );
  return rows;
}

async function runIdOf(workflowId: string): Promise<string> {
  return (await system.temporal.workflow.getHandle(workflowId).describe()).runId;
}

/** As listed, which Temporal does a moment after a start. */
async function runsOf(workflowId: string): Promise<number> {
  const query = `WorkflowId = "${workflowId}"`;
  let count = 0;
  await until(`a run of ${workflowId} to be listed`, async () => {
    ({ count } = await system.temporal.workflow.count(query));
    return count > 0;
  });
  return count;
}
