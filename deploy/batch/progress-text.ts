import { bar, shown } from '../cli/progress.ts';
import type { Batch } from '../client/src/generated/types.ts';

const MIB = 1024 * 1024;

/** `sending [====    ] 12.3 of 56.0 MiB, 8.1 MiB/s`; `elapsedMs` since the first byte. */
export function sendingText(bytes: number, total: number, elapsedMs: number): string {
  const perSecond = elapsedMs < 1_000 ? '' : `, ${mib((bytes * 1_000) / elapsedMs)} MiB/s`;
  return `sending ${bar(bytes, total)} ${mib(bytes)} of ${mib(total)} MiB${perSecond}`;
}

/** `running [====    ] 4,500 of 10,000 rows, 2,310/s, 3 s left` */
export function batchText({ state, rows, counts, rowsPerSecond }: Batch): string {
  const all = rows ?? 0;
  const done = all - counts.pending;
  const rate = rowsPerSecond === null ? '' : `, ${shown(rowsPerSecond)}/s`;
  const left = rowsPerSecond ? `, ${durationText((counts.pending * 1_000) / rowsPerSecond)} left` : '';
  return `${state} ${bar(done, all)} ${shown(done)} of ${shown(all)} rows${rate}${left}`;
}

/** `0.8 s`, `42 s`, `3 min 20 s`, `2 h 5 min` */
export function durationText(ms: number): string {
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(1);
}
