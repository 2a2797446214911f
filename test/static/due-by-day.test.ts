import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { firstConflict, type LockedClaim, takeFromDue, toChanges } from '../../activities/ledger/due-by-day.ts';

/** Days of January, as numbers; the invoice is issued on the first of them. */
const LAST_DAY = 9;
const TOTAL = 10n;

type Step = { readonly kind: 'payment' | 'credit' | 'refund' | 'void'; readonly day: number; readonly amount: bigint };
type Movement = { readonly day: number; readonly amount: bigint };
type Paid = { readonly day: number; left: bigint };

/** What is due at the end of each day, day by day. */
function dueByDay(movements: readonly Movement[]): readonly bigint[] {
  return Array.from({ length: LAST_DAY + 1 }, (_, day) =>
    movements.filter((one) => one.day <= day).reduce((due, one) => due + one.amount, TOTAL),
  );
}

function isWithin(movements: readonly Movement[]): boolean {
  return dueByDay(movements).every((due) => due >= 0n && due <= TOTAL);
}

const dateOf = (day: number) => `2026-01-0${day}`;

/** As `lock_claims` reads it for writes of which the first is dated `since`: days only where a refund is dated later. */
function claimOf(movements: readonly Movement[], since: number): LockedClaim {
  const raised = movements.some(({ day, amount }) => amount > 0n && day > since);
  const days = Array.from({ length: LAST_DAY + 1 }, (_, day) => {
    const amounts = movements.filter((one) => one.day === day).map(({ amount }) => amount);
    return { day, amount: amounts.reduce((sum, amount) => sum + amount, 0n), moves: amounts.length > 0 };
  });
  const later = days
    .filter(({ day, moves }) => moves && day > since)
    .map(({ day, amount }) => ({ day: dateOf(day), amount: String(amount) }));
  return {
    id: 'an-invoice',
    status: 'partially_paid',
    currency: 'USD',
    issue_date: dateOf(0),
    ...{ total_minor: TOTAL, tax_minor: 0n, written_off_minor: 0n },
    due_minor: movements.reduce((due, { amount }) => due + amount, TOTAL),
    later: toChanges(raised ? later : null),
  };
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('payment', 'payment', 'credit', 'refund', 'refund', 'void'),
  day: fc.nat({ max: LAST_DAY }),
  amount: fc.bigInt({ min: 1n, max: TOTAL }),
});

describe('what is due as of any day', () => {
  test('a payment, a credit note or a void is refused exactly where it would leave less than nothing due as of some day', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const movements: Movement[] = [];
        const payments: Paid[] = [];
        /** Of each step the first day as of which less than nothing would be due, and what was due then; as it is, and told. */
        const days: (readonly [unknown, unknown])[] = [];
        for (const { kind, day, amount } of steps) {
          if (kind === 'refund') {
            // What the operation refuses anyway: what is dated before the payment, or more than what is left of it.
            const payment = payments.find((paid) => paid.day <= day && paid.left >= amount);
            if (payment === undefined) continue;
            payment.left -= amount;
            movements.push({ day, amount });
            days.push([isWithin(movements), true]);
            continue;
          }
          // Likewise what is more than what is due in all, and the void of an invoice on which something is paid or credited.
          const claim = claimOf(movements, day);
          const taken = kind === 'void' ? TOTAL : amount;
          if (taken > claim.due_minor) continue;
          const after = [...movements, { day, amount: -taken }];
          const first = dueByDay(after).findIndex((due) => due < 0n);
          const conflict = firstConflict(claim, { date: dateOf(day), taken });
          days.push([first < 0 ? undefined : { day: dateOf(first), left: dueByDay(movements)[first] }, conflict]);
          seen.add(`${kind} ${conflict === undefined}`);
          if (conflict !== undefined) continue;
          if (kind === 'void') break;
          movements.push({ day, amount: -taken });
          if (kind === 'payment') payments.push({ day, left: amount });
        }
        expect(days.map(([, told]) => told)).toEqual(days.map(([is]) => is));
      }),
      { numRuns: 5_000 },
    );
    expect([...seen].toSorted()).toEqual(
      ['credit', 'payment', 'void'].flatMap((kind) => [`${kind} false`, `${kind} true`]),
    );
  });

  test('the writes of a set see those before them, on whatever days', () => {
    const history = fc.record({
      paid: fc.bigInt({ min: 1n, max: TOTAL }),
      from: fc.nat({ max: 5 }),
      days: fc.nat({ max: 3 }),
    });
    const take = fc.record({ day: fc.nat({ max: LAST_DAY }), amount: fc.bigInt({ min: 1n, max: TOTAL }) });
    fc.assert(
      fc.property(history, fc.array(take, { minLength: 2, maxLength: 8 }), ({ paid, from, days }, set) => {
        const movements = [
          { day: from, amount: -paid },
          { day: from + days, amount: paid },
        ];
        const inSet = claimOf(movements, Math.min(...set.map(({ day }) => day)));
        for (const { day, amount } of set) {
          if (amount > inSet.due_minor) continue;
          const taking = { date: dateOf(day), taken: amount };
          const alone = firstConflict(claimOf(movements, day), taking);
          expect(firstConflict(inSet, taking)).toEqual(alone);
          if (alone !== undefined) continue;
          takeFromDue(inSet, taking);
          movements.push({ day, amount: -amount });
          expect(isWithin(movements)).toBe(true);
        }
      }),
      { numRuns: 5_000 },
    );
  });
});
