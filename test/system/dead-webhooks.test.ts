import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openPool, type Pool } from '../../activities/database.ts';
import { createOutboxRelay } from '../../worker/outbox-relay.ts';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';
import { type OutboxRows, outboxRows } from '../support/outbox.ts';

const DEAD = 200;
/** Batches whose workflow the relay asks for in one run (worker/outbox-relay.ts). */
const A_RUN = 50;
const A_BATCH = 100;

let clone: TestDatabase;
let relayPool: Pool;
let rows: OutboxRows;
beforeEach(async () => {
  clone = await cloneDatabase();
  rows = await outboxRows(clone.owner);
  relayPool = openPool({
    connectionString: clone.relayUrl,
    max: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'test-relay',
  });
});
afterEach(async () => {
  await relayPool.close();
  await clone.drop();
});

/** One run of the relay: the companies for whose batches it asked. `answer` is Temporal's. */
async function askedFor(answer: 'started' | 'exists' | 'refused'): Promise<string[]> {
  const companies: string[] = [];
  const relay = createOutboxRelay({
    pool: relayPool,
    starts: {
      registered: async () => {},
      async webhooks({ companyId }) {
        companies.push(companyId);
        if (answer === 'refused') throw new Error('Temporal is away');
        return answer;
      },
    },
    wakeups: { next: async () => {}, close: async () => {} },
    logger: pino({ level: 'silent' }),
    onRun: () => {},
  });
  await relay.runOnce();
  return companies;
}

/** How many rows of the outbox the relay reads to find the batches that are due. */
async function eventsRead(): Promise<number> {
  const client = await clone.owner.connect();
  try {
    await client.query('BEGIN');
    const count = `SELECT (seq_tup_read + idx_tup_fetch)::int AS rows FROM pg_stat_xact_user_tables WHERE relname = 'outbox'`;
    const before = (await client.query(count)).rows[0].rows;
    await client.query(`SELECT * FROM webhook_batches(${A_BATCH}, ${A_RUN})`);
    return (await client.query(count)).rows[0].rows - before;
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}

/** Companies with a full batch under way, started an hour ago; the calls of its first event have failed since. */
async function deadCompanies(count: number, nextAttempt: string): Promise<void> {
  await clone.owner.query(
    `INSERT INTO companies (id, name, base_currency, webhook_url)
     SELECT gen_random_uuid(), 'Dead ' || n, 'USD', 'https://dead.example.test/' FROM generate_series(1, ${count}) AS n`,
  );
  await clone.owner.query(
    `INSERT INTO outbox (company_id, id, write_id, kind, payload, sequence, delivery_state, batch_id, started_at, attempts, next_attempt_at)
     SELECT company_id, CASE n WHEN 1 THEN batch_id ELSE gen_random_uuid() END, gen_random_uuid(), 'customer.created', '{}',
       nextval('outbox_sequence'), 'pending', batch_id, now() - interval '1 hour', CASE n WHEN 1 THEN 5 ELSE 0 END,
       CASE n WHEN 1 THEN ${nextAttempt} ELSE now() - interval '1 hour' END
     FROM (SELECT id AS company_id, gen_random_uuid() AS batch_id FROM companies WHERE name LIKE 'Dead %') AS batches,
       generate_series(1, ${A_BATCH}) AS n`,
  );
}

describe('a receiver that is down costs the others nothing', () => {
  test('one good company behind 200 dead ones has its turn in the next run, and no dead one is asked for', async () => {
    await deadCompanies(DEAD, "now() + interval '2 hours'");
    const good = await rows.company();
    const event = await rows.event(good);
    expect(await askedFor('started')).toEqual([good]);
    expect(await rows.read(event)).toMatchObject({ batch_id: event, started_at: expect.any(Date) });
    // Of the 20,000 events that travel, it reads the first of each batch.
    expect(await eventsRead()).toBeLessThan(DEAD * 20);
    // Nor later: the dead ones have a workflow each, which waits for its next attempt.
    expect(await askedFor('started')).toEqual([]);
  });

  test('nor when none was heard of for five minutes: what was never asked for goes first, then each has its turn', async () => {
    await deadCompanies(DEAD, "now() - interval '1 hour'");
    const good = await rows.company();
    await rows.event(good);
    const first = await askedFor('exists');
    expect(first).toContain(good);
    expect(first).toHaveLength(A_RUN);
    const runs = [first];
    for (let run = 0; run < DEAD / A_RUN; run += 1) runs.push(await askedFor('exists'));
    // 'exists' marks nothing as started, so the good one is asked for in each run; each other one was in one of five.
    expect(runs.map((run) => run.includes(good))).toEqual(runs.map(() => true));
    expect(new Set(runs.flat()).size).toBe(DEAD + 1);
  });

  test('nor when Temporal refuses their batches, again and again', async () => {
    const refused = await Promise.all(Array.from({ length: DEAD }, () => rows.company()));
    for (const company of refused) await rows.event(company);
    const runs = [];
    for (let run = 0; run < DEAD / A_RUN; run += 1) runs.push(await askedFor('refused'));
    expect(new Set(runs.flat())).toEqual(new Set(refused));
    const good = await rows.company();
    await rows.event(good);
    expect(await askedFor('started')).toContain(good);
  });
});

describe('a batch of which nothing is heard', () => {
  test('is asked for again five minutes after its next attempt was due, and not before', async () => {
    const due: string[] = [];
    for (const age of ['4 minutes 50 seconds', '5 minutes 10 seconds']) {
      const company = await rows.company();
      const batch = randomUUID();
      await rows.event(company, {
        ...{ sequence: "nextval('outbox_sequence')", delivery_state: "'pending'", batch_id: `'${batch}'` },
        ...{ started_at: "now() - interval '1 hour'", attempts: '1', next_attempt_at: `now() - interval '${age}'` },
      });
      due.push(company);
    }
    expect(await askedFor('exists')).toEqual([due[1]]);
  });

  test('is judged by its first event, which is heard of whenever the one before it is done', async () => {
    const company = await rows.company();
    const columns = {
      sequence: "nextval('outbox_sequence')",
      delivery_state: "'pending'",
      batch_id: `'${randomUUID()}'`,
    };
    const events: string[] = [];
    for (let event = 0; event < 3; event += 1) {
      const at = "now() - interval '1 hour'";
      events.push(await rows.event(company, { ...columns, started_at: at, next_attempt_at: at }));
    }
    for (const [index, error] of [null, 'Answered 500'].entries()) {
      expect(await askedFor('exists')).toEqual(index === 0 ? [company] : []);
      await clone.owner.query('SELECT record_webhook_attempt($1, $2, $3, NULL)', [company, events[index], error]);
    }
    // Two are done, one delivered and one given up, and the third is next.
    expect(await askedFor('exists')).toEqual([]);
    await clone.owner.query("UPDATE outbox SET next_attempt_at = now() - interval '6 minutes' WHERE id = $1", [
      events[2],
    ]);
    expect(await askedFor('exists')).toEqual([company]);
  });
});
