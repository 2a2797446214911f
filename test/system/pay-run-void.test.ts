import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { Database } from '../../activities/database.ts';
import { voidPayRun } from '../../activities/operations/void-pay-run.ts';
import type { Role } from '../../activities/roles.ts';
import { type Actor, type Actors, actors } from '../support/actors.ts';
import { changeSettings, closeBooks, readEntry } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { untilWaiting } from '../support/held-invoice.ts';
import { hold, untilHeld } from '../support/held-operation.ts';
import { executedPayRun, hire, payRun } from '../support/payroll.ts';
import { openPatientDatabase, runHeld } from '../support/run-held.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let patient: Database;
let sql: Actors;
beforeAll(async () => {
  system = await startSystem();
  patient = openPatientDatabase(system);
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
});
afterAll(async () => {
  await sql.end();
  await patient.close();
  await system.stop();
});

const BODY = { reason: 'The wrong terms', date: '2026-02-02' };
const PATIENT = { headers: { prefer: 'wait=60' } };
const refusal = (status: number, code: string) => ({ status, json: { code } });
const post = (company: Company, id: string, step: string, body: object = {}, role: Role = 'owner') =>
  company.as(role).post(`/api/payroll/pay-runs/${id}/${step}`, body, PATIENT);
const voiding = (company: Company, id: string, body: object = BODY, role: Role = 'owner') =>
  post(company, id, 'void', body, role);

/** By account: debit positive. */
async function balances(company: Company): Promise<[string, number][]> {
  type Item = { accountCode: string; debit: number; credit: number };
  const { items } = (await company.api.get('/api/ledger/trial-balance')).json as { items: Item[] };
  return items.map(({ accountCode, debit, credit }) => [accountCode, debit - credit]);
}

