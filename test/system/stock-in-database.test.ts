import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Tx } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import { adjustInventory } from '../../activities/operations/adjust-inventory.ts';
import { createInventoryItem } from '../../activities/operations/create-inventory-item.ts';
import { type Actor, type Actors, actors, claimByHand, postByHand, rejectByHand } from '../support/actors.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

/** Does not look at the later days, as the release before. */
function asBefore({ set, ...operation }: Operation): Operation {
  if (set === undefined) throw new Error('There is no form for sets');
  return {
    ...operation,
    write: (tx, input, context) => operation.write(withoutLaterDays(tx), input, context),
    set: { ...set, load: (tx, companyId, inputs) => set.load(withoutLaterDays(tx), companyId, inputs) },
  };
}

function withoutLaterDays(tx: Tx): Tx {
  return {
    query: (text, values) => tx.query(text.replace('later FROM lock_stock', 'NULL AS later FROM lock_stock'), values),
  };
}

let system: System;
let company: Company;
let sql: Actors;
beforeAll(async () => {
  system = await startSystem({ operations: [createInventoryItem, asBefore(adjustInventory)] });
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  company = await system.company();
});
afterAll(async () => {
  await sql.end();
  await system.stop();
});

type Movement = readonly [date: string, units: number, value: number];
const REFUSED = { code: '23514', constraint: 'insufficient_stock' };

const newItem = async (): Promise<string> =>
  (await company.api.created('/api/inventory/items', { sku: randomUUID(), name: 'Lamp', currency: 'USD' })).id;

/** An item that comes and goes by these, one after the other. */
async function itemMoved(moves: readonly Movement[]): Promise<string> {
  const itemId = await newItem();
  for (const one of moves) await move('application', itemId, [one]);
  return itemId;
}

/** What the release before calls for a set of movements. */
function move(
  actor: Actor,
  itemId: string,
  moves: readonly Movement[],
  { unchecked = false, first }: { readonly unchecked?: boolean; readonly first?: () => Promise<void> } = {},
): Promise<void> {
  return sql.as(actor, company.id, async (client) => {
    // The transaction has begun by then.
    await first?.();
    if (unchecked) await client.query('ALTER TABLE inventory_movements DISABLE TRIGGER require_stock_as_of_any_day');
    const writeId = await claimByHand(client, company.id, company.users.owner.id);
    const entryId = await postByHand(client, company.id, writeId, [
      ['1000', 7, 'USD'],
      ['3000', -7, 'USD'],
    ]);
    const rows = moves.map(([date, units, value]) => ({
      ...{ id: randomUUID(), item_id: itemId, quantity_delta: units, value_delta_minor: value, currency: 'USD' },
      ...{ reason: 'Counted', moved_on: date, journal_entry_id: entryId },
    }));
    await client.query('SELECT * FROM lock_inventory_items($1, $2)', [company.id, [itemId]]);
    await client.query('SELECT move_stock($1, $2)', [company.id, JSON.stringify(rows)]);
    await client.query('SELECT record_movements($1, $2)', [company.id, JSON.stringify(rows)]);
    await rejectByHand(client, company.id, writeId);
    if (unchecked) await client.query('ALTER TABLE inventory_movements ENABLE TRIGGER require_stock_as_of_any_day');
  });
}

