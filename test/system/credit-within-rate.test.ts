import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { readEntry } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

/** Credit notes of invoices with lines that take off from others at their rate. Worked out with pencil and paper. */
let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
});
afterAll(() => system.stop());

/** Minor units, and the rate in percent. */
type Line = readonly [unitPrice: number, taxRate: string];
type Part = readonly [lineNumber: number, net: number];

async function finalized(lines: readonly Line[]): Promise<{ readonly id: string; readonly journalEntryId: string }> {
  const { id } = await company.api.created('/api/invoices', {
    customerId: await company.customer(),
    currency: 'USD',
    issueDate: '2026-01-15',
    dueDate: '2026-12-31',
    lines: lines.map(([unitPrice, taxRate]) => ({ description: 'Work', quantity: '1', unitPrice, taxRate })),
  });
  return company.api.created(`/api/invoices/${id}/finalize`, {});
}

const send = (invoiceId: string, ...parts: readonly Part[]) =>
  company.api.post(
    `/api/invoices/${invoiceId}/credit-notes`,
    { lines: parts.map(([lineNumber, net]) => ({ lineNumber, net })), reason: 'Returned', date: '2026-02-01' },
    { headers: { prefer: 'wait=60' } },
  );

const invoice = async (id: string) => (await company.api.get(`/api/invoices/${id}`)).json;

/** 100.00 at 10 % and 100.00 untaxed, less 50.00 at 10 %: 155.00, of which 5.00 is tax. */
const DISCOUNTED: readonly Line[] = [
  [10_000, '10'],
  [10_000, '0'],
  [-5_000, '10'],
];

describe('a credit note', () => {
  test('gives back what the invoice has at each rate, and no more', async () => {
    const { id } = await finalized(DISCOUNTED);
    const refused = await send(id, [2, 10_000], [1, 10_000]);
    expect([refused.status, refused.json.code]).toEqual([422, 'credit_exceeds_line']);
    expect(refused.json.detail).toBe(
      '100.00 USD is left of line 1, but lines with negative amounts leave 50.00 USD at its tax rate.',
    );
    expect(refused.json.errors).toEqual([{ in: 'body', pointer: '/lines/1/net' }]);
    const { json } = await send(id, [2, 10_000], [1, 5_000]);
    expect(json).toMatchObject({ net: 15_000, tax: 500, lines: [{ tax: 500 }, { tax: 0 }] });
    expect((await readEntry(system.owner, company.id, json.journalEntryId)).lines).toEqual([
      ['4000', 15_000, 'USD'],
      ['2100', 500, 'USD'],
      ['1100', -15_500, 'USD'],
    ]);
    expect(await invoice(id)).toMatchObject({ status: 'paid', amountDue: 0 });
  });

  test('of several lines of a rate credits together what is left at it, and all of its tax with the last of it', async () => {
    // 333.3, 333.3 and 333.4 are 333 each, less 100: 899 of tax on 9000.
    const { id } = await finalized([...[3_333, 3_333, 3_334, -1_000].map((net): Line => [net, '10'])]);
    expect((await send(id, [1, 3_333])).json).toMatchObject({ tax: 333 });
    const refused = await send(id, [2, 2_334], [3, 3_334]);
    expect([refused.json.code, refused.json.detail]).toEqual([
      'credit_exceeds_line',
      '33.34 USD is left of line 3, but lines with negative amounts leave 33.33 USD at its tax rate after the other lines of this note.',
    ]);
    expect((await send(id, [2, 2_333], [3, 3_334])).json).toMatchObject({ lines: [{ tax: 233 }, { tax: 333 }] });
    expect(await invoice(id)).toMatchObject({ status: 'paid', amountDue: 0 });
    expect((await send(id, [2, 1])).json.detail).toContain('leave 0.00 USD at its tax rate');
  });

  test('that finishes a line leaves the tax of it that is not left at its rate', async () => {
    // 5 and 1 of tax, less 5 times 1: 1 on 30.
    const discounts = Array.from({ length: 5 }, (): Line => [-5, '10']);
    const { id } = await finalized([[50, '10'], [5, '10'], ...discounts]);
    expect((await send(id, [1, 25])).json).toMatchObject({ net: 25, tax: 1 });
    expect((await send(id, [2, 5])).json).toMatchObject({ net: 5, tax: 0 });
    expect(await invoice(id)).toMatchObject({ status: 'paid', amountDue: 0 });
  });

  test('is limited by what is due where more is taken off at another rate than there is at it', async () => {
    // 300.00 untaxed, less 100.00 and 20.00 of tax.
    const { id } = await finalized([
      [30_000, '0'],
      [-10_000, '20'],
    ]);
    expect((await send(id, [1, 18_001])).json.code).toBe('credit_exceeds_due');
    expect((await send(id, [1, 18_000])).json).toMatchObject({ total: 18_000 });
  });

  test('notes that are sent at once share what is left', async () => {
    const { id } = await finalized(DISCOUNTED);
    const answers = await Promise.all(Array.from({ length: 12 }, () => send(id, [1, 1_000])));
    const given = answers.filter(({ status }) => status === 201).length;
    expect([given, answers.filter(({ json }) => json.code === 'credit_exceeds_line').length]).toEqual([5, 7]);
    expect(await invoice(id)).toMatchObject({ amountCredited: 5_500 });
  });
});

