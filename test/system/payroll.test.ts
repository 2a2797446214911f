import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { changeSettings, closeBooks, readEntry } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { employeeBody, executedPayRun, hire, payRun, payRunBody } from '../support/payroll.ts';
import { said } from '../support/said.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

const employees = (body: unknown) => company.api.post('/api/payroll/employees', body);
const runs = (body: unknown) => company.api.post('/api/payroll/pay-runs', body);
const move = (id: string, step: 'approve' | 'execute', role: 'owner' | 'admin' | 'accountant' | 'manager' = 'owner') =>
  company.as(role).post(`/api/payroll/pay-runs/${id}/${step}`, {});
const refusal = (status: number, code: string) => ({ status, json: { code } });

async function demandApproval(demanded: boolean) {
  await changeSettings(company, { payRunApprovalRequired: demanded });
}

describe('an employee', () => {
  beforeAll(async () => {
    company = await system.company();
  });

  test('is answered as given, and read the same alone and in the list', async () => {
    const body = employeeBody({
      deductions: [...employeeBody().deductions, { name: 'Loan', amount: 7, preTax: false }],
    });
    const { status, json } = await employees(body);
    const { firstName: _1, lastName: _2, email: _3, ...terms } = body;
    const added = { createdAt: expect.any(String), leftOn: null, terms: [{ effectiveFrom: null, ...terms }] };
    expect([status, json]).toEqual([201, { id: json.id, ...body, ...added }]);
    expect((await company.api.get(`/api/payroll/employees/${json.id}`)).json).toEqual(json);
    expect((await company.api.get('/api/payroll/employees')).json.items).toEqual([json]);
  });

  test('without deductions has none', async () => {
    const { deductions: _none, ...body } = employeeBody();
    const { json } = await employees(body);
    expect(json.deductions).toEqual([]);
    expect((await company.api.get(`/api/payroll/employees/${json.id}`)).json).toEqual(json);
  });

  test('has an e-mail of their own in the company, however it is spelled', async () => {
    await hire(company, { email: 'one@example.test' });
    expect(await employees(employeeBody({ email: 'ONE@example.test' }))).toMatchObject(
      refusal(409, 'employee_email_taken'),
    );
    const other = await system.company();
    expect((await other.api.post('/api/payroll/employees', employeeBody({ email: 'one@example.test' }))).status).toBe(
      201,
    );
  });

  test.each([
    ['annualSalary', 0],
    ['annualSalary', 10_000_000_000_001],
    ['annualSalary', 1.5],
    ['currency', 'XXX'],
    ['payFrequency', 'daily'],
    ['taxRateBasisPoints', 10_001],
    ['email', 'nobody'],
    ['deductions', [{ name: 'Pension', amount: 0, preTax: true }]],
    ['deductions', [{ name: 'Pension', amount: 1 }]],
  ])('with %s %j is refused', async (member, value) => {
    expect(await employees(employeeBody({ [member]: value }))).toMatchObject(refusal(422, 'validation_failed'));
  });
});

