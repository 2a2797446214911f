import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningApi } from '../../api/app.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { forgetWrite } from '../support/forget-write.ts';
import { readGauge } from '../support/groups.ts';
import { holdInvoice, until, untilWaiting } from '../support/held-invoice.ts';
import { expectOneStory } from '../support/one-story.ts';
import { countRuns, keyWorkflow, statusOf } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

/** Measured: Temporal's dev server takes up to 56 s to delete a closed run. */
const DELETION_MS = 150_000;

let system: System;
let company: Company;
let other: RunningApi;
/** Their runs are deleted while the other tests run. */
let deletedRuns: Readonly<Record<'deleted' | 'anew', ReturnType<typeof writeAndDeleteRun>>>;
beforeAll(async () => {
  // What is held here is held for longer than the lock time-out allows.
  system = await startSystem({ environment: { STATEMENT_TIMEOUT_MS: '60000' } });
  company = await system.company();
  other = await system.another();
  deletedRuns = {
    deleted: writeAndDeleteRun('deleted', { rowToo: false }),
    anew: writeAndDeleteRun('anew', { rowToo: true }),
  };
  for (const deleted of Object.values(deletedRuns)) deleted.catch(() => undefined);
});
afterAll(() => system.stop());

const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });
const once = { writes: 1, rows: 1, entries: 1, newAudit: 1, events: 1 };
const pay = (body: unknown, key: string, url?: string) =>
  company.as('owner', url).post('/api/payments', body, { key, headers: { prefer: 'wait=60' } });
const execution = (key: string) => ({ workflowId: keyWorkflow(system.temporal, company, key).workflowId });

async function deleteRun(key: string) {
  const { workflowService } = system.temporal;
  await workflowService.deleteWorkflowExecution({ namespace: 'default', workflowExecution: execution(key) });
  const isForgotten = async () => (await statusOf(system.temporal, company, key).catch(() => undefined)) === undefined;
  await until(`Temporal to forget ${key}`, isForgotten, DELETION_MS);
}

async function writeAndDeleteRun(key: string, { rowToo }: { readonly rowToo: boolean }) {
  const body = paymentBody(await company.invoice());
  const first = await pay(body, key);
  expect(first.status).toBe(201);
  await until('the workflow to close', async () => (await statusOf(system.temporal, company, key)) === 'COMPLETED');
  if (rowToo) await forgetWrite(system.owner, company, key);
  await deleteRun(key);
  return { body, first };
}

/** To where its first workflow task was completed; an open one comes so far with the first sign of life, after 8 s. */
async function resetRun(key: string) {
  let eventId: Awaited<ReturnType<typeof firstTaskOf>>;
  await until('the first workflow task', async () => {
    eventId = await firstTaskOf(key);
    return eventId !== undefined;
  });
  await system.temporal.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: execution(key),
    reason: 'by hand',
    requestId: `reset-${key}`,
    workflowTaskFinishEventId: eventId ?? null,
  });
}

async function firstTaskOf(key: string) {
  const { events } = await keyWorkflow(system.temporal, company, key).fetchHistory();
  return events?.find((event) => event.workflowTaskCompletedEventAttributes)?.eventId;
}

describe('an operator who handles the workflow of a finished write', () => {
  test('resets it: the transaction finds its row, and nothing happens twice', async () => {
    const body = paymentBody(await company.invoice());
    const first = await pay(body, 'reset');
    await until(
      'the workflow to close',
      async () => (await statusOf(system.temporal, company, 'reset')) === 'COMPLETED',
    );
    await resetRun('reset');
    expect(await countRuns(system.temporal, { company, key: 'reset', atLeast: 2 })).toBe(2);
    await until('the reset run', async () => (await statusOf(system.temporal, company, 'reset')) === 'COMPLETED');
    // The new run has asked the database anew, and tells the outcome that stands there.
    expect(await keyWorkflow(system.temporal, company, 'reset').result()).toMatchObject({
      outcome: 'succeeded',
      statusCode: 201,
      writeId: first.json.id,
    });
    expectOneStory([first, await pay(body, 'reset'), await pay(body, 'reset', other.url)], { firsts: 1 });
    expect(await effects('reset')).toMatchObject({ ...once, replayedAudit: 2 });
  });
});

