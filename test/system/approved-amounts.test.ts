import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { Role } from '../../activities/roles.ts';
import { decide, setPolicies } from '../support/approvals.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { executedPayRun, stockedItem } from '../support/payroll.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
});
afterAll(() => system.stop());

describe('an approved entry names who has approved it, in its answer and wherever it is read', () => {
  const readEntry = async (id: string) => (await company.api.get(`/api/ledger/entries/${id}`)).json;
  const manual = {
    ...{ date: '2026-02-10', description: 'By hand', currency: 'USD' },
    lines: [
      { accountCode: '1000', amount: 5 },
      { accountCode: '3000', amount: -5 },
    ],
  };

  /** The answer that the same request gets after its approval. */
  async function approved(key: string, path: string, body: object) {
    const send = () => company.as('accountant').post(path, body, { key });
    expect((await send()).status).toBe(202);
    expect((await decide(company, key, 'approve')).json).toMatchObject({ state: 'succeeded' });
    const answer = await send();
    expect([answer.status, answer.replayed]).toEqual([201, true]);
    return answer.json;
  }

  test('one that was entered by hand, and its reversal', async () => {
    const operations = ['createJournalEntry', 'reverseJournalEntry'];
    await setPolicies(
      company,
      operations.map((operation) => ({ operation, approverRoles: ['admin'] })),
    );
    const entry = await approved('entry', '/api/ledger/entries', manual);
    const reversal = await approved('reversal', `/api/ledger/entries/${entry.id}/reverse`, {
      reason: 'Posted twice',
      date: '2026-02-11',
    });
    for (const one of [entry, reversal]) {
      expect(one).toMatchObject({ postedBy: company.users.accountant.id, approvedBy: company.users.admin.id });
      expect(await readEntry(one.id)).toEqual(one);
    }
    const { items } = (await company.api.get('/api/ledger/accounts/1000/lines')).json;
    expect(items.map(({ approvedBy }: { approvedBy: string }) => approvedBy)).toEqual([
      company.users.admin.id,
      company.users.admin.id,
    ]);
  });

  test('and nobody where no policy asks', async () => {
    await setPolicies(company, []);
    const entry = await company.as('accountant').created('/api/ledger/entries', manual);
    expect(entry.approvedBy).toBeNull();
    expect(await readEntry(entry.id)).toEqual(entry);
  });
});

describe('a policy asks for the amount', () => {
  type Correction = { readonly path: string; readonly body?: object; readonly amount: number };
  const created = (path: string, body: object) => company.api.created(path, body);
  const paid = async () => created('/api/payments', paymentBody(await company.invoice({ total: 1_000 }), 400));
  const writtenOff = async () => {
    const id = await company.invoice({ total: 1_000 });
    await created(`/api/invoices/${id}/write-off`, { amount: 200, reason: 'Insolvent' });
    await created(`/api/invoices/${id}/write-off`, { amount: 300, reason: 'Insolvent' });
    return id;
  };

  const CORRECTIONS: Readonly<Record<string, () => Promise<Correction>>> = {
    voidPayment: async () => ({ path: `/api/payments/${(await paid()).id}/void`, amount: 400 }),
    async voidRefund() {
      const refund = { paymentId: (await paid()).id, amount: 150, reason: 'Back' };
      return { path: `/api/refunds/${(await created('/api/refunds', refund)).id}/void`, amount: 150 };
    },
    async voidCreditNote() {
      const note = { lines: [{ lineNumber: 1, net: 300 }], reason: 'Discount' };
      const { id } = await created(`/api/invoices/${await company.invoice({ total: 1_000 })}/credit-notes`, note);
      return { path: `/api/credit-notes/${id}/void`, amount: 300 };
    },
    async voidPayRun() {
      const run = await executedPayRun(company);
      return { path: `/api/payroll/pay-runs/${run.id}/void`, amount: run.totals.gross };
    },
    async writeOffInvoice() {
      const path = `/api/invoices/${await company.invoice({ total: 1_000 })}/write-off`;
      return { path, body: { amount: 200 }, amount: 200 };
    },
    recoverWriteOff: async () => ({ path: `/api/invoices/${await writtenOff()}/recover-write-off`, amount: 300 }),
    async adjustInventory() {
      const path = `/api/inventory/${(await stockedItem(company)).id}/adjust`;
      return { path, body: { quantityDelta: -3 }, amount: 301 };
    },
  };

  test.each(Object.entries(CORRECTIONS))(
    'that %s takes back or moves, and not the whole of its document',
    async (name, prepare) => {
      await setPolicies(company, []);
      const { path, body, amount } = await prepare();
      const role: Role = name === 'adjustInventory' ? 'manager' : 'accountant';
      const send = async (key: string, amountFrom: number) => {
        await setPolicies(company, [{ operation: name, amountFrom, currency: 'USD', approverRoles: ['admin'] }]);
        return company.as(role).post(path, { reason: 'By mistake', ...body }, { key: `${name}-${key}` });
      };
      const waiting = await send('waits', amount);
      expect(waiting.status, waiting.text).toBe(202);
      expect((await decide(company, `${name}-waits`, 'reject')).json).toMatchObject({ state: 'rejected' });
      const made = await send('is-made', amount + 1);
      expect(made.status, made.text).toBe(200);
    },
  );
});

test('each control holds in the books of these tests', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
