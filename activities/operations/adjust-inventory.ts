import { z } from 'zod';
import { amountMoved } from '../approvals/amounts.ts';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { accountCode, amount, date, description, id, unitsDelta } from '../fields.ts';
import { costOf } from '../inventory/cost.ts';
import { type Movement, movementOf, postMovements } from '../inventory/post-movements.ts';
import { type DayOfStock, withMovement } from '../inventory/stock-by-day.ts';
import { toJson } from '../json.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { loadPostingFacts, type PostingFacts, requireNotTooLate, requireOpenPeriod } from '../ledger/post-entries.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { MAX_AMOUNT_MINOR } from '../money.ts';
import { defineSetOperation } from '../operation.ts';
import { ITEM_COLUMNS, type ItemRow, inventoryItemResource, toItem } from '../resources/inventory-item.ts';

const body = z
  .strictObject({
    quantityDelta: unitsDelta(),
    reason: description(),
    unitCost: amount().optional(),
    offsetAccountCode: accountCode().default(ACCOUNTS.inventoryAdjustments),
    date: date().optional(),
  })
  .refine((adjustment) => adjustment.unitCost === undefined || adjustment.quantityDelta > 0, {
    path: ['unitCost'],
    message: 'must be omitted when quantityDelta is negative: removed units cost the average',
  });

export const adjustInventory = defineSetOperation({
  name: 'adjustInventory',
  type: 'high-risk',
  summary: 'Adjust the stock of an item',
  description:
    'Added units cost `unitCost`, or the average when it is omitted: posts debit inventory, credit inventory adjustments ' +
    '(5100, or `offsetAccountCode`). Removed units cost the average as it is now, whatever the date, and are posted the other ' +
    'way round. Neither the quantity nor the value of an item falls below zero as of any day: what is removed on a day must ' +
    'be there on each later day, too. The entry is dated `date`, or today in the company’s time zone.',
  method: 'POST',
  path: '/api/inventory/:itemId/adjust',
  params: z.strictObject({ itemId: id() }),
  body,
  schemaVersion: 1,
  roles: ['owner', 'admin', 'manager', 'inventory_manager'],
  successStatus: 200,
  resource: inventoryItemResource,
  event: 'inventory.adjusted',
  effects: {
    posts: 'always',
    entry: 'more: Dr 1200 · Cr 5100, or `offsetAccountCode`, such as 2000 or 5000; less: the other way round',
    dated: '`date`',
    makes: 'inventory_movements',
  },
  rejections: {
    inventory_item_not_found: { status: 404, title: 'There is no such item' },
    account_not_usable: {
      status: 422,
      title: 'The account cannot be used for stock adjustments',
      nextAction: 'fix_request',
    },
    insufficient_stock: {
      status: 422,
      title: 'On that day or a later one, there are fewer units in stock, or they are worth less',
      about: { in: 'body', pointer: '/quantityDelta' },
    },
    unit_cost_required: { status: 422, title: 'The cost of a unit is not known', nextAction: 'fix_request' },
    amount_out_of_range: { status: 422, title: 'The value is above 10^13', nextAction: 'fix_request' },
    period_closed: PERIOD_CLOSED,
    date_too_late: DATE_TOO_LATE,
  },
  constraints: {
    insufficient_stock: 'insufficient_stock',
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
  },
  examples: [
    {
      name: 'more',
      summary: 'Ten units delivered on account',
      params: { itemId: DEMO.itemId },
      body: {
        quantityDelta: 10,
        reason: 'Delivery 4711',
        unitCost: 12_500,
        offsetAccountCode: ACCOUNTS.payable,
        date: '2026-03-13',
      },
    },
    {
      name: 'less',
      summary: 'Three units were broken',
      params: { itemId: DEMO.itemId },
      body: { quantityDelta: -3, reason: 'Broken in the warehouse', date: '2026-03-12' },
    },
  ],
  approvalAmount: amountMoved,
  summarize: ({ params, body: adjustment }) =>
    `adjustInventory ${adjustment.quantityDelta > 0 ? '+' : ''}${adjustment.quantityDelta} of item ${params.itemId}`,

  set: {
    async load(tx, companyId, inputs): Promise<State> {
      const [items, facts] = await Promise.all([
        lockItems(
          tx,
          companyId,
          inputs.map(({ params, body: adjustment }) => ({ itemId: params.itemId, date: adjustment.date })),
        ),
        loadPostingFacts(
          tx,
          companyId,
          inputs.map(({ body: adjustment }) => adjustment.offsetAccountCode),
        ),
      ]);
      return { items, facts, movements: [] };
    },

    decide({ items, facts, movements }, { params, body: adjustment }, context) {
      const item = items.get(params.itemId);
      if (item === undefined) {
        throw context.reject('inventory_item_not_found', `There is no item ${params.itemId}.`, '/itemId', 'path');
      }
      const { offsetAccountCode } = adjustment;
      if (facts.accounts.get(offsetAccountCode)?.isControl !== false) {
        throw context.reject(
          'account_not_usable',
          `${offsetAccountCode} is not an account of this company, or it is a control account.`,
          '/offsetAccountCode',
        );
      }
      const quantityDelta = BigInt(adjustment.quantityDelta);
      // Today as it was when the later days were read.
      const movedOn = adjustment.date ?? item.today;
      const costMinor = costOf({ quantityDelta, stock: item, unitCost: adjustment.unitCost, date: movedOn }, context);
      if (item.value_minor + costMinor > MAX_AMOUNT_MINOR) {
        throw context.reject(
          'amount_out_of_range',
          'The value of the item would be above 10^13 minor units.',
          '/quantityDelta',
        );
      }
      requireOpenPeriod(facts, movedOn, '/date', context);
      requireNotTooLate(facts, movedOn, '/date', context);

      const movement = movementOf(
        {
          itemId: item.id,
          quantityDelta,
          costMinor,
          currency: item.currency,
          offset: { account: offsetAccountCode },
          reason: adjustment.reason,
          date: movedOn,
        },
        context,
      );
      item.quantity += quantityDelta;
      item.value_minor += costMinor;
      item.later = withMovement(item.later, { day: movedOn, quantity: quantityDelta, value: costMinor });
      movements.push(movement);
      return {
        resourceId: item.id,
        body: toItem(item),
        moved: { amount: costMinor, currency: item.currency },
      };
    },

    apply(tx, companyId, { movements }) {
      if (movements.length === 0) return [];
      const rows = toJson(movements.map(({ row }) => row));
      return [
        tx.query('SELECT move_stock(p_company => $1, p_movements => $2)', [companyId, rows]),
        ...postMovements(tx, companyId, 'adjustInventory', movements),
      ];
    },
  },
});

