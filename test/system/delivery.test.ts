import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openPool, type Pool } from '../../activities/database.ts';
import { deliverWebhooks } from '../../activities/webhooks/deliver.ts';
import { WEBHOOK_RETRY } from '../../worker/event-starts.ts';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';
import { type OutboxRows, outboxRows } from '../support/outbox.ts';
import { startReceiver } from '../support/receiver.ts';

let clone: TestDatabase;
let relay: Pool;
let rows: OutboxRows;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
let company: string;
beforeAll(async () => {
  [clone, receiver] = [await cloneDatabase(), await startReceiver()];
  rows = await outboxRows(clone.owner);
  relay = openPool({
    connectionString: clone.relayUrl,
    max: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'test-relay',
  });
});
beforeEach(async () => {
  company = await rows.company(receiver.url);
  answerWith(500);
});
afterAll(async () => {
  await relay.close();
  await Promise.all([clone.drop(), receiver.close()]);
});

const NUMBERED = { sequence: "nextval('outbox_sequence')" };
const PENDING = {
  ...NUMBERED,
  delivery_state: "'pending'",
  batch_id: "'00000000-0000-4000-8000-000000000001'",
  started_at: 'now()',
  next_attempt_at: 'now()',
};

function answerWith(status: number): void {
  receiver.answer((_call, response) => void response.writeHead(status).end());
}

/** The next call of the company's batch, with the retries of the product. */
async function deliver() {
  const dependencies = {
    relay,
    masterKeys: ['a master key of the test'],
    allowPrivateWebhooks: true,
    onWebhookAttempt: () => {},
  };
  const batchId = '00000000-0000-4000-8000-000000000001';
  return deliverWebhooks(dependencies, { companyId: company, batchId, retry: WEBHOOK_RETRY });
}

async function redeliver(event: string): Promise<boolean> {
  const session = await clone.owner.connect();
  try {
    await session.query('BEGIN');
    await session.query('SELECT enter_company($1)', [company]);
    const { rows: answers } = await session.query('SELECT redeliver_event($1) AS owed', [event]);
    await session.query('COMMIT');
    return answers[0].owed;
  } finally {
    session.release();
  }
}

describe('a delivery is given up by its own attempts', () => {
  test('never by the age of the event: after three days behind a receiver that was down, its first failure is its first', async () => {
    const event = await rows.event(company, { ...PENDING, occurred_at: "now() - interval '3 days'" });
    expect(await deliver()).toEqual({ waitMs: 5_000 });
    expect(await rows.read(event)).toMatchObject({
      delivery_state: 'pending',
      attempts: 1,
      last_error: 'Answered 500',
    });
  });

  test.each([
    ['later than 24 hours after the first', '1 minute', { waitMs: null }, 'given_up'],
    ['within 24 hours of the first', '-1 minute', { waitMs: 28_800_000 }, 'pending'],
  ])('when the next would come %s', async (_when, over, answer, state) => {
    // The ninth attempt, before whose successor there are eight hours; it and the first are sixteen hours apart, or nearly.
    const event = await rows.event(company, {
      ...PENDING,
      attempts: '8',
      occurred_at: "now() - interval '2 days'",
      first_attempt_at: `now() - interval '16 hours' - interval '${over}'`,
    });
    expect(await deliver()).toEqual(answer);
    expect(await rows.read(event)).toMatchObject({ delivery_state: state, attempts: 9 });
  });

  test('a day counted from the first attempt, whatever follows it', async () => {
    const event = await rows.event(company, PENDING);
    await deliver();
    const { first_attempt_at: first } = await rows.read(event);
    expect(Date.now() - first.getTime()).toBeLessThan(60_000);
    await deliver();
    expect(await rows.read(event)).toMatchObject({ attempts: 2, first_attempt_at: first });
  });

  test('and a redelivery starts anew', async () => {
    const event = await rows.event(company, {
      ...PENDING,
      ...{ delivery_state: "'given_up'", attempts: '10', last_error: "'Answered 500'" },
      ...{ occurred_at: "now() - interval '3 days'", first_attempt_at: "now() - interval '3 days'", asked_at: 'now()' },
    });
    expect(await redeliver(event)).toBe(true);
    expect(await rows.read(event)).toMatchObject({
      ...{ delivery_state: 'pending', attempts: 0, last_error: null, delivered_at: null, started_at: null },
      ...{ batch_id: null, next_attempt_at: null, first_attempt_at: null, asked_at: null },
    });
    await clone.owner.query(`UPDATE outbox SET batch_id = ${PENDING.batch_id} WHERE id = $1`, [event]);
    expect(await deliver()).toEqual({ waitMs: 5_000 });
    expect(await rows.read(event)).toMatchObject({ delivery_state: 'pending', attempts: 1 });
  });
});

describe('the record of a delivery', () => {
  test('after a success has no next attempt', async () => {
    const event = await rows.event(company, PENDING);
    await deliver();
    expect((await rows.read(event)).next_attempt_at.getTime()).toBeGreaterThan(Date.now());
    answerWith(204);
    expect(await deliver()).toEqual({ waitMs: null });
    expect(await rows.read(event)).toMatchObject({
      ...{ delivery_state: 'delivered', attempts: 2, last_error: null },
      ...{ delivered_at: expect.any(Date), next_attempt_at: null },
    });
  });

  test.each(['none', 'delivered', 'given_up'])('of an event that is %s takes no attempt', async (state) => {
    const event = await rows.event(company, { ...PENDING, delivery_state: `'${state}'`, attempts: '1' });
    const before = await rows.read(event);
    for (const [error, retryMs] of [
      ['Answered 500', 1_000],
      ['Answered 500', null],
      [null, null],
    ]) {
      await clone.owner.query('SELECT record_webhook_attempt($1, $2, $3, $4)', [company, event, error, retryMs]);
    }
    expect(await rows.read(event)).toEqual(before);
  });

  test('of a pending event is left as it is by a redelivery, and so is an event without a number', async () => {
    for (const columns of [{ ...PENDING, attempts: '3', last_error: "'Answered 500'" }, {}]) {
      const event = await rows.event(company, columns);
      const before = await rows.read(event);
      expect(await redeliver(event)).toBe(false);
      expect(await rows.read(event)).toEqual(before);
    }
  });
});
