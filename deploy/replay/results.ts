import { closeSync, createReadStream, existsSync, openSync, renameSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import { isFinalOutcome, type RowResult } from './outcome.ts';
import type { KeyFrom } from './request.ts';

/** A line of the results file. `row` comes first, which identifies the file as a results file. */
export type Result = {
  readonly row: number;
  readonly line: number;
  /** Absent if the row could not be read, and gives none itself. */
  readonly key?: string;
  readonly keyFrom?: KeyFrom;
  /** Identifies request and target; `--resume` skips a request that has a final outcome. */
  readonly request?: string;
} & RowResult;

export type ResultsFile = {
  /** Requests with a final outcome in an earlier run; empty unless resumed. */
  readonly settled: ReadonlySet<string>;
  append(result: Result): void;
  close(): void;
};

/**
 * Opens the results file, which gets one line per row in the order of the outcomes. When resuming, it keeps the lines of an
 * earlier run with a final outcome and drops incomplete ones; otherwise it starts an empty file, because the API answers
 * every row again.
 */
export async function openResults(path: string, { sha256, resume }: { sha256: string; resume: boolean }) {
  const earlier = existsSync(path);
  if (earlier) await refuseOtherFiles(path, sha256);
  const settled = new Set<string>();
  // Write to another file first, so that a kill in between leaves the earlier results intact.
  const fresh = `${path}.new`;
  const descriptor = openSync(fresh, 'w', 0o600);
  const append = (result: Result) => void writeSync(descriptor, `${JSON.stringify(result)}\n`);
  if (earlier && resume) {
    for await (const result of readResults(path)) {
      if (result.request === undefined || !isFinalOutcome(result.outcome) || settled.has(result.request)) continue;
      settled.add(result.request);
      append(result);
    }
  }
  renameSync(fresh, path);
  const results: ResultsFile = { settled, append, close: () => closeSync(descriptor) };
  return results;
}

/** Skips incomplete lines: a kill may truncate the last one. */
async function* readResults(path: string): AsyncGenerator<Result> {
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const result = parse(line);
    if (result !== undefined) yield result;
  }
}

/**
 * Refuses to overwrite a file that is not a results file, and the results of a file whose content has changed since: keys
 * derived from the content would be new, and every row that was already written would be written again.
 */
async function refuseOtherFiles(path: string, sha256: string): Promise<void> {
  let lines = 0;
  for await (const line of createInterface({ input: createReadStream(path) })) {
    lines += 1;
    if (lines === 1 && !isBeginning(line))
      throw new Error(`${path} is not a results file: give another with --results.`);
    const result = parse(line);
    if (result?.keyFrom !== 'file') continue;
    if (result.key === keyOfRow(sha256, result.row)) return;
    throw new Error(
      `${path} has results of this file with other content, and its rows have no keys of their own: sent now, they would ` +
        'get new keys, and rows that were already written would be written again. Send the unchanged file, and put ' +
        'corrected rows into a separate file. (If this is a different file, give another --results.)',
    );
  }
}

function isBeginning(line: string): boolean {
  const beginning = '{"row":';
  return line.startsWith(beginning) || beginning.startsWith(line);
}

function parse(line: string): Result | undefined {
  try {
    const result = JSON.parse(line);
    return typeof result?.row === 'number' && typeof result?.outcome === 'string' ? result : undefined;
  } catch {
    return undefined;
  }
}
