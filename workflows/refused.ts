import { ApplicationFailure } from '@temporalio/common';

/**
 * What the payload codec puts in the place of a payload that is not ours: decoding must not throw, because a workflow task that
 * fails is tried for ever, and a list of runs would end at one that someone has forged.
 */
export type Refused = { readonly [REFUSED]: string };

export const REFUSED = '@accubooks/refused';

/** The type of the failure of a run whose arguments are not ours: it has done nothing. */
export const RUN_REFUSED = 'RunRefused';
/** The type of the failure of a run that got something else that is not ours: what it has done is not known. */
export const RESULT_REFUSED = 'ResultRefused';

export function isRefused(value: unknown): value is Refused {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, REFUSED);
}

/** The value itself; throws the failure that ends the run where it is not ours. */
export function requireOurs<T>(value: T, type: string): T {
  if (isRefused(value)) throw refusal(value[REFUSED], type);
  return value;
}

export function refusal(reason: string, type: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(`A payload is refused: ${reason}`, type);
}
