import type { Outcome as WriteOutcome } from '../client/src/outcome.ts';

/** What became of a row: the outcome of its write, or `malformed`, which was not sent. */
export type Outcome = WriteOutcome['state'] | 'malformed';

export type RowResult = {
  readonly outcome: Outcome;
  readonly status?: number;
  /** The answer is a replay: an earlier request, of this run or an earlier one, made the write. */
  readonly replayed?: boolean;
  readonly location?: string;
  readonly resource?: object;
  readonly problem?: object;
  /** Of a write that waits for its approval: how many are needed, and until when. */
  readonly approval?: { readonly approvalsNeeded?: number; readonly expiresAt?: string | null };
};

/** Stored under the key of the row for ever. */
const FINAL: readonly Outcome[] = ['succeeded', 'rejected', 'cancelled'];

export function isFinalOutcome(outcome: Outcome): boolean {
  return FINAL.includes(outcome);
}

/** What the results file says of a write. */
export function resultOf(outcome: WriteOutcome): RowResult {
  if (outcome.state === 'unknown') {
    const { acknowledged, onTheWay, refusal } = outcome;
    const detail = acknowledged ? 'It was accepted but has no outcome yet.' : 'There was no final answer in time.';
    if (refusal === undefined) return { outcome: 'unknown', problem: { detail, answers: onTheWay } };
    const refused = `An earlier request may have made the write, and this one was refused: ${refusal.detail}`;
    return { outcome: 'unknown', status: refusal.status, problem: { ...refusal, detail: refused, answers: onTheWay } };
  }
  const { status, replayed, location } = outcome;
  const answered = { status, replayed, ...(location === undefined ? {} : { location }) };
  if (outcome.state === 'pending_approval') {
    const { approvalsNeeded, expiresAt } = outcome.write as NonNullable<RowResult['approval']>;
    return { outcome: 'pending_approval', ...answered, approval: { approvalsNeeded, expiresAt } as object };
  }
  if (outcome.state === 'succeeded') return { outcome: 'succeeded', ...answered, resource: outcome.resource };
  if (outcome.state === 'rejected' || outcome.state === 'cancelled') {
    return { outcome: outcome.state, ...answered, problem: outcome.problem };
  }
  return { outcome: outcome.state, status, ...(outcome.problem && { problem: outcome.problem }) };
}

/** True if every other row would get the same answer, because the token, the role or the URL is wrong. */
export function concernsAllRows(outcome: WriteOutcome): boolean {
  const refusal =
    outcome.state === 'unknown' ? outcome.refusal : outcome.state === 'refused' ? outcome.problem : undefined;
  if (refusal === undefined) return false;
  return [401, 403, 405].includes(refusal.status) || refusal.code === 'route_not_found';
}
