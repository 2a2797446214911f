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

const LONDON = 'Europe/London';
const BEGAN = { timeZone: 'UTC', employerTaxRateBasisPoints: 765, payRunApprovalRequired: false, webhookUrl: null };

test('settings and reconciliations of before are kept as far as they are known, and the release before goes on', async () => {
  await upgrade.migrateUpTo('dates');
  const asBefore = {
    name: 'prepared-by-the-release-before',
    text: 'SELECT (l.company).*, l.member_roles FROM lock_company($1, $2) AS l',
    values: [await company('Prepared'), randomUUID()],
  };
  const { rows: locked } = await client.query(asBefore);
  expect(locked).toHaveLength(1);
  await upgrade.migrateUpTo('attribution');
  const [changed, untouched, byHand] = [await company('Changed'), await company('Untouched'), await company('By hand')];
  const { second, fourth, exact, undone, off } = await upgrade.pastTriggers(async () => {
    const asWas = { ...BEGAN, baseCurrency: 'USD', booksClosedThrough: '2025-12-31' };
    const asked = { name: 'Second', booksClosedThrough: '2025-12-31' };
    const made = {
      second: await changeSettings(changed, asked, 2, { ...asWas, name: 'Second' }),
      fourth: await changeSettings(changed, { timeZone: LONDON }, 4, { ...asWas, name: 'Third', timeZone: LONDON }),
      exact: await reconciled(changed, 500, 0),
      undone: await reconciled(changed, 70, 0, { isUndone: true }),
      off: await reconciled(changed, 300, -25),
    };
    await client.query(
      `UPDATE companies SET version = 4, name = 'Third', books_closed_through = '2025-12-31', time_zone = $2
       WHERE id = $1`,
      [changed, LONDON],
    );
    await client.query('UPDATE companies SET version = 2 WHERE id = $1', [byHand]);
    return made;
  });

  await upgrade.migrateTheRest();
  const { rows } = await client.query(
    `SELECT version, write_id, settings ->> 'name' AS name, settings ->> 'books_closed_through' AS closed,
       settings ->> 'time_zone' AS zone, changed_at IS NOT NULL AS timed
     FROM settings_versions WHERE company_id = $1 ORDER BY version`,
    [changed],
  );
  expect(rows).toEqual([
    { version: 1, write_id: null, name: null, closed: null, zone: 'UTC', timed: true },
    { version: 2, write_id: second, name: 'Second', closed: '2025-12-31', zone: 'UTC', timed: true },
    { version: 3, write_id: null, name: null, closed: null, zone: null, timed: false },
    { version: 4, write_id: fourth, name: 'Third', closed: '2025-12-31', zone: LONDON, timed: true },
  ]);
  const knownOf = async (id: string) =>
    (
      await client.query(
        `SELECT version, settings ->> 'name' AS name, (settings ->> 'latest_posting_days')::int AS days
         FROM settings_versions WHERE company_id = $1 ORDER BY version`,
        [id],
      )
    ).rows;
  expect(await knownOf(untouched)).toEqual([{ version: 1, name: 'Untouched', days: 366 }]);
  expect(await knownOf(byHand)).toEqual([
    { version: 1, name: null, days: null },
    { version: 2, name: 'By hand', days: 366 },
  ]);

  const { rows: kept } = await client.query(
    'SELECT id, difference_minor::int AS difference, tolerance_minor, reason FROM reconciliations',
  );
  const untold = { tolerance_minor: null, reason: null };
  expect(new Map(kept.map(({ id, ...one }) => [id, one]))).toEqual(
    new Map([
      [exact, { difference: 0, ...untold }],
      [undone, { difference: 0, ...untold }],
      [off, { difference: -25, ...untold }],
    ]),
  );
  expect((await client.query(asBefore)).rows).toEqual(locked);
});

async function company(name: string): Promise<string> {
  const { rows } = await client.query<{ company_id: string }>(
    "SELECT company_id FROM create_company($1, $1 || '@example.test', 'USD')",
    [name.toLowerCase().replaceAll(' ', '-')],
  );
  const id = rows[0]?.company_id ?? '';
  await upgrade.pastTriggers(() => client.query('UPDATE companies SET name = $2 WHERE id = $1', [id, name]));
  return id;
}

/** A succeeded write with this request and answer. Answers its ID. */
async function write(companyId: string, operation: string, body: object, answer: object): Promise<string> {
  const id = randomUUID();
  await client.query(
    `INSERT INTO idempotent_writes (company_id, idempotency_key, write_id, submission_id, operation, type, fingerprint,
       schema_version, request, user_id, request_id, requested_at, outcome, status_code, response_body, location,
       resource_type, resource_id, completed_at)
     SELECT $1, $2::text, $2::uuid, $2::uuid, $3, 'high-risk', repeat('0', 64), 1, $4, m.user_id, 'R', now(), 'succeeded', 200,
       convert_to($5, 'UTF8'), '/', 'of-a-test', $2::text, now()
     FROM memberships m WHERE m.company_id = $1`,
    [companyId, id, operation, { params: {}, body }, JSON.stringify(answer)],
  );
  return id;
}

function changeSettings(companyId: string, body: object, version: number, answer: object): Promise<string> {
  return write(companyId, 'updateCompanySettings', { expectedVersion: version - 1, ...body }, { version, ...answer });
}

/** A bank transaction that a write has reconciled with one line and, where there is a difference, another one. */
async function reconciled(
  companyId: string,
  amount: number,
  difference: number,
  { isUndone = false } = {},
): Promise<string> {
  const id = await write(companyId, 'reconcileLedger', { matches: [] }, {});
  const bankTransactionId = randomUUID();
  await client.query(
    `INSERT INTO bank_transactions (company_id, id, import_id, account_id, bank_reference, booked_on, amount_minor, currency,
       description, reconciled_by)
     SELECT $1, $2::uuid, $3, a.id, $2::text, '2026-01-31', $4, 'USD', 'A transfer', $5::uuid
     FROM accounts a WHERE a.company_id = $1 AND a.code = '1000'`,
    [companyId, bankTransactionId, id, amount, isUndone ? null : id],
  );
  const amounts = difference === 0 ? [] : [difference];
  if (difference !== 0) {
    await client.query(
      `INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description, created_xid)
       VALUES ($1, $2, $2, 'reconcileLedger', '2026-01-31', 'Difference', pg_current_xact_id())`,
      [companyId, id],
    );
  }
  for (const [index, amountMinor] of [amount - difference, ...amounts].entries()) {
    const lineId = randomUUID();
    // The first line is of some other entry, which does not matter here.
    await client.query(
      `INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency)
       SELECT $1, $2, $3, 1, a.id, $4, 'USD' FROM accounts a WHERE a.company_id = $1 AND a.code = '1000'`,
      [companyId, lineId, index === 0 ? randomUUID() : id, amountMinor],
    );
    await client.query(
      `INSERT INTO bank_matches (company_id, matched_by, journal_line_id, bank_transaction_id, undone_by)
       VALUES ($1, $2, $3, $4, $5)`,
      [companyId, id, lineId, bankTransactionId, isUndone ? id : null],
    );
  }
  return id;
}
