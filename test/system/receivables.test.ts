import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { addAccount, closeBooks, readEntry } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, countEverything } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  await addAccount(company, { code: '1010', type: 'asset', isBank: true });
});
afterAll(() => system.stop());

const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const invoice = async (id: string, of = company) => (await of.api.get(`/api/invoices/${id}`)).json;
const pay = (invoiceId: string, amount: number, more: object = {}, of = company) =>
  of.api.created('/api/payments', {
    invoiceId,
    amount,
    currency: 'USD',
    method: 'card',
    receivedOn: '2026-02-03',
    ...more,
  });
const voiding = (invoiceId: string, more: object = {}, key?: string) =>
  company.api.post(
    `/api/invoices/${invoiceId}/void`,
    { reason: 'Sent twice', date: '2026-02-20', ...more },
    key === undefined ? {} : { key },
  );
const refunding = (paymentId: string, amount: number, more: object = {}, key?: string) =>
  company.api.post(
    '/api/refunds',
    { paymentId, amount, reason: 'Paid twice', date: '2026-02-20', ...more },
    key === undefined ? {} : { key },
  );
const today = async () =>
  (await system.owner.query('SELECT company_today($1)::text AS today', [company.id])).rows[0].today;

describe('voiding an invoice', () => {
  test('posts the mirror of its entry, which names it, and leaves nothing due', async () => {
    const { id } = await company.api.created('/api/invoices', {
      customerId: await company.customer(),
      currency: 'USD',
      issueDate: '2026-01-15',
      dueDate: '2026-12-31',
      lines: [
        { description: 'Work', quantity: '1.5', unitPrice: 333, taxRateBasisPoints: 825 },
        { description: 'More', quantity: '3', unitPrice: 1999 },
      ],
    });
    const { number, journalEntryId } = await company.api.created(`/api/invoices/${id}/finalize`, {});
    const answer = await voiding(id, {}, 'void');
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({
      id,
      number,
      status: 'void',
      total: 6538,
      amountPaid: 0,
      amountDue: 0,
      voidedOn: '2026-02-20',
      voidReason: 'Sent twice',
      journalEntryId,
    });
    const { rows } = await system.owner.query('SELECT id FROM journal_entries WHERE reverses = $1', [journalEntryId]);
    expect(rows).toHaveLength(1);
    expect(await readEntry(system.owner, company.id, rows[0].id)).toEqual({
      date: '2026-02-20',
      operation: 'voidInvoice',
      lines: [
        ['1100', -6538, 'USD'],
        ['4000', 6497, 'USD'],
        ['2100', 41, 'USD'],
      ],
    });
    expect(await countEffects(system.owner, { companyId: company.id, table: 'invoices', key: 'void' })).toMatchObject({
      writes: 1,
      entries: 1,
      newAudit: 1,
      events: 1,
    });
    const again = await voiding(id, {}, 'void');
    expect([again.status, again.text, again.replayed]).toEqual([200, answer.text, true]);
  });

  test('is dated today when no date is given', async () => {
    const answer = await voiding(await company.invoice(), { date: undefined });
    expect(answer.json.voidedOn).toBe(await today());
  });

  test('is refused for a draft, a void one, and one of which something is paid or credited', async () => {
    const [draft, voided, paid, credited] = [
      await company.draftInvoice(),
      await company.invoice(),
      await company.invoice(),
      await company.invoice(),
    ];
    expect((await voiding(voided)).status).toBe(200);
    await pay(paid, 1);
    await company.api.created(`/api/invoices/${credited}/credit-notes`, {
      lines: [{ lineNumber: 1, net: 1 }],
      reason: 'Discount',
      date: '2026-02-01',
    });
    for (const id of [draft, voided, paid, credited]) {
      const answer = await voiding(id);
      expect([answer.status, answer.json.code]).toEqual([409, 'invoice_not_voidable']);
    }
    const unknown = await voiding(UNKNOWN);
    expect([unknown.status, unknown.json.code]).toEqual([404, 'invoice_not_found']);
  });

  test('is refused for a date before its issue, and in a closed period', async () => {
    const id = await company.invoice({ issueDate: '2026-01-15' });
    const early = await voiding(id, { date: '2026-01-14' });
    expect([early.status, early.json.code, early.json.errors]).toEqual([
      422,
      'date_before_original',
      [{ in: 'body', pointer: '/date' }],
    ]);
    expect((await voiding(id, { date: '2026-01-15' })).status).toBe(200);

    const own = await system.company();
    const closed = await own.invoice();
    await closeBooks(own, '2026-02-28');
    const body = { reason: 'Late', date: '2026-02-28' };
    const answer = await own.api.post(`/api/invoices/${closed}/void`, body);
    expect([answer.status, answer.json.code]).toEqual([409, 'period_closed']);
    expect(await invoice(closed, own)).toMatchObject({ status: 'finalized', voidedOn: null });
  });

  test('a void invoice takes no payment, and its number stays taken', async () => {
    const own = await system.company();
    const id = await own.invoice();
    await own.api.created(`/api/invoices/${id}/void`, { reason: 'Wrong', date: '2026-02-01' });
    const paying = await own.api.post('/api/payments', { invoiceId: id, amount: 1, currency: 'USD', method: 'card' });
    expect([paying.status, paying.json.code]).toEqual([409, 'invoice_not_payable']);
    expect((await invoice(await own.invoice(), own)).number).toBe('INV-000002');
  });
});

