import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { type Actors, actors, claimByHand, postByHand, rejectByHand } from '../support/actors.ts';
import { bankLine, bankTransaction, matching } from '../support/bank.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let sql: Actors;
beforeAll(async () => {
  system = await startSystem();
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  company = await system.company();
  await tolerate(company, 30);
});
afterAll(async () => {
  await sql.end();
  await system.stop();
});

const SETTINGS = '/api/company/settings';
const told = ({ status, json }: Answer) => [status, json.code];
const reconcile = (id: string) => `/api/ledger/reconcile/${id}`;
const withDifference = (reason?: string) => ({ matches: [], differenceAccountCode: '6900', reason });
const read = async (id: string) => (await company.api.get(`/api/bank-transactions/${id}`)).json;

async function tolerate({ api }: Company, reconcileTolerance: number | null) {
  const { version } = (await api.get(SETTINGS)).json;
  return api.created(SETTINGS, { expectedVersion: version, reconcileTolerance }, { method: 'PATCH' });
}

async function kept(id: string) {
  const { rows } = await system.owner.query(
    `SELECT difference_minor::int AS difference, tolerance_minor::int AS tolerance, reason FROM reconciliations
     WHERE bank_transaction_id = $1 ORDER BY created_at`,
    [id],
  );
  return rows;
}

describe('a difference with the bank', () => {
  test.each([31, -31])('of %s beyond the tolerance is reconciled with a reason only', async (amount) => {
    const id = await bankTransaction(company.api, amount);
    const refused = await company.api.post(reconcile(id), withDifference());
    expect(refused).toMatchObject({
      status: 422,
      json: {
        code: 'reason_required',
        detail: 'The difference is 0.31 USD; without a reason, at most 0.30 USD is accepted.',
        errors: [{ in: 'body', pointer: '/reason' }],
      },
    });
    expect(await read(id)).toMatchObject({ status: 'unreconciled', reconcileReason: null });
    const answer = await company.api.created(reconcile(id), withDifference('A charge'));
    expect(answer).toMatchObject({ status: 'reconciled', reconcileReason: 'A charge' });
    expect(await read(id)).toEqual(answer);
    expect(await kept(id)).toEqual([{ difference: amount, tolerance: 30, reason: 'A charge' }]);
  });

  test.each([30, -30, 1])('of %s within the tolerance needs none, and may have one', async (amount) => {
    const [without, withOne] = [await bankTransaction(company.api, amount), await bankTransaction(company.api, amount)];
    expect((await company.api.created(reconcile(without), withDifference())).reconcileReason).toBeNull();
    expect((await company.api.created(reconcile(withOne), withDifference('Why not'))).reconcileReason).toBe('Why not');
  });

  test('needs none without a tolerance, as before, and any at all where the tolerance is 0', async () => {
    const own = await system.company();
    expect((await own.api.get(SETTINGS)).json.reconcileTolerance).toBeNull();
    await own.api.created(reconcile(await bankTransaction(own.api, 1_000_000)), withDifference());
    await tolerate(own, 0);
    const one = await bankTransaction(own.api, 1);
    expect(told(await own.api.post(reconcile(one), withDifference()))).toEqual([422, 'reason_required']);
    const { lineId } = await bankLine(own.api, 700);
    await own.api.created(reconcile(await bankTransaction(own.api, 700)), matching(lineId));
    await tolerate(own, null);
    await own.api.created(reconcile(one), withDifference());
  });

  test('is what is posted, not what the bank says', async () => {
    const { lineId } = await bankLine(company.api, 1_000);
    const id = await bankTransaction(company.api, 975);
    await company.api.created(reconcile(id), { ...matching(lineId), differenceAccountCode: '6900' });
    expect(await kept(id)).toEqual([{ difference: -25, tolerance: 30, reason: null }]);
  });

  test('keeps its reason when it is reversed, and is asked for another one then', async () => {
    const id = await bankTransaction(company.api, 400);
    const { differenceEntryId } = await company.api.created(reconcile(id), withDifference('Interest'));
    await company.api.created(`/api/ledger/entries/${differenceEntryId}/reverse`, { reason: 'No interest' });
    expect((await read(id)).reconcileReason).toBeNull();
    expect(told(await company.api.post(reconcile(id), withDifference()))).toEqual([422, 'reason_required']);
    await company.api.created(reconcile(id), withDifference('A gift'));
    expect((await kept(id)).map(({ reason }) => reason)).toEqual(['Interest', 'A gift']);
  });

  test.each([{ reason: '' }, { reason: ' ' }, { reason: 'x'.repeat(501) }, { reason: null }])(
    'has no reason like %j',
    async (body) => {
      const id = await bankTransaction(company.api, 5);
      const answer = await company.api.post(reconcile(id), { ...withDifference(), ...body });
      expect([...told(answer), answer.json.errors[0].pointer]).toEqual([422, 'validation_failed', '/reason']);
    },
  );

  test.each([-1, 1.5, 10_000_000_000_001, '30'])('is tolerated up to no %j', async (reconcileTolerance) => {
    const { version } = (await company.api.get(SETTINGS)).json;
    const answer = await company.api.post(
      SETTINGS,
      { expectedVersion: version, reconcileTolerance },
      { method: 'PATCH' },
    );
    expect([...told(answer), answer.json.errors[0].pointer]).toEqual([422, 'validation_failed', '/reconcileTolerance']);
  });
});

