import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { closeBooks, readEntry } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { stockedItem } from '../support/payroll.ts';
import { said } from '../support/said.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());
beforeEach(async () => {
  company = await system.company();
});

const itemBody = (changes: object = {}) => ({ sku: 'LAMP', name: 'Lamp', currency: 'USD', ...changes });
const create = (changes: object = {}) => company.api.post('/api/inventory/items', itemBody(changes));
const adjust = (itemId: string, quantityDelta: number, changes: object = {}) =>
  company.api.post(`/api/inventory/${itemId}/adjust`, { quantityDelta, reason: 'Counted', ...changes });
const refusal = (status: number, code: string) => ({ status, json: { code } });

/** The entry that the movement of a write posted. */
async function entryOf(answer: { headers: Headers }) {
  const key = answer.headers.get('idempotency-key');
  const { rows } = await system.owner.query(
    `SELECT m.journal_entry_id FROM inventory_movements m JOIN idempotent_writes w USING (company_id)
     WHERE m.company_id = $1 AND w.idempotency_key = $2 AND m.id = w.write_id`,
    [company.id, key],
  );
  return readEntry(system.owner, company.id, rows[0].journal_entry_id);
}

describe('an item', () => {
  test('begins empty, and posts nothing', async () => {
    const { status, json, headers } = await create();
    expect([status, json]).toEqual([
      201,
      { id: json.id, ...itemBody(), quantity: 0, value: 0, createdAt: expect.any(String) },
    ]);
    expect(headers.get('location')).toBe(`/api/inventory/items/${json.id}`);
    expect((await company.api.get(`/api/inventory/items/${json.id}`)).json).toEqual(json);
    expect((await company.api.get('/api/inventory/items')).json).toEqual({ items: [json], nextCursor: null });
    expect((await company.api.get('/api/ledger/entries')).json.items).toEqual([]);
  });

  test('begins with an opening quantity at its cost, against equity', async () => {
    const answer = await create({ openingQuantity: 7, openingUnitCost: 143, date: '2026-01-02' });
    expect(answer.json).toMatchObject({ quantity: 7, value: 1001 });
    expect(await entryOf(answer)).toEqual({
      date: '2026-01-02',
      operation: 'createInventoryItem',
      lines: [
        ['1200', 1001, 'USD'],
        ['3000', -1001, 'USD'],
      ],
    });
  });

  test('of an opening quantity of 0 begins empty', async () => {
    expect((await create({ openingQuantity: 0 })).json).toMatchObject({ quantity: 0, value: 0 });
  });

  test('begins with the largest value there is, and no more', async () => {
    const largest = { openingQuantity: 1_000_000_000, openingUnitCost: 10_000 };
    expect((await create(largest)).json).toMatchObject({ quantity: 1_000_000_000, value: 10_000_000_000_000 });
    const more = { sku: 'OTHER', openingQuantity: 3, openingUnitCost: 3_333_333_333_334 };
    expect(await create(more)).toMatchObject(refusal(422, 'amount_out_of_range'));
  });

  test('has a SKU of its own in the company', async () => {
    const first = await create();
    expect(await create({ openingQuantity: 1, openingUnitCost: 1 })).toMatchObject(refusal(409, 'sku_taken'));
    const other = await system.company();
    expect((await other.api.post('/api/inventory/items', itemBody())).status).toBe(201);
    expect((await company.api.get('/api/inventory/items')).json.items).toEqual([first.json]);
  });

  test.each([
    [{ openingQuantity: 1 }, 'unit_cost_required'],
    [{ openingUnitCost: 1 }, 'validation_failed'],
    [{ openingQuantity: -1, openingUnitCost: 1 }, 'validation_failed'],
    [{ openingQuantity: 1.5, openingUnitCost: 1 }, 'validation_failed'],
    [{ openingQuantity: 1_000_000_001, openingUnitCost: 1 }, 'validation_failed'],
    [{ openingQuantity: 1, openingUnitCost: 0 }, 'validation_failed'],
    [{ sku: ' ' }, 'validation_failed'],
    [{ currency: 'ZZZ' }, 'validation_failed'],
  ])('with %j is refused', async (changes, code) => {
    expect(await create(changes)).toMatchObject(refusal(422, code));
    expect((await company.api.get('/api/inventory/items')).json.items).toEqual([]);
  });

  test('does not open in a closed period', async () => {
    await closeBooks(company, '2026-01-31');
    const opening = { openingQuantity: 1, openingUnitCost: 1, date: '2026-01-31' };
    expect(said(await create(opening))).toEqual([
      ...[409, 'period_closed', 'The books are closed through 2026-01-31.', ['body /date']],
    ]);
    expect((await create({ ...opening, date: '2026-02-01' })).status).toBe(201);
  });
});