describe('refunding a payment', () => {
  test('debits receivable and credits the bank account that took it: the money goes back, the claim stays', async () => {
    const invoiceId = await company.invoice({ total: 10_000 });
    const payment = await pay(invoiceId, 10_000, { bankAccountCode: '1010' });
    const answer = await refunding(payment.id, 2_500, { metadata: { ticket: 'T-1' } });
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({
      paymentId: payment.id,
      invoiceId,
      amount: 2_500,
      currency: 'USD',
      date: '2026-02-20',
      reason: 'Paid twice',
      metadata: { ticket: 'T-1' },
    });
    expect(await readEntry(system.owner, company.id, answer.json.journalEntryId)).toEqual({
      date: '2026-02-20',
      operation: 'createRefund',
      lines: [
        ['1100', 2500, 'USD'],
        ['1010', -2500, 'USD'],
      ],
    });
    expect((await company.api.get(`/api/payments/${payment.id}`)).json.refunded).toBe(2_500);
    expect(await invoice(invoiceId)).toMatchObject({ status: 'partially_paid', amountPaid: 7_500, amountDue: 2_500 });
  });

  test('in full brings the invoice back to finalized; it can be paid again, or voided', async () => {
    const invoiceId = await company.invoice({ total: 500 });
    const payment = await pay(invoiceId, 500);
    expect((await invoice(invoiceId)).status).toBe('paid');
    expect((await refunding(payment.id, 200)).status).toBe(201);
    expect((await refunding(payment.id, 300)).status).toBe(201);
    expect(await invoice(invoiceId)).toMatchObject({ status: 'finalized', amountPaid: 0, amountDue: 500 });
    const second = await pay(invoiceId, 500, { receivedOn: '2026-02-20' });
    expect((await invoice(invoiceId)).status).toBe('paid');
    expect((await refunding(second.id, 500)).status).toBe(201);
    expect((await voiding(invoiceId)).json).toMatchObject({ status: 'void', amountPaid: 0 });
    const more = await refunding(second.id, 1);
    expect([more.status, more.json.code]).toEqual([422, 'refund_exceeds_payment']);
  });

  test('never gives back more than was paid less what was refunded, though the invoice had more', async () => {
    const invoiceId = await company.invoice({ total: 1_000 });
    const [first] = [await pay(invoiceId, 300), await pay(invoiceId, 700)];
    expect((await refunding(first.id, 100)).status).toBe(201);
    const answer = await refunding(first.id, 201);
    expect([answer.status, answer.json.code, answer.json.errors]).toEqual([
      422,
      'refund_exceeds_payment',
      [{ in: 'body', pointer: '/amount' }],
    ]);
    expect((await refunding(first.id, 200)).status).toBe(201);
    expect(await invoice(invoiceId)).toMatchObject({ amountPaid: 700 });
  });

  test('is dated today when no date is given, and never before the payment', async () => {
    const payment = await pay(await company.invoice(), 100);
    expect((await refunding(payment.id, 1, { date: undefined })).json.date).toBe(await today());
    const early = await refunding(payment.id, 1, { date: '2026-02-02' });
    expect([early.status, early.json.code]).toEqual([422, 'date_before_original']);
    expect((await refunding(payment.id, 1, { date: '2026-02-03' })).status).toBe(201);
  });

  test('is refused in a closed period, and of a payment that is not there', async () => {
    const own = await system.company();
    const payment = await pay(await own.invoice(), 100, {}, own);
    await closeBooks(own, '2026-02-28');
    const body = { paymentId: payment.id, amount: 1, reason: 'Late', date: '2026-02-28' };
    const answer = await own.api.post('/api/refunds', body);
    expect([answer.status, answer.json.code]).toEqual([409, 'period_closed']);
    expect(await countEverything(system.owner, own.id)).toMatchObject({ refunds: 0, journal_entries: 2 });
    for (const paymentId of [UNKNOWN, payment.id]) {
      const unknown = await refunding(paymentId, 1);
      expect([unknown.status, unknown.json.code]).toEqual([422, 'payment_not_found']);
    }
  });

  test('replays byte for byte, and gives back once', async () => {
    const payment = await pay(await company.invoice(), 100);
    const [first, again] = [await refunding(payment.id, 60, {}, 'back'), await refunding(payment.id, 60, {}, 'back')];
    expect([first.status, again.status, again.text, again.replayed]).toEqual([201, 201, first.text, true]);
    const effects = await countEffects(system.owner, { companyId: company.id, table: 'refunds', key: 'back' });
    expect(effects).toMatchObject({ writes: 1, rows: 1, entries: 1, newAudit: 1, replayedAudit: 1, events: 1 });
    expect((await company.api.get(`/api/payments/${payment.id}`)).json.refunded).toBe(60);
  });
});

