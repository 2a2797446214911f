import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';

/** What the relay asks each second must not cost more for each event that there has ever been. */
const EVENTS = 100_000;
/** One receiver is far behind: so many calls are owed to its company, a hundred of which travel. */
const OWED = 20_000;
const TRAVELLING = 100;
/** And the relay was away for a while. */
const NOT_NUMBERED = 20_000;
const TRIGGERED = 3;

/** Others have a few, which no batch has taken yet. */
const WAITING = 50;

const [SLOW, BATCH, QUICK] = [randomUUID(), randomUUID(), randomUUID()];

let clone: TestDatabase;
let client: pg.PoolClient;
beforeAll(async () => {
  clone = await cloneDatabase();
  client = await clone.owner.connect();
  await client.query(`
    ALTER TABLE outbox DROP CONSTRAINT outbox_company_id_write_id_fkey;
    INSERT INTO companies (id, name, base_currency, webhook_url)
    SELECT CASE n WHEN 1 THEN '${SLOW}' WHEN 3 THEN '${QUICK}' ELSE gen_random_uuid() END, 'Ltd ' || n, 'USD',
      CASE WHEN n % 2 = 1 THEN 'https://hooks.example.test/' END
    FROM generate_series(1, 200) AS n;
    INSERT INTO outbox (company_id, id, write_id, kind, payload, occurred_at, sequence, started_at, delivered_at, delivery_state, batch_id)
    SELECT
      CASE WHEN n <= ${OWED} THEN '${SLOW}' WHEN n <= ${OWED + WAITING} THEN '${QUICK}' ELSE companies.ids[1 + n % 200] END,
      CASE n WHEN 1 THEN '${BATCH}' ELSE gen_random_uuid() END, gen_random_uuid(),
      CASE WHEN n > ${EVENTS - TRIGGERED} THEN 'workflow.triggered' ELSE 'payment.created' END, '{"workflowName":"closeMonth"}',
      now() - interval '1 day' + n * interval '0.5 second',
      CASE WHEN n <= ${EVENTS - NOT_NUMBERED} THEN n END,
      CASE WHEN n BETWEEN ${OWED + WAITING + 1} AND ${EVENTS - NOT_NUMBERED} OR n <= ${TRAVELLING} THEN now() END,
      CASE WHEN n BETWEEN ${OWED + WAITING + 1} AND ${EVENTS - NOT_NUMBERED} THEN now() END,
      CASE WHEN n <= ${OWED + WAITING} THEN 'pending' ELSE 'none' END,
      CASE WHEN n <= ${TRAVELLING} THEN '${BATCH}'::uuid END
    FROM generate_series(1, ${EVENTS}) AS n, (SELECT array_agg(id) AS ids FROM companies) AS companies;
    SELECT setval('outbox_sequence', ${EVENTS})`);
});
afterAll(async () => {
  client.release();
  await clone.drop();
});

/** How many rows of the outbox the statement has looked at: `scanned` by reading the table from end to end. */
async function rowsRead(sql: string): Promise<{ scanned: number; fetched: number; returned: number }> {
  await client.query('BEGIN');
  try {
    const before = await counted();
    const { rowCount } = await client.query(sql);
    const { scanned, fetched } = await counted();
    return { scanned: scanned - before.scanned, fetched: fetched - before.fetched, returned: rowCount ?? 0 };
  } finally {
    await client.query('ROLLBACK');
  }
}

/** Since the session last reported, which it does at some time between transactions. */
async function counted(): Promise<{ scanned: number; fetched: number }> {
  const { rows } = await client.query(
    `SELECT seq_tup_read::int AS scanned, idx_tup_fetch::int AS fetched
     FROM pg_stat_xact_user_tables WHERE relname = 'outbox'`,
  );
  return rows[0];
}

/** What each statement may look at, and how many rows it answers. Nothing here is of the order of the events. */
const STATEMENTS: readonly (readonly [sql: string, most: number, returned: number])[] = [
  ['SELECT * FROM triggered_events(50)', 50, TRIGGERED],
  ["SELECT number_events(1000, '{}')", 5_000, 1],
  ['SELECT * FROM webhook_batches(100, 50)', 1_000, 1],
  [`SELECT mark_batch_started('${SLOW}', '${BATCH}')`, 500, 1],
  [`SELECT * FROM next_webhook_call('${SLOW}', '${BATCH}')`, 5, 1],
  // Counts what is behind, and nothing of what is done.
  ['SELECT * FROM relay_facts()', 2 * (OWED + WAITING + NOT_NUMBERED), 1],
  [`SELECT record_webhook_attempt('${SLOW}', '${BATCH}', NULL, NULL)`, 5, 1],
];

describe.each([
  ['before the table was ever analysed', async () => {}],
  ['once it was', async () => void (await client.query('ANALYZE outbox, companies'))],
])('%s, the relay reads no more than it hands on', (_when, prepare) => {
  beforeAll(prepare);

  test.each(STATEMENTS)('%s', async (sql, most, returned) => {
    const read = await rowsRead(sql);
    expect(read).toMatchObject({ scanned: 0, returned });
    expect(read.fetched).toBeLessThanOrEqual(most);
  });
});
