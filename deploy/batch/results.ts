import { closeSync, fstatSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { printed } from '../cli/printed.ts';
import type { ResultFormat } from '../client/src/results.ts';
import type { Session } from './session.ts';

type Reading = Pick<Session, 'batches' | 'signal'>;

type Output = NodeJS.WriteStream & { readonly fd?: number };

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
    try {
      for await (const page of batches.resultsText(batchKey, { format, signal })) writeFileSync(descriptor, page);
      // Some disks tell only now that they are full.
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
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
  output: Output,
): Promise<void> {
  // Each write is told of its failure itself.
  output.on('error', () => undefined);
  try {
    for await (const page of batches.resultsText(batchKey, { format, signal })) {
      await write(output, output.isTTY ? printed(page) : page);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  }
}

/** All of it, or an error. The standard output of Node takes a part that has gone to a file for all of it. */
async function write(output: Output, text: string): Promise<void> {
  const { fd } = output;
  if (isFile(fd)) return writeFileSync(fd, text);
  await new Promise<void>((resolve, reject) => {
    output.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

function isFile(fd: number | undefined): fd is number {
  return fd !== undefined && fstatSync(fd).isFile();
}
