/** What moved an item on one day, in all. */
export type DayOfStock = { readonly day: string; readonly quantity: bigint; readonly value: bigint };

/**
 * Whole units and their total cost after every movement, whatever its date, and the days after the earliest one that is to
 * be posted on which the item moves, in their order: nearly always none. The average cost is the quotient, which is never
 * stored rounded.
 */
export type Stock = { readonly quantity: bigint; readonly value_minor: bigint; readonly later: readonly DayOfStock[] };

/**
 * The first day from `date` on at whose end there is less than `taken`, units or minor units, with what there is; undefined
 * when it is there on each day. What is taken on a day is missing on every later one.
 */
export function firstShortDay(
  { quantity, value_minor: valueMinor, later }: Stock,
  of: 'quantity' | 'value',
  { date, taken }: { readonly date: string; readonly taken: bigint },
): { readonly day: string; readonly left: bigint } | undefined {
  let left = of === 'quantity' ? quantity : valueMinor;
  let short: { day: string; left: bigint } | undefined;
  // Backwards from the last day, at whose end there is what there is in all.
  for (const moved of later.toReversed()) {
    // Dates of the form YYYY-MM-DD compare correctly as text.
    if (moved.day <= date) break;
    if (left < taken) short = { day: moved.day, left };
    left -= moved[of];
  }
  return left < taken ? { day: date, left } : short;
}

/** The later days after one more movement, for the next write of the same set. */
export function withMovement(later: readonly DayOfStock[], moved: DayOfStock): readonly DayOfStock[] {
  const same = later.find(({ day }) => day === moved.day);
  const { quantity, value } = same ?? { quantity: 0n, value: 0n };
  const day = { day: moved.day, quantity: quantity + moved.quantity, value: value + moved.value };
  return [...later.filter((one) => one !== same), day].sort((one, other) => (one.day < other.day ? -1 : 1));
}
