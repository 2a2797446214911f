import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { HASH_JOINS } from '../../activities/hash-joins.ts';
import { inParallel } from '../../deploy/cli/in-parallel.ts';
import { createClient } from '../../deploy/client/src/client.ts';
import { RejectedError, UnknownOutcomeError } from '../../deploy/client/src/errors.ts';
import type { KeptWrite } from '../../deploy/client/src/keys.ts';
import { createRandom, type Random, seededNumbers } from '../../deploy/simulate/requests/random.ts';
import type { Company } from '../support/companies.ts';
import { inForm } from '../support/form.ts';
import { type HostileProxy, startHostileProxy } from '../support/hostile-proxy.ts';
import { type System, startSystem } from '../support/system.ts';

const WRITES = inForm({ short: 200, long: 10_000 });
const CLIENTS = inForm({ short: 24, long: 64 });
const INVOICES = inForm({ short: 20, long: 100 });
/** Each payment pays so much; each invoice is due far more than all of them. */
const AMOUNT = 100;
/** Of a call that is given up early, as a user does who closes the window. */
const IMPATIENT_MS = 400;

type Intent = {
  readonly key: string;
  readonly kind: 'payment' | 'customer' | 'too much';
  readonly invoiceId: string;
  readonly impatient: 'deadline' | 'abort' | undefined;
};

/** What one intent came to, as its client was told. */
type Told = { readonly intent: Intent; readonly by: 'write' | 'sent again'; readonly id: string };

