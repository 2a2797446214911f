import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseInput, type SetForm } from '../../activities/operation.ts';
import { adjustInventory } from '../../activities/operations/adjust-inventory.ts';
import { Rejection } from '../../activities/write/rejection.ts';
import { decideContext } from '../support/decide-context.ts';

const { decide } = adjustInventory.set as SetForm;

const ITEM_ID = '9d0a7f38-52f6-4a3e-8b1c-6f0de4c5a701';
const CREATED_AT = '2026-01-15T08:00:00.000Z';
const account = (isControl = false) => ({ id: 'an-account', type: 'asset', isBank: false, isControl });

/** One item without later movements; February is closed. */
function stateOf({ quantity, value }: { readonly quantity: number; readonly value: number }) {
  const item = { id: ITEM_ID, sku: 'LAMP', name: 'Lamp', currency: 'USD', created_at: CREATED_AT, today: '2026-03-01' };
  return {
    items: new Map([
      [ITEM_ID, { ...item, quantity: BigInt(quantity), value_minor: BigInt(value), later: [] as object[] }],
    ]),
    facts: {
      now: '2026-03-01T12:00:00.000Z',
      today: '2026-03-01',
      closedThrough: '2026-02-28',
      latest: '2027-03-11',
      accounts: new Map([
        ['5100', account()],
        ['1200', account(true)],
      ]),
    },
    movements: [] as { entry: { date: string; lines: object[] }; row: Record<string, unknown> }[],
  };
}

type State = ReturnType<typeof stateOf>;
type Request = { readonly quantityDelta: number; readonly itemId?: string } & Readonly<Record<string, unknown>>;

const EMPTY = { quantity: 0, value: 0 };
const STOCKED = { quantity: 10, value: 1003 };
const CONTEXT = decideContext({ operation: 'adjustInventory' });

const inputOf = ({ itemId = ITEM_ID, ...body }: Request) =>
  parseInput(adjustInventory, { params: { itemId }, body: { reason: 'Counted', ...body } });

/** The stock after it, or its refusal. */
function adjust(state: State, request: Request) {
  try {
    const { quantity, value } = decide(state, inputOf(request), CONTEXT).body;
    return { quantity, value };
  } catch (error) {
    if (error instanceof Rejection)
      return `${error.code} ${Object.values(error.pointer ?? {}).join(' ')}: ${error.message}`;
    throw error;
  }
}

const notUsable = (code: string) =>
  `account_not_usable body /offsetAccountCode: ${code} is not an account of this company, or it is a control account.`;

