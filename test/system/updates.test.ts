import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { RunningApi } from '../../api/app.ts';
import { type Actor, type Actors, actors } from '../support/actors.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEverything, paymentBody } from '../support/effects.ts';
import { holdInvoice, untilWaiting } from '../support/held-invoice.ts';
import { said } from '../support/said.ts';
import { sendPatiently as send } from '../support/send-patiently.ts';
import { type System, startSystem } from '../support/system.ts';
import { tally } from '../support/tally.ts';

let system: System;
let company: Company;
let stranger: Company;
let other: RunningApi;
let sql: Actors;
beforeAll(async () => {
  system = await startSystem();
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  [company, stranger] = [await system.company(), await system.company()];
  other = await system.another();
});
afterAll(async () => {
  await sql.end();
  await system.stop();
});

const times = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, index) => make(index));
/** Clients of two APIs in turn: what must hold may not rest on one process. */
const client = (index: number) => (index % 2 === 0 ? company.api : company.as('owner', other.url));
const patch = (path: string, body: object, index = 0) => send(client(index), path, body, 'PATCH');
const problemOf = (answer: Answer) => {
  const [status, code, , pointers] = said(answer);
  return [status, code, pointers];
};

async function customer(members: object = {}): Promise<{ id: string; path: string }> {
  const { id } = await company.api.created('/api/customers', { name: 'Before', ...members });
  return { id, path: `/api/customers/${id}` };
}
let items = 0;
async function item(): Promise<{ id: string; path: string; sku: string }> {
  items += 1;
  const sku = `SKU-${items}`;
  const stock = { openingQuantity: 10, openingUnitCost: 100, date: '2026-02-01' };
  const { id } = await company.api.created('/api/inventory/items', { sku, name: 'Before', currency: 'USD', ...stock });
  return { id, path: `/api/inventory/items/${id}`, sku };
}