describe('a pay run', () => {
  let employeeId: string;
  beforeAll(async () => {
    company = await system.company();
    employeeId = await hire(company);
  });

  test('works out the payslip of the books’ example, and the next period’s', async () => {
    const first = await payRun(company, { employeeIds: [employeeId] });
    const slip = { gross: 416_666, preTaxDeductions: 10_000, tax: 81_333, postTaxDeductions: 0, net: 325_333 };
    expect(first).toMatchObject({
      status: 'approved',
      payFrequency: 'monthly',
      year: 2026,
      periodNumber: 1,
      payDate: '2026-01-30',
      currency: 'USD',
      payslips: [{ employeeId, ...slip, employerTax: 31_875 }],
      totals: { ...slip, employerTax: 31_875 },
      journalEntryId: null,
      createdBy: company.users.owner.id,
      approvalRequired: false,
      approvedBy: null,
      executedBy: null,
    });
    const second = await payRun(company, { employeeIds: [employeeId], periodNumber: 2 });
    expect(second.totals).toMatchObject({ gross: 416_667, employerTax: 31_875 });
  });

  test('of half a minor unit of tax rounds away from zero', async () => {
    // 12 × 2,050 a year: taxable 2,050 × 1 % is 20.5; employer tax 2,050 × 7.65 % is 156.825.
    const id = await hire(company, { annualSalary: 24_600, taxRateBasisPoints: 100, deductions: [] });
    const { payslips } = await payRun(company, { employeeIds: [id] });
    expect(payslips).toEqual([
      { employeeId: id, gross: 2050, preTaxDeductions: 0, tax: 21, postTaxDeductions: 0, net: 2029, employerTax: 157 },
    ]);
  });

  test('asks for the company’s own employer tax', async () => {
    const other = await system.company();
    await changeSettings(other, { employerTaxRateBasisPoints: 1_000 });
    await hire(other);
    expect((await payRun(other)).totals.employerTax).toBe(41_667);
  });

  test('executed posts its sums in one entry of the pay date, and is read the same everywhere', async () => {
    const own = await system.company();
    const ids = [
      await hire(own, { deductions: [{ name: 'Loan', amount: 5_000, preTax: false }] }),
      await hire(own),
      await hire(own, { annualSalary: 120_000, taxRateBasisPoints: 0, deductions: [] }),
    ];
    const run = await payRun(own, { employeeIds: ids });
    // 416,666 + 416,666 + 10,000 · tax 83,333 + 81,333 · employer 31,875 + 31,875 + 765
    expect(run.totals).toEqual({
      gross: 843_332,
      preTaxDeductions: 10_000,
      tax: 164_666,
      postTaxDeductions: 5_000,
      net: 663_666,
      employerTax: 64_515,
    });
    const { status, json, headers } = await own.api.post(`/api/payroll/pay-runs/${run.id}/execute`, {});
    expect(status).toBe(200);
    expect(json).toEqual({
      ...run,
      status: 'executed',
      journalEntryId: expect.any(String),
      executedBy: own.users.owner.id,
    });
    expect(headers.get('location')).toBe(`/api/payroll/pay-runs/${run.id}`);
    expect(await readEntry(system.owner, own.id, json.journalEntryId)).toEqual({
      date: '2026-01-30',
      operation: 'executePayroll',
      lines: [
        ['6000', 843_332, 'USD'],
        ['6010', 64_515, 'USD'],
        ['2200', -229_181, 'USD'],
        ['2210', -15_000, 'USD'],
        ['2220', -663_666, 'USD'],
      ],
    });
    expect((await own.api.get(`/api/payroll/pay-runs/${run.id}`)).json).toEqual(json);
    expect((await own.api.get('/api/payroll/pay-runs')).json).toEqual({ items: [json], nextCursor: null });
  });

  test('without names is of all who are paid in that frequency', async () => {
    const own = await system.company();
    const weekly = [await hire(own, { payFrequency: 'weekly' }), await hire(own, { payFrequency: 'weekly' })];
    await hire(own, { currency: 'EUR' });
    const run = await payRun(own, { payFrequency: 'weekly', periodNumber: 52 });
    expect(run.payslips.map((slip: { employeeId: string }) => slip.employeeId)).toEqual(weekly.toSorted());
  });

  test('of someone it cannot pay is refused, naming them', async () => {
    const unknown = randomUUID();
    const named = (...employeeIds: string[]) => runs(payRunBody({ employeeIds }));
    const tooMuch = (preTax: boolean, amount: number) =>
      hire(company, { taxRateBasisPoints: 5000, deductions: [{ name: 'Loan', amount, preTax }] });
    const other = await system.company();
    const foreign = await hire(other);

    for (const id of [unknown, foreign]) {
      expect(await named(employeeId, id)).toMatchObject({
        ...refusal(422, 'employee_not_found'),
        json: { errors: [{ in: 'body', pointer: '/employeeIds/1' }], detail: expect.stringContaining(id) },
      });
    }
    expect(await named(employeeId, await hire(company, { currency: 'EUR' }))).toMatchObject(
      refusal(422, 'currency_mismatch'),
    );
    expect(await named(employeeId, await hire(company, { payFrequency: 'weekly' }))).toMatchObject(
      refusal(422, 'pay_frequency_mismatch'),
    );
    // Taxable is 416,666 and net 208,333: each deduction takes one minor unit more.
    for (const id of [await tooMuch(true, 416_667), await tooMuch(false, 208_334)]) {
      expect(await named(employeeId, id)).toMatchObject({
        ...refusal(422, 'deductions_exceed_pay'),
        json: { detail: expect.stringContaining(id) },
      });
    }
    for (const id of [await tooMuch(true, 416_666), await tooMuch(false, 208_333)]) {
      expect((await payRun(company, { employeeIds: [id] })).totals.net).toBe(0);
    }
    expect(await named(await hire(company, { annualSalary: 11, deductions: [] }))).toMatchObject(
      refusal(422, 'nothing_to_pay'),
    );
    expect(await runs(payRunBody({ payFrequency: 'biweekly' }))).toMatchObject(refusal(422, 'no_employees'));
    expect(await runs(payRunBody())).toMatchObject(refusal(422, 'currency_mismatch'));
  });

  test.each([
    ['weekly', 53],
    ['biweekly', 27],
    ['semimonthly', 25],
    ['monthly', 13],
    ['monthly', 0],
  ])('of a period that a year does not have is refused: %s %d', async (payFrequency, periodNumber) => {
    expect(await runs(payRunBody({ payFrequency, periodNumber }))).toMatchObject({
      ...refusal(422, 'validation_failed'),
      json: { errors: expect.arrayContaining([expect.objectContaining({ pointer: '/periodNumber' })]) },
    });
  });

  test('that names someone twice is refused', async () => {
    const body = payRunBody({ employeeIds: [employeeId, employeeId.toUpperCase()] });
    expect(await runs(body)).toMatchObject(refusal(422, 'validation_failed'));
  });

  test('that is not there is neither approved nor executed', async () => {
    for (const step of ['approve', 'execute'] as const) {
      expect(await move(randomUUID(), step)).toMatchObject(refusal(404, 'pay_run_not_found'));
    }
    const other = await system.company();
    const foreign = await executedPayRun(other);
    expect(await move(foreign.id, 'execute')).toMatchObject(refusal(404, 'pay_run_not_found'));
  });

  test('is approved once, and executed once', async () => {
    const { id, status } = await payRun(company, { employeeIds: [employeeId], periodNumber: 3, asDraft: true });
    expect(status).toBe('draft');
    expect(await move(id, 'execute')).toMatchObject(refusal(409, 'pay_run_not_approved'));
    expect(await move(id, 'approve', 'accountant')).toMatchObject({
      status: 200,
      json: { status: 'approved', approvedBy: company.users.accountant.id },
    });
    expect(await move(id, 'approve')).toMatchObject(refusal(409, 'pay_run_not_draft'));
    expect((await move(id, 'execute')).status).toBe(200);
    expect(await move(id, 'execute')).toMatchObject(refusal(409, 'pay_run_already_executed'));
    expect(await move(id, 'approve')).toMatchObject(refusal(409, 'pay_run_not_draft'));
  });

  test('pays nobody twice for a period, whichever run comes first', async () => {
    const [first, second, another] = [
      await payRun(company, { employeeIds: [employeeId], periodNumber: 5 }),
      await payRun(company, { employeeIds: [employeeId], periodNumber: 5 }),
      await payRun(company, { employeeIds: [employeeId], periodNumber: 5, year: 2027 }),
    ];
    expect((await move(second.id, 'execute')).status).toBe(200);
    expect(await move(first.id, 'execute')).toMatchObject({
      ...refusal(409, 'period_already_paid'),
      json: { detail: expect.stringContaining(employeeId) },
    });
    expect((await move(another.id, 'execute')).status).toBe(200);
  });

  test('is not executed into a closed period', async () => {
    const own = await system.company();
    await hire(own);
    const run = await payRun(own);
    await closeBooks(own, '2026-01-30');
    const closed = await own.api.post(`/api/payroll/pay-runs/${run.id}/execute`, {});
    expect(said(closed)).toEqual([
      ...[409, 'period_closed', 'The books are closed through 2026-01-30.', ['path /payRunId']],
    ]);
    expect((await own.api.get(`/api/payroll/pay-runs/${run.id}`)).json).toEqual(run);
    await closeBooks(own, '2026-01-29');
    expect((await own.api.post(`/api/payroll/pay-runs/${run.id}/execute`, {})).status).toBe(200);
  });
});

