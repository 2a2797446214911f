import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { setPolicies } from '../support/approvals.ts';
import { auditTampered } from '../support/audit.ts';
import { bankTransaction, matching } from '../support/bank.ts';
import { changeSettings } from '../support/books.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { callErasure, whereIs } from '../support/erasing.ts';
import { employeeBody, executedPayRun, hire } from '../support/payroll.ts';
import { findingsOf, sealAllOf } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

async function trialBalance({ api }: Company) {
  const { status, json } = await api.get('/api/ledger/trial-balance');
  expect(status).toBe(200);
  return json;
}

/** What must be so before and after an erasure, whoever it is about. */
async function expectBooksToHold(company: Company) {
  expect(await findingsOf(system.owner, company.id)).toEqual([]);
  expect(await brokenControls(system.owner)).toEqual({});
  // Nor does anything else of the records: a request that lost members with a person gives another fingerprint.
  const { named, couldNotAsk } = await auditTampered(system.owner, { company: company.id });
  expect({ named, couldNotAsk }).toEqual({ named: [], couldNotAsk: [] });
}

async function leavesOf(company: Company) {
  const { rows } = await system.owner.query(
    `SELECT number, encode(leaf, 'hex') AS leaf, entry_id::text AS id FROM sealed_entries WHERE company_id = $1
     UNION ALL SELECT number, encode(leaf, 'hex'), row_id::text FROM sealed_audit_rows WHERE company_id = $1 ORDER BY 3`,
    [company.id],
  );
  return rows;
}

