import type { Write } from '../../client/src/generated/types.ts';
import { OPERATIONS } from './generated/operations.ts';

const CANCEL_ALWAYS = ['owner', 'admin'];
const CALL_WEBHOOK = ['owner', 'admin'];

type Reader = { readonly userId: string; readonly roles: readonly string[] };

/** Whether each look at such a write is told in the security log: it tells what somebody is paid, or personal data. */
export function isConfidential({ operation }: Pick<Write, 'operation'>): boolean {
  return OPERATIONS[operation ?? '']?.isConfidential === true;
}

/** Whether a cancel can change anything, and this person may: the API decides. */
export function mayCancel(
  { state, actor, operation }: Pick<Write, 'state' | 'actor' | 'operation'>,
  { userId, roles }: Reader,
): boolean {
  if (state === 'succeeded' || state === 'rejected' || state === 'cancelled') return false;
  const allowed = [...CANCEL_ALWAYS, ...(OPERATIONS[operation ?? '']?.roles ?? [])];
  return (userId !== '' && actor.userId === userId) || allowed.some((role) => roles.includes(role));
}

export function cancelInWords({ state, key }: Pick<Write, 'state' | 'key'>): string {
  const never = `If the cancel comes first, the write never happens, and whoever sends the key ${key} is told that it was cancelled.`;
  switch (state) {
    case 'running':
      return `The write is running. ${never} If the books have it already, they keep it, and the answer says that it is too late.`;
    case 'pending_approval':
      return `The write waits for its approval. ${never} Nobody can approve it afterwards.`;
    case 'lost':
      return `The record of the write is lost. A cancel gives it up: it never happens, and whoever sends the key ${key} is told that it was cancelled. Do so only if you know that nobody relies on it.`;
    case 'failed':
    case 'unknown':
      return `Nothing proves that the books have the write. ${never} If the books have it, they keep it, and the answer says that it is too late.`;
    case 'succeeded':
    case 'rejected':
    case 'cancelled':
      return 'The write has its outcome, which stays.';
  }
}

/** The event of a write that has one, as its timeline tells. */
export function eventOf({
  timeline,
}: Pick<Write, 'timeline'>): { readonly id: string; readonly kind: string } | undefined {
  const recorded = timeline.find(({ kind }) => kind === 'event_recorded');
  const id = recorded?.eventId;
  return id === undefined ? undefined : { id, kind: (recorded?.detail ?? '').split(',')[0] ?? '' };
}

export function mayRedeliver({ roles }: Reader): boolean {
  return CALL_WEBHOOK.some((role) => roles.includes(role));
}