describe('where pay runs demand approval', () => {
  beforeAll(async () => {
    company = await system.company();
    await hire(company);
    await demandApproval(true);
  });

  test('the one who made a run neither approves nor executes it', async () => {
    const run = await payRun(company);
    expect(run.status).toBe('draft');
    expect(await move(run.id, 'approve')).toMatchObject(refusal(403, 'approver_is_creator'));
    expect((await move(run.id, 'approve', 'accountant')).status).toBe(200);
    expect(await move(run.id, 'execute')).toMatchObject(refusal(403, 'executor_is_creator'));
    expect((await move(run.id, 'execute', 'admin')).status).toBe(200);
  });

  test('it is the demand under which the run was made that counts, whatever the settings say later', async () => {
    const demanded = await payRun(company, { periodNumber: 2 });
    await demandApproval(false);
    const free = await payRun(company, { periodNumber: 3 });
    const draft = await payRun(company, { periodNumber: 4, asDraft: true });
    expect([demanded, free, draft].map(({ status, approvalRequired }) => [status, approvalRequired])).toEqual([
      ['draft', true],
      ['approved', false],
      ['draft', false],
    ]);
    expect(await move(demanded.id, 'approve')).toMatchObject(refusal(403, 'approver_is_creator'));
    expect((await move(draft.id, 'approve')).status).toBe(200);
    expect((await move(demanded.id, 'approve', 'accountant')).json.approvalRequired).toBe(true);
    expect(await move(demanded.id, 'execute')).toMatchObject(refusal(403, 'executor_is_creator'));

    await demandApproval(true);
    for (const { id } of [free, draft]) {
      expect(await move(id, 'execute')).toMatchObject({ status: 200, json: { approvalRequired: false } });
    }
    expect((await move(demanded.id, 'execute', 'admin')).status).toBe(200);
  });
});