describe('an erased employee', () => {
  const body = employeeBody({ firstName: 'Quentin', lastName: 'Zephyr', email: 'quentin@zephyr.test' });
  let company: Company;
  let employeeId: string;
  let before: {
    answer: Answer;
    balance: unknown;
    unsealed: string;
    leaves: unknown;
    places: readonly string[];
  };
  beforeAll(async () => {
    company = await system.company('Payroll Ltd');
    const answer = await company.api.post('/api/payroll/employees', body, { key: 'hire-1' });
    employeeId = answer.json.id;
    await company.api.created(
      `/api/payroll/employees/${employeeId}`,
      {
        effectiveFrom: '2026-06-01',
        annualSalary: 6_000_000,
        deductions: [{ name: 'For Zephyr', amount: 7, preTax: false }],
      },
      { method: 'PATCH', key: 'raise' },
    );
    await executedPayRun(company);
    // A twin, of which the audit log keeps where it differs.
    await company.api.post('/api/payroll/employees', { ...body, firstName: 'Zephyrine' }, { key: 'hire-1' });
    // Refused, and stored: with the address, and no row of its own.
    await company.api.post('/api/payroll/employees', { ...body, firstName: 'Q.' }, { key: 'hire-2' });
    await company.api.created('/api/ledger/entries', {
      date: '2026-02-01',
      description: 'Advance for Quentin  Zephyr',
      currency: 'USD',
      metadata: { 'who "it" is': 'zephyr, quentin' },
      lines: [
        { accountCode: '1000', amount: -5, memo: 'paid to QUENTIN@zephyr.test' },
        { accountCode: '6900', amount: 5, memo: 'advance' },
      ],
    });
    const erase = () =>
      callErasure(system.owner, 'erase_alone', { kind: 'employee', person: employeeId, companies: [company.id] });
    const balance = await trialBalance(company);
    const unsealed = await erase().catch(({ message }: Error) => message);
    await sealAllOf(system);
    before = {
      answer,
      balance,
      unsealed,
      leaves: await leavesOf(company),
      places: await whereIs(system.owner, 'zephyr'),
    };
    await erase();
  });

  test('is erased once all rows are sealed as they were, and not before', () => {
    expect(before.unsealed).toMatch(
      /^not everything is sealed yet, and what is erased first is never sealed as it was/,
    );
    expect(before.places.length).toBeGreaterThan(5);
  });

  test('is found nowhere in the database', async () => {
    for (const text of ['Quentin', 'Zephyr']) expect(await whereIs(system.owner, text)).toEqual([]);
  });

  test('leaves the books, the seal and every control as they were', async () => {
    await expectBooksToHold(company);
    expect(await trialBalance(company)).toEqual(before.balance);
    expect(await leavesOf(company)).toEqual(before.leaves);
    const { rows } = await system.owner.query(
      `SELECT count(*) FILTER (WHERE substring(s.salts FROM (16 * (n - s.first_number))::int + 1 FOR 16) =
           decode(repeat('00', 16), 'hex'))::int AS gone, count(*)::int AS erased
       FROM seal_salts s, jsonb_object_keys(s.erased) AS k, LATERAL (SELECT k::bigint AS n) AS number WHERE company_id = $1`,
      [company.id],
    );
    expect(rows[0].gone).toBeGreaterThan(3);
    expect(rows[0].gone).toBe(rows[0].erased);
  });

  test('is answered with the erased form under the same key, with the same status, location and marker', async () => {
    const again = await company.api.post('/api/payroll/employees', body, { key: 'hire-1' });
    expect(again).toMatchObject({ status: 201, replayed: true });
    expect(again.headers.get('location')).toBe(before.answer.headers.get('location'));
    // Member by member in the order of before, and only what tells of the person is another.
    const told = JSON.parse(before.answer.text);
    expect(again.text).toBe(
      JSON.stringify({
        ...told,
        firstName: '[erased]',
        lastName: '[erased]',
        email: `erased+${employeeId}@erased.invalid`,
        deductions: [{ ...told.deductions[0], name: '[erased]' }],
        terms: [{ ...told.terms[0], deductions: [{ ...told.deductions[0], name: '[erased]' }] }],
      }),
    );
    const refused = await company.api.post('/api/payroll/employees', { ...body, firstName: 'Q.' }, { key: 'hire-2' });
    expect(refused).toMatchObject({ status: 409, replayed: true });
  });

  test('tells a write with the erased form of its request, and where a twin differed, which tells of nobody', async () => {
    const { request, timeline } = (await company.api.get('/api/writes/hire-1')).json;
    expect(request.body).toMatchObject({ firstName: '[erased]', annualSalary: body.annualSalary });
    const [twin] = timeline.filter(({ kind }: { kind: string }) => kind === 'conflicted');
    expect(twin.differences).toEqual([{ in: 'body', pointer: '/firstName' }]);
  });

  test('has requests that are compared without what was erased, and no old key makes a new write', async () => {
    const count = async () => (await system.owner.query('SELECT count(*)::int FROM employees')).rows[0].count;
    const employees = await count();
    const send = (changes: object) =>
      company.api.post('/api/payroll/employees', { ...body, ...changes }, { key: 'hire-1' });
    expect(await send({ firstName: 'Anyone', email: 'anyone@else.test' })).toMatchObject({
      status: 201,
      replayed: true,
    });
    expect(await send({ deductions: [{ name: 'Whatever', amount: 10_000, preTax: true }] })).toMatchObject({
      status: 201,
      replayed: true,
    });
    const other = await send({ firstName: 'Anyone', annualSalary: 4_999_999 });
    expect(other.json).toMatchObject({
      code: 'idempotency_key_reused',
      differences: [{ in: 'body', pointer: '/annualSalary' }],
    });
    expect((await send({ deductions: [] })).status).toBe(422);
    expect(await count()).toBe(employees);
  });

  test('stays erased when it is done again, which changes nothing', async () => {
    const again = await callErasure(system.owner, 'erase_alone', {
      kind: 'employee',
      person: employeeId,
      companies: [company.id],
    });
    expect(again.companies).toEqual([{ company: company.id, salts: 0, idempotent_writes: 0 }]);
  });
});