describe('voiding a pay run', () => {
  test('posts the mirror of its entry, and tells who did it, when and why', async () => {
    const company = await system.company();
    const run = await executedPayRun(company);
    const key = randomUUID();
    const path = `/api/payroll/pay-runs/${run.id}/void`;
    const answer = await company.as('accountant').post(path, BODY, { key });
    expect([answer.status, answer.json]).toEqual([
      200,
      {
        ...run,
        status: 'voided',
        voidedOn: '2026-02-02',
        voidReason: 'The wrong terms',
        voidedBy: company.users.accountant.id,
        voidEntryId: expect.any(String),
      },
    ]);
    const { lines } = await readEntry(system.owner, company.id, run.journalEntryId);
    expect(await readEntry(system.owner, company.id, answer.json.voidEntryId)).toEqual({
      date: '2026-02-02',
      operation: 'voidPayRun',
      lines: lines.map(([code, amount, currency]) => [code, -amount, currency]),
    });
    const entry = (await company.api.get(`/api/ledger/entries/${answer.json.voidEntryId}`)).json;
    expect(entry).toMatchObject({
      reverses: run.journalEntryId,
      postedBy: company.users.accountant.id,
      approvedBy: null,
    });
    expect((await company.api.get(`/api/payroll/pay-runs/${run.id}`)).json).toEqual(answer.json);
    const again = await company.as('accountant').post(path, BODY, { key });
    expect([again.status, again.text, again.replayed]).toEqual([200, answer.text, true]);
    expect(await company.as('accountant').post(path, { ...BODY, reason: 'Another' }, { key })).toMatchObject(
      refusal(422, 'idempotency_key_reused'),
    );
  });

  test('is dated today, unless asked otherwise', async () => {
    const company = await system.company();
    const run = await executedPayRun(company);
    const { json } = await voiding(company, run.id, { reason: 'No date' });
    const { rows } = await system.owner.query('SELECT company_today($1)::text AS today', [company.id]);
    expect(json.voidedOn).toBe(rows[0].today);
  });

  test('happens once, and ends what can be done with the run', async () => {
    const company = await system.company();
    const run = await executedPayRun(company);
    expect((await voiding(company, run.id)).status).toBe(200);
    expect(await voiding(company, run.id)).toMatchObject(refusal(409, 'already_voided'));
    expect(await post(company, run.id, 'approve')).toMatchObject(refusal(409, 'pay_run_not_draft'));
    expect(await post(company, run.id, 'execute')).toMatchObject({
      ...refusal(409, 'pay_run_already_executed'),
      json: { detail: expect.stringContaining('voided on 2026-02-02') },
    });
    for (const id of [
      run.journalEntryId,
      (await company.api.get(`/api/payroll/pay-runs/${run.id}`)).json.voidEntryId,
    ]) {
      expect(await company.api.post(`/api/ledger/entries/${id}/reverse`, { reason: 'By hand' })).toMatchObject(
        refusal(409, 'entry_not_reversible'),
      );
    }
  });

  test('needs a run that was executed, of this company', async () => {
    const company = await system.company();
    await hire(company);
    const draft = await payRun(company, { asDraft: true });
    expect(await voiding(company, draft.id)).toMatchObject(refusal(409, 'pay_run_not_executed'));
    expect((await post(company, draft.id, 'approve')).status).toBe(200);
    expect(await voiding(company, draft.id)).toMatchObject(refusal(409, 'pay_run_not_executed'));
    const foreign = await executedPayRun(await system.company());
    for (const id of [foreign.id, randomUUID()]) {
      expect(await voiding(company, id)).toMatchObject(refusal(404, 'pay_run_not_found'));
    }
    for (const body of [{}, { reason: ' ' }, { ...BODY, date: '2026-02-30' }, { ...BODY, amount: 1 }]) {
      expect(await voiding(company, draft.id, body)).toMatchObject(refusal(422, 'validation_failed'));
    }
  });

  test('needs a date where the run is dated in the future', async () => {
    const company = await system.company();
    const payDate = new Date(Date.now() + 9 * 86_400_000).toISOString().slice(0, 10);
    await hire(company);
    const { id } = await payRun(company, { payDate });
    await company.api.created(`/api/payroll/pay-runs/${id}/execute`, {});
    const { date: _date, ...undated } = BODY;
    const refused = await voiding(company, id, undated);
    expect(refused).toMatchObject(refusal(422, 'date_before_original'));
    expect(refused.json.detail).toContain(`give a date on or after ${payDate}.`);
    expect((await voiding(company, id, { ...undated, date: payDate })).status).toBe(200);
  });

  test('is not dated before the run, in closed books or too far ahead, and changes nothing then', async () => {
    const company = await system.company();
    const run = await executedPayRun(company);
    const attempt = (date: string) => voiding(company, run.id, { ...BODY, date });
    expect(await attempt('2026-01-29')).toMatchObject({
      ...refusal(422, 'date_before_original'),
      json: { errors: [{ in: 'body', pointer: '/date' }] },
    });
    expect(await attempt('2999-12-31')).toMatchObject(refusal(422, 'date_too_late'));
    await closeBooks(company, '2026-02-01');
    expect(await attempt('2026-02-01')).toMatchObject(refusal(409, 'period_closed'));
    expect((await company.api.get(`/api/payroll/pay-runs/${run.id}`)).json).toEqual(run);
    expect((await attempt('2026-02-02')).status).toBe(200);
  });

  test('lets the periods be run again, once', async () => {
    const company = await system.company();
    const run = await executedPayRun(company);
    const [second, third] = [await payRun(company), await payRun(company)];
    expect(await post(company, second.id, 'execute')).toMatchObject(refusal(409, 'period_already_paid'));
    expect((await voiding(company, run.id)).status).toBe(200);
    expect((await post(company, second.id, 'execute')).status).toBe(200);
    expect(await post(company, third.id, 'execute')).toMatchObject(refusal(409, 'period_already_paid'));
    expect((await voiding(company, second.id)).status).toBe(200);
    expect((await post(company, third.id, 'execute')).status).toBe(200);
  });

  test('leaves wages that were paid out meanwhile as a debit on 2220', async () => {
    const company = await system.company();
    const run = await executedPayRun(company);
    const wages = { date: '2026-01-31', description: 'Wages', currency: 'USD' };
    const lines = [
      { accountCode: '2220', amount: 325_333 },
      { accountCode: '1000', amount: -325_333 },
    ];
    await company.api.created('/api/ledger/entries', { ...wages, lines });
    expect((await voiding(company, run.id)).status).toBe(200);
    const left = (await balances(company)).filter(([, balance]) => balance !== 0);
    expect(left).toEqual([
      ['1000', -325_333],
      ['2220', 325_333],
    ]);
  });

  test('is for another than the one who executed it, where approval was demanded when the run was made', async () => {
    const company = await system.company();
    await hire(company);
    await changeSettings(company, { payRunApprovalRequired: true });
    const run = await payRun(company);
    await post(company, run.id, 'approve', {}, 'accountant');
    expect((await post(company, run.id, 'execute', {}, 'admin')).status).toBe(200);
    await changeSettings(company, { payRunApprovalRequired: false });
    expect(await voiding(company, run.id, BODY, 'admin')).toMatchObject(refusal(403, 'voider_is_executor'));
    // Neither does the database let them.
    const set = (actor: Actor) =>
      sql.as(actor, company.id, (client) =>
        client.query(
          `UPDATE pay_runs SET status = 'voided', voided_on = '2026-02-02', void_reason = 'By hand', voided_by = executed_by,
             void_entry_id = gen_random_uuid() WHERE id = $1`,
          [run.id],
        ),
      );
    for (const actor of ['application', 'owner'] as const) {
      await expect(set(actor)).rejects.toMatchObject({ constraint: 'pay_runs_voided_by_another' });
    }
    expect((await voiding(company, run.id, BODY, 'owner')).status).toBe(200);
    const own = await executedPayRun(await system.company());
    expect(own.approvalRequired).toBe(false);
  });

  test('is shown to those who may read payroll alone', async () => {
    const company = await system.company();
    const run = await executedPayRun(company);
    const { json } = await voiding(company, run.id);
    const seen = async (role: Role) => {
      const entries = (await company.as(role).get('/api/ledger/entries')).json.items.map(
        ({ id }: { id: string }) => id,
      );
      const events = (await company.as(role).get('/api/events?kind=pay_run.voided')).status;
      return [entries.includes(json.voidEntryId), events];
    };
    expect(await seen('auditor')).toEqual([true, 200]);
    expect(await seen('manager')).toEqual([false, 200]);
    expect((await company.as('manager').get(`/api/ledger/entries/${json.voidEntryId}`)).status).toBe(404);
    expect(await voiding(company, run.id, BODY, 'manager')).toMatchObject(refusal(403, 'forbidden'));
  });
});