describe('a customer', () => {
  const all = { email: 'before@customer.test', metadata: { floor: '3', room: '12' } };

  test('is changed in what the request names, and in nothing else', async () => {
    const { path } = await customer({ ...all, externalReference: 'keep' });
    const before = (await company.api.get(path)).json;
    for (const change of [
      { name: 'After' },
      { email: 'after@customer.test' },
      { externalReference: 'after' },
      { metadata: { room: '13' } },
      { name: 'Both', email: 'both@customer.test' },
    ]) {
      const { json } = await company.api.get(path);
      const { status, json: answer, headers } = await patch(path, change);
      expect([status, answer, headers.get('location')]).toEqual([200, { ...json, ...change }, path]);
      expect((await company.api.get(path)).json).toEqual(answer);
    }
    expect((await company.api.get(path)).json).toMatchObject({
      id: before.id,
      currency: 'USD',
      createdAt: before.createdAt,
    });
  });

  test('loses what is cleared: address, reference and notes', async () => {
    const { path } = await customer({ ...all, externalReference: 'gone' });
    const { json } = await patch(path, { email: null, externalReference: null, metadata: null });
    expect(json).toMatchObject({ name: 'Before', email: null, externalReference: null, metadata: {} });
    // Nobody has it any more.
    await customer({ externalReference: 'gone' });
  });

  test.each([
    [{}, ''],
    [{ name: null }, '/name'],
    [{ name: ' ' }, '/name'],
    [{ email: 'nobody' }, '/email'],
    [{ externalReference: ' ' }, '/externalReference'],
    [{ metadata: { room: 12 } }, '/metadata/room'],
    [{ currency: 'EUR' }, '/currency'],
  ])('is not changed by %j: that is no write', async (body, pointer) => {
    const { path } = await customer(all);
    const before = await countEverything(system.owner, company.id);
    expect(problemOf(await patch(path, body))).toEqual([422, 'validation_failed', [`body ${pointer}`]]);
    expect(await countEverything(system.owner, company.id)).toEqual(before);
  });

  test('of another company is not there', async () => {
    const path = `/api/customers/${await stranger.customer()}`;
    expect(problemOf(await patch(path, { name: 'Mine' }))).toEqual([404, 'customer_not_found', ['path /customerId']]);
    expect((await stranger.api.get(path)).json.name).toBe('Customer');
  });

  test('keeps its own reference, and gets no other customer’s until that one has given it up', async () => {
    const [one, two] = [await customer({ externalReference: 'one' }), await customer({ externalReference: 'two' })];
    expect((await patch(one.path, { externalReference: 'one', name: 'Same' })).status).toBe(200);
    const refused = [409, 'customer_reference_taken', ['body /externalReference']];
    expect(problemOf(await patch(one.path, { externalReference: 'two', name: 'Taken' }))).toEqual(refused);
    expect((await company.api.get(one.path)).json).toMatchObject({ name: 'Same', externalReference: 'one' });
    expect((await patch(two.path, { externalReference: 'three' })).status).toBe(200);
    expect((await patch(one.path, { externalReference: 'two' })).json.externalReference).toBe('two');
  });

  test('is changed without a change of its invoices', async () => {
    const { id, path } = await customer(all);
    const invoicePath = `/api/invoices/${await company.invoice({ customerId: id })}`;
    const before = (await company.api.get(invoicePath)).text;
    await patch(path, { name: 'After', email: null, metadata: null });
    expect((await company.api.get(invoicePath)).text).toBe(before);
  });

  test('that is changed by many at once keeps what each of them has changed', async () => {
    const { id, path } = await customer(all);
    const changes = times(10, (index) => [
      { name: `Name ${index}` },
      { email: `address-${index}@customer.test` },
      { metadata: { index: String(index) } },
    ]).flat();
    const answers = await Promise.all(changes.map((change, index) => patch(path, change, index)));
    expect(tally(answers)).toEqual({ '200': changes.length });
    // Each answer is followed by one that says the same but for one member: customer-answers looks for that.
    expect(await brokenControls(system.owner)).toEqual({});
    const { rows } = await system.owner.query(
      `SELECT convert_from(response_body, 'UTF8') AS last FROM idempotent_writes
       WHERE resource_id = $1 AND outcome = 'succeeded' ORDER BY completed_at DESC LIMIT 1`,
      [id],
    );
    expect((await company.api.get(path)).text).toBe(rows[0].last);
  });

  test('wins a reference that many want at once, and the others are refused', async () => {
    const customers = await Promise.all(times(10, () => customer()));
    const answers = await Promise.all(
      customers.map(({ path }, index) => patch(path, { externalReference: 'wanted' }, index)),
    );
    expect(tally(answers)).toEqual({ '200': 1, '409 customer_reference_taken': 9 });
  });

  test('two customers that exchange their references at once end with one each, whoever is refused', async () => {
    const pair = [await customer({ externalReference: 'left' }), await customer({ externalReference: 'right' })];
    const wanted = ['right', 'left'];
    const answers = await Promise.all(
      pair.map(({ path }, index) => patch(path, { externalReference: wanted[index] }, index)),
    );
    expect(tally(answers)).toEqual({ '409 customer_reference_taken': 2 });
  });
});

describe('an item', () => {
  test('is changed in what the request names; its stock stays', async () => {
    const { path } = await item();
    for (const change of [{ name: 'After' }, { sku: 'OTHER' }, { name: 'Both', sku: 'BOTH' }]) {
      const { json } = await company.api.get(path);
      const { status, json: answer } = await patch(path, change);
      expect([status, answer]).toEqual([200, { ...json, ...change }]);
      expect((await company.api.get(path)).json).toEqual(answer);
    }
  });

  test.each([
    [{}, ''],
    [{ sku: null }, '/sku'],
    [{ quantity: 5 }, '/quantity'],
  ])('is not changed by %j: that is no write', async (body, pointer) => {
    expect(problemOf(await patch((await item()).path, body))).toEqual([422, 'validation_failed', [`body ${pointer}`]]);
  });

  test('gets no other item’s SKU until that one has another', async () => {
    const [one, two] = [await item(), await item()];
    expect((await patch(one.path, { sku: one.sku })).status).toBe(200);
    expect(problemOf(await patch(one.path, { sku: two.sku }))).toEqual([409, 'sku_taken', ['body /sku']]);
    await patch(two.path, { sku: `${two.sku}-OLD` });
    expect((await patch(one.path, { sku: two.sku })).json.sku).toBe(two.sku);
    const foreign = await stranger.api.created('/api/inventory/items', { sku: 'X', name: 'X', currency: 'USD' });
    const refused = [404, 'inventory_item_not_found', ['path /itemId']];
    expect(problemOf(await patch(`/api/inventory/items/${foreign.id}`, { name: 'Mine' }))).toEqual(refused);
  });

  test('that is renamed while its stock is taken loses neither', async () => {
    const { id, path } = await item();
    const taking = times(10, (index) =>
      client(index).post(`/api/inventory/${id}/adjust`, { quantityDelta: -1, reason: 'Sold', date: '2026-02-02' }),
    );
    const naming = times(10, (index) =>
      patch(path, index % 2 === 0 ? { name: `Name ${index}` } : { sku: `NEW-${index}` }, index),
    );
    expect(tally(await Promise.all([...taking, ...naming]))).toEqual({ '200': 20 });
    const { json } = await company.api.get(path);
    expect(json).toMatchObject({ quantity: 0, value: 0 });
    expect([json.name, json.sku]).toEqual([expect.stringMatching(/^Name \d/), expect.stringMatching(/^NEW-\d/)]);
    expect(await brokenControls(system.owner)).toEqual({});
  });
});

