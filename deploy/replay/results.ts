import { closeSync, createReadStream, existsSync, openSync, realpathSync, renameSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { isFinalOutcome, type Told } from './outcome.ts';
import { type KeyFrom, keyOfRow } from './request.ts';

/** A line of the results file. `row` comes first: by that the file is known again. */
export type Result = {
  readonly row: number;
  readonly line: number;
  /** None where the row could not be read. */
  readonly key?: string;
  readonly keyFrom?: KeyFrom;
  /** What was asked, of whom: `--resume` skips what it finds under it. */
  readonly request?: string;
} & Told;

export type ResultsFile = {
  /** Requests that have their outcome from an earlier run; empty unless that is resumed. */
  readonly settled: ReadonlySet<string>;
  append(result: Result): void;
  close(): void;
};

/**
 * One line a row, written as its outcome comes, in that order. Resumed, the lines of an earlier run that are final stay, and
 * what a kill has torn or left without outcome goes; else the file begins anew, since the API answers every row again.
 */
export async function openResults(path: string, { sha256, resume }: { sha256: string; resume: boolean }) {
  const earlier = existsSync(path);
  if (earlier) await refuseOtherFiles(path, sha256);
  const settled = new Set<string>();
  // Another file until it is complete: a kill in between leaves the earlier results as they were.
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

/** Skips what is no whole line: a kill may tear the last one. */
async function* readResults(path: string): AsyncGenerator<Result> {
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const result = parse(line);
    if (result !== undefined) yield result;
  }
}

export function refuseSameFile(source: string, results: string): void {
  if (source !== '-' && existsSync(results) && realpathSync(source) === realpathSync(results)) {
    throw new Error(`${results} is the file to be sent: the results need another.`);
  }
}

/**
 * Refuses to write over what is no results file, and over the results of a file whose content has changed since: keys that
 * are made from the content would be new ones, and each row that was written before would be written once more.
 */
async function refuseOtherFiles(path: string, sha256: string): Promise<void> {
  let lines = 0;
  for await (const line of createInterface({ input: createReadStream(path) })) {
    lines += 1;
    if (lines === 1 && !isBeginning(line)) throw new Error(`${path} is no results file: give another with --results.`);
    const result = parse(line);
    if (result?.keyFrom !== 'file') continue;
    if (result.key === keyOfRow(sha256, result.row)) return;
    throw new Error(
      `${path} has the results of this file with another content, and its rows have no keys of their own: sent now, they ` +
        'would get new keys, and those written before would be written again. Send the file as it was; put corrected rows ' +
        'into a file of their own. (If this is another file, give its own --results.)',
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