describe('reminding of an invoice', () => {
  const reminding = (invoiceId: string, step: number) =>
    company.api.post(`/api/invoices/${invoiceId}/reminders`, { step });

  test('is recorded once for each invoice and step, in any order', async () => {
    const [invoiceId, other] = [await company.invoice(), await company.invoice()];
    const first = await reminding(invoiceId, 1);
    expect(first.status).toBe(201);
    expect(first.json).toEqual({ id: first.json.id, invoiceId, step: 1, createdAt: expect.any(String) });
    expect(first.headers.get('location')).toBe(`/api/reminders/${first.json.id}`);
    const again = await reminding(invoiceId, 1);
    expect([again.status, again.json.code]).toEqual([409, 'reminder_already_recorded']);
    for (const [id, step] of [
      [invoiceId, 3],
      [invoiceId, 2],
      [other, 1],
    ] as const) {
      expect((await reminding(id, step)).status).toBe(201);
    }
    for (const step of [0, 4, 1.5]) expect((await reminding(invoiceId, step)).json.code).toBe('validation_failed');
  });

  test('ten at once of one step: one is recorded', async () => {
    const invoiceId = await company.invoice();
    const answers = await Promise.all(Array.from({ length: 10 }, () => reminding(invoiceId, 2)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ json }) => json.code === 'reminder_already_recorded')).toHaveLength(9);
  });

  test('is refused where nothing is due', async () => {
    const [draft, paid, voided] = [
      await company.draftInvoice(),
      await company.invoice({ total: 100 }),
      await company.invoice(),
    ];
    await pay(paid, 100);
    expect((await voiding(voided)).status).toBe(200);
    for (const id of [draft, paid, voided]) {
      const answer = await reminding(id, 1);
      expect([answer.status, answer.json.code]).toEqual([409, 'invoice_not_due']);
    }
    const unknown = await reminding(UNKNOWN, 1);
    expect([unknown.status, unknown.json.code]).toEqual([404, 'invoice_not_found']);
  });
});

describe('who may take something back', () => {
  test('owner, admin and accountant void, credit and refund; owner, admin and manager remind', async () => {
    const may: Record<string, string[]> = { back: [], remind: [] };
    for (const role of ['owner', 'admin', 'accountant', 'manager', 'auditor', 'inventory_manager', 'user'] as const) {
      const invoiceId = await company.invoice();
      const { id: paymentId } = await pay(invoiceId, 100);
      const as = company.as(role);
      const statuses = [
        (await as.post('/api/refunds', { paymentId, amount: 100, reason: 'r' })).status,
        (await as.post(`/api/invoices/${invoiceId}/credit-notes`, { lines: [{ lineNumber: 1, net: 1 }], reason: 'r' }))
          .status,
        (await as.post(`/api/invoices/${await company.invoice()}/void`, { reason: 'r' })).status,
      ];
      expect(statuses).toEqual(statuses[0] === 201 ? [201, 201, 200] : [403, 403, 403]);
      if (statuses[0] === 201) may['back']?.push(role);
      const { status } = await as.post(`/api/invoices/${invoiceId}/reminders`, { step: 1 });
      expect([201, 403]).toContain(status);
      if (status === 201) may['remind']?.push(role);
    }
    expect(may).toEqual({ back: ['owner', 'admin', 'accountant'], remind: ['owner', 'admin', 'manager'] });
  });
});

