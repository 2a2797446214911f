import { firstShortDay } from '../short-day.ts';

/** What moved an item on one day, in all. */
export type DayOfStock = { readonly day: string; readonly quantity: bigint; readonly value: bigint };

/**
 * Whole units and their total cost after every movement, whatever its date, and the days after the earliest one that is to
 * be posted on which the item moves, in their order: nearly always none. The average cost is the quotient, which is never
 * stored rounded.
 */
export type Stock = { readonly quantity: bigint; readonly value_minor: bigint; readonly later: readonly DayOfStock[] };

/** The first day from `date` on at whose end there are fewer units, or less is worth, than is `taken`. */
export function firstShortDayOfStock(
  { quantity, value_minor: valueMinor, later }: Stock,
  of: 'quantity' | 'value',
  movement: { readonly date: string; readonly taken: bigint },
): { readonly day: string; readonly left: bigint } | undefined {
  return firstShortDay(
    of === 'quantity' ? quantity : valueMinor,
    later.map((moved) => ({ day: moved.day, amount: moved[of] })),
    movement,
  );
}

/** The later days after one more movement, for the next write of the same set. */
export function withMovement(later: readonly DayOfStock[], moved: DayOfStock): readonly DayOfStock[] {
  const same = later.find(({ day }) => day === moved.day);
  const { quantity, value } = same ?? { quantity: 0n, value: 0n };
  const day = { day: moved.day, quantity: quantity + moved.quantity, value: value + moved.value };
  return [...later.filter((one) => one !== same), day].sort((one, other) => (one.day < other.day ? -1 : 1));
}
