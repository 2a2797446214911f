import type { Tx } from '../database.ts';
import { toJson } from '../json.ts';
import { entryOf, postEntries } from '../ledger/post-entries.ts';
import type { AccountOfLine } from '../ledger/post-entry.ts';
import type { RuleOfTheLedger, WriteContext } from '../operation.ts';

type NewMovement = {
  readonly itemId: string;
  /** Positive for added units; `costMinor` has the same sign. */
  readonly quantityDelta: bigint;
  readonly costMinor: bigint;
  readonly currency: string;
  readonly offset: AccountOfLine;
  readonly reason: string;
  readonly date: string;
};

/** A movement of stock with its entry, for {@link postMovements}. */
export type Movement = ReturnType<typeof movementOf>;

/** The movement of this write: Dr 1200 · Cr the offset account for more, the other way round for less. */
export function movementOf(movement: NewMovement, context: WriteContext<RuleOfTheLedger>) {
  const { costMinor, currency, reason } = movement;
  const entry = entryOf(
    {
      date: movement.date,
      description: `Stock of item ${movement.itemId}: ${movement.quantityDelta} units`,
      lines: [
        { role: 'inventory', amountMinor: costMinor, currency, memo: reason },
        { ...movement.offset, amountMinor: -costMinor, currency, memo: reason },
      ],
    },
    context,
  );
  const row = {
    id: context.writeId,
    item_id: movement.itemId,
    quantity_delta: movement.quantityDelta,
    value_delta_minor: costMinor,
    currency,
    reason,
    moved_on: movement.date,
    journal_entry_id: entry.id,
  };
  return { entry, row };
}

/** Posts movements of one operation and keeps them. What they change on their items is left to the operation. */
export function postMovements(
  tx: Tx,
  companyId: string,
  operation: string,
  movements: readonly Movement[],
): readonly Promise<unknown>[] {
  const entries = movements.map(({ entry }) => entry);
  const rows = movements.map(({ row }) => row);
  return [
    postEntries(tx, companyId, operation, entries),
    tx.query('SELECT record_movements(p_company => $1, p_movements => $2)', [companyId, toJson(rows)]),
  ];
}