describe('writes of the client through a gateway that cuts, delays, doubles and answers in place of the service', () => {
  let system: System;
  let company: Company;
  let proxy: HostileProxy;
  let invoices: string[];
  const kept = new Map<string, KeptWrite>();
  const told: Told[] = [];
  const givenUp = { unknown: 0 };

  beforeAll(async () => {
    system = await startSystem({ environment: { RATE_LIMIT_PER_SECOND: '100000', RATE_LIMIT_BURST: '100000' } });
    company = await system.company();
    invoices = await Promise.all(Array.from({ length: INVOICES }, () => company.invoice({ total: 100_000_000 })));
    proxy = await startHostileProxy(system.url, 'hostile');
  });
  afterAll(async () => {
    await proxy.close();
    await system.stop();
  });

  const books = () =>
    createClient({
      baseUrl: proxy.url,
      token: company.users.owner.token,
      keyStore: { keep: (write) => void kept.set(write.idempotencyKey, write), settle: (key) => void kept.delete(key) },
    });

  test(`${WRITES} of them leave exactly the intended effects`, { timeout: 900_000 }, async () => {
    const random = createRandom(seededNumbers('intents'), 0);
    const intents = Array.from({ length: WRITES }, (_, number) => intentOf(number, random, invoices));
    const client = books();

    await inParallel(CLIENTS, intents, async (intent) => {
      const signal = intent.impatient === 'abort' ? AbortSignal.timeout(IMPATIENT_MS) : undefined;
      const id = await outcomeOf(() => send(client, intent, signal));
      if (id !== undefined) told.push({ intent, by: 'write', id });
    });
    // What was given up is in the store, and a later run of the program sends it again.
    const later = books();
    const left = [...kept.values()];
    expect(left.length).toBe(givenUp.unknown);
    await inParallel(CLIENTS, left, async (write) => {
      const intent = intents.find(({ key }) => key === write.idempotencyKey) as Intent;
      const id = await outcomeOf(() => later.writes.submit<{ id: string }>(write));
      if (id !== undefined) told.push({ intent, by: 'sent again', id });
    });
    await proxy.settled();

    expect([givenUp.unknown, kept.size]).toEqual([left.length, 0]);
    const amount = (kind: Intent['kind']) => intents.filter((intent) => intent.kind === kind).length;
    const { rows } = await system.owner.query(EFFECTS, [company.id]);
    expect(rows).toEqual([
      {
        payments: amount('payment'),
        paid: String(amount('payment') * AMOUNT),
        customers: amount('customer'),
        rejected: amount('too much'),
        succeeded: amount('payment') + amount('customer'),
        entries: amount('payment'),
        new_audit: amount('payment') + amount('customer'),
        events: amount('payment') + amount('customer'),
      },
    ]);
    process.stdout.write(`${JSON.stringify({ writes: WRITES, ...proxy.done, 'given up, sent again': left.length })}\n`);
  });

  test('each of them was told the outcome that is stored under its key', async () => {
    const { rows } = await system.owner.query(
      `SELECT idempotency_key AS key, COALESCE(write_id::text, '') AS id, outcome
       FROM idempotent_writes WHERE company_id = $1 AND starts_with(idempotency_key, 'hostile ')`,
      [company.id],
    );
    expect(rows).toHaveLength(WRITES);
    const stored = new Map(rows.map(({ key, id, outcome }) => [key, outcome === 'succeeded' ? id : outcome]));
    const tellings = new Map(told.map(({ intent, id }) => [intent.key, id]));
    expect(tellings).toEqual(stored);
  });

  test('the books are sound', async () => {
    const auditor = await system.owner.connect();
    try {
      // As `books:check` asks them, of a company that statistics do not know yet.
      await auditor.query(`BEGIN; SELECT ${HASH_JOINS}`);
      expect(await brokenControls(auditor)).toEqual({});
    } finally {
      await auditor.query('ROLLBACK');
      auditor.release();
    }
  });

  function intentOf(number: number, random: Random, of: readonly string[]): Intent {
    const kind = random.chance(0.05) ? 'too much' : random.chance(0.25) ? 'customer' : 'payment';
    const impatient = random.chance(0.1) ? 'deadline' : random.chance(0.05) ? 'abort' : undefined;
    return { key: `hostile ${number}`, kind, invoiceId: random.pick(of), impatient };
  }

  async function send(client: ReturnType<typeof books>, intent: Intent, signal: AbortSignal | undefined) {
    const options = {
      idempotencyKey: intent.key,
      ...(signal && { signal }),
      ...(intent.impatient === 'deadline' && { deadlineMs: IMPATIENT_MS }),
    };
    if (intent.kind === 'customer') return client.customers.create({ name: intent.key }, options);
    const amount = intent.kind === 'payment' ? AMOUNT : 10_000_000_000;
    return client.payments.create({ invoiceId: intent.invoiceId, amount, currency: 'USD', method: 'card' }, options);
  }

  /** The ID of what was made, or `rejected`; undefined if the client was told that it does not know. */
  async function outcomeOf(write: () => Promise<{ readonly resource: { readonly id: string } }>) {
    try {
      return (await write()).resource.id;
    } catch (error) {
      if (error instanceof RejectedError) return 'rejected';
      if (!(error instanceof UnknownOutcomeError)) throw error;
      givenUp.unknown += 1;
      return undefined;
    }
  }
});

/** All that the writes of the gateway's clients have left behind. */
const EFFECTS = `
  WITH w AS (
    SELECT write_id, outcome FROM idempotent_writes
    WHERE company_id = $1 AND starts_with(idempotency_key, 'hostile ')
  ), a AS (
    SELECT status FROM idempotent_write_audit_log
    WHERE company_id = $1 AND starts_with(idempotency_key, 'hostile ')
  )
  SELECT (SELECT count(*) FROM payments WHERE company_id = $1)::int AS payments,
    (SELECT sum(amount_minor) FROM payments WHERE company_id = $1)::text AS paid,
    (SELECT count(*) FROM customers WHERE company_id = $1 AND starts_with(name, 'hostile '))::int AS customers,
    (SELECT count(*) FROM w WHERE outcome = 'rejected')::int AS rejected,
    (SELECT count(*) FROM w WHERE outcome = 'succeeded')::int AS succeeded,
    (SELECT count(*) FROM journal_entries e JOIN w ON w.write_id = e.write_id WHERE e.company_id = $1)::int AS entries,
    (SELECT count(*) FROM a WHERE status = 'new')::int AS new_audit,
    (SELECT count(*) FROM outbox o JOIN w ON w.write_id = o.write_id WHERE o.company_id = $1)::int AS events`;
