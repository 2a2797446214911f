import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ACCOUNT_ROLES } from '../../activities/ledger/accounts.ts';
import { type Actors, actors, claimByHand, rejectByHand } from '../support/actors.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';
import { openUpgrade, type Upgrade } from '../support/upgrade.ts';

describe('a company that the release before has made', () => {
  let upgrade: Upgrade;
  let client: pg.Client;
  beforeAll(async () => {
    upgrade = await openUpgrade();
    client = upgrade.client;
    await upgrade.migrateUpTo('account_roles');
  });
  afterAll(() => upgrade.drop());

  const codesOf = async (companyId: string) => {
    const { rows } = await client.query<{ role: string; code: string }>(
      'SELECT role, code FROM accounts WHERE company_id = $1 AND role IS NOT NULL',
      [companyId],
    );
    return Object.fromEntries(rows.map(({ role, code }) => [role, code]));
  };

  test('has every role once, the new ones under the first free codes, and its own accounts have none', async () => {
    const [plain, crowded] = [await companyOfBefore('plain'), await companyOfBefore('crowded')];
    const own = ['3100', '3101', '3103', '6800', '99999999999999999999', 'a.b'];
    for (const code of own) {
      await client.query("INSERT INTO accounts (company_id, code, name, type) VALUES ($1, $2, 'Own', 'expense')", [
        crowded,
        code,
      ]);
    }
    // The first free code for both of its new accounts is the same one.
    const full = await companyOfBefore('full');
    await client.query(
      `INSERT INTO accounts (company_id, code, name, type) SELECT $1, n::text, 'Own', 'expense' FROM generate_series(3100, 7000) AS n
       ON CONFLICT DO NOTHING`,
      [full],
    );
    await upgrade.migrateTheRest();

    const roles = await codesOf(plain);
    expect(await codesOf(full)).toEqual({ ...roles, retained_earnings: '7001', bad_debts: '7002' });
    expect(Object.keys(roles).toSorted()).toEqual([...ACCOUNT_ROLES].toSorted());
    expect(roles).toMatchObject({
      receivable: '1100',
      retained_earnings: '3100',
      bad_debts: '6800',
      bank_charges: '6900',
    });
    expect(await codesOf(await companyOfBefore('of-now'))).toEqual(roles);
    expect(await codesOf(crowded)).toEqual({ ...roles, retained_earnings: '3102', bad_debts: '6801' });
    const { rows } = await client.query(
      "SELECT code, name, type FROM accounts WHERE company_id = $1 AND role IN ('retained_earnings', 'bad_debts') ORDER BY code",
      [crowded],
    );
    expect(rows).toEqual([
      { code: '3102', name: 'Retained earnings', type: 'equity' },
      { code: '6801', name: 'Bad debts', type: 'expense' },
    ]);
  });

  async function companyOfBefore(name: string): Promise<string> {
    const { rows } = await client.query<{ company_id: string }>(
      "SELECT company_id FROM create_company($1, $1 || '@example.test', 'USD')",
      [name],
    );
    return rows[0]?.company_id ?? '';
  }
});

describe('an account that operations use', () => {
  let system: System;
  let company: Company;
  let sql: Actors;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  });
  afterAll(async () => {
    await sql.end();
    await system.stop();
  });

  test('shows its role, and one that the company adds has none', async () => {
    const own = await company.api.created('/api/ledger/accounts', { code: '3101', name: 'Reserve', type: 'equity' });
    expect(own.role).toBeNull();
    const { items } = (await company.api.get('/api/ledger/accounts?limit=200')).json;
    const shown = items.map(({ role }: { role: string | null }) => role).filter((role: string | null) => role !== null);
    expect(shown.toSorted()).toEqual([...ACCOUNT_ROLES].toSorted());
    expect(items.filter(({ role }: { role: string | null }) => role === null)).toMatchObject([{ code: '3101' }]);
    expect((await company.api.get('/api/ledger/accounts/3100')).json).toMatchObject({ role: 'retained_earnings' });
  });

  test('is found by its role, whatever code it has', async () => {
    const posted = await sql.as('owner', company.id, async (client) => {
      const writeId = await claimByHand(client, company.id, company.users.owner.id);
      const line = (more: object) => ({ id: randomUUID(), currency: 'USD', ...more });
      await client.query('SELECT post_entry($1, $2, $2, $3, $4, $5, $6)', [
        ...[company.id, writeId, 'byHand', '2026-05-05', 'by hand'],
        JSON.stringify([line({ role: 'bad_debts', amount: '5' }), line({ account: '3101', amount: '-5' })]),
      ]);
      await rejectByHand(client, company.id, writeId);
      const { rows } = await client.query(
        `SELECT a.code, l.amount_minor::int AS amount FROM journal_lines l JOIN accounts a ON a.id = l.account_id
         WHERE l.entry_id = $1 ORDER BY l.line_number`,
        [writeId],
      );
      return rows;
    });
    expect(posted).toEqual([
      { code: '6800', amount: 5 },
      { code: '3101', amount: -5 },
    ]);
  });

  test.each([
    ['owner', "UPDATE accounts SET role = NULL WHERE code = '6800'", { code: '23001' }],
    ['owner', "UPDATE accounts SET role = 'payable' WHERE code = '3101'", { code: '23001' }],
    ['application', "UPDATE accounts SET role = 'payable' WHERE code = '3101'", { code: '42501' }],
    [
      'application',
      "INSERT INTO accounts (company_id, code, name, type, role) VALUES (current_company(), 'x', 'x', 'asset', 'bank')",
      { code: '42501' },
    ],
    [
      'owner',
      "INSERT INTO accounts (company_id, code, name, type, role) VALUES (current_company(), 'x', 'x', 'asset', 'bank')",
      { code: '23505', constraint: 'accounts_role_key' },
    ],
  ] as const)('keeps its role for itself: as %s, %s', async (actor, statement, refusal) => {
    await expect(sql.as(actor, company.id, (client) => client.query(statement))).rejects.toMatchObject(refusal);
  });
});
