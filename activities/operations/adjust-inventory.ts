import { z } from 'zod';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { accountCode, amount, date, description, id, unitsDelta } from '../fields.ts';
import { costOf } from '../inventory/cost.ts';
import { type Movement, movementOf, postMovements } from '../inventory/post-movements.ts';
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
    '(5100, or `offsetAccountCode`). Removed units cost the average and are posted the other way round; the stock never ' +
    'falls below zero. The entry is dated `date`, or today in the company’s time zone.',
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
    insufficient_stock: { status: 422, title: 'There are fewer units in stock' },
    unit_cost_required: { status: 422, title: 'The cost of a unit is not known', nextAction: 'fix_request' },
    amount_out_of_range: { status: 422, title: 'The value is above 10^13', nextAction: 'fix_request' },
    period_closed: PERIOD_CLOSED,
    date_too_late: DATE_TOO_LATE,
  },
  constraints: { period_closed: 'period_closed', date_too_late: 'date_too_late' },
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
  summarize: ({ params, body: adjustment }) =>
    `adjustInventory ${adjustment.quantityDelta > 0 ? '+' : ''}${adjustment.quantityDelta} of item ${params.itemId}`,

  set: {
    async load(tx, companyId, inputs): Promise<State> {
      const [items, facts] = await Promise.all([
        lockItems(
          tx,
          companyId,
          inputs.map(({ params }) => params.itemId),
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
      const costMinor = costOf({ quantityDelta, stock: item, unitCost: adjustment.unitCost }, context);
      if (item.value_minor + costMinor > MAX_AMOUNT_MINOR) {
        throw context.reject(
          'amount_out_of_range',
          'The value of the item would be above 10^13 minor units.',
          '/quantityDelta',
        );
      }
      const movedOn = adjustment.date ?? facts.today;
      requireOpenPeriod(facts, movedOn, context);
      requireNotTooLate(facts, movedOn, '/date', context);

      const movement = movementOf(
        {
          itemId: item.id,
          quantityDelta,
          costMinor,
          currency: item.currency,
          offsetAccountCode,
          reason: adjustment.reason,
          date: movedOn,
        },
        context,
      );
      item.quantity += quantityDelta;
      item.value_minor += costMinor;
      movements.push(movement);
      return { resourceId: item.id, body: toItem(item) };
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
  readonly items: ReadonlyMap<string, ItemRow>;
  readonly facts: PostingFacts;
  readonly movements: Movement[];
};

/** Locks items in the order of their IDs and reads them. Those that the company does not have are left out. */
async function lockItems(tx: Tx, companyId: string, itemIds: readonly string[]): Promise<ReadonlyMap<string, ItemRow>> {
  const items = await tx.query<ItemRow>(
    `SELECT ${ITEM_COLUMNS} FROM lock_inventory_items(p_company => $1, p_items => $2)`,
    [companyId, [...new Set(itemIds)]],
  );
  return new Map(items.map((item) => [item.id, item]));
}