describe('voids that race', () => {
  test('20 voids of one run at once take it back once', async () => {
    const company = await system.company();
    const run = await executedPayRun(company);
    const holder = await system.owner.connect();
    onTestFinished(async () => {
      await holder.query('ROLLBACK');
      holder.release();
    });
    await holder.query('BEGIN');
    await holder.query('SELECT FROM pay_runs WHERE id = $1 FOR UPDATE', [run.id]);
    const all = Promise.all(Array.from({ length: 20 }, () => voiding(company, run.id)));
    await untilWaiting(system.owner, 4);
    await holder.query('COMMIT');
    const answers = await all;
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ json }) => json.code === 'already_voided')).toHaveLength(19);
    expect((await company.api.get('/api/ledger/entries?operation=voidPayRun')).json.items).toHaveLength(1);
  });

  test('an execution of the same period that meets a void is refused before its COMMIT, and pays after it', async () => {
    const company = await system.company();
    const run = await executedPayRun(company);
    const next = await payRun(company);
    const release = await hold(system.owner);
    const held = runHeld(patient, company, voidPayRun, { body: BODY, params: { payRunId: run.id } });
    await untilHeld(system.owner);
    expect(await post(company, next.id, 'execute')).toMatchObject(refusal(409, 'period_already_paid'));
    await release();
    expect((await held).result.outcome).toBe('succeeded');
    expect((await post(company, next.id, 'execute')).status).toBe(200);
  });

  test('a void that waits for the closing of its day is refused by it', async () => {
    const company = await system.company();
    const run = await executedPayRun(company);
    const holder = await system.owner.connect();
    onTestFinished(async () => {
      await holder.query('ROLLBACK');
      holder.release();
    });
    await holder.query('BEGIN');
    await holder.query(
      `UPDATE companies SET books_closed_through = '2026-02-28', version = version + 1 WHERE id = $1`,
      [company.id],
    );
    const waiting = voiding(company, run.id);
    await untilWaiting(system.owner, 1);
    await holder.query('COMMIT');
    expect(await waiting).toMatchObject(refusal(409, 'period_closed'));
    expect((await company.api.get(`/api/payroll/pay-runs/${run.id}`)).json.status).toBe('executed');
  });
});