describe('an operator who ends the workflow of a write while its transaction runs', () => {
  const ways: readonly [string, (key: string) => Promise<unknown>][] = [
    ['terminates', (key) => keyWorkflow(system.temporal, company, key).terminate('by hand')],
    ['deletes', deleteRun],
  ];

  test.each(ways)(
    '%s it: the waiting clients get outcome_unknown, and the retry gets the outcome',
    async (way, end) => {
      const body = paymentBody(await company.invoice());
      const held = await holdInvoice(system.owner, body.invoiceId);
      const waiting = [pay(body, way)];
      await untilWaiting(system.owner, 1);
      waiting.push(pay(body, way), pay(body, way, other.url));
      await until('the other process to have it', async () => (await readGauge(other.url, 'write_flights')) === 1);
      await sleep(1_500); // Until it has attached, on a busy machine, too.
      await end(way);
      for (const answer of await Promise.all(waiting)) {
        expect(answer.status).toBe(503);
        expect(answer.json).toMatchObject({ code: 'outcome_unknown', retryable: true, nextAction: 'retry_same_key' });
        expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
        expect(answer.replayed).toBe(false);
      }
      expect((await effects(way)).writes).toBe(0);
      const retries = [pay(body, way), pay(body, way, other.url)];
      await untilWaiting(system.owner, 2); // the transaction of the ended run, and that of the retry behind it
      await held.release();
      expectOneStory(await Promise.all(retries));
      expect(await effects(way)).toMatchObject(once);
    },
  );

  test('and the transaction commits all the same: the retry replays what it made', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const waiting = pay(body, 'late');
    await untilWaiting(system.owner, 1);
    await keyWorkflow(system.temporal, company, 'late').terminate('by hand');
    expect((await waiting).json.code).toBe('outcome_unknown');
    await held.release();
    await until('the commit', async () => (await effects('late')).writes === 1);
    expectOneStory([await pay(body, 'late'), await pay(body, 'late', other.url)], { firsts: 0 });
    expect(await effects('late')).toMatchObject(once);
    expect(await countRuns(system.temporal, { company, key: 'late' })).toBe(1);
  });

  test('but a reset one goes on in its new run, which the waiting client is led to', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const waiting = pay(body, 'reset-open');
    await untilWaiting(system.owner, 1);
    await resetRun('reset-open');
    await untilWaiting(system.owner, 2); // the transaction of the old run, and that of the new one behind it
    await held.release();
    expectOneStory([await waiting, await pay(body, 'reset-open')], { firsts: 1 });
    expect((await waiting).replayed).toBe(false);
    expect(await effects('reset-open')).toMatchObject(once);
  });

  test('but cancelling it stops nothing: a write is cancelled by its key', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const waiting = pay(body, 'cancelled');
    await untilWaiting(system.owner, 1);
    await keyWorkflow(system.temporal, company, 'cancelled').cancel();
    await held.release();
    expectOneStory([await waiting], { firsts: 1 });
    await until('it to close', async () => (await statusOf(system.temporal, company, 'cancelled')) !== 'RUNNING');
    expect(await statusOf(system.temporal, company, 'cancelled')).toBe('COMPLETED');
    expect(await effects('cancelled')).toMatchObject(once);
  });
});

describe('a run that Temporal calls done and of which the database has no row', () => {
  const missing = async (url: string) => {
    const page = await (await fetch(`${url}/metrics`)).text();
    return Number(/^write_record_missing_total (\d+)/m.exec(page)?.[1]);
  };

  test('is an alarm, and never answered as a success, whatever body is sent', async () => {
    const body = paymentBody(await company.invoice());
    expect((await pay(body, 'restored')).status).toBe(201);
    await until('it to close', async () => (await statusOf(system.temporal, company, 'restored')) === 'COMPLETED');
    await forgetWrite(system.owner, company, 'restored');
    const before = await missing(system.url);
    for (const sent of [body, { ...body, amount: 101 }]) {
      const answer = await pay(sent, 'restored');
      expect(answer.status).toBe(500);
      expect(answer.json).toMatchObject({ code: 'write_record_missing', retryable: false, nextAction: 'none' });
    }
    expect(await missing(system.url)).toBe(before + 2);
    expect(await effects('restored')).toMatchObject({ writes: 0, rows: 0, entries: 0, events: 0 });
  });
});

describe.concurrent('a write whose run was deleted, or its retention is over', { timeout: 2 * DELETION_MS }, () => {
  test('replays from the database', async () => {
    const { body, first } = await deletedRuns.deleted;
    expectOneStory([first, await pay(body, 'deleted'), await pay(body, 'deleted', other.url)], { firsts: 1 });
    expect((await pay({ ...body, amount: 101 }, 'deleted')).json.code).toBe('idempotency_key_reused');
    expect(await effects('deleted')).toMatchObject(once);
    expect(await statusOf(system.temporal, company, 'deleted').catch(() => 'forgotten')).toBe('forgotten');
  });

  test('and of which the database has no row either is a new write', async () => {
    const { body } = await deletedRuns.anew;
    expectOneStory([await pay(body, 'anew'), await pay(body, 'anew')], { firsts: 1 });
    expect(await effects('anew')).toMatchObject({ writes: 1, rows: 1, entries: 1, events: 1 });
  });
});
