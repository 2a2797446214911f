import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { startWorkerProcess } from '../support/processes.ts';
import { steppedRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let relay: ReturnType<typeof steppedRelay>;
beforeAll(async () => {
  system = await startSystem();
  relay = steppedRelay(system);
});
afterAll(async () => {
  await relay.close();
  await system.stop();
});

const trigger = async (company: Company) =>
  (await company.api.created('/api/workflows/sendInvoiceReminders/trigger', { payload: { asOf: '2020-01-01' } })) as {
    workflowId: string;
  };

async function eventOf(id: string) {
  const { rows } = await system.owner.query(
    'SELECT sequence IS NOT NULL AS numbered, started_at, delivered_at, delivery_state FROM outbox WHERE id = $1',
    [id],
  );
  return rows[0];
}

async function runsOf(workflowId: string): Promise<number> {
  let runs = 0;
  for await (const run of system.temporal.workflow.list({ query: `WorkflowId = "${workflowId}"` })) {
    runs += run.workflowId === workflowId ? 1 : 0;
  }
  return runs;
}

/** Answers how often the relay has been woken since the last time. */
async function listening(): Promise<() => Promise<number>> {
  const client = new pg.Client({ connectionString: system.owner.options.connectionString });
  await client.connect();
  onTestFinished(() => client.end());
  let notified = 0;
  client.on('notification', () => {
    notified += 1;
  });
  await client.query('LISTEN outbox');
  return async () => {
    // What was notified before comes in before the answer.
    await client.query('SELECT 1');
    const count = notified;
    notified = 0;
    return count;
  };
}

async function setWebhook(company: Company, url: string | null): Promise<void> {
  await system.owner.query('UPDATE companies SET webhook_url = $2 WHERE id = $1', [company.id, url]);
}

describe('the relay', () => {
  test('marks an event that nobody waits for, and starts nothing for it', async () => {
    const company = await system.company();
    const { json } = await company.api.post('/api/customers', { name: 'Unheard of' }, { key: 'quiet' });
    expect((await company.api.get('/api/events')).json.items).toEqual([]);
    const counts = await relay.runOnce();
    expect(counts).toMatchObject({ workflowsStarted: 0, batchesStarted: 0, failed: 0 });
    expect(counts.numbered).toBeGreaterThan(0);
    const { items } = (await company.api.get('/api/events')).json;
    expect(items).toMatchObject([
      { kind: 'customer.created', writeId: json.id, delivery: { state: 'none', attempts: 0, lastError: null } },
    ]);
    expect(await eventOf(items[0].id)).toMatchObject({ numbered: true, delivered_at: expect.any(Date) });
    // Nobody was told: the write's story says so.
    const { timeline } = (await company.api.get('/api/writes/quiet')).json;
    expect(timeline.map(({ kind }: { kind: string }) => kind)).not.toContain('event_delivered');
    expect(await relay.runOnce()).toEqual({ workflowsStarted: 0, numbered: 0, batchesStarted: 0, failed: 0 });
  });

  test('starts a triggered workflow once, though it dies between the start and the mark', async () => {
    const company = await system.company();
    const { workflowId } = await trigger(company);
    const died = await relay.runOnce({
      async registered(event) {
        await relay.starts.registered(event);
        throw new Error('Killed');
      },
    });
    expect(died).toMatchObject({ workflowsStarted: 0, failed: 1 });
    expect(await eventOf(workflowId)).toMatchObject({ numbered: false, started_at: null });
    const { runId } = await system.temporal.workflow.getHandle(workflowId).describe();

    expect(await relay.runOnce()).toMatchObject({ workflowsStarted: 1, failed: 0 });
    expect(await eventOf(workflowId)).toMatchObject({ numbered: true, started_at: expect.any(Date) });
    expect((await system.temporal.workflow.getHandle(workflowId).describe()).runId).toBe(runId);
    await system.temporal.workflow.getHandle(workflowId).terminate();
    // Ended by an operator, it is not started again either, should the mark have been lost.
    await system.owner.query('UPDATE outbox SET sequence = NULL WHERE id = $1', [workflowId]);
    await relay.runOnce();
    expect((await system.temporal.workflow.getHandle(workflowId).describe()).status.name).toBe('TERMINATED');
    await until('the run to be listed', async () => (await runsOf(workflowId)) > 0);
    expect(await runsOf(workflowId)).toBe(1);
  });

  test('keeps no event waiting for one that Temporal does not take', async () => {
    const company = await system.company();
    const { workflowId } = await trigger(company);
    const customer = await company.api.created('/api/customers', { name: 'Behind it' });
    const away = { registered: () => Promise.reject(new Error('Temporal is away')) };
    expect(await relay.runOnce(away)).toMatchObject({ failed: 1, workflowsStarted: 0 });
    const kinds = async () =>
      (await company.api.get('/api/events')).json.items.map(({ writeId }: { writeId: string }) => writeId);
    expect(await kinds()).toEqual([customer.id]);
    expect(await relay.runOnce()).toMatchObject({ failed: 0, workflowsStarted: 1, numbered: 1 });
    expect(await eventOf(workflowId)).toMatchObject({ numbered: true });
    await system.temporal.workflow.getHandle(workflowId).terminate();
  });

  test('sends a company’s events off in batches of a hundred, one at a time, and again when it died before the mark', async () => {
    const company = await system.company();
    await setWebhook(company, 'https://hooks.example.test/');
    const invoiceId = await company.invoice();
    for (let sent = 0; sent < 110; sent += 10) {
      await Promise.all(
        Array.from({ length: 10 }, () => company.api.created('/api/payments', paymentBody(invoiceId, 1))),
      );
    }
    const started: string[] = [];
    const record = async ({ batchId }: { batchId: string }) => {
      started.push(batchId);
      return 'started' as const;
    };
    await relay.runOnce({ webhooks: (batch) => record(batch).then(() => Promise.reject(new Error('Killed'))) });
    await relay.runOnce({ webhooks: record });
    await relay.runOnce({ webhooks: record });
    const { rows } = await system.owner.query(
      `SELECT batch_id, count(*)::int AS events, count(started_at)::int AS started FROM outbox
       WHERE company_id = $1 GROUP BY 1 ORDER BY min(sequence)`,
      [company.id],
    );
    const [first, waiting] = rows;
    expect(rows).toEqual([
      { batch_id: expect.any(String), events: 100, started: 100 },
      { batch_id: null, events: waiting.events, started: 0 },
    ]);
    expect(started).toEqual([first.batch_id, first.batch_id]);
    const { rows: head } = await system.owner.query(
      'SELECT id FROM outbox WHERE company_id = $1 ORDER BY sequence LIMIT 1',
      [company.id],
    );
    expect(first.batch_id).toBe(head[0].id);

    // The next batch need not wait for the relay to look: the last call of this one wakes it, and no call before.
    const woken = await listening();
    const { rows: travelling } = await system.owner.query(
      'SELECT id FROM outbox WHERE company_id = $1 AND batch_id IS NOT NULL ORDER BY sequence',
      [company.id],
    );
    const answered: number[] = [];
    for (const { id } of travelling) {
      await system.owner.query('SELECT record_webhook_attempt($1, $2, NULL, NULL)', [company.id, id]);
      answered.push(await woken());
    }
    expect(answered).toEqual([...Array.from({ length: 99 }, () => 0), 1]);
    await setWebhook(company, null);
  });

  test('gives numbers in which none comes in behind one that can be seen, though several relays run', async () => {
    const company = await system.company();
    const others = [steppedRelay(system), steppedRelay(system)];
    const invoiceId = await company.invoice();
    let writing = true;
    const seen: number[][] = [];
    const reading = (async () => {
      while (writing) {
        const { rows } = await system.owner.query('SELECT sequence::int AS n FROM outbox WHERE company_id = $1', [
          company.id,
        ]);
        seen.push(rows.map(({ n }) => n as number | null).filter((n): n is number => n !== null));
      }
    })();
    const relaying = others.map(async (other) => {
      while (writing) await other.runOnce();
    });
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(
        Array.from({ length: 10 }, () => company.api.created('/api/payments', paymentBody(invoiceId, 1))),
      );
    }
    writing = false;
    await Promise.all([reading, ...relaying]);
    await Promise.all(others.map((other) => other.close()));
    for (const [index, numbers] of seen.entries()) {
      const highestBefore = Math.max(0, ...(seen[index - 1] ?? []));
      const before = new Set(seen[index - 1]);
      expect(numbers.filter((n) => n < highestBefore && !before.has(n))).toEqual([]);
    }
  });

  test('gives none while another has given some that cannot be seen yet', async () => {
    const unnumbered = async (of: string) => {
      const { rows } = await system.owner.query(
        `SELECT count(*)::int AS n FROM outbox WHERE sequence IS NULL AND kind <> 'workflow.triggered' AND ${of}`,
      );
      return rows[0].n as number;
    };
    await until('the events of other tests to be numbered', async () => {
      await relay.runOnce();
      return (await unnumbered('true')) === 0;
    });
    const company = await system.company();
    await company.customer();
    await company.customer();
    const session = await system.owner.connect();
    await session.query('BEGIN');
    expect((await session.query("SELECT number_events(1, '{}') AS n")).rows).toEqual([{ n: 1 }]);
    expect(await relay.runOnce()).toMatchObject({ numbered: 0 });
    await session.query('COMMIT');
    session.release();
    // Transactions of other databases on the server may be older than the event: it waits for them.
    await until('the other event to be numbered', async () => {
      await relay.runOnce();
      return (await unnumbered(`company_id = '${company.id}'`)) === 0;
    });
  });

  test('works in the worker’s process, which a trigger wakes', async () => {
    const company = await system.company();
    const worker = await startWorkerProcess(system.environment);
    try {
      const { workflowId } = await trigger(company);
      await until('the event to be numbered', async () => (await eventOf(workflowId)).numbered);
      expect(await eventOf(workflowId)).toMatchObject({ numbered: true, delivery_state: 'none' });
    } finally {
      expect(await worker.terminate()).toBe(0);
    }
  });

  test('has a login that sees events, and the application’s login does not see with its eyes', async () => {
    const { rows } = await system.owner.query(
      "SELECT pg_has_role('accubooks_login', 'accubooks_relay', 'MEMBER') AS may, pg_has_role('accubooks_relay_login', 'accubooks_app', 'MEMBER') AS inverse",
    );
    expect(rows).toEqual([{ may: false, inverse: false }]);
  });
});

