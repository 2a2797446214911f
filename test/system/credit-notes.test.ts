import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { addAccount, closeBooks, readEntry } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { countEverything } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

/** The numbers here are worked out by hand from the rules of the books, not by the code under test. */
describe('a credit note', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    await addAccount(company, { code: '4100', type: 'income' });
  });
  afterAll(() => system.stop());

  type Line = readonly [quantity: string, unitPrice: number, taxRateBasisPoints: number, accountCode?: string];
  const invoiceOf = async (lines: readonly Line[], { finalized = true } = {}): Promise<string> => {
    const { id } = await company.api.created('/api/invoices', {
      customerId: await company.customer(),
      currency: 'USD',
      issueDate: '2026-01-15',
      dueDate: '2026-12-31',
      lines: lines.map(([quantity, unitPrice, taxRateBasisPoints, accountCode = '4000']) => ({
        description: 'Work',
        quantity,
        unitPrice,
        taxRateBasisPoints,
        accountCode,
      })),
    });
    if (finalized) await company.api.created(`/api/invoices/${id}/finalize`, {});
    return id;
  };
  const note = (lines: readonly (readonly [lineNumber: number, net: number])[], more: object = {}) => ({
    lines: lines.map(([lineNumber, net]) => ({ lineNumber, net })),
    reason: 'Not as ordered',
    date: '2026-02-10',
    ...more,
  });
  const send = (invoiceId: string, body: object, key?: string) =>
    company.api.post(`/api/invoices/${invoiceId}/credit-notes`, body, key === undefined ? {} : { key });
  const credit = (invoiceId: string, body: object) =>
    company.api.created(`/api/invoices/${invoiceId}/credit-notes`, body);
  const invoice = async (id: string) => (await company.api.get(`/api/invoices/${id}`)).json;
  const pay = (invoiceId: string, amount: number) =>
    company.api.created('/api/payments', {
      invoiceId,
      amount,
      currency: 'USD',
      method: 'card',
      receivedOn: '2026-02-03',
    });

  test('of 200 of a line of 500 with tax 41 credits 16 of the tax, and posts it', async () => {
    const invoiceId = await invoiceOf([['1.5', 333, 825]]);
    const made = await credit(invoiceId, note([[1, 200]]));
    expect(made).toMatchObject({
      invoiceId,
      currency: 'USD',
      date: '2026-02-10',
      reason: 'Not as ordered',
      lines: [{ lineNumber: 1, net: 200, tax: 16 }],
      net: 200,
      tax: 16,
      total: 216,
    });
    expect(await readEntry(system.owner, company.id, made.journalEntryId)).toEqual({
      date: '2026-02-10',
      operation: 'createCreditNote',
      lines: [
        ['4000', 200, 'USD'],
        ['2100', 16, 'USD'],
        ['1100', -216, 'USD'],
      ],
    });
    expect(await invoice(invoiceId)).toMatchObject({
      status: 'partially_paid',
      total: 541,
      amountPaid: 0,
      amountCredited: 216,
      amountDue: 325,
    });
  });

  test('that finishes a line takes the rest of its tax, and with the last of them the invoice is paid', async () => {
    const invoiceId = await invoiceOf([['1.5', 333, 825]]);
    // 41 × 200 / 500 = 16.4, twice; the rest of 41 is 9, where the share would be 8.
    for (const [net, tax] of [
      [200, 16],
      [200, 16],
      [100, 9],
    ] as const) {
      expect((await credit(invoiceId, note([[1, net]]))).lines).toEqual([{ lineNumber: 1, net, tax }]);
    }
    expect(await invoice(invoiceId)).toMatchObject({ status: 'paid', amountCredited: 541, amountDue: 0 });
  });

  test('never credits more tax than the line has, where small parts round up together', async () => {
    // Net 4, tax 2 (half of it): each part of 1 has a share of 0.5, which is 1; after two of them none is left.
    const invoiceId = await invoiceOf([['1', 4, 5_000]]);
    const taxes: number[] = [];
    for (let part = 0; part < 4; part += 1) taxes.push((await credit(invoiceId, note([[1, 1]]))).tax);
    expect(taxes).toEqual([1, 1, 0, 0]);
    expect((await invoice(invoiceId)).status).toBe('paid');
  });

  test('of several lines debits each income account once, whatever their order', async () => {
    const invoiceId = await invoiceOf([
      ['1', 1_000, 1_000, '4100'],
      ['1', 500, 0],
      ['1', 300, 1_000, '4100'],
    ]);
    const made = await credit(
      invoiceId,
      note([
        [3, 300],
        [1, 450],
        [2, 20],
      ]),
    );
    expect(made.lines).toEqual([
      { lineNumber: 1, net: 450, tax: 45 },
      { lineNumber: 2, net: 20, tax: 0 },
      { lineNumber: 3, net: 300, tax: 30 },
    ]);
    expect((await readEntry(system.owner, company.id, made.journalEntryId)).lines).toEqual([
      ['4100', 750, 'USD'],
      ['4000', 20, 'USD'],
      ['2100', 75, 'USD'],
      ['1100', -845, 'USD'],
    ]);
  });

  test('of untaxed lines posts no tax', async () => {
    const made = await credit(await invoiceOf([['1', 70, 0]]), note([[1, 30]]));
    expect((await readEntry(system.owner, company.id, made.journalEntryId)).lines).toEqual([
      ['4000', 30, 'USD'],
      ['1100', -30, 'USD'],
    ]);
  });

  test('of the largest amount is exact', async () => {
    const invoiceId = await invoiceOf([['1', 10_000_000_000_000, 0]]);
    expect(await credit(invoiceId, note([[1, 9_999_999_999_999]]))).toMatchObject({ total: 9_999_999_999_999 });
    expect((await invoice(invoiceId)).amountDue).toBe(1);
  });

  test('is dated today, in the company’s time zone, when no date is given', async () => {
    const { rows } = await system.owner.query('SELECT company_today($1)::text AS today', [company.id]);
    const made = await credit(await invoiceOf([['1', 70, 0]]), note([[1, 30]], { date: undefined }));
    expect(made.date).toBe(rows[0].today);
  });

  test('replays byte for byte, and credits once', async () => {
    const invoiceId = await invoiceOf([['1', 500, 825]]);
    const first = await send(invoiceId, note([[1, 200]]), 'twice');
    const counted = await countEverything(system.owner, company.id);
    const again = await send(invoiceId, note([[1, 200]]), 'twice');
    expect([first.status, first.replayed, again.status, again.replayed]).toEqual([201, false, 201, true]);
    expect(again.text).toBe(first.text);
    expect(again.headers.get('location')).toBe(`/api/credit-notes/${first.json.id}`);
    const { idempotent_write_audit_log: audited, ...after } = await countEverything(system.owner, company.id);
    expect({ ...after, idempotent_write_audit_log: (audited ?? 0) - 1 }).toEqual(counted);
  });

  test.each<[string, Parameters<typeof note>[0], object, number, string, string | undefined]>([
    ['more than its net', [[1, 501]], {}, 422, 'credit_exceeds_line', '/lines/0/net'],
    [
      'more than is left of it',
      [
        [1, 1],
        [2, 61],
      ],
      {},
      422,
      'credit_exceeds_line',
      '/lines/1/net',
    ],
    ['a line of nothing', [[3, 1]], {}, 422, 'credit_exceeds_line', '/lines/0/net'],
    [
      'a line that is not there',
      [
        [1, 1],
        [4, 1],
      ],
      {},
      422,
      'invoice_line_not_found',
      '/lines/1/lineNumber',
    ],
    ['more than is due', [[1, 500]], {}, 422, 'credit_exceeds_due', '/lines'],
    ['with a date before the issue', [[1, 1]], { date: '2026-01-14' }, 422, 'date_before_original', '/date'],
    [
      'a line twice',
      [
        [1, 1],
        [1, 1],
      ],
      {},
      422,
      'validation_failed',
      '/lines',
    ],
    ['nothing', [], {}, 422, 'validation_failed', '/lines'],
    ['without a reason', [[1, 1]], { reason: ' ' }, 422, 'validation_failed', '/reason'],
  ])('is refused for %s', async (_what, lines, more, status, code, pointer) => {
    // Line 1: net 500, tax 41; line 2: net 100, of which 40 is credited; line 3: nothing. 300 is due.
    const invoiceId = await invoiceOf([
      ['1.5', 333, 825],
      ['1', 100, 0],
      ['1', 0, 825],
    ]);
    await credit(invoiceId, note([[2, 40]]));
    await pay(invoiceId, 301);
    const answer = await send(invoiceId, note(lines, more));
    expect([answer.status, answer.json.code, answer.json.errors?.[0]?.pointer]).toEqual([status, code, pointer]);
    expect((await invoice(invoiceId)).amountDue).toBe(300);
  });

  test('is refused for a draft, a void invoice, a paid one, and one that is not there', async () => {
    const draft = await invoiceOf([['1', 100, 0]], { finalized: false });
    const voided = await invoiceOf([['1', 100, 0]]);
    await company.api.created(`/api/invoices/${voided}/void`, { reason: 'Wrong', date: '2026-02-01' });
    const paid = await invoiceOf([['1', 100, 0]]);
    await pay(paid, 100);
    for (const [id, status, code] of [
      [draft, 409, 'invoice_not_creditable'],
      [voided, 409, 'invoice_not_creditable'],
      [paid, 422, 'credit_exceeds_due'],
      ['00000000-0000-4000-8000-000000000000', 404, 'invoice_not_found'],
    ] as const) {
      const answer = await send(id, note([[1, 1]]));
      expect([answer.status, answer.json.code]).toEqual([status, code]);
    }
  });

  test('is refused in a closed period, and leaves nothing', async () => {
    const own = await system.company();
    const invoiceId = await own.invoice({ issueDate: '2026-03-01' });
    await closeBooks(own, '2026-03-31');
    const body = note([[1, 1]], { date: '2026-03-31' });
    const answer = await own.api.post(`/api/invoices/${invoiceId}/credit-notes`, body);
    expect([answer.status, answer.json.code]).toEqual([409, 'period_closed']);
    expect(await countEverything(system.owner, own.id)).toMatchObject({ credit_notes: 0, journal_entries: 1 });
  });

  test.each([
    ['more than the line', 501, 41],
    ['more tax than the line', 500, 42],
    ['the whole line, with less than its tax', 500, 40],
  ])('of %s is refused by the database too', async (_what, netMinor, taxMinor) => {
    const invoiceId = await invoiceOf([['1.5', 333, 825]]);
    const { journalEntryId } = await invoice(invoiceId);
    const client = await system.owner.connect();
    try {
      await client.query('BEGIN');
      const byHand = client.query(
        `WITH line AS (
           INSERT INTO credit_note_lines VALUES ($1, gen_random_uuid(), $2, 1, $3, $4) RETURNING *
         )
         INSERT INTO credit_notes (company_id, id, invoice_id, currency, credited_on, reason, net_minor, tax_minor,
           total_minor, journal_entry_id)
         SELECT company_id, credit_note_id, invoice_id, 'USD', '2026-02-01', 'by hand', net_minor, tax_minor,
           net_minor + tax_minor, $5 FROM line`,
        [company.id, invoiceId, netMinor, taxMinor, journalEntryId],
      );
      await expect(byHand).rejects.toMatchObject({ code: '23514', constraint: 'credit_exceeds_line' });
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  test('leaves the books right, after all of these', async () => {
    expect(await brokenControls(system.owner)).toEqual({});
  });
});
