import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { RunningApi } from '../../api/app.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { expectOneStory } from '../support/one-story.ts';
import { hire, payRun, stockedItem } from '../support/payroll.ts';
import { type System, startSystem } from '../support/system.ts';
import { tally } from '../support/tally.ts';

let system: System;
let company: Company;
let other: RunningApi;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  other = await system.another();
});
afterAll(() => system.stop());

const patient = { headers: { prefer: 'wait=60' } };
const times = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, index) => make(index));
const statuses = (answers: readonly Answer[]) => new Set(answers.map(({ status }) => status));

/** Clients of two APIs in turn: what must hold may not rest on one process. */
const client = (index: number, of: Company = company) => (index % 2 === 0 ? of.api : of.as('owner', other.url));

describe('writes that race for the same rows', () => {
  test('many payments of one invoice never pay more than its total', async () => {
    const invoiceId = await company.invoice({ total: 1_000 });
    const answers = await Promise.all(
      times(50, (index) => client(index).post('/api/payments', paymentBody(invoiceId, 90), patient)),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(11);
    const refused = answers.filter(({ status }) => status !== 201);
    expect(refused.map(({ status, json }) => [status, json.code])).toEqual(
      times(39, () => [422, 'payment_exceeds_outstanding']),
    );
    const { rows } = await system.owner.query(
      `SELECT i.paid_minor::int AS paid, (SELECT sum(p.amount_minor)::int FROM payments p WHERE p.invoice_id = i.id) AS sum
       FROM invoices i WHERE i.id = $1`,
      [invoiceId],
    );
    expect(rows).toEqual([{ paid: 990, sum: 990 }]);
  });

  test('invoices finalized at once get numbers without a gap, whatever is refused or repeated among them', async () => {
    const own = await system.company();
    const customerId = await own.customer();
    const drafts = await Promise.all(times(30, () => own.draftInvoice({ customerId })));
    const finalize = (invoiceId: string, index: number, key: string = randomUUID()) =>
      client(index, own).post(`/api/invoices/${invoiceId}/finalize`, {}, { key, ...patient });
    const answers = await Promise.all(
      drafts.flatMap((invoiceId, index) => {
        const key = randomUUID();
        return [
          finalize(invoiceId, index, key),
          finalize(invoiceId, index + 1, key), // a duplicate, through the other process
          finalize(invoiceId, index), // a second write of the same invoice: only one of the two can be
        ];
      }),
    );
    expect(statuses(answers)).toEqual(new Set([200, 409]));
    expect(new Set(answers.filter(({ status }) => status === 409).map(({ json }) => json.code))).toEqual(
      new Set(['invoice_not_draft']),
    );
    const { rows } = await system.owner.query(
      'SELECT array_agg(number ORDER BY number) AS numbers FROM invoices WHERE company_id = $1',
      [own.id],
    );
    expect(rows[0].numbers).toEqual(times(30, (index) => index + 1));
    const told = new Set(answers.filter(({ status }) => status === 200).map(({ json }) => json.number));
    expect(told).toEqual(new Set(times(30, (index) => `INV-${String(index + 1).padStart(6, '0')}`)));
  });

  test('payments made at once get numbers without a gap, whatever is refused or repeated among them', async () => {
    const own = await system.company();
    const invoices = await Promise.all(times(3, () => own.invoice({ total: 100_000 })));
    const pay = (index: number, amount: number, key: string = randomUUID()) =>
      client(index, own).post('/api/payments', paymentBody(invoices[index % 3] ?? '', amount), { key, ...patient });
    const answers = await Promise.all(
      times(30, (index) => {
        const key = randomUUID();
        // With a duplicate, through the other process, and one that is refused.
        return [pay(index, 10, key), pay(index + 3, 10, key), pay(index, 1_000_000)];
      }).flat(),
    );
    expect(statuses(answers)).toEqual(new Set([201, 422]));
    const made = answers.filter(({ status }) => status === 201);
    expect(made).toHaveLength(60);
    expect(new Set(made.map(({ json }) => json.number))).toEqual(
      new Set(times(30, (index) => `RCT-${String(index + 1).padStart(6, '0')}`)),
    );
  });

  test('no deadlock and no other error of the database reaches a client', async () => {
    const own = await system.company();
    const customerId = await own.customer();
    const [paid, ...drafts] = await Promise.all([
      own.invoice({ customerId, total: 100_000 }),
      ...times(10, () => own.draftInvoice({ customerId })),
    ]);
    const answers = await Promise.all([
      ...times(30, (index) => client(index, own).post('/api/payments', paymentBody(paid, index + 1), patient)),
      ...drafts.map((id, index) => client(index, own).post(`/api/invoices/${id}/finalize`, {}, patient)),
      // Payments that race the finalization of their invoice: each is taken or refused, never an error.
      ...drafts.map((id, index) => client(index, own).post('/api/payments', paymentBody(id, 1), patient)),
    ]);
    expect([...statuses(answers)].filter((status) => ![200, 201, 409].includes(status))).toEqual([]);
    const { rows } = await system.owner.query(
      'SELECT deadlocks::int AS deadlocks FROM pg_stat_database WHERE datname = current_database()',
    );
    expect(rows[0].deadlocks).toBe(0);
  });
});

describe('what can happen once, asked for under 20 keys at once', () => {
  test('a pay run is executed once, and posts one entry', async () => {
    const own = await system.company();
    await hire(own);
    const { id } = await payRun(own);
    const execute = (index: number) => client(index, own).post(`/api/payroll/pay-runs/${id}/execute`, {}, patient);
    expect(tally(await Promise.all(times(20, execute)))).toEqual({ '200': 1, '409 pay_run_already_executed': 19 });
    const entries = await own.api.get('/api/ledger/entries?operation=executePayroll');
    expect(entries.json.items).toHaveLength(1);
  });

  test('the settings are changed once from the version that all have read', async () => {
    const own = await system.company();
    const change = (index: number) =>
      client(index, own).post(
        '/api/company/settings',
        { expectedVersion: 1, name: `Name ${index}` },
        { method: 'PATCH', ...patient },
      );
    expect(tally(await Promise.all(times(20, change)))).toEqual({ '200': 1, '409 version_conflict': 19 });
    expect((await own.api.get('/api/company/settings')).json.version).toBe(2);
  });

  test('the ten units in stock are taken by ten', async () => {
    const own = await system.company();
    const { id } = await stockedItem(own);
    const take = (index: number) =>
      client(index, own).post(`/api/inventory/${id}/adjust`, { quantityDelta: -1, reason: 'Sold' }, patient);
    expect(tally(await Promise.all(times(20, take)))).toEqual({ '200': 10, '422 insufficient_stock': 10 });
    expect((await own.api.get(`/api/inventory/items/${id}`)).json).toMatchObject({ quantity: 0, value: 0 });
  });

  test('of two owners who remove each other one stays', async () => {
    const own = await system.company();
    const { owner, admin } = own.users;
    await own.api.created(`/api/users/${admin.id}/access`, { roles: ['owner'] });
    const remove = (index: number) =>
      own
        .as(index % 4 < 2 ? 'owner' : 'admin', index % 2 === 0 ? system.url : other.url)
        .post(`/api/users/${index % 4 < 2 ? admin.id : owner.id}/access`, { roles: [] }, patient);
    const answers = await Promise.all(times(20, remove));
    // One goes, and is told so from then on, at the door or in the transaction; who stays finds nobody left to remove.
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect([...statuses(answers)].filter((status) => ![200, 403, 404].includes(status))).toEqual([]);
    const { rows } = await system.owner.query(
      "SELECT array_agg(user_id) AS owners FROM memberships WHERE company_id = $1 AND 'owner' = ANY (roles)",
      [own.id],
    );
    expect([[owner.id], [admin.id]]).toContainEqual(rows[0].owners);
  });
});

describe('two requests with one key and different bodies at the same moment', () => {
  test.each([
    ['in one process', () => company.api],
    ['in two processes', () => company.as('owner', other.url)],
  ])('%s: exactly one is the write, and the other is told so', async (_where, second) => {
    const invoiceId = await company.invoice();
    const rounds = await Promise.all(
      times(12, async () => {
        const key = randomUUID();
        const answers = await Promise.all([
          company.api.post('/api/payments', paymentBody(invoiceId, 1), { key, ...patient }),
          second().post('/api/payments', paymentBody(invoiceId, 2), { key, ...patient }),
        ]);
        return { key, answers };
      }),
    );
    for (const { key, answers } of rounds) {
      expect(statuses(answers)).toEqual(new Set([201, 422]));
      const winner = answers[0].status === 201 ? 0 : 1;
      const [won, lost] = [answers[winner], answers[1 - winner]];
      expect(won?.json.amount).toBe(winner + 1);
      expect(won?.replayed).toBe(false);
      expect(lost?.json).toMatchObject({ code: 'idempotency_key_reused', differences: [{ pointer: '/amount' }] });
      const effects = await countEffects(system.owner, { companyId: company.id, table: 'payments', key });
      expect(effects).toMatchObject({ writes: 1, rows: 1, entries: 1, newAudit: 1, failedAudit: 1, events: 1 });
      const again = await second().post('/api/payments', paymentBody(invoiceId, winner + 1), { key });
      expectOneStory([won as Answer, again], { firsts: 1 });
    }
  });
});

test('all of this leaves the controls holding', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