describe.each<Actor>(['application', 'owner'])('the database refuses the %s less than nothing as of a day', (actor) => {
  test('of units, also before the first of them came', async () => {
    const itemId = await itemMoved([
      ['2026-02-01', 10, 1000],
      ['2026-03-10', -8, -800],
      ['2026-03-20', 50, 5000],
    ]);
    await expect(move(actor, itemId, [['2026-01-31', -1, -1]])).rejects.toMatchObject(REFUSED);
    await expect(move(actor, itemId, [['2026-02-15', -3, -3]])).rejects.toMatchObject(REFUSED);
    await expect(move(actor, itemId, [['2026-02-15', -2, -2]])).resolves.toBeUndefined();
    await expect(move(actor, itemId, [['2026-03-19', -1, -1]])).rejects.toMatchObject(REFUSED);
    await expect(move(actor, itemId, [['2026-03-20', -49, -4900]])).resolves.toBeUndefined();
  });

  test('of value', async () => {
    const itemId = await itemMoved([
      ['2026-02-01', 10, 10],
      ['2026-03-01', 10, 1000],
    ]);
    await expect(move(actor, itemId, [['2026-02-10', -5, -253]])).rejects.toMatchObject(REFUSED);
    await expect(move(actor, itemId, [['2026-03-01', -5, -253]])).resolves.toBeUndefined();
  });

  test('by several movements at once, of which each day counts', async () => {
    const itemId = await itemMoved([['2026-03-01', 5, 500]]);
    const tooEarly: Movement[] = [
      ['2026-02-10', -1, -100],
      ['2026-02-12', 1, 100],
    ];
    await expect(move(actor, itemId, tooEarly)).rejects.toMatchObject(REFUSED);
    const inTime: Movement[] = [
      ['2026-02-12', -1, -100],
      ['2026-02-10', 1, 100],
    ];
    await expect(move(actor, itemId, inTime)).resolves.toBeUndefined();
  });

  test('and what was negative before is not made worse, and can be put right in steps', async () => {
    const itemId = await itemMoved([['2026-03-01', 5, 500]]);
    await move('owner', itemId, [['2026-02-20', -2, -200]], { unchecked: true });
    for (const day of ['2026-02-19', '2026-02-20', '2026-02-25']) {
      await expect(move(actor, itemId, [[day, -1, -100]])).rejects.toMatchObject(REFUSED);
    }
    const balanced: Movement[] = [
      ['2026-02-10', 1, 100],
      ['2026-02-22', -1, -100],
    ];
    await expect(move(actor, itemId, balanced)).resolves.toBeUndefined();
    await expect(move(actor, itemId, [['2026-02-20', 1, 100]])).resolves.toBeUndefined();
    await expect(move(actor, itemId, [['2026-02-19', 1, 100]])).resolves.toBeUndefined();
    await expect(move(actor, itemId, [['2026-03-01', -2, -200]])).resolves.toBeUndefined();
  });
});

test('movements of a day are listed in the order of posting, those of a set as well, each with the quantity after it', async () => {
  const itemId = await newItem();
  const units = [9, -4, 3, -8, 7, -1, 2, -5, 6, -9];
  const set = units.map((one): Movement => ['2026-03-01', one, one * 10]);
  await move('application', itemId, set, { first: () => move('application', itemId, [['2026-03-01', 100, 1_000]]) });
  const { json } = await company.api.get(`/api/reports/stock-movements?itemId=${itemId}`);
  const listed = json.items.toReversed();
  expect(listed.map(({ quantityDelta }: { quantityDelta: number }) => quantityDelta)).toEqual([100, ...units]);
  expect(listed.map(({ quantity }: { quantity: number }) => quantity)).toEqual([
    ...[100, 109, 105, 108, 100, 107, 106, 108, 103, 109, 100],
  ]);
});

test('a process that does not look at the later days is refused by the database, alone and in sets', async () => {
  const itemId = await itemMoved([
    ['2026-02-01', 10, 1000],
    ['2026-03-10', -5, -500],
    ['2026-03-20', 50, 5000],
  ]);
  const take = (day: number) =>
    company.api.post(
      `/api/inventory/${itemId}/adjust`,
      { quantityDelta: -1, reason: 'Sold', date: `2026-02-${day}` },
      { headers: { prefer: 'wait=60' } },
    );
  const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => take(index + 10)));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(5);
  const refused = answers.filter(({ status }) => status !== 200);
  expect(refused.map(({ status, json }) => [status, json.code, json.errors?.[0]?.pointer])).toEqual(
    Array.from({ length: 7 }, () => [422, 'insufficient_stock', '/quantityDelta']),
  );
});
