import { printedLine } from '../cli/printed.ts';
import { bar, type Progress, shown } from '../cli/progress.ts';
import type { Outcome } from './outcome.ts';
import { describe, type Tally } from './replay.ts';
import type { Result } from './results.ts';

/** How many rows without success are printed; the results file has all of them. */
const MAX_PRINTED = 20;

/** In the order in which they are printed. */
const MEANINGS: Readonly<Record<Outcome, string>> = {
  succeeded: 'committed',
  rejected: 'rejected by a business rule, stored under its key',
  cancelled: 'its key was cancelled',
  pending_approval: 'waiting for people to approve it: send the same file again afterwards',
  lost: 'the database has lost its record: ask the operators',
  refused: 'refused before the write: nothing was stored',
  unknown: 'no final answer in time: send the same file again',
  malformed: 'not sent',
};

/** Prints the progress and each row that did not succeed. */
export function reportRows(progress: Progress, total: number): (result: Result | 'skipped', tally: Tally) => void {
  const startedAt = performance.now();
  let printed = 0;
  return (result, tally) => {
    if (result !== 'skipped' && result.outcome !== 'succeeded' && result.outcome !== 'pending_approval') {
      printed += 1;
      if (printed <= MAX_PRINTED) progress.done(`line ${result.line}: ${result.outcome}: ${describe(result)}`);
      if (printed === MAX_PRINTED) progress.done('(see the results file for further rows without success)');
    }
    const perSecond = tally.rows / ((performance.now() - startedAt) / 1_000);
    const line = `${bar(tally.rows, total)} ${shown(tally.rows)} of ${shown(total)} rows, ${shown(perSecond)}/s`;
    if (tally.rows === total) progress.done(line);
    else progress.update(line);
  };
}

/** How the command ends, for scripts: as `npm run batch` does. */
export const EXIT = {
  /** All rows were sent and have a final outcome. */
  done: 0,
  faulty: 1,
  /** Nothing but approvals is missing: the same command, run again, ends otherwise. */
  pending: 3,
} as const;

export function exitCodeOf(tally: Tally): number {
  if (tally.stopped !== undefined) return EXIT.faulty;
  if (tally.lost + tally.refused + tally.unknown + tally.malformed > 0) return EXIT.faulty;
  return tally.pending_approval > 0 ? EXIT.pending : EXIT.done;
}

export function reportText(tally: Tally, { total, resultsPath }: { total: number; resultsPath: string }): string {
  const width = tally.pending_approval > 0 ? 'pending_approval'.length : 10;
  const line = (count: number, what: string, meaning: string) =>
    `${shown(count).padStart(9)}  ${what.padEnd(width)} ${meaning}`;
  const outcomes = (Object.keys(MEANINGS) as Outcome[])
    .filter((outcome) => outcome === 'succeeded' || tally[outcome] > 0)
    .map((outcome) => {
      const replayed = outcome === 'succeeded' ? `, ${shown(tally.replayed)} of them replays` : '';
      return line(tally[outcome], outcome, MEANINGS[outcome] + replayed);
    });
  return [
    ...outcomes,
    ...(tally.skipped === 0 ? [] : [line(tally.skipped, 'skipped', 'with a final outcome in the earlier results')]),
    ...(tally.rows === total
      ? []
      : [line(total - tally.rows, 'not sent', `stopped at ${printedLine(tally.stopped ?? 'an error')}`)]),
    line(total, 'rows', `see ${resultsPath}`),
  ].join('\n');
}
