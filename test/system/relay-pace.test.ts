import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openPool, type Pool } from '../../activities/database.ts';
import type { EventStarts } from '../../worker/event-starts.ts';
import { createOutboxRelay } from '../../worker/outbox-relay.ts';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/held-invoice.ts';
import { type OutboxRows, outboxRows } from '../support/outbox.ts';

/** More than the relay numbers by one statement. */
const BACKLOG = 2_500;

let clone: TestDatabase;
let pool: Pool;
let rows: OutboxRows;
/** In this order: first what is slow is released, then the relay ends. */
let ends: (() => unknown)[];
beforeEach(async () => {
  ends = [];
  clone = await cloneDatabase();
  rows = await outboxRows(clone.owner);
  pool = openPool({
    connectionString: clone.relayUrl,
    max: 4,
    statementTimeoutMs: 10_000,
    applicationName: 'test-relay',
  });
});
afterEach(async () => {
  for (const end of ends) await end();
  await pool.close();
  await clone.drop();
});

function relayWith(starts: Partial<EventStarts>) {
  return createOutboxRelay({
    pool,
    starts: { registered: async () => {}, webhooks: async () => 'started', ...starts },
    wakeups: {
      next: (limitMs, signal) => sleep(limitMs, undefined, { signal }).catch(() => undefined),
      close: async () => {},
    },
    logger: pino({ level: 'silent' }),
    onRun: () => {},
  });
}

/** The relay runs as in its process until the test is over. */
function running(starts: Partial<EventStarts>): void {
  const stopping = new AbortController();
  const run = relayWith(starts).run(stopping.signal);
  ends.push(async () => {
    stopping.abort();
    await run;
  });
}

/** A start that Temporal does not answer until it is released. */
function slow(): { readonly start: () => Promise<never>; readonly asked: Promise<void> } {
  let [reached, release] = [() => {}, () => {}];
  const asked = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  ends.push(() => release());
  return {
    asked,
    async start() {
      reached();
      await released;
      throw new Error('Temporal did not answer');
    },
  };
}

const TRIGGERED = { kind: "'workflow.triggered'", payload: '\'{"workflowName": "closeMonth"}\'' };
const numbered = async (event: string) => (await rows.read(event)).sequence !== null;

describe('numbering waits for no start', () => {
  test('neither of a workflow that a member triggered, nor do webhooks', async () => {
    const { start, asked } = slow();
    const [company, webhooked] = [await rows.company(null), await rows.company()];
    await rows.event(company, TRIGGERED);
    running({ registered: start });
    await asked;
    const events = [await rows.event(company), await rows.event(webhooked)];
    await until('the batch to be started', async () => (await rows.read(events[1] as string)).started_at !== null);
    expect(await Promise.all(events.map(numbered))).toEqual([true, true]);
  });

  test('nor of a batch of webhook calls, nor do triggered workflows', async () => {
    const { start, asked } = slow();
    const [company, webhooked] = [await rows.company(null), await rows.company()];
    await rows.event(webhooked);
    running({ webhooks: start });
    await asked;
    const events = [await rows.event(company), await rows.event(company, TRIGGERED)];
    const both = () => Promise.all(events.map(numbered));
    await until('both to be numbered', async () => (await both()).every(Boolean));
    expect(await both()).toEqual([true, true]);
  });
});

test('an event whose workflow was started gets its number at once, however many others wait for theirs', async () => {
  const company = await rows.company(null);
  await clone.owner.query(
    `INSERT INTO outbox (company_id, id, write_id, kind, payload, occurred_at)
     SELECT $1, gen_random_uuid(), gen_random_uuid(), 'customer.created', '{}', now() - interval '1 hour'
     FROM generate_series(1, ${BACKLOG})`,
    [company],
  );
  const event = await rows.event(company, TRIGGERED);
  let starts = 0;
  const relay = relayWith({
    registered: async () => {
      starts += 1;
    },
  });
  await relay.runOnce();
  expect(await numbered(event)).toBe(true);
  await relay.runOnce();
  expect(starts).toBe(1);
});
