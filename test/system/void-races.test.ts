import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { RunningApi } from '../../api/app.ts';
import { bankTransaction, matching } from '../support/bank.ts';
import { closeBooks } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { holdInvoice, untilWaiting } from '../support/held-invoice.ts';
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
/** Clients of two APIs in turn: what must hold may not rest on one process. */
const client = (index: number) => (index % 2 === 0 ? company.api : company.as('owner', other.url));
const voiding = (index: number, path: string, more: object = {}) =>
  client(index).post(`/api/${path}/void`, { reason: 'Wrong', date: '2026-03-01', ...more }, patient);
const pay = (invoiceId: string, amount: number) => company.api.created('/api/payments', paymentBody(invoiceId, amount));
const refunding = (index: number, paymentId: string, amount: number) =>
  client(index).post('/api/refunds', { paymentId, amount, reason: 'Back', date: '2026-03-01' }, patient);
const invoice = async (id: string) => (await company.api.get(`/api/invoices/${id}`)).json;

describe('voids, many at once', () => {
  test('ten of one payment, of one refund and of one credit note: each is voided once', async () => {
    const invoiceId = await company.invoice({ total: 1_000 });
    const [payment, kept] = [await pay(invoiceId, 400), await pay(invoiceId, 400)];
    const { id: refundId } = (await refunding(0, kept.id, 100)).json;
    const note = await company.api.created(`/api/invoices/${invoiceId}/credit-notes`, {
      ...{ lines: [{ lineNumber: 1, net: 200 }], reason: 'Discount', date: '2026-03-01' },
    });
    for (const path of [`payments/${payment.id}`, `refunds/${refundId}`, `credit-notes/${note.id}`]) {
      const answers = await Promise.all(times(10, (index) => voiding(index, path)));
      expect(tally(answers), path).toEqual({ '200': 1, '409 already_voided': 9 });
    }
    expect(await invoice(invoiceId)).toMatchObject({ amountPaid: 400, amountCredited: 0, amountDue: 600 });
  });

  test('a void of a payment and ten refunds of it: void, or refunded, never both', async () => {
    const { id: paymentId } = await pay(await company.invoice({ total: 1_000 }), 1_000);
    const [voided, ...refunds] = await Promise.all([
      voiding(0, `payments/${paymentId}`),
      ...times(10, (index) => refunding(index, paymentId, 10)),
    ]);
    const { voidedOn, refunded } = (await company.api.get(`/api/payments/${paymentId}`)).json;
    expect([
      { voided: 200, refunds: { '422 refund_exceeds_payment': 10 }, voidedOn: '2026-03-01', refunded: 0 },
      { voided: 'payment_refunded', refunds: { '201': 10 }, voidedOn: null, refunded: 100 },
    ]).toContainEqual({ voided: voided?.json.code ?? voided?.status, refunds: tally(refunds), voidedOn, refunded });
  });

  test('a void of a refund and ten payments never pay more than the total', async () => {
    const invoiceId = await company.invoice({ total: 1_000 });
    const first = await pay(invoiceId, 1_000);
    const { id: refundId } = (await refunding(0, first.id, 500)).json;
    const answers = await Promise.all([
      voiding(1, `refunds/${refundId}`),
      ...times(10, (index) =>
        client(index).post('/api/payments', { ...paymentBody(invoiceId, 100), receivedOn: '2026-03-01' }, patient),
      ),
    ]);
    const paid = answers.slice(1).filter(({ status }) => status === 201).length;
    expect([200, 409]).toContain(answers[0]?.status);
    expect(paid).toBe(answers[0]?.status === 200 ? 0 : 5);
    expect(await invoice(invoiceId)).toMatchObject({ status: 'paid', amountPaid: 1_000 });
  });

  test('a void of a payment and the reconciliation of its line: one of the two', async () => {
    for (const index of times(4, (turn) => turn)) {
      const payment = await pay(await company.invoice(), 100 + index);
      const { lines } = (await company.api.get(`/api/ledger/entries/${payment.journalEntryId}`)).json;
      const id = await bankTransaction(company.api, 100 + index);
      const [voided, matched] = await Promise.all([
        voiding(index, `payments/${payment.id}`),
        client(index + 1).post(`/api/ledger/reconcile/${id}`, matching(lines[0].id), patient),
      ]);
      expect([
        [200, 'journal_line_not_matchable'],
        ['line_reconciled', 200],
      ]).toContainEqual([voided.json.code ?? voided.status, matched.json.code ?? matched.status]);
    }
  });
});

describe('a void that waited', () => {
  test('for a refund sees it, and one that waited for a void sees that', async () => {
    const invoiceId = await company.invoice({ total: 1_000 });
    const { id: paymentId } = await pay(invoiceId, 1_000);
    const held = await holdInvoice(system.owner, invoiceId);
    const refund = refunding(0, paymentId, 1_000);
    await untilWaiting(system.owner, 1);
    const voided = voiding(1, `payments/${paymentId}`);
    await untilWaiting(system.owner, 2);
    await held.release();
    expect((await refund).status).toBe(201);
    expect((await voided).json.code).toBe('payment_refunded');
  });

  test('is refused if the period was closed meanwhile', async () => {
    const own = await system.company();
    const invoiceId = await own.invoice({ total: 1_000 });
    const { id } = await own.api.created('/api/payments', paymentBody(invoiceId, 1_000));
    const held = await holdInvoice(system.owner, invoiceId);
    const voided = own.api.post(`/api/payments/${id}/void`, { reason: 'Wrong', date: '2026-03-01' }, patient);
    await untilWaiting(system.owner, 1);
    await closeBooks(own, '2026-03-31');
    await held.release();
    expect((await voided).json.code).toBe('period_closed');
    expect((await own.api.get(`/api/payments/${id}`)).json.voidedOn).toBeNull();
  });
});

test('all books of this file are right, whoever has won in them', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