describe('a draft that is discarded', () => {
  const discard = (id: string, body: object = {}, index = 0) =>
    send(client(index), `/api/invoices/${id}/discard`, body);
  const finalize = (id: string, index = 0) => send(client(index), `/api/invoices/${id}/finalize`, {});
  async function discarded(): Promise<string> {
    const id = await company.draftInvoice();
    expect((await discard(id)).status).toBe(200);
    return id;
  }

  test('stays readable as it was, without a number, and nothing is due on it or posted', async () => {
    const id = await company.draftInvoice();
    const path = `/api/invoices/${id}`;
    const { items } = (await company.api.get('/api/invoices?status=draft&limit=1')).json;
    const entryCount = (await countEverything(system.owner, company.id))['journal_entries'];
    const { status, json, headers } = await discard(id, { reason: 'Made twice' });
    const today = (await system.owner.query('SELECT company_today($1)::text AS today', [company.id])).rows[0].today;
    const changed = { status: 'discarded', amountDue: 0, discardedOn: today, discardReason: 'Made twice' };
    expect([status, json, headers.get('location')]).toEqual([200, { ...items[0], ...changed }, path]);
    expect((await company.api.get(path)).json).toMatchObject(json);
    expect((await countEverything(system.owner, company.id))['journal_entries']).toBe(entryCount);
    expect((await company.api.get('/api/invoices?status=discarded&limit=1')).json.items).toEqual([json]);
    const drafts = (await company.api.get('/api/invoices?status=draft&limit=200')).json.items;
    expect(drafts.map((draft: { id: string }) => draft.id)).not.toContain(id);
  });

  test('takes no number, and is in no report', async () => {
    const own = await system.company();
    const customerId = await own.customer();
    const [first, between, last] = [
      await own.draftInvoice({ customerId }),
      await own.draftInvoice({ customerId }),
      await own.draftInvoice({ customerId }),
    ];
    await own.api.created(`/api/invoices/${first}/finalize`, {});
    await own.api.created(`/api/invoices/${between}/discard`, {});
    expect((await own.api.created(`/api/invoices/${last}/finalize`, {})).number).toBe('INV-000002');
    const { items: aged } = (await own.api.get('/api/reports/aged-receivables?asOf=2026-01-31')).json;
    expect(aged).toEqual([expect.objectContaining({ customerId, notDue: 200_000 })]);
    const { items: balances } = (await own.api.get('/api/ledger/trial-balance?asOf=2026-01-31')).json;
    expect(balances).toContainEqual(expect.objectContaining({ accountCode: '1100', debit: 200_000 }));
    expect(await brokenControls(system.owner)).toEqual({});
  });

  test('can be neither finalized, paid, credited, voided, reminded of nor discarded again', async () => {
    const id = await discarded();
    const credit = { lines: [{ lineNumber: 1, net: 1 }], reason: 'Discount', date: '2026-03-01' };
    const answers = [
      await finalize(id),
      await company.api.post('/api/payments', paymentBody(id)),
      await company.api.post(`/api/invoices/${id}/credit-notes`, credit),
      await company.api.post(`/api/invoices/${id}/void`, { reason: 'Wrong', date: '2026-03-01' }),
      await company.api.post(`/api/invoices/${id}/reminders`, { step: 1 }),
      await discard(id),
    ];
    expect(answers.map(({ status, json }) => `${status} ${json.code}: ${json.detail}`)).toEqual([
      '409 invoice_not_draft: The invoice is discarded.',
      '409 invoice_not_payable: The invoice is discarded.',
      '409 invoice_not_creditable: The invoice is discarded.',
      '409 invoice_not_voidable: The invoice is a draft that was discarded: nothing has been posted.',
      '409 invoice_not_due: The invoice is discarded.',
      '409 invoice_not_draft: The invoice is discarded.',
    ]);
  });

  test('was a draft: what was finalized, paid, or voided is not discarded, nor what is not there', async () => {
    const [open, paid, voided] = [
      await company.invoice(),
      await company.invoice({ total: 100 }),
      await company.invoice(),
    ];
    await company.api.created('/api/payments', paymentBody(paid));
    await company.api.created(`/api/invoices/${voided}/void`, { reason: 'Wrong', date: '2026-03-01' });
    const refused = [409, 'invoice_not_draft', ['path /invoiceId']];
    for (const id of [open, paid, voided]) expect(problemOf(await discard(id))).toEqual(refused);
    const missing = [404, 'invoice_not_found', ['path /invoiceId']];
    expect(problemOf(await discard(await stranger.draftInvoice()))).toEqual(missing);
  });

  test.each(['finalize', 'discard'] as const)(
    'waits for who holds the draft, and sees what has become of it: %s first',
    async (first) => {
      const id = await company.draftInvoice();
      const held = await holdInvoice(system.owner, id);
      const steps = [() => finalize(id, 0), () => discard(id, {}, 1)];
      const [one, two] = first === 'finalize' ? steps : steps.toReversed();
      const winning = one?.();
      await untilWaiting(system.owner, 1);
      const losing = two?.();
      await untilWaiting(system.owner, 2);
      await held.release();
      expect((await winning)?.status).toBe(200);
      const { status, json } = (await losing) ?? {};
      const found = first === 'finalize' ? 'finalized' : 'discarded';
      expect([status, json.code, json.detail]).toEqual([409, 'invoice_not_draft', `The invoice is ${found}.`]);
    },
  );

  test('many drafts that are finalized and discarded at once become one or the other, and no number is lost', async () => {
    const ids = await Promise.all(times(12, () => company.draftInvoice()));
    const answers = await Promise.all(
      ids.flatMap((id, index) => [discard(id, {}, index), finalize(id, index + 1), discard(id, {}, index + 1)]),
    );
    expect(tally(answers)).toEqual({ '200': 12, '409 invoice_not_draft': 24 });
    expect(await brokenControls(system.owner)).toEqual({});
  });

  const attempt = (actor: Actor, statement: string) =>
    sql.as(actor, company.id, async (session) => {
      const { rowCount } = await session.query(statement);
      throw new Error(`not refused; ${rowCount} rows`);
    });

  test.each<Actor>(['application', 'owner'])('stays discarded and complete, also for the %s', async (actor) => {
    const id = await discarded();
    for (const change of [
      'discarded_on = NULL',
      'discarded_on = discarded_on + 1',
      `discard_reason = 'Other'`,
      `number = 999, journal_entry_id = (SELECT id FROM journal_entries WHERE company_id = '${company.id}' LIMIT 1)`,
      "issue_date = '2026-01-02'",
    ]) {
      await expect(attempt(actor, `UPDATE invoices SET ${change} WHERE id = '${id}'`), change).rejects.toMatchObject({
        code: '23001',
      });
    }
    const line = `INSERT INTO invoice_lines SELECT (jsonb_populate_record(l, '{"line_number": 2}')).*
      FROM invoice_lines l WHERE l.invoice_id = '${id}'`;
    await expect(attempt(actor, line)).rejects.toMatchObject({ code: '23001' });
  });

  test('is never an issued one, also where the number comes in the same statement', async () => {
    const [issued, draft] = [await company.invoice(), await company.draftInvoice()];
    const change = "UPDATE invoices SET discarded_on = '2026-03-01'";
    await expect(attempt('application', `${change} WHERE id = '${issued}'`)).rejects.toMatchObject({ code: '23001' });
    const both = `${change}, number = 999, journal_entry_id = (SELECT id FROM journal_entries
      WHERE company_id = '${company.id}' LIMIT 1) WHERE id = '${draft}'`;
    await expect(attempt('application', both)).rejects.toMatchObject({
      code: '23514',
      constraint: 'invoices_finalized_whole',
    });
    const reason = `UPDATE invoices SET discard_reason = 'Alone' WHERE id = '${draft}'`;
    await expect(attempt('application', reason)).rejects.toMatchObject({ constraint: 'invoices_discard_has_day' });
  });
});