describe('the database refuses, whoever asks,', () => {
  let company: Company;
  let runId: string;
  beforeAll(async () => {
    company = await system.company();
    runId = (await executedPayRun(company)).id;
  });
  const attempt = (actor: Actor, statement: string) =>
    sql.as(actor, company.id, (client) => client.query(statement, [runId]));
  const voided = (entry: string) =>
    `UPDATE pay_runs SET status = 'voided', voided_on = '2026-02-02', void_reason = 'By hand', voided_by = created_by,
       void_entry_id = ${entry} WHERE id = $1`;

  test('a void without the mirror of its entry', async () => {
    for (const actor of ['application', 'owner'] as const) {
      await expect(attempt(actor, voided('journal_entry_id'))).rejects.toMatchObject({
        constraint: 'pay_run_void_is_mirror',
      });
    }
  });

  test('a void that does not say who, when or why', async () => {
    for (const column of ['voided_on', 'void_reason', 'voided_by', 'void_entry_id']) {
      const statement = voided('journal_entry_id').replace(
        new RegExp(`${column} = ('[^']*'|\\w+)`),
        `${column} = NULL`,
      );
      await expect(attempt('application', statement)).rejects.toMatchObject({ constraint: 'pay_runs_voided_whole' });
    }
  });

  test('a draft that is voided, a void that is taken back, and a payslip’s period that is freed by hand', async () => {
    const draft = await payRun(company, { periodNumber: 2, asDraft: true });
    const REFUSED_BY_TRIGGER = { code: '23001' };
    await expect(
      attempt('application', voided('gen_random_uuid()').replace('$1', `'${draft.id}' AND $1 <> id`)),
    ).rejects.toMatchObject(REFUSED_BY_TRIGGER);
    const other = await system.company();
    const { id } = await executedPayRun(other);
    await voiding(other, id);
    for (const change of [
      "status = 'executed'",
      "void_reason = 'Another'",
      'voided_by = executed_by, created_by = created_by',
    ]) {
      const changing = sql.as('owner', other.id, (client) =>
        client.query(`UPDATE pay_runs SET ${change} WHERE id = $1`, [id]),
      );
      await expect(changing).rejects.toMatchObject(REFUSED_BY_TRIGGER);
    }
    await expect(attempt('application', 'DELETE FROM paid_periods WHERE pay_run_id = $1')).rejects.toMatchObject({
      code: '42501',
    });
    await expect(attempt('owner', 'DELETE FROM paid_periods WHERE pay_run_id = $1')).rejects.toMatchObject(
      REFUSED_BY_TRIGGER,
    );
  });
});

test('after all of this the books are right', async () => {
  const { 'settings-history': bySql, 'closed-periods': _, ...broken } = await brokenControls(system.owner);
  expect(broken).toEqual({});
  expect(bySql?.length ?? 0).toBeLessThanOrEqual(1); // closed by SQL, once
});