describe('an erased customer', () => {
  let company: Company;
  let customerId: string;
  let other: string;
  let bankId: string;
  let balance: unknown;
  const customer = {
    name: 'Blue Quokka Bakery',
    email: 'orders@quokka.test',
    externalReference: 'CRM-QK7',
    metadata: { 'called by Quokka': 'on Mondays' },
  };
  beforeAll(async () => {
    company = await system.company('Sales Ltd');
    const { api } = company;
    customerId = (await api.created('/api/customers', customer, { key: 'the-customer' })).id;
    await api.created(`/api/customers/${customerId}`, { name: 'Old Quokka Name', metadata: null }, { method: 'PATCH' });
    await api.created(`/api/customers/${customerId}`, { email: null, name: customer.name }, { method: 'PATCH' });
    other = (await api.created('/api/customers', { name: 'Blue Quokka Bakery', currency: 'USD' })).id;
    const invoice = await api.created(
      '/api/invoices',
      {
        customerId,
        currency: 'USD',
        issueDate: '2026-01-15',
        dueDate: '2026-12-31',
        memo: 'Rent of quokka',
        metadata: { note: 'a quokka again' },
        lines: [
          { description: 'Grooming of a quokka', quantity: '1', unitPrice: 100_000 },
          { description: 'Travel', quantity: '2', unitPrice: 7 },
        ],
      },
      { key: 'the-invoice' },
    );
    await api.created(`/api/invoices/${invoice.id}/finalize`, {});
    const payment = await api.created('/api/payments', {
      invoiceId: invoice.id,
      amount: 60_000,
      currency: 'USD',
      method: 'bank_transfer',
      receivedOn: '2026-02-01',
      reference: 'quokka 1',
      metadata: { by: 'quokka' },
    });
    await api.created('/api/refunds', {
      paymentId: payment.id,
      amount: 1_000,
      reason: 'quokka was sad',
      date: '2026-02-03',
    });
    const note = await api.created(`/api/invoices/${invoice.id}/credit-notes`, {
      lines: [{ lineNumber: 1, net: 500 }],
      reason: 'quokka bit',
      date: '2026-02-03',
    });
    await api.created(`/api/credit-notes/${note.id}/void`, { reason: 'the quokka did not', date: '2026-02-04' });
    bankId = await bankTransaction(api, 60_000, {
      bankReference: 'B-1',
      description: 'QUOKKA SAYS HELLO',
      date: '2026-02-01',
    });
    const entry = await api.get(`/api/ledger/entries/${payment.journalEntryId}`);
    const line = entry.json.lines.find((one: { accountCode: string }) => one.accountCode === '1000');
    await api.created(`/api/ledger/reconcile/${bankId}`, matching(line.id));
    // A rejection whose request names an invoice of the customer and nothing else of theirs.
    await api.post('/api/payments', {
      invoiceId: invoice.id,
      amount: 10_000_000,
      currency: 'USD',
      method: 'cash',
      reference: 'too much for a quokka',
    });
    await api.created('/api/inventory/items', { sku: 'S1', name: 'Cage for Blue Quokka Bakery', currency: 'USD' });
    // A company may have the name of a customer, which is no note about them.
    await changeSettings(company, { name: 'Blue Quokka Bakery & Sons' });
    await changeSettings(company, { name: 'Sales Ltd' });
    balance = await trialBalance(company);
    await sealAllOf(system);
    await callErasure(system.owner, 'erase_alone', {
      kind: 'customer',
      person: customerId,
      companies: [company.id],
      texts: ['Old Quokka'],
    });
  });

  test('is found nowhere, but for another one of the same name', async () => {
    await system.owner.query(`UPDATE customers SET name = 'Somebody' WHERE id = $1`, [other]);
    const places = await whereIs(system.owner, 'quokka');
    await system.owner.query(`UPDATE customers SET name = 'Blue Quokka Bakery' WHERE id = $1`, [other]);
    expect(places.sort()).toEqual([
      'idempotent_writes.request',
      'idempotent_writes.response_body',
      'settings_versions.settings',
    ]);
    const { rows } = await system.owner.query(
      `SELECT operation FROM idempotent_writes WHERE request::text ILIKE '%quokka%' ORDER BY 1`,
    );
    expect(rows).toEqual([{ operation: 'createCustomer' }, { operation: 'updateCompanySettings' }]);
    expect(await whereIs(system.owner, 'CRM-QK7')).toEqual([]);
  });

  test('leaves the books, the seal and every control as they were', async () => {
    await expectBooksToHold(company);
    expect(await trialBalance(company)).toEqual(balance);
    const { json } = await company.api.get(`/api/customers/${customerId}`);
    expect(json).toMatchObject({
      name: '[erased]',
      email: null,
      externalReference: `erased:${customerId}`,
      metadata: {},
    });
  });

  test('has writes that are replayed as before, and compared without what was erased', async () => {
    const again = await company.api.post('/api/customers', customer, { key: 'the-customer' });
    expect(again).toMatchObject({
      status: 201,
      replayed: true,
      json: { id: customerId, metadata: { erased: '[erased]' } },
    });
    const anonymous = { ...customer, name: 'X', metadata: { other: 'notes' }, externalReference: 'Y' };
    expect((await company.api.post('/api/customers', anonymous, { key: 'the-customer' })).replayed).toBe(true);
    const euros = await company.api.post('/api/customers', { ...customer, currency: 'EUR' }, { key: 'the-customer' });
    expect(euros.json.differences).toEqual([{ in: 'body', pointer: '/currency' }]);
  });

  test('does not make the bank tell a line twice', async () => {
    const line = {
      bankReference: 'B-1',
      date: '2026-02-01',
      amount: 60_000,
      currency: 'USD',
      description: 'QUOKKA SAYS HELLO',
    };
    const { items } = await company.api.created('/api/bank-transactions/import', { transactions: [line] });
    expect(items).toEqual([{ bankReference: 'B-1', id: bankId, result: 'already_known' }]);
  });
});