describe('an adjustment', () => {
  let itemId: string;
  /** Ten units that have cost 1,003. */
  beforeEach(async () => {
    itemId = (await stockedItem(company)).id;
  });
  const stock = async () => {
    const { quantity, value } = (await company.api.get(`/api/inventory/items/${itemId}`)).json;
    return [quantity, value];
  };

  test('of less goes at the average, half away from zero, and the last unit takes what is left', async () => {
    // 1,003 × 3 / 10 = 300.9 · 702 × 4 / 7 = 401.14… · 301 × 2 / 3 = 200.66… · the rest
    for (const [less, quantity, value, cost] of [
      [3, 7, 702, 301],
      [4, 3, 301, 401],
      [2, 1, 100, 201],
      [1, 0, 0, 100],
    ] as const) {
      const answer = await adjust(itemId, -less, { date: '2026-02-03' });
      expect([answer.status, answer.json.quantity, answer.json.value]).toEqual([200, quantity, value]);
      expect(await entryOf(answer)).toEqual({
        date: '2026-02-03',
        operation: 'adjustInventory',
        lines: [
          ['1200', -cost, 'USD'],
          ['5100', cost, 'USD'],
        ],
      });
    }
  });

  test('of exactly half a minor unit rounds away from zero, in both directions', async () => {
    const odd = await company.api.created('/api/inventory/items', {
      ...itemBody({ sku: 'ODD' }),
      openingQuantity: 2,
      openingUnitCost: 2,
    });
    expect((await adjust(odd.id, 2, { unitCost: 3 })).json).toMatchObject({ quantity: 4, value: 10 });
    expect((await adjust(odd.id, -1)).json).toMatchObject({ quantity: 3, value: 7 }); // 2.5 is 3
    expect((await adjust(odd.id, 1, { unitCost: 3 })).json).toMatchObject({ quantity: 4, value: 10 });
    expect((await adjust(odd.id, 1)).json).toMatchObject({ quantity: 5, value: 13 }); // and so it is coming in
  });

  test('of more comes at its cost, or else at the average, against the account it names', async () => {
    const average = await adjust(itemId, 5, { date: '2026-02-03' });
    expect(average.json).toMatchObject({ quantity: 15, value: 1505 }); // 501.5 is 502
    const bought = await adjust(itemId, 5, { unitCost: 999, offsetAccountCode: '1000', date: '2026-02-03' });
    expect(bought.json).toMatchObject({ quantity: 20, value: 6500 });
    expect((await entryOf(bought)).lines).toEqual([
      ['1200', 4995, 'USD'],
      ['1000', -4995, 'USD'],
    ]);
  });

  test('never goes below zero', async () => {
    expect(await adjust(itemId, -11)).toMatchObject({
      ...refusal(422, 'insufficient_stock'),
      json: { detail: expect.stringMatching(/^There are 10 units in stock as of \d{4}-\d\d-\d\d\.$/) },
    });
    expect(await stock()).toEqual([10, 1003]);
  });

  test('of an empty item wants a cost', async () => {
    await adjust(itemId, -10);
    expect(await adjust(itemId, 1)).toMatchObject(refusal(422, 'unit_cost_required'));
    expect(await adjust(itemId, -1)).toMatchObject(refusal(422, 'insufficient_stock'));
    expect((await adjust(itemId, 1, { unitCost: 5 })).json).toMatchObject({ quantity: 1, value: 5 });
  });

  test('never makes an item worth more than 10^13', async () => {
    expect(await adjust(itemId, 1, { unitCost: 9_999_999_998_998 })).toMatchObject(refusal(422, 'amount_out_of_range'));
    expect((await adjust(itemId, 1, { unitCost: 9_999_999_998_997 })).json.value).toBe(10_000_000_000_000);
    expect(await adjust(itemId, 1)).toMatchObject(refusal(422, 'amount_out_of_range'));
    expect((await adjust(itemId, -11)).json).toMatchObject({ quantity: 0, value: 0 });
  });

  test.each([['1100'], ['1200'], ['9999']])('is not posted against %s', async (offsetAccountCode) => {
    expect(await adjust(itemId, 1, { offsetAccountCode })).toMatchObject({
      ...refusal(422, 'account_not_usable'),
      json: { errors: [{ in: 'body', pointer: '/offsetAccountCode' }] },
    });
  });

  test('of an item that is not there, or is another company’s, is refused', async () => {
    const foreign = await stockedItem(await system.company());
    for (const id of [randomUUID(), foreign.id]) {
      expect(await adjust(id, -1)).toMatchObject({
        ...refusal(404, 'inventory_item_not_found'),
        json: { errors: [{ in: 'path', pointer: '/itemId' }] },
      });
    }
  });

  test.each([
    [{ quantityDelta: 0 }],
    [{ quantityDelta: -0 }],
    [{ quantityDelta: 0.5 }],
    [{ quantityDelta: 1_000_000_001 }],
    [{ quantityDelta: -1_000_000_001 }],
    [{ quantityDelta: -1, unitCost: 5 }],
    [{ quantityDelta: 1, unitCost: 0 }],
    [{ reason: '' }],
  ])('with %j is refused', async (changes) => {
    expect(await adjust(itemId, 1, changes)).toMatchObject(refusal(422, 'validation_failed'));
    expect(await stock()).toEqual([10, 1003]);
  });

  test('does not post into a closed period', async () => {
    await closeBooks(company, '2026-02-28');
    expect(await adjust(itemId, -1, { date: '2026-02-28' })).toMatchObject(refusal(409, 'period_closed'));
    expect(await stock()).toEqual([10, 1003]);
  });

  test('is for those who keep the stock', async () => {
    for (const role of ['manager', 'inventory_manager'] as const) {
      const body = { quantityDelta: -1, reason: 'Sold' };
      expect((await company.as(role).post(`/api/inventory/${itemId}/adjust`, body)).status).toBe(200);
      expect((await company.as(role).post('/api/inventory/items', itemBody({ sku: role }))).status).toBe(201);
    }
    for (const role of ['accountant', 'auditor', 'employee'] as const) {
      expect(await company.as(role).post('/api/inventory/items', itemBody())).toMatchObject(refusal(403, 'forbidden'));
    }
  });

  test('races others: what is in stock is taken once, and no more', async () => {
    const patient = { headers: { prefer: 'wait=60' } };
    const answers = await Promise.all(
      Array.from({ length: 30 }, () =>
        company.api.post(`/api/inventory/${itemId}/adjust`, { quantityDelta: -1, reason: 'Sold' }, patient),
      ),
    );
    const refused = answers.filter(({ status }) => status !== 200);
    expect(refused.map(({ status, json }) => [status, json.code])).toEqual(
      Array.from({ length: 20 }, () => [422, 'insufficient_stock']),
    );
    expect(await stock()).toEqual([0, 0]);
  });
});

