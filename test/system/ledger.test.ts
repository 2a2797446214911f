import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { addAccount, changeSettings, closeBooks, readEntry } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

/** The numbers here are worked out by hand from the rules of the books, not by the code under test. */
describe('each write posts what the books say, to the minor unit', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    await addAccount(company, { code: '4100', type: 'income' });
    await addAccount(company, { code: '1010', type: 'asset', isBank: true });
  });
  afterAll(async () => {
    await system.stop();
  });

  const entry = (id: string) => readEntry(system.owner, company.id, id);
  const entryCount = async () =>
    (await system.owner.query('SELECT count(*)::int AS n FROM journal_entries WHERE company_id = $1', [company.id]))
      .rows[0].n;
  const invoiceRow = async (id: string) =>
    (
      await system.owner.query(
        'SELECT status, paid_minor::int AS paid, due_minor::int AS due FROM invoices WHERE id = $1',
        [id],
      )
    ).rows[0];
  const draft = async (lines: object[], { currency = 'USD', ...dates }: Record<string, string> = {}) =>
    company.api.created('/api/invoices', {
      customerId: await company.customer(currency),
      currency,
      issueDate: '2026-01-15',
      dueDate: '2026-12-31',
      lines: lines.map((line) => ({ description: 'Work', quantity: '1', ...line })),
      ...dates,
    });
  const finalize = (id: string, body: object = {}) => company.api.created(`/api/invoices/${id}/finalize`, body);
  const payment = (invoiceId: string, amount: number, more: object = {}) => ({
    invoiceId,
    amount,
    currency: 'USD',
    method: 'card',
    receivedOn: '2026-02-03',
    ...more,
  });

  test('a draft has its totals and posts nothing', async () => {
    const entriesBefore = await entryCount();
    const invoice = await draft([
      { quantity: '1.5', unitPrice: 333, taxRateBasisPoints: 825 },
      { quantity: '3', unitPrice: 1999 },
    ]);
    expect(invoice).toMatchObject({
      status: 'draft',
      number: null,
      journalEntryId: null,
      lines: [
        { net: 500, tax: 41 },
        { net: 5997, tax: 0 },
      ],
      subtotal: 6497,
      tax: 41,
      total: 6538,
      amountPaid: 0,
      amountDue: 6538,
    });
    expect(await entryCount()).toBe(entriesBefore);
  });

  test('finalizing debits receivable with the total and credits revenue and tax, dated the issue date', async () => {
    const { id } = await draft([
      { quantity: '1.5', unitPrice: 333, taxRateBasisPoints: 825 },
      { quantity: '3', unitPrice: 1999 },
    ]);
    const invoice = await finalize(id);
    expect(invoice).toMatchObject({ status: 'finalized', total: 6538, amountDue: 6538, issueDate: '2026-01-15' });
    expect(await entry(invoice.journalEntryId)).toEqual({
      date: '2026-01-15',
      operation: 'finalizeInvoice',
      lines: [
        ['1100', 6538, 'USD'],
        ['4000', -6497, 'USD'],
        ['2100', -41, 'USD'],
      ],
    });
  });

  test('revenue is credited per account, and a line of zero is left out', async () => {
    const { id } = await draft([
      { unitPrice: 1000, accountCode: '4100' },
      { unitPrice: 250 },
      { unitPrice: 30, accountCode: '4100' },
      { unitPrice: 0 },
    ]);
    const invoice = await finalize(id);
    expect((await entry(invoice.journalEntryId)).lines).toEqual([
      ['1100', 1280, 'USD'],
      ['4100', -1030, 'USD'],
      ['4000', -250, 'USD'],
    ]);
  });

  test('an account that nothing was sold on gets no line', async () => {
    const { id } = await draft([{ unitPrice: 70 }, { unitPrice: 0, accountCode: '4100' }]);
    const invoice = await finalize(id);
    expect((await entry(invoice.journalEntryId)).lines).toEqual([
      ['1100', 70, 'USD'],
      ['4000', -70, 'USD'],
    ]);
  });

  test('another issue date given at finalizing is the one of the entry', async () => {
    const { id } = await draft([{ unitPrice: 500 }]);
    const invoice = await finalize(id, { issueDate: '2026-03-31' });
    expect(invoice.issueDate).toBe('2026-03-31');
    expect((await entry(invoice.journalEntryId)).date).toBe('2026-03-31');
  });

  test('a payment debits the bank and credits receivable, dated the day it was received', async () => {
    const invoiceId = await company.invoice({ total: 10_000 });
    const paid = await company.api.created('/api/payments', payment(invoiceId, 2_500));
    expect(await entry(paid.journalEntryId)).toEqual({
      date: '2026-02-03',
      operation: 'createPayment',
      lines: [
        ['1000', 2500, 'USD'],
        ['1100', -2500, 'USD'],
      ],
    });
  });

  test('a payment goes to the bank account that it names', async () => {
    const invoiceId = await company.invoice({ total: 900 });
    const paid = await company.api.created('/api/payments', payment(invoiceId, 900, { bankAccountCode: '1010' }));
    expect((await entry(paid.journalEntryId)).lines).toEqual([
      ['1010', 900, 'USD'],
      ['1100', -900, 'USD'],
    ]);
  });

  test('an invoice is finalized, then partially paid, then paid, and then takes no more', async () => {
    const invoiceId = await company.draftInvoice({ total: 1000 });
    const early = await company.api.post('/api/payments', payment(invoiceId, 1));
    expect([early.status, early.json.code]).toEqual([409, 'invoice_not_payable']);

    await finalize(invoiceId);
    expect(await invoiceRow(invoiceId)).toEqual({ status: 'finalized', paid: 0, due: 1000 });
    await company.api.created('/api/payments', payment(invoiceId, 1));
    expect(await invoiceRow(invoiceId)).toEqual({ status: 'partially_paid', paid: 1, due: 999 });
    const tooMuch = await company.api.post('/api/payments', payment(invoiceId, 1000));
    expect([tooMuch.status, tooMuch.json.code]).toEqual([422, 'payment_exceeds_outstanding']);
    await company.api.created('/api/payments', payment(invoiceId, 999));
    expect(await invoiceRow(invoiceId)).toEqual({ status: 'paid', paid: 1000, due: 0 });

    const late = await company.api.post('/api/payments', payment(invoiceId, 1));
    expect([late.status, late.json.code]).toEqual([409, 'invoice_not_payable']);
    const again = await company.api.post(`/api/invoices/${invoiceId}/finalize`, {});
    expect([again.status, again.json.code]).toEqual([409, 'invoice_not_draft']);
  });

  test('numbers are given at finalizing, in its order, and a rejected one uses none', async () => {
    const own = await system.company();
    const [a, b, c] = [await own.draftInvoice(), await own.draftInvoice(), await own.draftInvoice()];
    expect((await own.api.created(`/api/invoices/${c}/finalize`, {})).number).toBe('INV-000001');
    const refused = await own.api.post(`/api/invoices/${a}/finalize`, { issueDate: '2027-01-01' });
    expect([refused.status, refused.json.code]).toEqual([422, 'due_before_issue']);
    expect((await own.api.created(`/api/invoices/${b}/finalize`, {})).number).toBe('INV-000002');
    expect((await own.api.created(`/api/invoices/${a}/finalize`, {})).number).toBe('INV-000003');
  });

  test('an invoice dated before one with a lower number is answered with a warning, and again from the record', async () => {
    const own = await system.company();
    const finalizing = async (issueDate: string, key = issueDate) =>
      own.api.post(`/api/invoices/${await own.draftInvoice()}/finalize`, { issueDate }, { key });
    expect((await finalizing('2026-02-10')).json).not.toHaveProperty('warnings');
    const early = await finalizing('2026-02-09');
    expect([early.status, early.json.number]).toEqual([200, 'INV-000002']);
    expect(early.json.warnings).toEqual([{ code: 'number_out_of_date_order' }]);
    expect((await finalizing('2026-02-10', 'the same day')).json).not.toHaveProperty('warnings');
    expect((await finalizing('2026-02-08')).json.warnings).toHaveLength(1);
    expect((await finalizing('2026-02-07')).json.warnings).toHaveLength(1);
    // A void invoice keeps its number and its date.
    const late = await finalizing('2026-02-20');
    await own.api.created(`/api/invoices/${late.json.id}/void`, { reason: 'A mistake', date: '2026-02-20' });
    expect((await finalizing('2026-02-19')).json.warnings).toHaveLength(1);
    expect((await own.api.get(`/api/invoices/${early.json.id}`)).json).not.toHaveProperty('warnings');
    const { id } = early.json;
    const again = await own.api.post(
      `/api/invoices/${id}/finalize`,
      { issueDate: '2026-02-09' },
      { key: '2026-02-09' },
    );
    expect([again.replayed, again.text]).toEqual([true, early.text]);
  });

  test.each([
    { currency: 'JPY', total: 123, tax: 12 },
    { currency: 'USD', total: 123, tax: 12 },
    { currency: 'KWD', total: 123, tax: 12 },
  ])('minor units of $currency are posted as they are, whatever their exponent', async ({ currency, total, tax }) => {
    // 10 % of 123 is 12.3: half away from zero gives 12 minor units in every currency.
    const { id } = await draft([{ unitPrice: total, taxRateBasisPoints: 1000 }], { currency });
    const invoice = await finalize(id);
    expect((await entry(invoice.journalEntryId)).lines).toEqual([
      ['1100', total + tax, currency],
      ['4000', -total, currency],
      ['2100', -tax, currency],
    ]);
    const paid = await company.api.created('/api/payments', payment(id, total + tax, { currency }));
    expect((await entry(paid.journalEntryId)).lines).toEqual([
      ['1000', total + tax, currency],
      ['1100', -(total + tax), currency],
    ]);
  });

  test.each([
    ['a bank account', { lines: { accountCode: '1000' } }],
    ['receivable', { lines: { accountCode: '1100' } }],
    ['an account that is not there', { lines: { accountCode: '9999' } }],
  ])('revenue is not posted to %s', async (_what, { lines }) => {
    const answer = await company.api.post('/api/invoices', {
      customerId: await company.customer(),
      currency: 'USD',
      dueDate: '2026-12-31',
      lines: [
        { description: 'Fine', quantity: '1', unitPrice: 5 },
        { description: 'Not fine', quantity: '1', unitPrice: 5, ...lines },
      ],
    });
    expect([answer.status, answer.json.code]).toEqual([422, 'account_not_usable']);
    expect(answer.json.errors).toEqual([{ in: 'body', pointer: '/lines/1/accountCode' }]);
  });

  test.each(['4000', '1100', '9999'])('money is not received on account %s, which is no bank', async (code) => {
    const invoiceId = await company.invoice();
    const answer = await company.api.post('/api/payments', payment(invoiceId, 5, { bankAccountCode: code }));
    expect([answer.status, answer.json.code]).toEqual([422, 'account_not_usable']);
    expect(await invoiceRow(invoiceId)).toMatchObject({ paid: 0 });
  });

  test('one currency for a customer, their invoices and the payments of those', async () => {
    const wrongInvoice = await company.api.post('/api/invoices', {
      customerId: await company.customer('EUR'),
      currency: 'USD',
      dueDate: '2026-12-31',
      lines: [{ description: 'Work', quantity: '1', unitPrice: 5 }],
    });
    expect([wrongInvoice.status, wrongInvoice.json.code]).toEqual([422, 'currency_mismatch']);
    const invoiceId = await company.invoice({ currency: 'EUR' });
    const wrongPayment = await company.api.post('/api/payments', payment(invoiceId, 5));
    expect([wrongPayment.status, wrongPayment.json.code]).toEqual([422, 'currency_mismatch']);
  });

  test('nothing posts on or before the day through which the books are closed', async () => {
    const own = await system.company();
    const invoiceId = await own.invoice({ total: 1000, issueDate: '2026-01-10' });
    const draftId = await own.draftInvoice({ issueDate: '2026-01-31' });
    await closeBooks(own, '2026-01-31');

    const onTheDay = await own.api.post('/api/payments', payment(invoiceId, 5, { receivedOn: '2026-01-31' }));
    expect([onTheDay.status, onTheDay.json.code]).toEqual([409, 'period_closed']);
    const finalized = await own.api.post(`/api/invoices/${draftId}/finalize`, {});
    expect([finalized.status, finalized.json.code]).toEqual([409, 'period_closed']);

    await own.api.created('/api/payments', payment(invoiceId, 5, { receivedOn: '2026-02-01' }));
    await own.api.created(`/api/invoices/${draftId}/finalize`, { issueDate: '2026-02-01' });
  });

  test('a date left out is today in the time zone of the company', async () => {
    const own = await system.company();
    for (const timeZone of ['Pacific/Kiritimati', 'Pacific/Pago_Pago']) {
      await changeSettings(own, { timeZone });
      const today = () => new Intl.DateTimeFormat('en-CA', { timeZone }).format(new Date());
      const before = today();
      const invoice = await own.api.created('/api/invoices', {
        customerId: await own.customer(),
        currency: 'USD',
        dueDate: '2999-12-31',
        lines: [{ description: 'Work', quantity: '1', unitPrice: 5 }],
      });
      await own.api.created(`/api/invoices/${invoice.id}/finalize`, {});
      const paid = await own.api.created('/api/payments', { ...payment(invoice.id, 5), receivedOn: undefined });
      // The two zones are 25 hours apart, so never on one day; midnight may pass between two lines of this test.
      expect([before, today()]).toContain(invoice.issueDate);
      expect([before, today()]).toContain(paid.receivedOn);
      expect((await readEntry(system.owner, own.id, paid.journalEntryId)).date).toBe(paid.receivedOn);
    }
  });

  test('after all this, every control of the books holds', async () => {
    expect(await brokenControls(system.owner)).toEqual({});
  });
});
