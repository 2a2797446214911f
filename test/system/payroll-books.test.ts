import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { type Actor, type Actors, actors } from '../support/actors.ts';
import { changeSettings } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { untilWaiting } from '../support/held-invoice.ts';
import { executedPayRun, hire, payRun, payRunBody, stockedItem } from '../support/payroll.ts';
import { type System, startSystem } from '../support/system.ts';

/** What the database holds by itself: the arithmetic, the snapshot, and that no one is paid twice. */
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

const times = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, index) => make(index));

test.each([
  ['weekly', 52],
  ['biweekly', 26],
  ['semimonthly', 24],
  ['monthly', 12],
])('a year of %s pay sums to the salary, in parts that differ by one minor unit at most', async (frequency, n) => {
  const salaries = fc.oneof(fc.bigInt(1n, 10n ** 13n), fc.bigInt(1n, 1_000n), fc.constant(10n ** 13n));
  await fc.assert(
    fc.asyncProperty(salaries, async (annual) => {
      const { rows } = await system.owner.query<{ gross: string }>(
        'SELECT gross_of_period($1, $2, k) AS gross FROM generate_series(1, $3::int) AS k ORDER BY k',
        [String(annual), frequency, n],
      );
      const parts = rows.map(({ gross }) => BigInt(gross));
      expect(parts.reduce((sum, part) => sum + part, 0n)).toBe(annual);
      const [low, high] = [annual / BigInt(n), (annual + BigInt(n) - 1n) / BigInt(n)];
      expect(parts.filter((part) => part !== low && part !== high)).toEqual([]);
      let paid = 0n;
      for (const [index, part] of parts.entries()) {
        paid += part;
        expect(paid).toBe((BigInt(index + 1) * annual) / BigInt(n));
      }
    }),
  );
});

test.each([
  [1, 5000, 1],
  [1, 4999, 0],
  [416_666, 765, 31_875],
  [406_666, 2000, 81_333],
  [10_000_000_000_000, 10_000, 10_000_000_000_000],
  [9_999_999_999_999, 5_000, 5_000_000_000_000],
])('of %d, %d basis points are %d', async (amount, rate, share) => {
  const { rows } = await system.owner.query('SELECT share_of($1, $2)::text AS share', [amount, rate]);
  expect(rows[0].share).toBe(String(share));
});

describe('runs that race', () => {
  const patient = { headers: { prefer: 'wait=60' } };
  const execute = (company: Company, id: string) =>
    company.api.post(`/api/payroll/pay-runs/${id}/execute`, {}, patient);

  /** A connection of its own in a transaction, rolled back and given back when the test ends, however it ends. */
  async function openTransaction(): Promise<pg.PoolClient> {
    const client = await system.owner.connect();
    onTestFinished(async () => {
      await client.query('ROLLBACK');
      client.release();
    });
    await client.query('BEGIN');
    return client;
  }

  test('20 executions of one run at once pay it once', async () => {
    const company = await system.company();
    for (let n = 0; n < 3; n += 1) await hire(company);
    const run = await payRun(company);
    // Held until several of them have come to the run, or each might be done before the next begins.
    const holder = await openTransaction();
    await holder.query('SELECT FROM pay_runs WHERE id = $1 FOR UPDATE', [run.id]);
    const executing = Promise.all(times(20, () => execute(company, run.id)));
    await untilWaiting(system.owner, 4);
    await holder.query('COMMIT');
    const answers = await executing;
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ json }) => json.code === 'pay_run_already_executed')).toHaveLength(19);
    const entries = (await company.api.get('/api/ledger/entries?operation=executePayroll')).json.items;
    expect(entries).toHaveLength(1);
  });

  test('of ten runs of the same people and period one is executed, without a deadlock', async () => {
    const company = await system.company();
    for (let n = 0; n < 20; n += 1) await hire(company);
    const runs = await Promise.all(times(10, () => payRun(company)));
    const answers = await Promise.all(runs.map(({ id }) => execute(company, id)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ json }) => json.code === 'period_already_paid')).toHaveLength(9);
    const { rows } = await system.owner.query(
      'SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()',
    );
    expect(rows[0].n).toBe(0);
  });

  test('one that found nobody paid yet, and meets another that is paying, waits for it and is refused', async () => {
    const company = await system.company();
    await hire(company);
    const [first, second] = [await payRun(company), await payRun(company)];
    const holder = await openTransaction();
    // What the first execution would do last, by hand, and not committed yet.
    await holder.query(
      `INSERT INTO paid_periods (company_id, employee_id, year, pay_frequency, period_number, pay_run_id)
       SELECT company_id, employee_id, year, pay_frequency, period_number, pay_run_id FROM payslips WHERE pay_run_id = $1`,
      [first.id],
    );
    const executing = execute(company, second.id);
    await untilWaiting(system.owner, 1);
    await holder.query('COMMIT');
    expect(await executing).toMatchObject({ status: 409, json: { code: 'period_already_paid' } });
    expect((await company.api.get('/api/ledger/entries')).json.items).toEqual([]);
  });
});

