import type { Write } from '../../client/src/generated/types.ts';
import { type Minor, minorOf, moneyText } from './money.ts';

type Waiting = Pick<Write, 'actor' | 'approvals' | 'demands' | 'state'>;
type Reader = { readonly userId: string; readonly roles: readonly string[] };

/** Whether this person may decide about the write, and has not. */
export function mayDecide({ actor, approvals = [], demands = [], state }: Waiting, { userId, roles }: Reader): boolean {
  return (
    state === 'pending_approval' &&
    userId !== '' &&
    actor.userId !== userId &&
    demands.some((demand) => demand.roles.some((role) => roles.includes(role))) &&
    !approvals.some((decision) => decision.userId === userId)
  );
}

/** Whether the approval of this person would be the last that the write needs. */
export function wouldBeLast({ demands = [] }: Pick<Waiting, 'demands'>, { roles }: Reader): boolean {
  return demands.every(
    ({ count, given, roles: asked }) => given + (asked.some((role) => roles.includes(role)) ? 1 : 0) >= count,
  );
}

/** "1 of 2 approvals by an owner or admin". */
export function demandInWords({ count, given, roles }: NonNullable<Waiting['demands']>[number]): string {
  return `${given} of ${count} ${count === 1 ? 'approval' : 'approvals'} by ${roles.map((role) => role.replaceAll('_', ' ')).join(' or ')}`;
}

/** The amount that a request names, with its currency; undefined where it names none. */
export function amountAskedFor(request: unknown): string | undefined {
  const { amount, currency } = ((request as { body?: unknown } | null)?.body ?? {}) as {
    amount?: unknown;
    currency?: unknown;
  };
  const isAmount = typeof amount === 'number' || typeof amount === 'string';
  if (!isAmount || typeof currency !== 'string' || minorOf(amount as Minor) === undefined) return undefined;
  return `${moneyText(amount as Minor, currency)} ${currency}`;
}