describe('the list of events', () => {
  test('is filtered by kind and day, and paged from the newest', async () => {
    const company = await system.company();
    await company.invoice();
    await relay.runOnce();
    const list = async (query: string) => (await company.api.get(`/api/events${query}`)).json;
    const all = (await list('')).items.map(({ kind }: { kind: string }) => kind);
    expect(all).toEqual(['invoice.finalized', 'invoice.created', 'customer.created']);
    expect((await list('?kind=invoice.created')).items).toMatchObject([{ kind: 'invoice.created' }]);
    expect((await list('?from=2999-01-01')).items).toEqual([]);
    expect((await list('?from=2020-01-01')).items).toHaveLength(3);
    const { items, nextCursor } = await list('?limit=2');
    const rest = await list(`?limit=2&cursor=${nextCursor}`);
    expect([...items, ...rest.items].map(({ kind }: { kind: string }) => kind)).toEqual(all);
    expect((await company.api.get('/api/events?kind=what%20ever')).status).toBe(422);
  });

  test('hides pay runs from managers', async () => {
    const company = await system.company();
    await company.customer();
    await relay.runOnce();
    await system.owner.query("UPDATE outbox SET kind = 'pay_run.created' WHERE company_id = $1", [company.id]);
    const [event] = (await company.as('auditor').get('/api/events')).json.items;
    expect(event.kind).toBe('pay_run.created');
    expect((await company.as('manager').get('/api/events')).json.items).toEqual([]);
    expect((await company.as('manager').get(`/api/events/${event.id}`)).status).toBe(404);
  });
});
