import { type Answer, problemOf } from '../client/http.ts';
import { type Submitted, tellsOutcome } from '../client/submit-write.ts';

/**
 * The outcome of a row.
 *
 * Final, and stored under its key for ever: `succeeded`; `rejected` by a business rule; `cancelled`. Not final: `lost`, of
 * which the database has lost the record, so that operators decide; `refused` before the write, with nothing stored for this
 * row; `unknown`, without a final answer in time, which sending the same file again will get; `malformed`, not sent.
 */
export type Outcome = (typeof OUTCOMES)[number];

export type RowResult = {
  readonly outcome: Outcome;
  readonly status?: number;
  /** The answer is a replay: an earlier request, of this run or an earlier one, made the write. */
  readonly replayed?: boolean;
  readonly location?: string;
  readonly resource?: object;
  readonly problem?: object;
};

export const OUTCOMES = ['succeeded', 'rejected', 'cancelled', 'lost', 'refused', 'unknown', 'malformed'] as const;
const FINAL: readonly Outcome[] = ['succeeded', 'rejected', 'cancelled'];

export function isFinalOutcome(outcome: Outcome): boolean {
  return FINAL.includes(outcome);
}

export function outcomeOf({ final, onTheWay, acknowledged }: Submitted): RowResult {
  if (final === undefined) {
    const detail = acknowledged ? 'It was accepted but has no outcome yet.' : 'There was no final answer in time.';
    return { outcome: 'unknown', problem: { detail, answers: onTheWay } };
  }
  const { status, replayed, location, text } = final;
  const body = objectIn(text);
  if (body === undefined) {
    // Not from the API, but from a proxy, a login page or another service.
    return { outcome: 'refused', status, problem: { detail: 'The answer is not JSON from the API.' } };
  }
  const answered = { status, replayed, ...(location === undefined ? {} : { location }) };
  if (status === 200 || status === 201) return { outcome: 'succeeded', ...answered, resource: body };
  if (problemOf(final)?.code === 'write_record_missing') return { outcome: 'lost', status, problem: body };
  if (!tellsOutcome(final)) return { outcome: 'refused', status, problem: body };
  const outcome = problemOf(final)?.code === 'write_cancelled' ? 'cancelled' : 'rejected';
  return { outcome, ...answered, problem: body };
}

/** True if every other row would get the same answer, because the token, the role or the URL is wrong. */
export function concernsAllRows(answer: Answer | undefined): boolean {
  if (answer === undefined || tellsOutcome(answer)) return false;
  return [401, 403, 405].includes(answer.status) || problemOf(answer)?.code === 'route_not_found';
}

function objectIn(text: string): object | undefined {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
