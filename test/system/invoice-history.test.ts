import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';
import { walk } from '../support/walk.ts';

let system: System;
let company: Company;
let eur: { customerId: string; invoiceId: string; paymentId: string };
let usd: { customerId: string; invoiceId: string; paymentId: string };
/** Each in the order in which they were made. */
let refunds: string[];
let notes: string[];
let reminders: string[];

beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  eur = await sale('EUR');
  usd = await sale('USD');
  refunds = [
    await refund(usd, 10, '2026-03-01'),
    await refund(usd, 20, '2026-03-02'),
    await refund(eur, 30, '2026-03-03'),
  ];
  notes = [await credit(usd, '2026-03-01'), await credit(usd, '2026-03-02'), await credit(eur, '2026-03-03')];
  reminders = [await remind(usd, 1), await remind(usd, 2), await remind(eur, 1)];
});
afterAll(() => system.stop());

type Sale = typeof usd;

async function sale(currency: string): Promise<Sale> {
  const customerId = await company.customer(currency);
  const invoiceId = await company.invoice({ customerId, currency, total: 1_000 });
  const { id: paymentId } = await company.api.created('/api/payments', { ...paymentBody(invoiceId, 500), currency });
  return { customerId, invoiceId, paymentId };
}

async function refund({ paymentId }: Sale, amount: number, date: string): Promise<string> {
  return (await company.api.created('/api/refunds', { paymentId, amount, reason: 'Back', date })).id;
}

async function credit({ invoiceId }: Sale, date: string): Promise<string> {
  const body = { lines: [{ lineNumber: 1, net: 5 }], reason: 'Discount', date };
  return (await company.api.created(`/api/invoices/${invoiceId}/credit-notes`, body)).id;
}

async function remind({ invoiceId }: Sale, step: number): Promise<string> {
  return (await company.api.created(`/api/invoices/${invoiceId}/reminders`, { step })).id;
}

/** The IDs that a list answers with, on one page and on pages of one, which must be the same. */
async function idsOf(path: `/api/${string}`): Promise<string[]> {
  const walked = await walk(company.api, path, { limit: 1 });
  expect(await walk(company.api, path, { limit: 200 })).toEqual(walked);
  return walked.map(({ id }) => id);
}

describe('an invoice is read with all that happened to it', () => {
  test('its payments, refunds and credit notes, each as it reads alone, the newest first', async () => {
    const invoice = (await company.api.get(`/api/invoices/${usd.invoiceId}`)).json;
    expect(invoice).toMatchObject({ amountPaid: 470, amountCredited: 10, amountDue: 520, status: 'partially_paid' });
    const alone = (path: string, ids: readonly string[]) =>
      Promise.all(ids.toReversed().map(async (id) => (await company.api.get(`${path}/${id}`)).json));
    expect(invoice.payments).toEqual(await alone('/api/payments', [usd.paymentId]));
    expect(invoice.refunds).toEqual(await alone('/api/refunds', refunds.slice(0, 2)));
    expect(invoice.creditNotes).toEqual(await alone('/api/credit-notes', notes.slice(0, 2)));
  });

  test('its entries, which sum up on accounts receivable to what is due', async () => {
    const { entries, amountDue } = (await company.api.get(`/api/invoices/${usd.invoiceId}`)).json;
    expect(entries.map(({ source }: { source: { operation: string } }) => source.operation).toSorted()).toEqual([
      ...['createCreditNote', 'createCreditNote', 'createPayment', 'createRefund', 'createRefund', 'finalizeInvoice'],
    ]);
    for (const entry of entries) {
      expect(entry).toEqual((await company.api.get(`/api/ledger/entries/${entry.id}`)).json);
    }
    const receivable = entries
      .flatMap(({ lines }: { lines: { accountCode: string; amount: number }[] }) => lines)
      .filter(({ accountCode }: { accountCode: string }) => accountCode === '1100')
      .reduce((sum: number, { amount }: { amount: number }) => sum + amount, 0);
    expect(receivable).toBe(amountDue);
  });

  test('of a void one, its entry and the mirror of it', async () => {
    const invoiceId = await company.invoice();
    await company.api.created(`/api/invoices/${invoiceId}/void`, { reason: 'Wrong', date: '2026-03-01' });
    const { entries, journalEntryId } = (await company.api.get(`/api/invoices/${invoiceId}`)).json;
    expect(entries).toMatchObject([
      { date: '2026-03-01', source: { operation: 'voidInvoice' }, reverses: journalEntryId },
      { id: journalEntryId, source: { operation: 'finalizeInvoice' }, reverses: null },
    ]);
  });
});

describe('lists are filtered', () => {
  test('refunds by customer, payment, currency and days', async () => {
    const [first, second, third] = refunds;
    expect(await idsOf('/api/refunds')).toEqual([third, second, first]);
    expect(await idsOf(`/api/refunds?customerId=${eur.customerId}`)).toEqual([third]);
    expect(await idsOf(`/api/refunds?paymentId=${usd.paymentId}`)).toEqual([second, first]);
    expect(await idsOf('/api/refunds?currency=EUR')).toEqual([third]);
    expect(await idsOf('/api/refunds?from=2026-03-02&to=2026-03-02')).toEqual([second]);
  });

  test('credit notes by customer, invoice, currency and days', async () => {
    const [first, second, third] = notes;
    expect(await idsOf('/api/credit-notes')).toEqual([third, second, first]);
    expect(await idsOf(`/api/credit-notes?customerId=${usd.customerId}`)).toEqual([second, first]);
    expect(await idsOf(`/api/credit-notes?invoiceId=${eur.invoiceId}`)).toEqual([third]);
    expect(await idsOf('/api/credit-notes?currency=USD')).toEqual([second, first]);
    expect(await idsOf('/api/credit-notes?to=2026-03-01')).toEqual([first]);
  });

  test('reminders by invoice', async () => {
    const [first, second, third] = reminders;
    expect(await idsOf('/api/reminders')).toEqual([third, second, first]);
    expect(await idsOf(`/api/reminders?invoiceId=${usd.invoiceId}`)).toEqual([second, first]);
  });
});
