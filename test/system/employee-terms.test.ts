import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { Database } from '../../activities/database.ts';
import { createPayRun } from '../../activities/operations/create-pay-run.ts';
import { updateEmployee } from '../../activities/operations/update-employee.ts';
import type { Role } from '../../activities/roles.ts';
import { type Actor, type Actors, actors } from '../support/actors.ts';
import { changeSettings } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { untilWaiting } from '../support/held-invoice.ts';
import { hold, untilHeld } from '../support/held-operation.ts';
import { employeeBody, hire, payRun, payRunBody } from '../support/payroll.ts';
import { openPatientDatabase, runHeld } from '../support/run-held.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let patient: Database;
let sql: Actors;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  patient = openPatientDatabase(system);
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  company = await system.company();
});
afterAll(async () => {
  await sql.end();
  await patient.close();
  await system.stop();
});

type Body = Readonly<Record<string, unknown>>;
const refusal = (status: number, code: string) => ({ status, json: { code } });
const update = (of: Company, id: string, body: Body, options: { as?: Role; key?: string } = {}) =>
  of.as(options.as ?? 'owner').post(`/api/payroll/employees/${id}`, body, {
    method: 'PATCH',
    key: options.key ?? randomUUID(),
    headers: { prefer: 'wait=60' },
  });
const read = async (of: Company, id: string) => (await of.api.get(`/api/payroll/employees/${id}`)).json;
const run = (of: Company, body: Body) =>
  of.api.post('/api/payroll/pay-runs', payRunBody(body), { headers: { prefer: 'wait=60' } });
/** What one employee is paid in a period. */
const grossOf = async (of: Company, body: Body) => (await payRun(of, body)).totals.gross;

const { firstName: _1, lastName: _2, email: _3, ...TERMS } = employeeBody();

