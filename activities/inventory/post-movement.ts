import type { Tx } from '../database.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { postEntry } from '../ledger/post-entry.ts';
import type { WriteContext } from '../operation.ts';

export type Movement = {
  readonly itemId: string;
  /** Positive for added units; `costMinor` has the same sign. */
  readonly quantityDelta: bigint;
  readonly costMinor: bigint;
  readonly currency: string;
  readonly offsetAccountCode: string;
  readonly reason: string;
  readonly date: string;
};

/** Posts a movement of stock and keeps it: Dr 1200 · Cr the offset account for more, the other way round for less. */
export async function postMovement(tx: Tx, movement: Movement, context: WriteContext<'period_closed'>): Promise<void> {
  const { costMinor, currency, reason } = movement;
  const entryId = await postEntry(
    tx,
    {
      date: movement.date,
      description: `Stock of item ${movement.itemId}: ${movement.quantityDelta} units`,
      lines: [
        { account: ACCOUNTS.inventory, amountMinor: costMinor, currency, memo: reason },
        { account: movement.offsetAccountCode, amountMinor: -costMinor, currency, memo: reason },
      ],
    },
    context,
  );
  await tx.query(
    `INSERT INTO inventory_movements (company_id, id, item_id, quantity_delta, value_delta_minor, currency, reason,
       moved_on, journal_entry_id)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      context.companyId,
      context.writeId,
      movement.itemId,
      movement.quantityDelta,
      costMinor,
      currency,
      reason,
      movement.date,
      entryId,
    ],
  );
}
