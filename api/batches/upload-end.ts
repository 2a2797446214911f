import type { Metrics, UploadEnd } from '../../worker/metrics.ts';
import { ApiProblem } from '../http/problems.ts';
import { UnreadableFile } from './rows/rows.ts';

/** Runs an upload, and counts how it ends. Throws what the work throws; for UnreadableFile, `validation_failed`. */
export async function countingEnd<T>(
  { batchUploads }: Pick<Metrics, 'batchUploads'>,
  work: () => Promise<T>,
  endOf: (done: T) => UploadEnd,
): Promise<T> {
  try {
    const done = await work();
    batchUploads.inc({ end: endOf(done) });
    return done;
  } catch (error) {
    const problem = error instanceof UnreadableFile ? unreadable(error) : error;
    batchUploads.inc({ end: endOfFailure(problem) });
    throw problem;
  }
}

function unreadable({ message }: UnreadableFile): ApiProblem {
  return new ApiProblem('validation_failed', {
    detail: `The file cannot be read. ${message}`,
    errors: [{ in: 'body', pointer: '', message }],
  });
}

const BROKEN_OFF: readonly string[] = ['malformed_request', 'request_timeout'];

function endOfFailure(error: unknown): UploadEnd {
  if (!(error instanceof ApiProblem) || error.kind.status >= 500) return 'failed';
  return BROKEN_OFF.includes(error.code) ? 'broken_off' : 'refused';
}
