import { faultLine, pointerText } from '../cli/fault-text.ts';
import { shown } from '../cli/progress.ts';
import type { Batch } from '../client/src/generated/types.ts';
import { EXIT } from './ends.ts';
import type { PlacedFault } from './fault-places.ts';
import { isOver } from './follow.ts';
import { durationText } from './progress-text.ts';

type Outcome = keyof Batch['counts'];

/** In the order in which they are printed. */
const MEANINGS: Readonly<Record<Outcome, readonly [name: string, meaning: string]>> = {
  succeeded: ['succeeded', 'written by this batch'],
  replayed: ['replayed', 'written before, under the same keys'],
  rejected: ['rejected', 'by a business rule, stored under the key'],
  mismatched: ['mismatched', 'the key belongs to another write'],
  refused: ['refused', 'before the write: nothing was stored'],
  failed: ['failed', 'given up after an error; the results tell what was written'],
  cancelled: ['cancelled', 'not written'],
  pendingApproval: ['pending', 'waiting for an approval'],
  pending: ['waiting', 'not written yet'],
};

const FAULTS: readonly Outcome[] = ['rejected', 'mismatched', 'refused', 'failed', 'cancelled'];

export function exitCodeOf(batch: Batch): number {
  if (!isOver(batch)) return EXIT.unfinished;
  if (batch.state === 'cancelled' || FAULTS.some((outcome) => batch.counts[outcome] > 0)) return EXIT.faulty;
  // Somebody has to approve them; then the same command ends otherwise.
  return batch.counts.pendingApproval > 0 ? EXIT.unfinished : EXIT.done;
}

/** How a batch stands, for people. */
export function reportText(batch: Batch): string {
  const { key, state, counts, rows } = batch;
  const outcomes = (Object.keys(MEANINGS) as Outcome[]).filter((outcome) => counts[outcome] > 0);
  return [
    `Batch ${key}: ${state}`,
    ...outcomes.map((outcome) => line(counts[outcome], ...MEANINGS[outcome])),
    line(rows ?? 0, 'rows', timeOf(batch)),
    ...hints(batch),
  ].join('\n');
}

/** `line 7 (row 6), key …: 422 validation_failed: …; /amount: …` */
export function faultText({ row, line, key, status, code, detail, errors }: PlacedFault): string {
  const place = line === undefined ? `row ${row}` : line === row ? `line ${line}` : `line ${line} (row ${row})`;
  const parts = [faultLine({ status, code, detail }), ...errors.map(pointerText)];
  return `${place}${key === null ? '' : `, key ${key}`}: ${parts.filter(Boolean).join('; ')}`;
}

function timeOf({ rows, counts, startedAt, completedAt }: Batch): string {
  if (startedAt === null || completedAt === null) return '';
  const ms = Date.parse(completedAt) - Date.parse(startedAt);
  const done = (rows ?? 0) - counts.pending;
  return `in ${durationText(ms)}${ms > 0 ? ` (${shown((done * 1_000) / ms)}/s)` : ''}`;
}

function hints({ key, state, counts, errors }: Batch): string[] {
  const say = (what: string, action: string) => `${what}: npm run --silent batch -- ${action} ${quoted(key)}`;
  const toApprove =
    counts.pendingApproval > 0
      ? [say('To see which rows wait, each of which is decided about by its key', 'results')]
      : [];
  if (state === 'paused') return [say('To let it go on', 'resume'), ...toApprove];
  // A row that does not match its schema never will.
  const isWorthwhile = counts.failed > 0 || errors.some(({ status }) => status === 403);
  const toRetry =
    state === 'completed' && isWorthwhile ? [say('To try the failed and refused rows again', 'retry-failed')] : [];
  return [...toRetry, ...toApprove];
}

/** As a shell takes it for one word. */
export function quoted(text: string): string {
  return /^[\w.:@%+=,/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function line(count: number, what: string, meaning: string): string {
  return `${shown(count).padStart(9)}  ${what.padEnd(10)} ${meaning}`.trimEnd();
}