describe('who may do payroll', () => {
  beforeAll(async () => {
    company = await system.company();
  });

  test('employees are for managers, pay runs for accountants, executing for neither', async () => {
    const post = (role: 'manager' | 'accountant' | 'auditor', path: string, body: unknown) =>
      company.as(role).post(`/api/payroll/${path}`, body);
    expect((await post('manager', 'employees', employeeBody())).status).toBe(201);
    expect(await post('accountant', 'employees', employeeBody())).toMatchObject(refusal(403, 'forbidden'));
    const made = await post('accountant', 'pay-runs', payRunBody({ asDraft: true }));
    expect(made.status).toBe(201);
    expect(await post('manager', 'pay-runs', payRunBody())).toMatchObject(refusal(403, 'forbidden'));
    expect(await move(made.json.id, 'approve', 'manager')).toMatchObject(refusal(403, 'forbidden'));
    expect((await move(made.json.id, 'approve', 'accountant')).status).toBe(200);
    for (const role of ['accountant', 'manager'] as const) {
      expect(await move(made.json.id, 'execute', role)).toMatchObject(refusal(403, 'forbidden'));
    }
    expect(await post('auditor', 'employees', employeeBody())).toMatchObject(refusal(403, 'forbidden'));
  });

  test('a manager sees neither the run, nor its entry, nor the write that made it', async () => {
    const key = randomUUID();
    const own = await system.company();
    await hire(own);
    const run = await own.api.created('/api/payroll/pay-runs', payRunBody(), { key });
    const { json } = await own.api.post(`/api/payroll/pay-runs/${run.id}/execute`, {});
    const manager = own.as('manager');
    expect(await manager.get(`/api/payroll/pay-runs/${run.id}`)).toMatchObject(refusal(403, 'forbidden'));
    expect((await manager.get(`/api/ledger/entries/${json.journalEntryId}`)).status).toBe(404);
    expect((await manager.get(`/api/writes/${key}`)).status).toBe(404);
    expect((await manager.get('/api/payroll/employees')).json.items).toHaveLength(1);
  });
});

test('after all of this the books are right', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
