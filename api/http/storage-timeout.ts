import { withTimeout } from '../../worker/timeouts.ts';
import { ApiProblem } from './problems.ts';

/** The result of `work`, or `storage_unavailable` after the limit: a frozen database must not keep the client waiting. */
export async function withStorageTimeout<T>(work: Promise<T>, limitMs: number): Promise<T> {
  const done = await withTimeout(
    work.then((result) => ({ result })),
    limitMs,
  );
  if (done === undefined) {
    throw new ApiProblem('storage_unavailable', {
      detail: 'The database did not answer in time. Send the request again.',
    });
  }
  return done.result;
}
