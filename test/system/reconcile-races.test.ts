import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { RunningApi } from '../../api/app.ts';
import { type Actors, actors, claimByHand, rejectByHand } from '../support/actors.ts';
import { bankLine, bankTransaction, matching, reconciledBankTransaction } from '../support/bank.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let other: RunningApi;
let sql: Actors;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  other = await system.another();
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  await company.api.created('/api/ledger/accounts', { code: '1010', name: 'Savings', type: 'asset', isBank: true });
});
afterAll(async () => {
  await sql.end();
  await system.stop();
});

const told = ({ status, json }: Answer) => [status, json.code];
const times = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, n) => make(n));
/** Clients of two APIs in turn: what must hold may not rest on one process. */
const client = (index: number) => (index % 2 === 0 ? company.api : company.as('owner', other.url));
const patient = { headers: { prefer: 'wait=60' } };
const reconcile = (id: string) => `/api/ledger/reconcile/${id}`;
const reversal = (entryId: string) => `/api/ledger/entries/${entryId}/reverse`;
const read = async (id: string) => (await company.api.get(`/api/bank-transactions/${id}`)).json;
const withDifference = (...lineIds: string[]) => ({ ...matching(...lineIds), differenceAccountCode: '6900' });

describe('in a race', () => {
  test('one bank transaction is reconciled once, by one of twenty', async () => {
    const id = await bankTransaction(company.api, 5);
    const lines = await Promise.all(times(20, () => bankLine(company.api, 5)));
    const answers = await Promise.all(
      lines.map(({ lineId }, n) => client(n).post(reconcile(id), matching(lineId), patient)),
    );
    expect(answers.map(told).filter(([status]) => status === 200)).toHaveLength(1);
    const refused = answers.map(told).filter(([status]) => status !== 200);
    expect(refused).toEqual(times(19, () => [409, 'already_reconciled']));
  });

  test('one line of the books goes to one of twenty bank transactions', async () => {
    const { lineId } = await bankLine(company.api, 5);
    const ids = await Promise.all(times(20, () => bankTransaction(company.api, 5)));
    const answers = await Promise.all(ids.map((id, n) => client(n).post(reconcile(id), matching(lineId), patient)));
    expect(answers.map(told).filter(([status]) => status === 200)).toHaveLength(1);
    const refused = answers.map(told).filter(([status]) => status !== 200);
    expect(refused).toEqual(times(19, () => [422, 'journal_line_not_matchable']));
  });

  test('lines that are wanted in crossing orders meet no deadlock', async () => {
    const lines = await Promise.all(times(6, () => bankLine(company.api, 1)));
    const lineIds = lines.map(({ lineId }) => lineId);
    const ids = await Promise.all(times(12, () => bankTransaction(company.api, 6)));
    const answers = await Promise.all(
      ids.map((id, n) =>
        client(n).post(reconcile(id), matching(...(n % 3 === 0 ? lineIds : lineIds.toReversed())), patient),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    const { rows } = await system.owner.query(
      'SELECT deadlocks::int AS deadlocks FROM pg_stat_database WHERE datname = current_database()',
    );
    expect(rows[0].deadlocks).toBe(0);
  });

  test('an entry is reversed or its line reconciled, never both', async () => {
    const rounds = await Promise.all(
      times(15, async (n) => {
        const { lineId, entryId } = await bankLine(company.api, 5);
        const id = await bankTransaction(company.api, 5);
        return Promise.all([
          client(n).post(reconcile(id), matching(lineId), patient),
          client(n + 1).post(reversal(entryId), { reason: 'Race' }, patient),
        ]);
      }),
    );
    for (const [reconciled, reversed] of rounds) {
      expect([
        [
          [200, undefined],
          [409, 'line_reconciled'],
        ],
        [
          [422, 'journal_line_not_matchable'],
          [201, undefined],
        ],
      ]).toContainEqual([told(reconciled), told(reversed)]);
    }
  });

  test('a difference is reversed once, and its bank transaction reconciled anew at most once', async () => {
    const id = await bankTransaction(company.api, 5);
    const { differenceEntryId } = await company.api.created(reconcile(id), withDifference());
    const answers = await Promise.all(
      times(16, (n) =>
        n % 2 === 0
          ? client(n / 2).post(reversal(differenceEntryId), { reason: 'Race' }, patient)
          : client((n - 1) / 2).post(reconcile(id), withDifference(), patient),
      ),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1);
    expect(answers.filter(({ status }) => ![200, 201, 409].includes(status))).toEqual([]);
  });
});

describe('the database itself refuses, to the application too,', () => {
  /** What a wrong operation might do, in a write by hand. */
  const byHand = (statement: string, values: readonly unknown[]) =>
    sql.as('application', company.id, async (connection) => {
      const writeId = await claimByHand(connection, company.id, company.users.owner.id);
      await rejectByHand(connection, company.id, writeId);
      await connection.query(statement, [company.id, writeId, ...values]);
    });
  const MATCH = `WITH matched AS (
      INSERT INTO bank_matches (company_id, matched_by, journal_line_id, bank_transaction_id) VALUES ($1, $2, $3, $4))
    UPDATE bank_transactions SET reconciled_by = $2 WHERE company_id = $1 AND id = $4`;

  test('a line that is matched already', async () => {
    const [lineId] = (await read(await reconciledBankTransaction(company.api, 5))).journalLineIds;
    const matchAgain = byHand(MATCH, [lineId, await bankTransaction(company.api, 5)]);
    await expect(matchAgain).rejects.toMatchObject({ code: '23505', constraint: 'bank_matches_line_once' });
  });

  test.each<[string, () => Promise<string>]>([
    ['of another amount', async () => (await bankLine(company.api, 6)).lineId],
    ['of another currency', async () => (await bankLine(company.api, 5, { currency: 'EUR' })).lineId],
    ['of another account', async () => (await bankLine(company.api, 5, { accountCode: '1010' })).lineId],
  ])('a line %s', async (_what, make) => {
    const matched = byHand(MATCH, [await make(), await bankTransaction(company.api, 5)]);
    await expect(matched).rejects.toMatchObject({ constraint: 'bank_transaction_reconciled_whole' });
  });

  test('a reconciliation that is whole for neither side', async () => {
    const whole = { constraint: 'bank_transaction_reconciled_whole' };
    const id = await bankTransaction(company.api, 5);
    const alone = byHand('UPDATE bank_transactions SET reconciled_by = $2 WHERE company_id = $1 AND id = $3', [id]);
    await expect(alone).rejects.toMatchObject(whole);
    const reconciled = await reconciledBankTransaction(company.api, 5);
    const half = 'UPDATE bank_matches SET undone_by = $2 WHERE company_id = $1 AND bank_transaction_id = $3';
    await expect(byHand(half, [reconciled])).rejects.toMatchObject(whole);
  });
});

test('after all this, every control of the books holds', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
