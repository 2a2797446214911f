import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { READ_SCHEMAS } from '../../api/openapi/read-schemas.ts';
import { type Actors, actors, claimByHand, postByHand, rejectByHand } from '../support/actors.ts';
import { postManually } from '../support/bank.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let sql: Actors;
beforeAll(async () => {
  system = await startSystem();
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
});
afterAll(async () => {
  await sql.end();
  await system.stop();
});

/** The largest amount of a line that a request may carry. */
const MOST = 10 ** 13;
/** A hundred lines of the largest amount on each side: 10^15. Ten such entries pass 2^53. */
const FULL: readonly (readonly [string, number])[] = [
  ...Array.from({ length: 100 }, () => ['1000', MOST] as const),
  ...Array.from({ length: 100 }, () => ['3000', -MOST] as const),
];

/** The statement of an account, newest line first, in as many pages as it has. */
async function statementOf({ api }: Company, code: string) {
  const items: { amount: number | string; balance: number | string }[] = [];
  for (let cursor = ''; ; ) {
    const page = await api.get(`/api/ledger/accounts/${code}/lines?limit=100${cursor}`);
    expect(page.status).toBe(200);
    items.push(...page.json.items);
    if (page.json.nextCursor === null) return items;
    cursor = `&cursor=${page.json.nextCursor}`;
  }
}

describe('a balance beyond 2^53 minor units', () => {
  test('is told in digits, and as a number again once a reversal has taken it back', async () => {
    const company = await system.company();
    const { api } = company;
    const entries: { id: string }[] = [];
    for (let count = 0; count < 10; count += 1) entries.push(await postManually(api, FULL));

    const told = await api.get('/api/ledger/trial-balance');
    expect(told.status).toBe(200);
    expect(told.json.items).toMatchObject([
      { accountCode: '1000', debit: '10000000000000000', credit: 0 },
      { accountCode: '3000', debit: 0, credit: '10000000000000000' },
    ]);
    expect(told.json.totals).toEqual([{ currency: 'USD', debit: '10000000000000000', credit: '10000000000000000' }]);
    expect(READ_SCHEMAS['trial_balance']?.safeParse(told.json).error).toBeUndefined();
    const [newest] = await statementOf(company, '3000');
    expect(newest).toMatchObject({ amount: -MOST, balance: '-10000000000000000' });

    await api.created(`/api/ledger/entries/${entries[0]?.id}/reverse`, { reason: 'Typed wrongly', date: '2026-02-10' });
    const left = await api.get('/api/ledger/trial-balance');
    expect(left.json.totals).toEqual([{ currency: 'USD', debit: 9 * 10 ** 15, credit: 9 * 10 ** 15 }]);
    const lines = await statementOf(company, '1000');
    expect(lines[0]).toMatchObject({ amount: -MOST, balance: 9 * 10 ** 15 });
    // What was beyond on its way stays so: 1 000 lines up to 10^16, and 100 lines back from it.
    const balances = lines.map(({ balance }) => balance).reverse();
    expect(balances).toEqual(
      Array.from({ length: 1_100 }, (_, index) => 10n ** 13n * BigInt(index < 1_000 ? index + 1 : 1_999 - index)).map(
        (balance) => (balance <= Number.MAX_SAFE_INTEGER ? Number(balance) : balance.toString()),
      ),
    );
    expect(READ_SCHEMAS['account_line']?.safeParse(lines[500]).error).toBeUndefined();
    expect(await brokenControls(system.owner)).toEqual({});
  });

  test('is exact beyond 2^63, too, where PostgreSQL would have no bigint for it', async () => {
    const company = await system.company();
    const { id, users } = company;
    await sql.as('owner', id, async (client) => {
      const writeId = await claimByHand(client, id, users.owner.id);
      const pair = [
        ['1000', 10n ** 17n, 'USD'],
        ['3000', -(10n ** 17n), 'USD'],
      ] as const;
      await postByHand(client, id, writeId, Array.from({ length: 100 }, () => pair).flat());
      await rejectByHand(client, id, writeId);
    });
    const told = await company.api.get('/api/ledger/trial-balance');
    expect([told.status, told.json.totals]).toEqual([
      200,
      [{ currency: 'USD', debit: '10000000000000000000', credit: '10000000000000000000' }],
    ]);
    const [newest] = await statementOf(company, '1000');
    expect(newest).toMatchObject({ amount: '100000000000000000', balance: '10000000000000000000' });
    const { json: entries } = await company.api.get('/api/ledger/entries');
    expect(entries.items[0].lines[0].amount).toBe('100000000000000000');
  });
});

test('what a customer owes beyond 2^53 minor units is told in digits', async () => {
  const company = await system.company();
  const customerId = await company.customer();
  const { api } = company;
  // Planted: a thousand invoices of the largest amount, of which the API would have to make each.
  await sql.as('owner', company.id, (client) =>
    client.query(
      `SELECT set_config('session_replication_role', 'replica', true);
       INSERT INTO invoices (company_id, id, customer_id, currency, issue_date, due_date, subtotal_minor, tax_minor,
         total_minor, number, journal_entry_id)
       SELECT '${company.id}', gen_random_uuid(), '${customerId}', 'USD', '2026-01-01', '2026-01-31', ${MOST}, 0,
         ${MOST}, n, gen_random_uuid()
       FROM generate_series(1, 1000) AS n`,
    ),
  );
  const aged = await api.get('/api/reports/aged-receivables?asOf=2026-01-31');
  expect([aged.status, aged.json.items]).toEqual([
    200,
    [
      {
        ...{ customerId, currency: 'USD', notDue: '10000000000000000' },
        ...{ days1to30: 0, days31to60: 0, days61to90: 0, over90: 0 },
      },
    ],
  ]);
  expect(READ_SCHEMAS['aged_receivables']?.safeParse(aged.json).error).toBeUndefined();
});
