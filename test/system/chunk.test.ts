import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TransientFailure } from '../../activities/failures.ts';
import { workflowIdOf, writeId } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { SetOperation } from '../../activities/write/run-set.ts';
import { createGroupRuns } from '../../worker/lanes/group-runs.ts';
import type { GroupItem, LeftItem } from '../../workflows/messages.ts';
import { setPolicies } from '../support/approvals.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { holdInvoice } from '../support/held-invoice.ts';
import { keyWorkflow } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';
import { trustOf } from '../support/trusted-fence.ts';
import { openOneCompany } from '../support/two-databases.ts';
import { writeArguments } from '../support/write-arguments.ts';

/** A group that is the chunk of a batch: rows of a file, which keep their order where they name the same. */
describe('the chunk of a batch', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    // A lock is waited for half of this long; then the attempt has failed for the moment.
    system = await startSystem({
      environment: { STATEMENT_TIMEOUT_MS: '2000' },
      operations: OPERATIONS.map((operation) => (operation.name === 'createCustomer' ? planted(operation) : operation)),
    });
    company = await system.company();
  });
  afterAll(() => system.stop());

  /** The names of the customers that were attempted, each time. */
  const attempted: string[] = [];

  /** A customer named so meets a bug, or an error that passes, and leaves nothing. */
  function planted(operation: Operation): Operation {
    const { set } = operation as SetOperation;
    const plant = (name: unknown) => {
      attempted.push(String(name));
      if (String(name).startsWith('bug')) throw new TypeError('Planted');
      if (String(name).startsWith('not now')) throw new TransientFailure('Planted', { mayHaveCommitted: false });
    };
    return {
      ...operation,
      set: {
        ...set,
        decide(state, input, context) {
          plant(input.body['name']);
          return set.decide(state, input, context);
        },
      },
      write(tx, input, context) {
        plant(input.body['name']);
        return operation.write(tx, input, context);
      },
    };
  }

  function row(name: string, key: string, body: object, params: Readonly<Record<string, string>> = {}): GroupItem {
    const operation = OPERATIONS.find((one) => one.name === name);
    if (operation === undefined) throw new Error(`There is no operation ${name}`);
    const args = writeArguments(company, operation, body, key, { params });
    return { args, workflowId: workflowIdOf(company.id, key), summary: '' };
  }

  const pay = (key: string, invoiceId: string, amount?: number) =>
    row('createPayment', key, paymentBody(invoiceId, amount));
  const customer = (name: string, externalReference?: string) =>
    row('createCustomer', name, { name, ...(externalReference === undefined ? {} : { externalReference }) });

  async function runChunk(items: readonly GroupItem[], setSize = 100): Promise<readonly LeftItem[]> {
    const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] ?? '';
    const groups = createGroupRuns(system.temporal, { taskQueue }, 'test');
    const { trust } = await trustOf(system.owner);
    const workflowId = `group:${randomUUID()}`;
    const started = trust === undefined ? 'exists' : await groups.start(workflowId, items, trust, { setSize });
    const end = started === 'exists' ? 'unproven' : await groups.waitUntilClosed(workflowId, started.runId);
    if (typeof end === 'string') throw new Error(`The group is ${end}`);
    return end.left;
  }

  /** By key: `succeeded`, or the code of the problem; no member for a key that has no row. */
  async function outcomes(items: readonly GroupItem[]): Promise<Readonly<Record<string, string>>> {
    const { rows } = await system.owner.query<{ key: string; outcome: string }>(
      `SELECT idempotency_key AS key,
         CASE outcome WHEN 'rejected' THEN convert_from(response_body, 'UTF8')::jsonb ->> 'code' ELSE outcome END AS outcome
       FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = ANY ($2)`,
      [company.id, items.map(({ args }) => args.key)],
    );
    return Object.fromEntries(rows.map(({ key, outcome }) => [key, outcome]));
  }

  async function hasRun(key: string): Promise<boolean> {
    return keyWorkflow(system.temporal, company, key)
      .describe()
      .then(
        () => true,
        () => false,
      );
  }

  async function ungrouped(): Promise<number> {
    const page = await (await fetch(`${system.url}/metrics`)).text();
    return [...page.matchAll(/^[a-z_]*ungrouped[a-z_]*\{[^}]*\} (\d+)$/gm)].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );
  }

  test.each([1, 2, 100])('keeps the order of what names the same, in sets of %i', async (setSize) => {
    const key = (name: string) => `order-${setSize}-${name}`;
    const [invoice, draft, ...others] = await Promise.all([
      company.invoice({ total: 1_000 }),
      company.draftInvoice({ total: 700 }),
      ...Array.from({ length: 5 }, () => company.invoice()),
    ]);
    const payment = writeId(company.id, 'createPayment', key('all of it'));
    const code = `${6200 + setSize}`;
    const lines = [
      { accountCode: code, amount: 1 },
      { accountCode: '1000', amount: -1 },
    ];
    const posted = { date: '2026-02-01', description: 'Rent', currency: 'USD', lines };
    const rows = [
      row('createJournalEntry', key('too early'), posted),
      pay(key('all of it'), invoice, 1_000),
      pay(key('nothing due'), invoice, 1),
      pay(key('of a draft'), draft, 1),
      row('finalizeInvoice', key('finalize'), {}, { invoiceId: draft }),
      ...others.map((each, index) => pay(key(`other ${index}`), each)),
      row('createAccount', key('account'), { code, name: 'Rent', type: 'expense' }),
      row('createRefund', key('refund'), { paymentId: payment, amount: 300, reason: 'Twice', date: '2026-02-01' }),
      pay(key('due again'), invoice, 300),
      pay(key('no more'), invoice, 1),
      pay(key('finalized'), draft, 700),
      row('voidInvoice', key('void'), { reason: 'Wrong' }, { invoiceId: draft }),
      row('createJournalEntry', key('in time'), posted),
    ];
    expect(await runChunk(rows, setSize)).toEqual([]);
    expect(await outcomes(rows)).toEqual({
      [key('too early')]: 'account_not_usable',
      [key('all of it')]: 'succeeded',
      [key('nothing due')]: 'invoice_not_payable',
      [key('of a draft')]: 'invoice_not_payable',
      [key('finalize')]: 'succeeded',
      ...Object.fromEntries(others.map((_, index) => [key(`other ${index}`), 'succeeded'])),
      [key('account')]: 'succeeded',
      [key('refund')]: 'succeeded',
      [key('due again')]: 'succeeded',
      [key('no more')]: 'invoice_not_payable',
      [key('finalized')]: 'succeeded',
      [key('void')]: 'invoice_not_voidable',
      [key('in time')]: 'succeeded',
    });
  });

  test('shares no more transactions than its sets may have rows', async () => {
    const invoices = await Promise.all(Array.from({ length: 7 }, () => company.invoice()));
    const rows = invoices.map((invoice, index) => pay(`sets-${index}`, invoice));
    expect(await runChunk(rows, 3)).toEqual([]);
    // The rows of a set are claimed by one statement.
    const { rows: sets } = await system.owner.query<{ size: number }>(
      `SELECT count(*)::int AS size FROM idempotent_writes WHERE company_id = $1 AND idempotency_key LIKE 'sets-%'
       GROUP BY xmin::text ORDER BY min(idempotency_key)`,
      [company.id],
    );
    expect(sets.map(({ size }) => size)).toEqual([3, 3, 1]);
  });

  test('fails by a bug in that row alone, and starts no run for it', async () => {
    const before = await ungrouped();
    const rows = [
      customer('one'),
      customer('bug', 'R-1'),
      customer('two'),
      customer('behind the bug', 'R-1'),
      customer('three'),
    ];
    expect(await runChunk(rows)).toEqual([
      { index: 1, runId: null, failure: 'bug' },
      { index: 3, runId: null, failure: 'transient' },
    ]);
    expect(await outcomes(rows)).toEqual({ one: 'succeeded', two: 'succeeded', three: 'succeeded' });
    expect(attempted.filter((name) => name === 'behind the bug')).toEqual([]);
    expect(await Promise.all(rows.map(({ args }) => hasRun(args.key)))).toEqual(rows.map(() => false));
    expect(await ungrouped()).toBe(before);
    // Told as failed, what was behind it goes on.
    expect(await runChunk(rows.filter((_, index) => index !== 1))).toEqual([]);
    expect(await outcomes(rows)).toMatchObject({ 'behind the bug': 'succeeded' });
    const made = await countEffects(system.owner, { companyId: company.id, table: 'customers', key: 'one' });
    expect(made).toMatchObject({ writes: 1, rows: 1, newAudit: 1, failedAudit: 0, events: 1 });
  });

  test('tells of an error that passes, and attempts nothing behind it that names the same', async () => {
    const rows = [customer('not now', 'R-2'), customer('beside'), customer('behind', 'R-2')];
    expect(await runChunk(rows)).toEqual([
      { index: 0, runId: null, failure: 'transient' },
      { index: 2, runId: null, failure: 'transient' },
    ]);
    expect(await outcomes(rows)).toEqual({ beside: 'succeeded' });
    expect(attempted.filter((name) => name === 'behind')).toEqual([]);
    expect(await Promise.all(rows.map(({ args }) => hasRun(args.key)))).toEqual([false, false, false]);
  });

  test('leaves what needs an approval, and makes what names the same behind it', async () => {
    const invoiceId = await company.invoice({ total: 100_000 });
    await setPolicies(company, [{ operation: 'createPayment', amountFrom: 50_000, approverRoles: ['owner', 'admin'] }]);
    const rows = [pay('to be approved', invoiceId, 50_000), pay('behind it', invoiceId, 10)];
    // In one set, neither waits for the other.
    expect(await runChunk(rows, 1)).toEqual([{ index: 0, runId: null, failure: 'approval' }]);
    expect(await outcomes(rows)).toEqual({ 'behind it': 'succeeded' });
  });

  test('leaves what waits for a lock too long, and all that names it; sent again, that keeps its order', async () => {
    const held = await company.invoice({ total: 1_000 });
    const free = await company.invoice();
    const { release } = await holdInvoice(system.owner, held);
    const payment = writeId(company.id, 'createPayment', 'held-first');
    const rows = [
      pay('held-first', held, 1_000),
      pay('held-free', free),
      pay('held-second', held, 1),
      row('createRefund', 'held-refund', { paymentId: payment, amount: 1_000, reason: 'Twice', date: '2026-02-01' }),
      row('voidInvoice', 'held-void', { reason: 'Wrong', date: '2026-02-01' }, { invoiceId: held }),
    ];
    const left = await runChunk(rows);
    expect(left).toEqual([0, 2, 3, 4].map((index) => ({ index, runId: null, failure: 'transient' })));
    expect(await outcomes(rows)).toEqual({ 'held-free': 'succeeded' });
    await release();
    expect(await runChunk(rows)).toEqual([]);
    expect(await outcomes(rows)).toEqual({
      'held-first': 'succeeded',
      'held-free': 'succeeded',
      'held-second': 'invoice_not_payable',
      'held-refund': 'succeeded',
      'held-void': 'succeeded',
    });
  });

  test('makes the rows of a set that came to nothing in their order, where they name the same', async () => {
    const names = Array.from({ length: 6 }, (_, index) => `side by side ${index}`);
    const rows = [...names.map((name) => customer(name, 'R-3')), customer('bug of the set')];
    expect(await runChunk(rows)).toEqual([{ index: 6, runId: null, failure: 'bug' }]);
    expect(await outcomes(rows)).toEqual({
      ...Object.fromEntries(names.map((name) => [name, 'customer_reference_taken'])),
      [names[0] ?? '']: 'succeeded',
    });
  });

  test('finds what was made under one of its keys before, and takes one key for one write', async () => {
    const made = await company.api.created('/api/customers', { name: 'before' }, { key: 'before' });
    const rows = [customer('before'), customer('twice'), customer('twice')];
    expect(await runChunk(rows)).toEqual([]);
    expect(await outcomes(rows)).toEqual({ before: 'succeeded', twice: 'succeeded' });
    const { rows: all } = await system.owner.query(
      'SELECT id FROM customers WHERE company_id = $1 AND name = ANY ($2)',
      [company.id, ['before', 'twice']],
    );
    expect(new Set(all.map(({ id }) => id))).toEqual(
      new Set([made.id, writeId(company.id, 'createCustomer', 'twice')]),
    );
    expect(all).toHaveLength(2);
  });
});

test('a chunk that was given up begins no further transaction', async () => {
  const company = await openOneCompany();
  try {
    const rows = ['a', 'b'].map((key) =>
      company.argumentsOf({ operation: 'createCustomer', key, body: { name: key, currency: 'USD' } }),
    );
    expect(await company.runChunk(rows, { setSize: 10, isGivenUp: true })).toEqual({
      left: [0, 1],
      bugs: [],
      approvals: [],
    });
    expect((await company.everything())['customers']).toEqual([]);
    expect(await company.runChunk(rows, { setSize: 10, isGivenUp: false })).toEqual({
      left: [],
      bugs: [],
      approvals: [],
    });
    expect((await company.everything())['customers']).toHaveLength(2);
  } finally {
    await company.close();
  }
});