describe('the tolerance', () => {
  test('holds for what races its change: each difference is by the settings of its moment', async () => {
    const own = await system.company();
    const ids = await Promise.all(Array.from({ length: 12 }, () => bankTransaction(own.api, 50)));
    const [, ...answers] = await Promise.all([
      tolerate(own, 10),
      ...ids.map((id) => own.api.post(reconcile(id), withDifference(), { headers: { prefer: 'wait=60' } })),
    ]);
    for (const answer of answers) {
      expect([
        [200, undefined],
        [422, 'reason_required'],
      ]).toContainEqual(told(answer));
    }
  });

  test('that is raised or taken away is told in the security log', async () => {
    const own = await system.company();
    for (const tolerance of [100, 50, 200, null, 0]) await tolerate(own, tolerance);
    const { rows } = await system.owner.query(
      `SELECT details FROM security_log WHERE company_id = $1 AND event = 'control_lowered' ORDER BY id`,
      [own.id],
    );
    expect(rows.map(({ details }) => [details.before, details.after])).toEqual([
      [50, 200],
      [200, null],
    ]);
  });
});

describe('the database itself', () => {
  /** What a process of the release before does: it knows of no reason. */
  const reconcileByHand = (id: string, amountMinor: number, more = '') =>
    sql.as('application', company.id, async (client) => {
      const writeId = await claimByHand(client, company.id, company.users.owner.id);
      await postByHand(client, company.id, writeId, [
        ['1000', amountMinor, 'USD'],
        ['6900', -amountMinor, 'USD'],
      ]);
      await rejectByHand(client, company.id, writeId);
      await client.query(
        `WITH matched AS (
           INSERT INTO bank_matches (company_id, matched_by, journal_line_id, bank_transaction_id)
           SELECT $1, $2, l.id, $3 FROM journal_entries e JOIN journal_lines l ON l.company_id = $1 AND l.entry_id = e.id
           WHERE e.company_id = $1 AND e.write_id = $2 AND l.line_number = 1
         )${more} UPDATE bank_transactions SET reconciled_by = $2 WHERE company_id = $1 AND id = $3`,
        [company.id, writeId, id],
      );
      throw new Error('reconciled');
    });

  test('refuses the release before what needs a reason, and lets it reconcile the rest', async () => {
    const id = await bankTransaction(company.api, 31);
    await expect(reconcileByHand(id, 31)).rejects.toMatchObject({
      code: '23514',
      constraint: 'reconciliations_reason_required',
    });
    await expect(reconcileByHand(await bankTransaction(company.api, 30), 30)).rejects.toThrow('reconciled');
  });

  test('takes the difference and the tolerance from nobody', async () => {
    const id = await bankTransaction(company.api, 31);
    const claiming = `, claimed AS (INSERT INTO reconciliations (company_id, id, bank_transaction_id, tolerance_minor)
      VALUES ($1, $2, $3, 1000))`;
    await expect(reconcileByHand(id, 31, claiming)).rejects.toMatchObject({ code: '42501' });
  });

  test.each(['application', 'owner'] as const)('keeps a reason from being changed by the %s', async (actor) => {
    const id = await bankTransaction(company.api, 31);
    await company.api.created(reconcile(id), withDifference('A charge'));
    const changing = sql.as(actor, company.id, (client) =>
      client.query("UPDATE reconciliations SET reason = 'Another' WHERE bank_transaction_id = $1", [id]),
    );
    await expect(changing).rejects.toMatchObject({ code: actor === 'owner' ? '23001' : '42501' });
  });
});

test('all of this leaves the controls holding', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
