import { isStorageUnavailable } from '../../activities/failures.ts';
import type { ProcessFence } from '../../worker/fence.ts';
import { ApiProblem } from '../http/problems.ts';
import type { LookedUp } from './lookup.ts';

/** A plain restart is verified within seconds. */
export const STORAGE_RETRY = { 'retry-after': '2' } as const;

/** A missing row proves nothing on a server that may have lost it. Throws `storage_unavailable`. */
export async function requireVerified(
  { fence }: { readonly fence: Pick<ProcessFence, 'require'> },
  { row, version }: LookedUp,
): Promise<void> {
  if (row !== undefined) return;
  try {
    await fence.require(version);
  } catch (error) {
    if (!isStorageUnavailable(error)) throw error;
    throw notVerified();
  }
}

export function notVerified(): ApiProblem {
  return new ApiProblem('storage_unavailable', {
    detail:
      'The database has come back, and it is being verified that it has lost no write. Whether this key has one is not known ' +
      'until then. Send the request again with the same key.',
    headers: STORAGE_RETRY,
  });
}