describe('a pay run of 5,000', () => {
  test('is made, executed and listed; of 5,001 it is refused', async () => {
    const company = await system.company();
    await system.owner.query(
      `INSERT INTO employees (company_id, id, first_name, last_name, email, annual_salary_minor, currency, pay_frequency,
         tax_rate_basis_points)
       SELECT $1, gen_random_uuid(), 'Sam', 'Example', n || '@example.test', 10000000000000 - n, 'USD', 'monthly', 10000
       FROM generate_series(1, 5000) AS n`,
      [company.id],
    );
    const run = await payRun(company, { periodNumber: 12 });
    expect(run.payslips).toHaveLength(5_000);
    const gross = run.payslips.reduce((sum: number, slip: { gross: number }) => sum + slip.gross, 0);
    expect(run.totals).toMatchObject({ gross, tax: gross, net: 0 });
    const one = await payRun(company, { employeeIds: [run.payslips[0].employeeId] });
    const executed = await company.api.created(`/api/payroll/pay-runs/${run.id}/execute`, {});
    expect(executed).toMatchObject({ status: 'executed', totals: run.totals });

    // 5,001 payslips are more than a page: it ends early, and the next one goes on.
    const page = (await company.api.get('/api/payroll/pay-runs')).json;
    expect(page.items).toEqual([one]);
    const rest = (await company.api.get(`/api/payroll/pay-runs?cursor=${page.nextCursor}`)).json;
    expect(rest).toEqual({ items: [executed], nextCursor: null });

    await hire(company);
    expect(await company.api.post('/api/payroll/pay-runs', payRunBody({ periodNumber: 11 }))).toMatchObject({
      status: 422,
      json: { code: 'too_many_employees' },
    });
  });
});

