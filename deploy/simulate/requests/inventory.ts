import { ACCOUNTS } from '../../../activities/ledger/accounts.ts';
import { MAX_AMOUNT, MAX_AMOUNT_MINOR } from '../../../activities/money.ts';
import { divide, type Item, isClosed, isFarAhead, leastSince, postingDay } from './books.ts';
import { periodClosed } from './ledger.ts';
import { type OperationModel, over, refused, refusedAnyway, uniqueName, workingOn } from './operation-model.ts';
import { post } from './postings.ts';

/** More units than any item has. */
const TOO_MANY = 1_000_000_000;

const createInventoryItem: OperationModel = {
  weight: 2,
  request(books, random) {
    const { nat, pick, chance, unusual } = random;
    const skus = [...books.items.values()].map(({ sku }) => sku);
    const openingQuantity = pick([1 + nat(20), 1 + nat(200), 3, 0]);
    const openingUnitCost = unusual(0.03) ? MAX_AMOUNT : 1 + nat(5_000);
    return {
      body: {
        sku: uniqueName(books, random, skus, (number) => `SKU-${number}`),
        name: 'Desk lamp',
        currency: pick(['USD', 'USD', 'KWD']),
        date: postingDay(books, random),
        ...(chance(0.75) && { openingQuantity, ...(!unusual(0.05) && { openingUnitCost }) }),
      },
    };
  },
  answer(books, { body }, write) {
    const quantity = BigInt(body.openingQuantity ?? 0);
    if (quantity > 0n && body.openingUnitCost === undefined) return refusedAnyway(422, 'unit_cost_required');
    const value = quantity * BigInt(body.openingUnitCost ?? 0);
    if (value > MAX_AMOUNT_MINOR) return refusedAnyway(422, 'amount_out_of_range');
    const { sku, name, currency, date } = body;
    // Another change may have freed it meanwhile.
    if ([...books.items.values()].some((item) => item.sku === sku)) return refused(409, 'sku_taken');
    if (quantity > 0n && isClosed(books, date)) return periodClosed(date);
    if (quantity > 0n && isFarAhead(date)) return refused(422, 'date_too_late');
    return over({ amount: value, currency }).created(() => {
      books.items.set(write.id, { sku, name, currency, quantity, value, moved: [{ date, quantity, value }] });
      const lines = [[ACCOUNTS.inventory, value] as const, [ACCOUNTS.equity, -value] as const];
      if (quantity > 0n) post(books, { date, currency, lines }, write);
    }, sku);
  },
};

const adjustInventory = workingOn(({ items }) => items, {
  weight: 10,
  madeBy: 'createInventoryItem',
  notFound: [404, 'inventory_item_not_found'],
  body(item, _, books, random) {
    const { nat, pick, chance, unusual } = random;
    const date = postingDay(books, random);
    const stock = Number(item?.quantity ?? 0n);
    const free = item === undefined ? 0 : Number(least(item, 'quantity', date));
    // Now and then all that is left: the last unit takes what the average has left over.
    const less = free === 0 ? [] : [-1, -1 - nat(free), -1 - nat(free), -free];
    const tooMany = pick([-free - 1, -stock - 1, -TOO_MANY]);
    const quantityDelta = unusual(0.06) ? tooMany : pick([1 + nat(9), 1 + nat(60), ...less]);
    const needsCost = stock === 0 && !unusual(0.1);
    return {
      quantityDelta,
      reason: 'Counted',
      date,
      ...(quantityDelta > 0 && (needsCost || chance(0.7)) && { unitCost: 1 + nat(6_000) }),
      ...(chance(0.6) && {
        offsetAccountCode: unusual(0.04) ? pick([ACCOUNTS.receivable, '9999']) : pick(['5000', ACCOUNTS.payable]),
      }),
    };
  },
  answer(item, { body }, books, write) {
    const offset: string = body.offsetAccountCode ?? ACCOUNTS.inventoryAdjustments;
    if (books.accounts.get(offset)?.isControl !== false) return refusedAnyway(422, 'account_not_usable');
    const { quantityDelta, unitCost, date } = body;
    if (quantityDelta === -TOO_MANY) return refusedAnyway(422, 'insufficient_stock');
    const delta = BigInt(quantityDelta);
    if (delta < 0n && least(item, 'quantity', date) < -delta) return refused(422, 'insufficient_stock');
    if (unitCost === undefined && item.quantity === 0n) return refused(422, 'unit_cost_required');
    const cost = unitCost === undefined ? divide(item.value * delta, item.quantity) : delta * BigInt(unitCost);
    if (delta < 0n && least(item, 'value', date) < -cost) return refused(422, 'insufficient_stock');
    if (item.value + cost > MAX_AMOUNT_MINOR) return refused(422, 'amount_out_of_range');
    if (isClosed(books, date)) return refused(409, 'period_closed');
    if (isFarAhead(date)) return refused(422, 'date_too_late');
    // It changes nothing that a later request would have to wait for: adjustments of one item overtake each other.
    return over({ amount: cost, currency: item.currency }).changed(() => {
      item.quantity += delta;
      item.value += cost;
      item.moved.push({ date, quantity: delta, value: cost });
      const lines = [[ACCOUNTS.inventory, cost] as const, [offset, -cost] as const];
      post(books, { date, currency: item.currency, lines }, write);
    });
  },
});

/** The least that there is of it at the end of any day from that one on. */
function least({ moved }: Item, of: 'quantity' | 'value', since: string): bigint {
  const changes = moved.map((one) => ({ date: one.date, amount: one[of] }));
  return leastSince(since, 0n, changes);
}

export const INVENTORY = { createInventoryItem, adjustInventory };
