import { RefusedError } from '../client/src/errors.ts';

/** What is asked of a batch; undefined if there is no such batch, or the token may not read it. */
export async function ifKnown<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof RefusedError && error.code === 'batch_not_found') return undefined;
    throw error;
  }
}