describe('the database', () => {
  type Credited = readonly [lineNumber: number, net: number, tax: number];

  /** One note by hand; `checked: false` as before there was this rule, and it is kept. */
  async function creditByHand(id: string, parts: readonly Credited[], { checked = true } = {}): Promise<void> {
    const { journalEntryId } = await invoice(id);
    const client = await system.owner.connect();
    try {
      await client.query('BEGIN');
      if (!checked) await client.query('ALTER TABLE credit_note_lines DISABLE TRIGGER require_credit_within_line');
      await client.query(
        `WITH line AS (
           INSERT INTO credit_note_lines
           SELECT $1, n.id, $2, p.line_number, p.net_minor, p.tax_minor
           FROM (SELECT gen_random_uuid() AS id) AS n,
             ROWS FROM (unnest($3::smallint[]), unnest($4::bigint[]), unnest($5::bigint[])) AS p (line_number, net_minor, tax_minor)
           RETURNING *
         ), note AS (
           SELECT company_id, credit_note_id, invoice_id, sum(net_minor) AS net_minor, sum(tax_minor) AS tax_minor
           FROM line GROUP BY 1, 2, 3
         ), credited AS (
           UPDATE invoices i SET credited_minor = credited_minor + net_minor + note.tax_minor
           FROM note WHERE i.company_id = note.company_id AND i.id = note.invoice_id
         )
         INSERT INTO credit_notes (company_id, id, invoice_id, currency, credited_on, reason, net_minor, tax_minor,
           total_minor, journal_entry_id)
         SELECT company_id, credit_note_id, invoice_id, 'USD', '2026-02-01', 'by hand', net_minor, tax_minor,
           net_minor + tax_minor, $6 FROM note`,
        [company.id, id, ...[0, 1, 2].map((at) => parts.map((part) => part[at])), journalEntryId],
      );
      if (!checked) await client.query('ALTER TABLE credit_note_lines ENABLE TRIGGER require_credit_within_line');
      await client.query(checked ? 'ROLLBACK' : 'COMMIT');
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  }

  test('takes all that is left at each rate', async () => {
    const { id } = await finalized(DISCOUNTED);
    const all: readonly Credited[] = [
      [1, 5_000, 500],
      [2, 10_000, 0],
    ];
    await expect(creditByHand(id, all)).resolves.toBeUndefined();
  });

  test.each<[string, Credited]>([
    ['more net', [1, 5_001, 500]],
    ['more tax', [1, 5_000, 501]],
  ])('refuses %s than is left at a rate', async (_what, part) => {
    const { id } = await finalized(DISCOUNTED);
    const refused = { code: '23514', constraint: 'credit_exceeds_rate' };
    await expect(creditByHand(id, [part])).rejects.toMatchObject(refused);
  });

  test('refuses less tax than a finished line has while some is left at its rate', async () => {
    const { id } = await finalized([...DISCOUNTED, [100, '10']]);
    const refused = { code: '23514', constraint: 'credit_exceeds_line' };
    await expect(creditByHand(id, [[4, 100, 9]])).rejects.toMatchObject(refused);
  });

  test('keeps what was credited beyond a rate before, and lets the other rates be credited', async () => {
    const { id } = await finalized(DISCOUNTED);
    await creditByHand(id, [[1, 8_000, 800]], { checked: false });
    const refused = await send(id, [1, 1]);
    expect([refused.json.code, refused.json.detail]).toEqual([
      'credit_exceeds_line',
      '20.00 USD is left of line 1, but lines with negative amounts leave 0.00 USD at its tax rate.',
    ]);
    // 155.00 less 88.00 are due.
    expect((await send(id, [2, 6_700])).status).toBe(201);
    const { amountDue } = await invoice(id);
    expect(amountDue).toBe(0);
  });
});

test('of all that was credited through the API, the controls hold', async () => {
  const broken = await brokenControls(system.owner);
  expect(Object.keys(broken)).not.toContain('credit-within-line');
});
