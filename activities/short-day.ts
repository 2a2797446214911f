/** What is added to a balance on one day in all, or taken from it where it is negative: units or minor units. */
export type Change = { readonly day: string; readonly amount: bigint };

/**
 * The first day from `date` on at whose end there is less than `taken`, with what there is; undefined when it is there on each
 * day. What is taken on a day is missing on every later one. `balance` is that after every change, whatever its date; `later`
 * has the days that follow, in their order, and may have earlier ones, too.
 */
export function firstShortDay(
  balance: bigint,
  later: readonly Change[],
  { date, taken }: { readonly date: string; readonly taken: bigint },
): { readonly day: string; readonly left: bigint } | undefined {
  let left = balance;
  let short: { day: string; left: bigint } | undefined;
  // Backwards from the last day, at whose end there is what there is in all.
  for (const change of later.toReversed()) {
    // Dates of the form YYYY-MM-DD compare correctly as text.
    if (change.day <= date) break;
    if (left < taken) short = { day: change.day, left };
    left -= change.amount;
  }
  return left < taken ? { day: date, left } : short;
}

/** The days after one more change, which counts together with what changes on the same day. */
export function withChange(later: readonly Change[], { day, amount }: Change): readonly Change[] {
  const same = later.find((change) => change.day === day);
  const others = later.filter((change) => change !== same);
  return [...others, { day, amount: amount + (same?.amount ?? 0n) }].sort((one, other) =>
    one.day < other.day ? -1 : 1,
  );
}
