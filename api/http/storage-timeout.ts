import { ApiProblem } from './problems.ts';
import { withTimeout } from './timeouts.ts';

/** What the database does, or `storage_unavailable` when it takes longer: a frozen one must not keep the client. */
export async function withStorageTimeout<T>(work: Promise<T>, limitMs: number): Promise<T> {
  const done = await withTimeout(
    work.then((result) => ({ result })),
    limitMs,
  );
  if (done === undefined) {
    throw new ApiProblem('storage_unavailable', { detail: 'The database did not answer in time. Send it again.' });
  }
  return done.result;
}
