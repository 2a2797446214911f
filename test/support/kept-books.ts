import type pg from 'pg';
import { expect } from 'vitest';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { decide, setPolicies } from './approvals.ts';
import { bankLine, bankRow, bankTransaction, matching, postManually } from './bank.ts';
import type { Company } from './companies.ts';
import { markLost } from './lost-write.ts';
import { hire, payRun } from './payroll.ts';
import { writeArguments } from './write-arguments.ts';

/** A little of everything, each under a word of its own. */
export async function keepBooks(books: Company, owner: pg.Pool): Promise<void> {
  const { api } = books;
  await api.created('/api/customers', { name: 'Lonely' });
  const customerId = await books.customer();
  const invoiceOf = async (memo: string, ...prices: number[]) => {
    const { id } = await api.created('/api/invoices', {
      customerId,
      currency: 'USD',
      issueDate: '2026-01-15',
      dueDate: '2026-12-31',
      lines: prices.map((unitPrice) => ({ description: 'Work', quantity: '1', unitPrice, taxRateBasisPoints: 1_000 })),
      memo,
    });
    await api.created(`/api/invoices/${id}/finalize`, {});
    return id as string;
  };
  const date = '2026-02-01';
  const credited = await invoiceOf('credited', 1_000, 500);
  const notes = [1_000, 500].map((net, index) => ({ lineNumber: index + 1, net }));
  await api.created(`/api/invoices/${credited}/credit-notes`, { lines: notes, reason: 'Returned', date });
  await api.created(`/api/invoices/${await invoiceOf('void', 700)}/void`, { reason: 'A mistake', date });
  const paid = await invoiceOf('paid in parts', 1_000);
  const pay = (reference: string, amount: number) => {
    const body = { invoiceId: paid, amount, currency: 'USD', method: 'cash', receivedOn: date, reference };
    return api.post('/api/payments', body);
  };
  const first = await pay('first', 400);
  await pay('second', 300);
  expect(await pay('too much', 1_000)).toMatchObject({ status: 422 });
  await api.created('/api/refunds', { paymentId: first.json.id, amount: 100, reason: 'Too much', date });
  const voided = { reason: 'A mistake', date: '2026-02-02' };
  const [wrong, bounced, kept] = [await pay('wrong', 20), await pay('bounced', 30), await pay('kept', 40)];
  await api.created(`/api/payments/${wrong.json.id}/void`, voided);
  await api.created(`/api/payments/${bounced.json.id}/void`, { ...voided, bounced: true });
  const back = await api.created('/api/refunds', {
    paymentId: kept.json.id,
    amount: 10,
    reason: 'Never paid out',
    date,
  });
  await api.created(`/api/refunds/${back.id}/void`, voided);
  const note = { lines: [{ lineNumber: 1, net: 50 }], reason: 'Not agreed', date };
  const { id: noteId } = await api.created(`/api/invoices/${paid}/credit-notes`, note);
  await api.created(`/api/credit-notes/${noteId}/void`, voided);
  const open = await invoiceOf('open', 1_004, 1_004);
  await api.created(`/api/invoices/${open}/reminders`, { step: 1 });
  const written = await invoiceOf('written off', 700, 300);
  for (const [amount, reason] of [
    [300, 'insolvent'],
    [200, 'hopeless'],
  ] as const) {
    await api.created(`/api/invoices/${written}/write-off`, { amount, reason, date, taxRelief: true });
  }
  await api.created(`/api/invoices/${written}/recover-write-off`, { reason: 'paid after all', date: '2026-02-02' });
  const draft = { currency: 'USD', issueDate: '2026-01-15', dueDate: '2026-12-31', memo: 'discarded' };
  const lines = [{ description: 'Work', quantity: '1', unitPrice: 100 }];
  const { id: discarded } = await api.created('/api/invoices', { ...draft, customerId, lines });
  await api.created(`/api/invoices/${discarded}/discard`, { reason: 'Made twice' });
  await api.created('/api/invoices', { ...draft, customerId, lines, memo: 'draft' });
  const patch = { method: 'PATCH' } as const;
  await api.created(`/api/customers/${customerId}`, { email: 'first@customer.test' }, patch);
  await api.created(`/api/customers/${customerId}`, { externalReference: 'CRM-1', metadata: { room: '12' } }, patch);

  await api.created('/api/ledger/accounts', { code: '6100', name: 'Rent', type: 'expense' });
  const closing = { expectedVersion: 3, booksClosedThrough: '2025-11-30', reconcileTolerance: 10 };
  const early = [
    { accountCode: '6900', amount: 7 },
    { accountCode: '2000', amount: -7 },
  ];
  const earlyEntry = { date: '2025-11-15', description: 'early', currency: 'USD', lines: early };
  await api.created('/api/ledger/entries', earlyEntry);
  await api.created('/api/ledger/fiscal-years/2025/close', {});
  await api.created('/api/ledger/fiscal-years/2025/reopen', { reason: 'Too early' });
  await api.created('/api/company/settings', closing, { method: 'PATCH' });
  await api.created('/api/ledger/entries', { ...earlyEntry, date: '2025-12-15', description: 'late' });

  for (const description of ['rent', 'power', 'mistake']) {
    const lines = [
      { accountCode: '6900', amount: 100 },
      { accountCode: '2000', amount: -100 },
    ];
    const { id } = await api.created('/api/ledger/entries', { date, description, currency: 'USD', lines });
    if (description === 'mistake') await api.created(`/api/ledger/entries/${id}/reverse`, { reason: 'undone', date });
  }
  await postManually(api, [
    ['1000', 5],
    ['3000', -5],
  ]);
  const matched = await bankTransaction(api, 500, bankRow(500, { bankReference: 'matched' }));
  await api.created(`/api/ledger/reconcile/${matched}`, matching((await bankLine(api, 500)).lineId));
  await bankTransaction(api, 900);
  const undone = await bankTransaction(api, 77, bankRow(77, { bankReference: 'undone' }));
  await api.created(`/api/ledger/reconcile/${undone}`, matching((await bankLine(api, 77)).lineId));
  await api.created(`/api/ledger/unreconcile/${undone}`, { reason: 'Of another day' });
  const charge = { matches: [], differenceAccountCode: '6900', reason: 'A charge' };
  await api.created(`/api/ledger/reconcile/${await bankTransaction(api, -30)}`, charge);

  const employeeId = await hire(books);
  for (const year of [2026, 2027]) {
    // The second is approved by someone, the first needs nobody.
    const { id } = await payRun(books, { year, asDraft: year === 2027 });
    if (year === 2027) await api.created(`/api/payroll/pay-runs/${id}/approve`, {});
    await api.created(`/api/payroll/pay-runs/${id}/execute`, {});
  }
  const { id: wrongRun } = await payRun(books, { year: 2028 });
  await api.created(`/api/payroll/pay-runs/${wrongRun}/execute`, {});
  await api.created(`/api/payroll/pay-runs/${wrongRun}/void`, { reason: 'Before the raise', date });
  const raise = { effectiveFrom: '2028-02-01', annualSalary: 6_000_000, leftOn: '2028-12-31' };
  await api.created(`/api/payroll/employees/${employeeId}`, raise, { method: 'PATCH' });
  const item = { sku: 'LAMP', name: 'Lamp', currency: 'USD', openingQuantity: 10, openingUnitCost: 100, date };
  const { id: itemId } = await api.created('/api/inventory/items', item);
  await api.created(`/api/inventory/${itemId}/adjust`, { quantityDelta: -3, reason: 'sold', date });
  const bought = { quantityDelta: 2, unitCost: 100, offsetAccountCode: '2000', reason: 'bought', date: '2026-02-03' };
  await api.created(`/api/inventory/${itemId}/adjust`, bought);
  await api.created(`/api/inventory/items/${itemId}`, { name: 'Desk lamp' }, patch);
  const roles = ['accountant', 'auditor'];
  await api.created(`/api/users/${books.users.user.id}/access`, { roles });
  const payload = { asOf: '2026-01-31' };
  await api.created('/api/workflows/sendInvoiceReminders/trigger', { payload });
  await setPolicies(books, [{ operation: 'createAccount', approverRoles: ['admin'] }]);
  const kiosk = { code: '1010', name: 'Bank of the kiosk', type: 'asset', isBank: true };
  expect(await api.post('/api/ledger/accounts', kiosk, { key: 'kiosk' })).toMatchObject({ status: 202 });
  expect((await decide(books, 'kiosk', 'approve')).json).toMatchObject({ state: 'succeeded' });
  expect(await api.send('POST', '/api/writes/never/cancel')).toMatchObject({ status: 200 });
  await markLost(owner, writeArguments(books, createCustomer, { name: 'Gone' }, 'lost'), 'group:of-a-test');
}