describe('an erased user', () => {
  test('has no address and no subject left, in the answers that told it neither', async () => {
    const company = await system.company('Members Ltd');
    const { rows } = await system.owner.query(`SELECT create_user('ursula@unicorn.test') AS id`);
    const person: string = rows[0].id;
    await system.owner.query(`UPDATE users SET subject = 'oidc|ursula' WHERE id = $1`, [person]);
    await company.api.created(`/api/users/${person}/access`, { roles: ['manager'] }, { key: 'grant' });
    await system.owner.query('UPDATE memberships SET unseen = false WHERE user_id = $1', [person]);
    await company.api.created(`/api/users/${person}/access`, { roles: ['auditor'] });
    await system.owner.query(
      `INSERT INTO security_log (company_id, event, reason, subject) VALUES ('00000000-0000-0000-0000-000000000000',
         'access_refused', 'forbidden', 'oidc|ursula')`,
    );
    await sealAllOf(system);
    const erasing = { kind: 'user', person, companies: [] } as const;
    await expect(callErasure(system.owner, 'erase_alone', erasing)).rejects.toThrow(
      /a member of other companies, which did not ask/,
    );
    expect(await whereIs(system.owner, 'ursula')).toContain('idempotent_writes.response_body');
    await company.api.created(`/api/users/${person}/access`, { roles: [] });
    await sealAllOf(system);
    await callErasure(system.owner, 'erase_alone', erasing);
    expect(await whereIs(system.owner, 'ursula')).toEqual([]);
    await expectBooksToHold(company);
    const again = await company.api.post(`/api/users/${person}/access`, { roles: ['manager'] }, { key: 'grant' });
    expect(again).toMatchObject({ status: 200, replayed: true });
  });
});

describe('what would bring a person back', () => {
  test('is a write that waits for its approval: nothing is erased until it is decided', async () => {
    const company = await system.company('Approved Ltd');
    await setPolicies(company, [{ operation: 'createEmployee', approverRoles: ['admin'] }]);
    const pending = await company.api.post('/api/payroll/employees', employeeBody({ email: 'late@larch.test' }), {
      key: 'waits',
    });
    expect(pending.status).toBe(202);
    const person = await company.customer();
    await sealAllOf(system);
    const erasing = { kind: 'customer', person, companies: [company.id], texts: ['late@larch.test'] } as const;
    await expect(callErasure(system.owner, 'erase_alone', erasing)).rejects.toThrow(
      /wait for their approval: .*'waits'/,
    );
    await company.api.post('/api/writes/waits/cancel', {});
    await sealAllOf(system);
    await callErasure(system.owner, 'erase_alone', erasing);
    expect(await whereIs(system.owner, 'larch')).toEqual([]);
  });

  test('is not the reason that is given', async () => {
    const company = await system.company('Reasons Ltd');
    const person = await hire(company, { firstName: 'Una', lastName: 'Usual' });
    await sealAllOf(system);
    await expect(
      callErasure(system.owner, 'erase_alone', {
        kind: 'employee',
        person,
        companies: [company.id],
        reason: 'Una Usual asked',
      }),
    ).rejects.toThrow(/the reason names the person/);
  });
});