describe('a payment dated before its invoice', () => {
  test('is refused, from the day of issue on it is taken', async () => {
    const id = await company.invoice({ issueDate: '2026-01-15', total: 100 });
    const body = { invoiceId: id, amount: 100, currency: 'USD', method: 'card' };
    const early = await company.api.post('/api/payments', { ...body, receivedOn: '2026-01-14' });
    expect([early.status, early.json.code, early.json.nextAction, early.json.errors]).toEqual([
      422,
      'date_before_invoice',
      'fix_request',
      [{ in: 'body', pointer: '/receivedOn' }],
    ]);
    expect(await invoice(id)).toMatchObject({ status: 'finalized', amountDue: 100 });
    expect(await pay(id, 100, { receivedOn: '2026-01-15' })).toMatchObject({ receivedOn: '2026-01-15' });
  });

  test('is refused as well where its day is today, left out', async () => {
    const { rows } = await system.owner.query('SELECT (company_today($1) + 2)::text AS day', [company.id]);
    const { id } = await company.api.created('/api/invoices', {
      customerId: await company.customer(),
      currency: 'USD',
      issueDate: rows[0].day,
      dueDate: rows[0].day,
      lines: [{ description: 'Work', quantity: '1', unitPrice: 100 }],
    });
    await company.api.created(`/api/invoices/${id}/finalize`, {});
    const early = await company.api.post('/api/payments', {
      invoiceId: id,
      amount: 1,
      currency: 'USD',
      method: 'card',
    });
    expect([early.status, early.json.code]).toEqual([422, 'date_before_invoice']);
  });

  test('is refused by the database itself', async () => {
    const id = await company.invoice({ issueDate: '2026-01-15' });
    const byHand = system.owner.query(
      `INSERT INTO payments (company_id, id, invoice_id, amount_minor, currency, method, received_on, bank_account_id,
         journal_entry_id)
       SELECT i.company_id, gen_random_uuid(), i.id, 1, i.currency, 'card', '2026-01-14', a.id, i.journal_entry_id
       FROM invoices i JOIN accounts a ON a.company_id = i.company_id AND a.code = '1000' WHERE i.id = $1`,
      [id],
    );
    await expect(byHand).rejects.toMatchObject({ code: '23514', constraint: 'date_before_invoice' });
  });
});

describe('the database itself refuses what is dated before its original', () => {
  test.each([
    [
      'a mirror',
      `SELECT post_mirror(company_id, gen_random_uuid(), write_id, operation, '2026-01-14', 'by hand', id)
       FROM journal_entries WHERE id = (SELECT journal_entry_id FROM invoices WHERE id = $1)`,
    ],
    [
      'a credit note',
      `INSERT INTO credit_notes (company_id, id, invoice_id, currency, credited_on, reason, net_minor, tax_minor,
         total_minor, journal_entry_id)
       SELECT company_id, gen_random_uuid(), id, currency, '2026-01-14', 'by hand', 1, 0, 1, journal_entry_id
       FROM invoices WHERE id = $1`,
    ],
    [
      'a refund',
      `INSERT INTO refunds (company_id, id, payment_id, amount_minor, refunded_on, reason, journal_entry_id)
       SELECT company_id, gen_random_uuid(), id, 1, '2026-02-02', 'by hand', journal_entry_id
       FROM payments WHERE invoice_id = $1`,
    ],
  ])('%s', async (_what, statement) => {
    const invoiceId = await company.invoice({ issueDate: '2026-01-15' });
    await pay(invoiceId, 100);
    await expect(system.owner.query(statement, [invoiceId])).rejects.toMatchObject({
      code: '23514',
      constraint: 'date_before_original',
    });
  });

  test('a void', async () => {
    const invoiceId = await company.invoice({ issueDate: '2026-01-15' });
    const byHand = system.owner.query(
      "UPDATE invoices SET voided_on = '2026-01-14', void_reason = 'by hand' WHERE id = $1",
      [invoiceId],
    );
    await expect(byHand).rejects.toMatchObject({ code: '23514', constraint: 'invoices_void_on_or_after_issue' });
  });
});

test('after all of these the books are right', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
