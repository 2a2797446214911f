import { shownMs } from '../../cli/latencies.ts';
import { textTable } from '../../cli/table.ts';
import type { Paced } from './pace.ts';

export function paceText({ sent, perSecond, answers, latencies }: Paced): string {
  const { p50Ms, p95Ms, p99Ms, maxMs } = latencies;
  return [
    textTable(
      ['writes', '/s', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms'],
      [[String(sent), perSecond.toFixed(1), ...[p50Ms, p95Ms, p99Ms, maxMs].map(shownMs)]],
    ),
    '',
    textTable(
      ['answer', 'times'],
      Object.entries(answers).map(([label, times]) => [label, String(times)]),
    ),
  ].join('\n');
}