describe('a change of an employee', () => {
  test('is answered, read and listed the same, and replayed as it was answered', async () => {
    const own = await system.company();
    const id = await hire(own);
    const before = await read(own, id);
    const key = randomUUID();
    const body = { firstName: 'Robin', email: 'Robin@example.test', leftOn: '2027-06-30' };
    const { status, json, text } = await update(own, id, body, { key });
    expect([status, json]).toEqual([200, { ...before, ...body }]);
    expect(await read(own, id)).toEqual(json);
    expect((await own.api.get('/api/payroll/employees')).json.items).toEqual([json]);
    const back = await update(own, id, { lastName: 'Sample', leftOn: null });
    expect(back.json).toEqual({ ...json, lastName: 'Sample', leftOn: null });
    const again = await update(own, id, body, { key });
    expect([again.text, again.replayed]).toEqual([text, true]);
    expect(await update(own, id, { firstName: 'Kim' }, { key })).toMatchObject(refusal(422, 'idempotency_key_reused'));
    const { rows } = await system.owner.query(
      "SELECT count(*)::int AS events FROM outbox WHERE company_id = $1 AND kind = 'employee.updated'",
      [own.id],
    );
    expect(rows).toEqual([{ events: 2 }]);
  });

  test('leaves an e-mail to whom it belongs, however it is spelled', async () => {
    const [one, other] = [await hire(company, { email: 'taken@example.test' }), await hire(company)];
    expect(await update(company, other, { email: 'TAKEN@example.test' })).toMatchObject(
      refusal(409, 'employee_email_taken'),
    );
    expect((await update(company, one, { email: 'TAKEN@example.test' })).status).toBe(200);
  });

  test('is of an employee of this company, by who may create one', async () => {
    const id = await hire(company);
    const body = { firstName: 'Robin' };
    for (const unknown of [randomUUID(), await hire(await system.company())]) {
      expect(await update(company, unknown, body)).toMatchObject(refusal(404, 'employee_not_found'));
    }
    expect((await update(company, id, body, { as: 'manager' })).status).toBe(200);
    expect(await update(company, id, body, { as: 'accountant' })).toMatchObject(refusal(403, 'forbidden'));
  });

  test.each([
    [{}, ''],
    [{ annualSalary: 1 }, '/effectiveFrom'],
    [{ deductions: [] }, '/effectiveFrom'],
    [{ effectiveFrom: '2026-07-01' }, '/effectiveFrom'],
    [{ effectiveFrom: null, annualSalary: 1 }, '/effectiveFrom'],
    [{ effectiveFrom: '1899-12-31', annualSalary: 1 }, '/effectiveFrom'],
    [{ effectiveFrom: '2026-07-01', currency: 'EUR', annualSalary: 1 }, '/currency'],
    [{ effectiveFrom: '2026-07-01', currency: 'EUR', deductions: [] }, '/currency'],
    [{ effectiveFrom: '2026-07-01', annualSalary: 0 }, '/annualSalary'],
    [{ effectiveFrom: '2026-07-01', taxRateBasisPoints: 10_001 }, '/taxRateBasisPoints'],
    [{ effectiveFrom: '2026-07-01', payFrequency: 'daily' }, '/payFrequency'],
    [
      { effectiveFrom: '2026-07-01', deductions: Array(21).fill({ name: 'x', amount: 1, preTax: true }) },
      '/deductions',
    ],
    [{ leftOn: '2026-02-30' }, '/leftOn'],
    [{ firstName: '' }, '/firstName'],
    [{ email: null }, '/email'],
  ])('with %j is refused', async (body, pointer) => {
    const answer = await update(company, randomUUID(), body);
    expect(answer).toMatchObject(refusal(422, 'validation_failed'));
    expect(answer.json.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
  });
});

describe('terms', () => {
  test('hold from their day on, and what is not given is as it is on that day', async () => {
    const id = await hire(company);
    await update(company, id, { effectiveFrom: '2026-07-01', annualSalary: 6_000_000 });
    const deductions = [{ name: 'Loan', amount: 7, preTax: false }];
    // Between the other two; what holds later stays as it is.
    const { json } = await update(company, id, { effectiveFrom: '2026-04-01', taxRateBasisPoints: 2500, deductions });
    expect(json.terms).toEqual([
      { effectiveFrom: null, ...TERMS },
      { effectiveFrom: '2026-04-01', ...TERMS, taxRateBasisPoints: 2500, deductions },
      { effectiveFrom: '2026-07-01', ...TERMS, annualSalary: 6_000_000 },
    ]);
    const euros = { effectiveFrom: '2027-01-01', currency: 'EUR', annualSalary: 5_500_000, deductions: [] };
    expect((await update(company, id, euros)).json.terms.at(-1)).toEqual({ ...TERMS, ...euros });
  });

  test('for a day that has some take their place, and both are kept', async () => {
    const id = await hire(company);
    const effectiveFrom = '2026-10-01';
    await update(company, id, { effectiveFrom, annualSalary: 6_000_000 });
    await update(company, id, { effectiveFrom, taxRateBasisPoints: 0 });
    const { json } = await update(company, id, { effectiveFrom, payFrequency: 'weekly' });
    const last = { effectiveFrom, ...TERMS, annualSalary: 6_000_000, taxRateBasisPoints: 0, payFrequency: 'weekly' };
    expect(json.terms).toEqual([{ effectiveFrom: null, ...TERMS }, last]);
    const { rows } = await system.owner.query(
      'SELECT version, pay_frequency FROM employee_terms WHERE employee_id = $1 ORDER BY version',
      [id],
    );
    expect(rows.map((row) => [row.version, row.pay_frequency])).toEqual([
      [1, 'monthly'],
      [2, 'monthly'],
      [3, 'weekly'],
    ]);
  });

  test('of today, in the company’s time zone, are the employee’s own', async () => {
    const own = await system.company();
    const id = await hire(own);
    // The two zones are 25 hours apart: the one’s today is never the other’s.
    await changeSettings(own, { timeZone: 'Pacific/Kiritimati' });
    const { rows } = await system.owner.query('SELECT company_today($1)::text AS today', [own.id]);
    const { json } = await update(own, id, { effectiveFrom: rows[0].today, annualSalary: 6_000_000 });
    expect(json.annualSalary).toBe(6_000_000);
    expect((await update(own, id, { effectiveFrom: '2999-12-31', annualSalary: 1 })).json.annualSalary).toBe(6_000_000);
    await changeSettings(own, { timeZone: 'Pacific/Pago_Pago' });
    expect((await read(own, id)).annualSalary).toBe(TERMS.annualSalary);
  });

  test('of another frequency begin with a period of both, and so do those that follow', async () => {
    const id = await hire(company);
    const within = {
      ...refusal(422, 'pay_frequency_within_period'),
      json: { code: 'pay_frequency_within_period', errors: [{ in: 'body', pointer: '/effectiveFrom' }] },
    };
    for (const effectiveFrom of ['2026-06-30', '2026-07-02', '2026-07-16']) {
      expect(await update(company, id, { effectiveFrom, payFrequency: 'semimonthly' })).toMatchObject(within);
    }
    // A month begins, and no week.
    expect(await update(company, id, { effectiveFrom: '2026-07-01', payFrequency: 'weekly' })).toMatchObject(within);
    expect((await update(company, id, { effectiveFrom: '2026-07-01', payFrequency: 'semimonthly' })).status).toBe(200);
    // Then the halves of months would begin within a week.
    expect(await update(company, id, { effectiveFrom: '2026-01-01', payFrequency: 'weekly' })).toMatchObject(within);
    expect((await update(company, id, { effectiveFrom: '2026-07-16', annualSalary: 1 })).status).toBe(200);
    expect((await read(company, id)).terms).toHaveLength(3);
  });

  test('change at most a hundred times', async () => {
    const id = await hire(company);
    const one = (index: number) => update(company, id, { effectiveFrom: '2026-07-01', annualSalary: 1 + index });
    const answers = await Promise.all(Array.from({ length: 101 }, (_one, index) => one(index)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(100);
    expect(answers.filter(({ json }) => json.code === 'too_many_terms')).toHaveLength(1);
    // At once, too: each has a version of its own, and the last one holds.
    const { rows } = await system.owner.query(
      `SELECT array_agg(version ORDER BY version) AS versions,
         (array_agg(annual_salary_minor ORDER BY version DESC))[1]::int AS last FROM employee_terms WHERE employee_id = $1`,
      [id],
    );
    expect(rows[0].versions).toEqual(Array.from({ length: 100 }, (_one, index) => index + 1));
    expect((await read(company, id)).terms[1].annualSalary).toBe(rows[0].last);
    expect((await update(company, id, { leftOn: '2026-07-01' })).status).toBe(200);
  });
});

describe('a pay run', () => {
  /** Twelve million a year from that day on, before it six. */
  const raisedOn = async (of: Company, effectiveFrom: string, payFrequency: string) => {
    const id = await hire(of, { annualSalary: 6_000_000, payFrequency, deductions: [] });
    await update(of, id, { effectiveFrom, annualSalary: 12_000_000 });
    return id;
  };

  test.each([
    ['monthly', 7, '2026-07-01', 500_000],
    ['monthly', 2, '2026-02-01', 500_000],
    ['semimonthly', 3, '2026-02-01', 250_000],
    ['semimonthly', 4, '2026-02-16', 250_000],
    ['weekly', 1, '2026-01-01', 115_384],
    ['weekly', 52, '2026-12-24', 115_385],
    ['biweekly', 26, '2026-12-17', 230_770],
  ])(
    'of a period (%s %d) is paid by the terms of its first day, %s, as a whole',
    async (payFrequency, periodNumber, day, gross) => {
      const next = new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);
      const [raised, later] = [await raisedOn(company, day, payFrequency), await raisedOn(company, next, payFrequency)];
      const body = { payFrequency, periodNumber };
      expect(await grossOf(company, { ...body, employeeIds: [later] })).toBe(gross);
      expect(Math.abs((await grossOf(company, { ...body, employeeIds: [raised] })) - 2 * gross)).toBeLessThanOrEqual(1);
    },
  );

  test('has those whose frequency and currency it is on that day', async () => {
    const own = await system.company();
    const [changing, other] = [await hire(own), await hire(own)];
    // On which the 40th week begins, too.
    await update(own, changing, { effectiveFrom: '2026-10-01', payFrequency: 'weekly' });
    const euros = { currency: 'EUR', annualSalary: 1_200, deductions: [] };
    await update(own, other, { effectiveFrom: '2026-11-01', ...euros });
    const paid = async (body: Body) => {
      const { payslips } = await payRun(own, body);
      return payslips.map(({ employeeId }: { employeeId: string }) => employeeId).toSorted();
    };
    expect(await paid({ periodNumber: 9 })).toEqual([changing, other].toSorted());
    expect(await paid({ periodNumber: 10 })).toEqual([other]);
    expect(await paid({ payFrequency: 'weekly', periodNumber: 40 })).toEqual([changing]);
    expect(await run(own, { payFrequency: 'weekly', periodNumber: 39 })).toMatchObject(refusal(422, 'no_employees'));
    expect(await run(own, { periodNumber: 10, employeeIds: [other, changing] })).toMatchObject({
      ...refusal(422, 'pay_frequency_mismatch'),
      json: { errors: [{ in: 'body', pointer: '/employeeIds/1' }] },
    });
    expect(await payRun(own, { periodNumber: 11 })).toMatchObject({ currency: 'EUR', totals: { gross: 100 } });
  });

  test('has nobody who left before it begins', async () => {
    const own = await system.company();
    const id = await hire(own);
    await update(own, id, { leftOn: '2026-03-01' });
    expect((await run(own, { periodNumber: 3 })).status).toBe(201);
    expect(await run(own, { periodNumber: 4 })).toMatchObject(refusal(422, 'no_employees'));
    expect(await run(own, { periodNumber: 4, employeeIds: [id] })).toMatchObject({
      ...refusal(422, 'employee_left'),
      json: { detail: expect.stringContaining(id), errors: [{ in: 'body', pointer: '/employeeIds/0' }] },
    });
    await update(own, id, { leftOn: null });
    expect((await run(own, { periodNumber: 4 })).status).toBe(201);
  });

  test('that is made stays as it is, whatever the terms become', async () => {
    const own = await system.company();
    const id = await hire(own);
    const made = await payRun(own, { asDraft: true });
    await update(own, id, {
      effectiveFrom: '2026-01-01',
      annualSalary: 6_000_000,
      payFrequency: 'weekly',
      leftOn: '2025-12-31',
    });
    await own.api.created(`/api/payroll/pay-runs/${made.id}/approve`, {});
    const executed = await own.api.created(`/api/payroll/pay-runs/${made.id}/execute`, {});
    expect(executed.payslips).toEqual(made.payslips);
    expect(await brokenControls(system.owner)).toEqual({});
  });
});

describe('a change of terms and a pay run at once', () => {
  test.each([
    ['pays by it', { annualSalary: 6_000_000 }, [500_000, 416_666]],
    ['leaves out who is no longer of its frequency', { payFrequency: 'weekly' }, [416_666]],
    ['leaves out who has left', { leftOn: '2025-12-31' }, [416_666]],
  ])('a run that meets a change waits for it and %s', async (_what, changes, gross) => {
    const own = await system.company();
    const [changing] = [await hire(own), await hire(own)];
    const release = await hold(system.owner);
    const terms = 'leftOn' in changes ? {} : { effectiveFrom: '2026-01-01' };
    const held = runHeld(patient, own, updateEmployee, {
      body: { ...terms, ...changes },
      params: { employeeId: changing },
    });
    await untilHeld(system.owner);
    const running = run(own, {});
    await untilWaiting(system.owner, 2);
    await release();
    expect((await held).result.outcome).toBe('succeeded');
    const slips: { gross: number }[] = (await running).json.payslips;
    expect(slips.map((slip) => slip.gross).toSorted((one, other) => other - one)).toEqual(gross);
  });

  test('a change that meets a run waits for it, and the run has the terms of before', async () => {
    const own = await system.company();
    const id = await hire(own);
    const release = await hold(system.owner);
    const running = runHeld(patient, own, createPayRun, { body: payRunBody() });
    await untilHeld(system.owner);
    const changing = update(own, id, { effectiveFrom: '2026-01-01', annualSalary: 6_000_000 });
    await untilWaiting(system.owner, 2);
    await release();
    expect((await running).result.outcome).toBe('succeeded');
    expect((await changing).status).toBe(200);
    expect((await own.api.get('/api/payroll/pay-runs')).json.items).toMatchObject([{ totals: { gross: 416_666 } }]);
  });
});

describe('the database refuses, whoever asks,', () => {
  let employeeId: string;
  let own: Company;
  beforeAll(async () => {
    own = await system.company();
    employeeId = await hire(own);
    await update(own, employeeId, { effectiveFrom: '2026-02-01', annualSalary: 6_000_000 });
    await payRun(own);
  });
  const attempt = (actor: Actor, statement: string) => sql.as(actor, own.id, (client) => client.query(statement));

  test.each([
    'UPDATE employee_terms SET annual_salary_minor = annual_salary_minor',
    'DELETE FROM employee_terms',
    'TRUNCATE employee_terms',
  ])('"%s"', async (statement) => {
    await expect(attempt('application', statement)).rejects.toMatchObject({ code: '42501' });
    await expect(attempt('owner', statement)).rejects.toMatchObject({ code: '23001' });
  });

  test('the application a version of its choice, and other terms of the beginning', async () => {
    for (const statement of [
      'INSERT INTO employee_terms (company_id, id, version) SELECT company_id, id, 7 FROM employees',
      'UPDATE employees SET annual_salary_minor = 1',
      "UPDATE employees SET pay_frequency = 'weekly'",
    ]) {
      await expect(attempt('application', statement)).rejects.toMatchObject({ code: '42501' });
    }
  });

  test.each([
    ['[{"name": "Loan", "amount": 0, "preTax": true}]'],
    ['[{"name": "Loan", "amount": 1.5, "preTax": true}]'],
    ['[{"name": "", "amount": 1, "preTax": true}]'],
    ['[{"name": "Loan", "amount": "1", "preTax": true}]'],
    ['[{"name": "Loan", "amount": 1, "preTax": true, "more": 1}]'],
    ['[1]'],
    ['{}'],
  ])('deductions that are none: %s', async (deductions) => {
    const inserting = attempt(
      'application',
      `INSERT INTO employee_terms (company_id, id, employee_id, effective_from, annual_salary_minor, currency, pay_frequency,
         tax_rate_basis_points, deductions)
       SELECT company_id, id, employee_id, '2026-03-01', 1, 'USD', 'monthly', 0, '${deductions}' FROM employee_terms`,
    );
    await expect(inserting).rejects.toMatchObject({ constraint: 'employee_terms_deductions_check' });
  });

  test('a payslip with terms that are not those of its period', async () => {
    // The run of January again as that of April, which would have the same gross, when the raise holds.
    const making = (actor: Actor) =>
      attempt(
        actor,
        `WITH run AS (
           INSERT INTO pay_runs SELECT (jsonb_populate_record(r, jsonb_build_object('id', '${randomUUID()}', 'period_number', 4))).*
           FROM pay_runs r WHERE company_id = '${own.id}' RETURNING id)
         INSERT INTO payslips SELECT (jsonb_populate_record(s, jsonb_build_object('pay_run_id', run.id, 'period_number', 4))).*
         FROM payslips s, run WHERE s.company_id = '${own.id}'`,
      );
    for (const actor of ['application', 'owner'] as const) {
      await expect(making(actor)).rejects.toMatchObject({ constraint: 'payslip_has_terms_of_period' });
    }
  });
});

test('after all of this the books are right', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