type State = {
  /** By ID; the writes of a set move their stock one after another. */
  readonly items: ReadonlyMap<string, StockedItem>;
  readonly facts: PostingFacts;
  readonly movements: Movement[];
};

type StockedItem = ItemRow & { readonly today: string; later: readonly DayOfStock[] };

/**
 * Locks items in the order of their IDs and reads them, each with the days that follow the first one on which these writes
 * move it. Those that the company does not have are left out.
 */
async function lockItems(
  tx: Tx,
  companyId: string,
  moves: readonly { readonly itemId: string; readonly date: string | undefined }[],
): Promise<ReadonlyMap<string, StockedItem>> {
  const since = new Map<string, string | null>();
  for (const { itemId, date: day = null } of moves) {
    const earliest = since.get(itemId) ?? null;
    since.set(itemId, earliest === null || (day !== null && day < earliest) ? day : earliest);
  }
  const items = await tx.query<ItemRow & { today: string; later: Record<keyof DayOfStock, string>[] | null }>(
    `SELECT ${ITEM_COLUMNS}, today, later FROM lock_stock(p_company => $1, p_items => $2, p_since => $3)`,
    [companyId, [...since.keys()], [...since.values()]],
  );
  return new Map(items.map((item) => [item.id, { ...item, later: item.later?.map(toDay) ?? [] }]));
}

function toDay({ day, quantity, value }: Record<keyof DayOfStock, string>): DayOfStock {
  return { day, quantity: BigInt(quantity), value: BigInt(value) };
}
