import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { extname } from 'node:path';
import { printed } from '../cli/printed.ts';
import type { ResultFormat } from '../client/src/results.ts';
import type { Session } from './session.ts';

type Reading = Pick<Session, 'batches' | 'signal'>;

/** By the file name's extension. */
export function resultFormatOf(path: string): ResultFormat {
  return extname(path).toLowerCase() === '.csv' ? 'csv' : 'ndjson';
}

/** Writes the results page by page. The file has them all, or is not there. */
export async function saveResults(
  { batches, signal }: Reading,
  batchKey: string,
  path: string,
  format = resultFormatOf(path),
): Promise<void> {
  // A kill in between leaves an earlier file as it is.
  const fresh = `${path}.new`;
  const descriptor = openSync(fresh, 'w', 0o600);
  try {
    for await (const page of batches.resultsText(batchKey, { format, signal })) writeSync(descriptor, page);
    closeSync(descriptor);
    renameSync(fresh, path);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
}

/** Ends early where nobody reads any more, such as `head`. */
export async function printResults(
  { batches, signal }: Reading,
  batchKey: string,
  format: ResultFormat,
  output: NodeJS.WriteStream,
): Promise<void> {
  let failure: NodeJS.ErrnoException | undefined;
  output.on('error', (error) => {
    failure = error;
  });
  for await (const page of batches.resultsText(batchKey, { format, signal })) {
    await new Promise<void>((resolve) => void output.write(output.isTTY ? printed(page) : page, () => resolve()));
    if (failure?.code === 'EPIPE') return;
    if (failure !== undefined) throw failure;
  }
}
