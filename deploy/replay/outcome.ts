import { type Answer, problemOf } from '../client/http.ts';
import { type Submitted, tellsOutcome } from '../client/submit-write.ts';

/**
 * What became of a row.
 *
 * Final, and stored under its key for ever: `succeeded`; `rejected`, a definite no of the books; `cancelled`. Not final:
 * `refused`, answered at the door, which stored nothing for this row; `unknown`, no final answer in time, which the same
 * file sent again will find; `malformed`, not sent.
 */
export type Outcome = 'succeeded' | 'rejected' | 'cancelled' | 'refused' | 'unknown' | 'malformed';

export type Told = {
  readonly outcome: Outcome;
  readonly status?: number;
  /** Answered before, by this run or an earlier one. */
  readonly replayed?: boolean;
  readonly location?: string;
  readonly resource?: object;
  readonly problem?: object;
};

export const OUTCOMES: readonly Outcome[] = ['succeeded', 'rejected', 'cancelled', 'refused', 'unknown', 'malformed'];
const FINAL: readonly Outcome[] = ['succeeded', 'rejected', 'cancelled'];

export function isFinalOutcome(outcome: Outcome): boolean {
  return FINAL.includes(outcome);
}

export function outcomeOf({ final, onTheWay, acknowledged }: Submitted): Told {
  if (final === undefined) {
    const detail = acknowledged ? 'It was accepted, and has no outcome yet.' : 'There was no final answer in time.';
    return { outcome: 'unknown', problem: { detail, answers: onTheWay } };
  }
  const { status, replayed, location, text } = final;
  const body = objectIn(text);
  if (body === undefined) {
    // Not from the API: a proxy's page, a login, another service.
    return { outcome: 'refused', status, problem: { detail: 'The answer is no JSON of the API.' } };
  }
  const told = { status, replayed, ...(location === undefined ? {} : { location }) };
  if (status === 200 || status === 201) return { outcome: 'succeeded', ...told, resource: body };
  if (!tellsOutcome(final)) return { outcome: 'refused', status, problem: body };
  const outcome = problemOf(final)?.code === 'write_cancelled' ? 'cancelled' : 'rejected';
  return { outcome, ...told, problem: body };
}

/** Every other row would be answered the same: the token, the role or the address is wrong, not the row. */
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