describe('the database refuses, whoever asks,', () => {
  let company: Company;
  let draftId: string;
  beforeAll(async () => {
    company = await system.company();
    await executedPayRun(company);
    await stockedItem(company);
    draftId = (await payRun(company, { periodNumber: 2, asDraft: true })).id;
  });
  const attempt = (actor: Actor, statement: string, values: unknown[] = []) =>
    sql.as(actor, company.id, (client) => client.query(statement, values));
  const REFUSED_BY_PRIVILEGE = { code: '42501' };
  const REFUSED_BY_TRIGGER = { code: '23001' };

  test.each([
    'UPDATE payslips SET net_minor = net_minor',
    'DELETE FROM payslips',
    'TRUNCATE payslips CASCADE',
    'UPDATE paid_periods SET year = 1999',
    'DELETE FROM paid_periods',
    'TRUNCATE paid_periods',
    'UPDATE pay_runs SET pay_date = pay_date - 1',
    'DELETE FROM pay_runs',
    'TRUNCATE pay_runs CASCADE',
    'UPDATE inventory_movements SET reason = reason',
    'DELETE FROM inventory_movements',
    'TRUNCATE inventory_movements',
  ])('"%s"', async (statement) => {
    await expect(attempt('application', statement)).rejects.toMatchObject(REFUSED_BY_PRIVILEGE);
    await expect(attempt('owner', statement)).rejects.toMatchObject(REFUSED_BY_TRIGGER);
  });

  test.each(["'draft'", "'approved', journal_entry_id = NULL, executed_by = NULL", "'executed'"])(
    'a run that was executed becomes %s',
    async (status) => {
      const moving = attempt('application', `UPDATE pay_runs SET status = ${status} WHERE status = 'executed'`);
      await expect(moving).rejects.toMatchObject(REFUSED_BY_TRIGGER);
    },
  );

  test('a draft is executed', async () => {
    const executing = attempt('application', "UPDATE pay_runs SET status = 'executed' WHERE id = $1", [draftId]);
    await expect(executing).rejects.toMatchObject(REFUSED_BY_TRIGGER);
  });

  test('a run that demanded approval, without someone else’s or executed by its creator', async () => {
    const own = await system.company();
    await hire(own);
    await changeSettings(own, { payRunApprovalRequired: true });
    const { id } = await payRun(own);
    const { owner: creator } = own.users;
    const set = (actor: Actor, changes: string) =>
      sql.as(actor, own.id, (client) => client.query(`UPDATE pay_runs SET ${changes} WHERE id = '${id}'`));
    const approvedBy = (who: string) => `status = 'approved', approved_by = ${who}`;
    for (const actor of ['application', 'owner'] as const) {
      await expect(set(actor, approvedBy('created_by'))).rejects.toMatchObject({
        constraint: 'pay_runs_approved_by_another',
      });
      await expect(set(actor, approvedBy('NULL'))).rejects.toMatchObject({
        constraint: 'pay_runs_approved_by_another',
      });
    }
    await expect(set('application', 'approval_required = false')).rejects.toMatchObject(REFUSED_BY_PRIVILEGE);
    await expect(set('owner', `approval_required = false, ${approvedBy('created_by')}`)).rejects.toMatchObject(
      REFUSED_BY_TRIGGER,
    );
    expect((await own.as('accountant').post(`/api/payroll/pay-runs/${id}/approve`, {})).status).toBe(200);
    const executed = `status = 'executed', journal_entry_id = gen_random_uuid(), executed_by = '${creator.id}'`;
    await expect(set('application', executed)).rejects.toMatchObject({ constraint: 'pay_runs_approved_by_another' });
  });

  test('a run that is made with less than its company demands', async () => {
    const own = await system.company();
    await hire(own);
    const { id } = await payRun(own);
    await changeSettings(own, { payRunApprovalRequired: true });
    const made = sql.as('application', own.id, (client) =>
      client.query(
        `INSERT INTO pay_runs SELECT (jsonb_populate_record(r, jsonb_build_object('id', $2::text))).*
         FROM pay_runs r WHERE r.id = $1`,
        [id, randomUUID()],
      ),
    );
    await expect(made).rejects.toMatchObject({ constraint: 'pay_runs_approved_by_another' });
  });

  test('a run that is executed with the entry of another, or without paying its people', async () => {
    const { id } = await payRun(company, { periodNumber: 3 });
    const execute = (paying: string) =>
      attempt(
        'application',
        `${paying} UPDATE pay_runs SET status = 'executed', executed_by = created_by, journal_entry_id = (
           SELECT id FROM journal_entries WHERE operation = $2 LIMIT 1)
         WHERE id = $1`,
        [id, 'adjustInventory'],
      );
    await expect(execute('')).rejects.toMatchObject({ constraint: 'pay_run_pays_each_employee' });
    const paying = `WITH paid AS (
      INSERT INTO paid_periods (company_id, employee_id, year, pay_frequency, period_number, pay_run_id)
      SELECT company_id, employee_id, year, pay_frequency, period_number, pay_run_id FROM payslips WHERE pay_run_id = $1)`;
    await expect(execute(paying)).rejects.toMatchObject({ constraint: 'payroll_entry_is_sum_of_payslips' });
  });

  test('a payslip that comes later, or a run without any', async () => {
    const employeeId = await hire(company);
    const later = attempt(
      'application',
      `INSERT INTO payslips SELECT (jsonb_populate_record(s, jsonb_build_object('employee_id', $2::text))).*
       FROM payslips s WHERE s.pay_run_id = $1 LIMIT 1`,
      [draftId, employeeId],
    );
    await expect(later).rejects.toMatchObject({ constraint: 'pay_run_is_sum_of_payslips' });
    const empty = attempt(
      'application',
      `INSERT INTO pay_runs SELECT (jsonb_populate_record(r, jsonb_build_object('id', $2::text))).*
       FROM pay_runs r WHERE r.id = $1`,
      [draftId, randomUUID()],
    );
    await expect(empty).rejects.toMatchObject({ constraint: 'pay_run_is_sum_of_payslips' });
  });

  test.each([
    ['quantity = quantity - 11', 'inventory_items_quantity_check'],
    ['value_minor = 0', 'inventory_items_worth_their_quantity'],
    ['value_minor = quantity - 1', 'inventory_items_worth_their_quantity'],
    ['value_minor = 10000000000001', 'inventory_items_value_minor_check'],
  ])('an item of which %s', async (change, constraint) => {
    await expect(attempt('application', `UPDATE inventory_items SET ${change}`)).rejects.toMatchObject({ constraint });
  });
});

test('after all of this the books are right', async () => {
  const { 'no-strays': strays, 'paid-once': byHand, ...broken } = await brokenControls(system.owner);
  expect(broken).toEqual({});
  expect(strays).toHaveLength(5_000); // hired by SQL, in bulk
  expect(byHand).toHaveLength(1); // paid by SQL, without executing its run
});
