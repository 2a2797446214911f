import { isSuccess, pendingWriteOf, problemOf, resourceOf, tellsOutcome } from './answers.ts';
import type { Problem, Write } from './generated/types.ts';
import type { Answer } from './http.ts';
import type { Submitted } from './submit-write.ts';

/**
 * How a write ended for its client.
 *
 * Final, and stored under its key for ever: `succeeded`; `rejected` by a business rule; `cancelled`. Not final: `refused`
 * before it became a write, with nothing stored for this request; `lost`, of which the service has lost the record, so that
 * its operators decide; `pending_approval`, until people approve or reject it, or its time is over; `unknown`, without a final answer in time, which the same request with the same key will get.
 */
export type Outcome<Resource = object> =
  | (Answered & { readonly state: 'succeeded'; readonly resource: Resource })
  | (Answered & { readonly state: 'rejected' | 'cancelled' | 'refused'; readonly problem: Problem })
  | (Answered & { readonly state: 'lost'; readonly problem: Problem | undefined })
  | (Answered & { readonly state: 'pending_approval'; readonly write: Write })
  | (Omit<Submitted, 'final'> & {
      readonly state: 'unknown';
      /** The last answer refuses the request, but an earlier one may have made the write. */
      readonly refusal?: Problem | undefined;
    });

type Answered = Pick<Answer, 'status' | 'replayed' | 'location' | 'requestId'>;

export function outcomeOf<Resource>({ final, ...rest }: Submitted): Outcome<Resource> {
  if (final === undefined) return { state: 'unknown', ...rest };
  const { status, replayed, location, requestId } = final;
  const answered = { status, replayed, location, requestId };
  const write = pendingWriteOf(final);
  if (write !== undefined) return { state: 'pending_approval', ...answered, write };
  const resource = isSuccess(final) ? resourceOf(final) : undefined;
  if (resource !== undefined) return { state: 'succeeded', ...answered, resource: resource as Resource };
  const problem = problemOf(final);
  if (problem === undefined) return { state: 'unknown', ...rest };
  if (problem.code === 'write_record_missing') return { state: 'lost', ...answered, problem };
  if (!tellsOutcome(final)) {
    // It does not say what an earlier request came to: a role was lost, or another release is asked, which refuses what the
    // one before has taken.
    if (rest.mayHaveHappened && problem.code !== 'idempotency_key_reused') {
      return { state: 'unknown', ...rest, refusal: problem };
    }
    return { state: 'refused', ...answered, problem };
  }
  return { state: problem.code === 'write_cancelled' ? 'cancelled' : 'rejected', ...answered, problem };
}
