import type { Problem, Write } from '../../client/src/generated/types.ts';

/** What has become of a write, in a sentence, and what to do next. */
export function stateInWords(write: Write): InWords {
  switch (write.state) {
    case 'succeeded':
      return {
        tone: 'good',
        title: 'It is done.',
        next: 'Nothing is left to do. The same key gives the same answer again.',
      };
    case 'rejected':
      return (
        DECISIONS[String((write.response as { code?: unknown } | null)?.code)] ?? {
          tone: 'bad',
          title: 'A rule refused it, and nothing was booked.',
          next: 'Correct what the answer names, and send the request with a new key. This key gives the same rejection again.',
        }
      );
    case 'cancelled':
      return {
        tone: 'none',
        title: 'It never happens.',
        next: 'To make the write after all, send it with a new key.',
      };
    case 'pending_approval':
      return {
        tone: 'wait',
        title: 'Nothing is booked until it is approved.',
        next: 'Whoever may approve it decides here, or under Approvals.',
      };
    case 'running':
      return {
        tone: 'wait',
        title: 'It has no outcome yet.',
        next: 'It has its outcome in a moment.',
      };
    case 'failed':
      return {
        tone: 'bad',
        title: 'Its run ended without an outcome, and nothing was booked.',
        next: 'Send the request again with the same key: it starts again.',
      };
    case 'lost':
      return {
        tone: 'bad',
        title: 'A failover or a restore of the database has taken its record.',
        next: 'An operator decides what becomes of it (npm run write -- lost). Do not send it with another key before.',
      };
    case 'unknown':
      return {
        tone: 'bad',
        title: 'Nothing proves yet whether it was booked.',
        next: 'Send the request again with the same key: the write does not happen twice.',
      };
  }
}

type InWords = { readonly title: string; readonly next: string; readonly tone: Tone };

const WITH_A_NEW_KEY = 'If it is wanted after all, send it with a new key. This key gives the same rejection again.';

/** Rejections by people, by the code of the answer. */
const DECISIONS: Readonly<Record<string, InWords>> = {
  approval_rejected: { tone: 'bad', title: 'Somebody refused to approve it: it never happens.', next: WITH_A_NEW_KEY },
  approval_expired: { tone: 'bad', title: 'Nobody approved it in time: it never happens.', next: WITH_A_NEW_KEY },
};

export type Tone = 'good' | 'bad' | 'wait' | 'none';

/** What a client does next, as a problem says. */
export const NEXT_ACTIONS: Readonly<Record<Problem['nextAction'], string>> = {
  fix_request: 'Correct the request.',
  retry_same_key: 'Send the same request again.',
  wait: 'Wait, then ask again.',
  use_new_key: 'A new write needs a new key.',
  none: '',
};

type TimelineKind = NonNullable<Write['timeline']>[number]['kind'];

/** What happened at a moment of a write. */
export const EVENTS: Readonly<Record<TimelineKind, string>> = {
  requested: 'The request arrived',
  started: 'Temporal accepted it: its run began',
  approval_requested: 'Approval was asked for',
  approved: 'Approved',
  disapproved: 'Approval refused',
  attempt_failed: 'An attempt failed and was rolled back',
  completed: 'Its transaction was committed',
  rejected: 'Rejected',
  cancelled: 'Cancelled',
  lost: 'Found to be lost',
  replayed: 'The same request again: answered with the stored answer',
  conflicted: 'Another request with its key: refused with 422',
  run_failed: 'The run failed',
  event_recorded: 'Its event was recorded',
  event_delivered: 'Its event was delivered',
};