describe('as of any day there is no less than nothing', () => {
  /** An item that comes and goes on these days; the unit cost of what comes is 100 unless given. */
  async function itemMoved(moves: readonly (readonly [date: string, units: number, unitCost?: number])[]) {
    const { id } = await company.api.created('/api/inventory/items', itemBody({ sku: randomUUID() }));
    for (const [date, units, unitCost = 100] of moves) {
      expect((await adjust(id, units, { date, ...(units > 0 && { unitCost }) })).status).toBe(200);
    }
    return id as string;
  }
  const short = (detail: string) => ({
    status: 422,
    json: { code: 'insufficient_stock', detail, errors: [{ in: 'body', pointer: '/quantityDelta' }] },
  });

  test('what is taken is there on each later day, too', async () => {
    const id = await itemMoved([
      ['2026-02-01', 10],
      ['2026-03-10', -8],
      ['2026-03-20', 50],
    ]);
    const takenBefore = { date: '2026-02-15' };
    expect(await adjust(id, -3, takenBefore)).toMatchObject(short('There are 2 units in stock as of 2026-03-10.'));
    expect(await adjust(id, -11, takenBefore)).toMatchObject(short('There are 10 units in stock as of 2026-02-15.'));
    expect(await adjust(id, -2, takenBefore)).toMatchObject({ status: 200, json: { quantity: 50 } });
    // As of the 10th there is nothing left, and from the 20th on there are fifty.
    expect(await adjust(id, -1, { date: '2026-03-09' })).toMatchObject(
      short('There are 0 units in stock as of 2026-03-10.'),
    );
    expect((await adjust(id, -50, { date: '2026-03-20' })).status).toBe(200);
  });

  test('what is not there yet is not taken', async () => {
    const id = await itemMoved([['2026-03-01', 5]]);
    expect(await adjust(id, -1, { date: '2026-02-28' })).toMatchObject(
      short('There are 0 units in stock as of 2026-02-28.'),
    );
    expect((await adjust(id, 1, { date: '2026-02-28', unitCost: 100 })).status).toBe(200);
    expect((await adjust(id, -1, { date: '2026-02-28' })).status).toBe(200);
  });

  test('what is taken costs the average of now, and never more than the stock was worth on the day', async () => {
    const id = await itemMoved([
      ['2026-02-01', 10, 1],
      ['2026-03-01', 10, 100],
    ]);
    // 1,010 × 5 / 20 = 252.5
    expect(await adjust(id, -5, { date: '2026-02-10' })).toMatchObject(
      short('The stock is worth 0.10 USD as of 2026-02-10; the units taken cost 2.53 USD.'),
    );
    expect((await adjust(id, -5, { date: '2026-03-01' })).json).toMatchObject({ quantity: 15, value: 757 });
  });

  test('a later day that is short is found among takings at once', async () => {
    const id = await itemMoved([
      ['2026-02-01', 10],
      ['2026-03-10', -5],
    ]);
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        adjust(id, -1, { date: `2026-02-${index + 10}`, reason: `Sold ${index}` }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(5);
    for (const { status, json } of answers.filter((answer) => answer.status !== 200)) {
      expect([status, json.code, json.detail]).toEqual([
        422,
        'insufficient_stock',
        'There are 0 units in stock as of 2026-03-10.',
      ]);
    }
  });
});

/** The stock after a movement, or the code of its refusal, as simply as can be said; amounts here are small. */
function modelOf({ quantity, value }: { quantity: number; value: number }, delta: number, cost: number | null) {
  if (quantity + delta < 0) return 'insufficient_stock';
  if (delta > 0 && cost !== null) return { quantity: quantity + delta, value: value + delta * cost };
  if (quantity === 0) return 'unit_cost_required';
  const moved = Math.floor((2 * value * Math.abs(delta) + quantity) / (2 * quantity));
  return { quantity: quantity + delta, value: value + Math.sign(delta) * moved };
}

test('whatever comes and goes, an item is worth what a simple model says', async () => {
  const delta = fc.integer({ min: -6, max: 6 }).filter((units) => units !== 0);
  const movements = fc.array(fc.record({ delta, cost: fc.option(fc.integer({ min: 1, max: 9 })) }), {
    minLength: 5,
    maxLength: 12,
  });
  const property = fc.asyncProperty(movements, async (sequence) => {
    const { id } = await company.api.created('/api/inventory/items', itemBody({ sku: randomUUID() }));
    let model = { quantity: 0, value: 0 };
    for (const { delta: units, cost } of sequence) {
      const { json } = await adjust(id, units, units > 0 && cost !== null ? { unitCost: cost } : {});
      const expected = modelOf(model, units, cost);
      expect(json.code ?? { quantity: json.quantity, value: json.value }).toEqual(expected);
      if (typeof expected !== 'string') model = expected;
    }
    expect((await company.api.get(`/api/inventory/items/${id}`)).json).toMatchObject(model);
  });
  await fc.assert(property, { numRuns: 5 });
});

test('after all of this the books are right', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