describe('an adjustment', () => {
  test('is answered with the item after it, and posts what the movement costs', () => {
    const state = stateOf(STOCKED);
    const { writeId, rowId } = CONTEXT;
    expect(decide(state, inputOf({ quantityDelta: -3 }), CONTEXT)).toEqual({
      resourceId: ITEM_ID,
      body: {
        id: ITEM_ID,
        sku: 'LAMP',
        name: 'Lamp',
        currency: 'USD',
        quantity: 7,
        value: 702,
        createdAt: CREATED_AT,
      },
      moved: { amount: -301n, currency: 'USD' },
    });
    const line = { currency: 'USD', memo: 'Counted' };
    expect(state.movements).toEqual([
      {
        entry: {
          id: rowId('journal_entries', 0),
          write_id: writeId,
          date: '2026-03-01',
          description: `Stock of item ${ITEM_ID}: -3 units`,
          lines: [
            { id: rowId('journal_lines', 0), role: 'inventory', amount: '-301', ...line },
            { id: rowId('journal_lines', 1), account: '5100', amount: '301', ...line },
          ],
          metadata: {},
        },
        row: {
          id: writeId,
          item_id: ITEM_ID,
          quantity_delta: -3n,
          value_delta_minor: -301n,
          currency: 'USD',
          reason: 'Counted',
          moved_on: '2026-03-01',
          journal_entry_id: rowId('journal_entries', 0),
        },
      },
    ]);
  });

  test('sees the stock that the one before it left, and the last unit takes what is left', () => {
    const state = stateOf(STOCKED);
    const steps = [-3, -4, -2, -1].map((quantityDelta) => adjust(state, { quantityDelta }));
    expect(steps).toEqual([
      { quantity: 7, value: 702 },
      { quantity: 3, value: 301 },
      { quantity: 1, value: 100 },
      { quantity: 0, value: 0 },
    ]);
    expect(adjust(state, { quantityDelta: -1 })).toContain('insufficient_stock');
    expect(adjust(state, { quantityDelta: 1 })).toContain('unit_cost_required');
    expect(adjust(state, { quantityDelta: 1, unitCost: 5 })).toEqual({ quantity: 1, value: 5 });
  });

  test('reaches the largest value, and does not pass it', () => {
    const state = stateOf(STOCKED);
    expect(adjust(state, { quantityDelta: 1, unitCost: 9_999_999_998_998 })).toContain('amount_out_of_range');
    const largest = { quantity: 11, value: 10_000_000_000_000 };
    expect(adjust(state, { quantityDelta: 1, unitCost: 9_999_999_998_997 })).toEqual(largest);
    expect(adjust(state, { quantityDelta: 1 })).toContain('amount_out_of_range');
  });

  test('is refused for the first of several reasons', () => {
    // Each request has every reason after its own, too.
    const date = '2026-02-28';
    const offsetAccountCode = '1200';
    const unknown = CONTEXT.writeId;
    const notFound = `inventory_item_not_found path /itemId: There is no item ${unknown}.`;
    const cases: readonly [string, typeof EMPTY, Request][] = [
      [notFound, EMPTY, { itemId: unknown, offsetAccountCode, quantityDelta: -1, date }],
      [notUsable('1200'), EMPTY, { offsetAccountCode, quantityDelta: -1, date }],
      [notUsable('9999'), EMPTY, { offsetAccountCode: '9999', quantityDelta: 1, date }],
      [
        'insufficient_stock body /quantityDelta: There are 0 units in stock as of 2026-02-28.',
        EMPTY,
        { quantityDelta: -1, date },
      ],
      [
        'unit_cost_required body /unitCost: There are no units in stock, so there is no average cost: send unitCost.',
        EMPTY,
        { quantityDelta: 1, date },
      ],
      [
        'amount_out_of_range body /quantityDelta: The value of the item would be above 10^13 minor units.',
        STOCKED,
        { quantityDelta: 10, unitCost: 1_000_000_000_000, date },
      ],
      ['period_closed body /date: The books are closed through 2026-02-28.', STOCKED, { quantityDelta: -1, date }],
      [
        'date_too_late body /date: The company posts nothing that is dated after 2027-03-11.',
        STOCKED,
        { quantityDelta: -1, date: '2027-03-12' },
      ],
    ];
    for (const [refusal, stock, request] of cases) {
      const state = stateOf(stock);
      expect(adjust(state, request)).toBe(refusal);
      expect(state).toEqual(stateOf(stock));
    }
  });

  test('is refused where any later day has too little, with the first such day', () => {
    const day = fc.integer({ min: 1, max: 6 });
    const movement = fc.record({
      day,
      quantityDelta: fc.integer({ min: -6, max: 6 }).filter((units) => units !== 0),
      unitCost: fc.option(fc.integer({ min: 1, max: 90 }), { nil: undefined }),
    });
    const dateOf = (of: number) => `2026-03-0${of}`;
    const property = fc.property(fc.array(movement, { minLength: 1, maxLength: 14 }), (movements) => {
      const state = stateOf(EMPTY);
      const ends = Array.from({ length: 7 }, () => ({ quantity: 0, value: 0 }));
      for (const { day: on, quantityDelta, unitCost } of movements) {
        const { quantity, value } = ends[6] ?? EMPTY;
        const cost =
          quantity === 0 ? 0 : Math.sign(quantityDelta) * Math.round((value * Math.abs(quantityDelta)) / quantity);
        const later = [1, 2, 3, 4, 5, 6].filter((of) => of >= on);
        const lacking = (of: 'quantity' | 'value', taken: number) =>
          later.find((end) => (ends[end]?.[of] ?? 0) < taken && taken > 0);
        const short = Math.min(lacking('quantity', -quantityDelta) ?? 7, lacking('value', -cost) ?? 7);
        const answer = adjust(state, { quantityDelta, date: dateOf(on), ...(quantityDelta > 0 ? { unitCost } : {}) });
        const refused =
          short < 7
            ? ['insufficient_stock', `as of ${dateOf(short)}`]
            : quantity === 0 && unitCost === undefined && ['unit_cost_required'];
        if (refused === false) {
          for (const end of ends.slice(on)) {
            end.quantity += quantityDelta;
            end.value += quantityDelta > 0 && unitCost !== undefined ? quantityDelta * unitCost : cost;
          }
        }
        const given = typeof answer === 'string' ? answer.match(/^\w+|as of [\d-]+/g) : answer;
        expect(given).toEqual(refused === false ? ends[6] : refused);
        for (const end of ends) expect(end.quantity >= 0 && end.value >= 0).toBe(true);
      }
    });
    fc.assert(property, { numRuns: 500 });
  });

  test('names what is short first, the quantity or the value, and the quantity where both are', () => {
    const state = stateOf(EMPTY);
    const movements = [
      { quantityDelta: 10, unitCost: 1, date: '2026-03-01' },
      { quantityDelta: -8, date: '2026-03-07' },
      { quantityDelta: 10, unitCost: 100, date: '2026-03-10' },
    ];
    expect(movements.map((movement) => adjust(state, movement))).toEqual([
      { quantity: 10, value: 10 },
      { quantity: 2, value: 2 },
      { quantity: 12, value: 1002 },
    ]);
    const refusal = (detail: string) => `insufficient_stock body /quantityDelta: ${detail}`;
    // As of March 7 there are fewer units, and they are worth less, too.
    expect([5, 7].map((day) => adjust(state, { quantityDelta: -3, date: `2026-03-0${day}` }))).toEqual([
      refusal('The stock is worth 0.10 USD as of 2026-03-05; the units taken cost 2.51 USD.'),
      refusal('There are 2 units in stock as of 2026-03-07.'),
    ]);
    // Nothing is taken that is worth more than there is, only more units.
    adjust(state, { quantityDelta: 1, unitCost: 100_000, date: '2026-03-01' });
    expect(adjust(state, { quantityDelta: -4, date: '2026-03-05' })).toBe(
      refusal('There are 3 units in stock as of 2026-03-07.'),
    );
  });

  test('in any order with others leaves every item worth the sum of its movements, at least 1 a unit', () => {
    const movement = fc.record({
      quantityDelta: fc.integer({ min: -6, max: 6 }).filter((units) => units !== 0),
      unitCost: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
      date: fc.constantFrom('2026-03-01', '2026-03-02', '2026-02-28'),
    });
    const property = fc.property(fc.array(movement, { minLength: 1, maxLength: 12 }), (movements) => {
      const state = stateOf({ quantity: 3, value: 10 });
      for (const { quantityDelta, unitCost, date } of movements) {
        const before = state.movements.length;
        const answer = adjust(state, { quantityDelta, date, ...(quantityDelta > 0 ? { unitCost } : {}) });
        expect(state.movements.length - before).toBe(typeof answer === 'string' ? 0 : 1);
      }
      const sum = (column: string) => state.movements.reduce((total, { row }) => total + (row[column] as bigint), 0n);
      const item = state.items.get(ITEM_ID);
      const [quantity, value] = [3n + sum('quantity_delta'), 10n + sum('value_delta_minor')];
      expect([item?.quantity, item?.value_minor]).toEqual([quantity, value]);
      expect(value >= quantity && quantity >= 0n && (value === 0n) === (quantity === 0n)).toBe(true);
    });
    fc.assert(property);
  });
});
