import type { Progress } from '../cli/progress.ts';
import { OUTCOMES, type Outcome } from './outcome.ts';
import { describe, type Tally } from './replay.ts';
import type { Result } from './results.ts';

/** As many rows are told of on the way; all of them stand in the results file. */
const MAX_TOLD = 20;
const BAR_WIDTH = 24;

const MEANINGS: Readonly<Record<Outcome, string>> = {
  succeeded: 'committed',
  rejected: 'a definite no of the books, stored under its key',
  cancelled: 'its key was cancelled',
  refused: 'answered at the door: nothing was stored for it',
  unknown: 'no final answer in time: the same file sent again finds it',
  malformed: 'not sent',
};

/** How far it has come, and each row that did not succeed. */
export function reportRows(progress: Progress, total: number): (result: Result | 'skipped', tally: Tally) => void {
  const startedAt = performance.now();
  let told = 0;
  return (result, tally) => {
    if (result !== 'skipped' && result.outcome !== 'succeeded') {
      told += 1;
      if (told <= MAX_TOLD) progress.done(`line ${result.line}: ${result.outcome}: ${describe(result)}`);
      if (told === MAX_TOLD) progress.done('(further rows of this kind: see the results file)');
    }
    const perSecond = tally.rows / ((performance.now() - startedAt) / 1_000);
    const line = `${bar(tally.rows, total)} ${shown(tally.rows)} of ${shown(total)} rows, ${shown(perSecond)}/s`;
    if (tally.rows === total) progress.done(line);
    else progress.update(line);
  };
}

/** Every row has an outcome that stands for ever, and all were sent. */
export function isComplete(tally: Tally): boolean {
  return tally.stopped === undefined && tally.refused + tally.unknown + tally.malformed === 0;
}

export function reportText(tally: Tally, { total, resultsPath }: { total: number; resultsPath: string }): string {
  const line = (count: number, what: string, meaning: string) =>
    `${shown(count).padStart(9)}  ${what.padEnd(10)} ${meaning}`;
  const outcomes = OUTCOMES.filter((outcome) => outcome === 'succeeded' || tally[outcome] > 0).map((outcome) => {
    const replayed = outcome === 'succeeded' ? `, ${shown(tally.replayed)} of them before (replays)` : '';
    return line(tally[outcome], outcome, MEANINGS[outcome] + replayed);
  });
  return [
    ...outcomes,
    ...(tally.skipped === 0 ? [] : [line(tally.skipped, 'skipped', 'final in the results of the run before')]),
    ...(tally.rows === total
      ? []
      : [line(total - tally.rows, 'not sent', `stopped at ${tally.stopped ?? 'an error'}`)]),
    line(total, 'rows', `each in ${resultsPath}`),
  ].join('\n');
}

function bar(rows: number, total: number): string {
  const filled = Math.floor((rows / Math.max(total, 1)) * BAR_WIDTH);
  return `[${'='.repeat(filled)}${' '.repeat(BAR_WIDTH - filled)}]`;
}

function shown(count: number): string {
  return Math.round(count).toLocaleString('en');
}
