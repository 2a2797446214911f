import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openUpgrade, type Upgrade } from '../support/upgrade.ts';

let upgrade: Upgrade;
let client: pg.Client;
beforeAll(async () => {
  upgrade = await openUpgrade();
  client = upgrade.client;
});
afterAll(() => upgrade.drop());

test('the latest date of each counter and the latest refund of each invoice are those of what is there', async () => {
  await upgrade.migrateUpTo('dates');
  const [many, drafts] = [randomUUID(), randomUUID()];
  const { refunded, paid } = await upgrade.pastTriggers(async () => {
    for (const company of [many, drafts]) {
      await client.query("INSERT INTO companies (id, name, base_currency) VALUES ($1, 'Acme', 'USD')", [company]);
    }
    await client.query("INSERT INTO number_counters (company_id, kind, last_number) VALUES ($1, 'invoice', 2)", [many]);
    await invoice(drafts, { issued: '2026-05-05', number: null });
    await invoice(many, { issued: '2026-05-05', number: null });
    const invoices = {
      refunded: await invoice(many, { issued: '2026-03-02', number: 1 }),
      paid: await invoice(many, { issued: '2026-02-28', number: 2 }),
    };
    const first = await payment(many, invoices.refunded);
    const second = await payment(many, invoices.refunded);
    await payment(many, invoices.paid);
    for (const [paymentId, day] of [
      [first, '2026-04-01'],
      [second, '2026-04-03'],
      [first, '2026-04-02'],
    ] as const) {
      await client.query(
        `INSERT INTO refunds (company_id, id, payment_id, amount_minor, refunded_on, reason, journal_entry_id)
         VALUES ($1, gen_random_uuid(), $2, 1, $3, 'Too much', gen_random_uuid())`,
        [many, paymentId, day],
      );
    }
    return invoices;
  });

  await upgrade.migrateTheRest();
  const { rows: counters } = await client.query(
    "SELECT company_id, latest_date::text FROM number_counters WHERE kind = 'invoice'",
  );
  expect(counters).toEqual([{ company_id: many, latest_date: '2026-03-02' }]);
  const { rows: raised } = await client.query(
    'SELECT id, last_raised_on::text FROM invoices WHERE number IS NOT NULL ORDER BY number',
  );
  expect(raised).toEqual([
    { id: refunded, last_raised_on: '2026-04-03' },
    { id: paid, last_raised_on: null },
  ]);
});

/** Answers the invoice's ID. */
async function invoice(
  companyId: string,
  { issued, number }: { readonly issued: string; readonly number: number | null },
): Promise<string> {
  const id = randomUUID();
  await client.query(
    `INSERT INTO invoices (company_id, id, number, customer_id, currency, issue_date, due_date, subtotal_minor, tax_minor,
       total_minor, journal_entry_id)
     VALUES ($1, $2, $3, gen_random_uuid(), 'USD', $4, $4, 100, 0, 100,
       CASE WHEN $3::integer IS NOT NULL THEN gen_random_uuid() END)`,
    [companyId, id, number, issued],
  );
  return id;
}

/** Answers the payment's ID. */
async function payment(companyId: string, invoiceId: string): Promise<string> {
  const id = randomUUID();
  await client.query(
    `INSERT INTO payments (company_id, id, invoice_id, amount_minor, currency, method, received_on, bank_account_id,
       journal_entry_id)
     VALUES ($1, $2, $3, 10, 'USD', 'card', '2026-03-31', gen_random_uuid(), gen_random_uuid())`,
    [companyId, id, invoiceId],
  );
  return id;
}
