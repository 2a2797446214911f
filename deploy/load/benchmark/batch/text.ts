import { median, shownMs } from '../../../cli/latencies.ts';
import { textTable } from '../../../cli/table.ts';
import type { BesideResult } from './beside.ts';
import { type BatchResult, type BatchRun, LANE_CLIENTS, rowsPerSecond } from './measure.ts';

/** What is aimed at. For information: no figure makes a run fail. */
const AIMS = { rowsPerSecond: 2_000, timesLane: 5, p95: 2 } as const;

export function batchText(result: BatchResult): string {
  const { options, batches, replays, lane, sql, ratios, violations } = result;
  const rate = rowsPerSecond(batches, 'seconds');
  const rows = [
    ['batch, from the first byte to its end', perSecond(rate), cpuOf(medianCpu(batches))],
    ['batch, its writing alone', perSecond(rowsPerSecond(batches, 'writingSeconds')), ''],
    ['upload', perSecond(median(batches.map((run) => run.rows / run.uploadSeconds))), ''],
    ['the same file again (replays)', perSecond(rowsPerSecond(replays, 'seconds')), cpuOf(medianCpu(replays))],
    [`write lane, c=${LANE_CLIENTS}`, perSecond(lane.perSecond), cpuOf(lane.cpuMs)],
    ...sql.map(({ concurrency, segment }) => [
      `SQL alone, c=${concurrency}`,
      perSecond(segment.perSecond),
      cpuOf(segment.cpuMs),
    ]),
  ];
  return [
    '',
    `Batches of ${options.rows.toLocaleString('en')} payments${options.repeat > 1 ? ` (medians of ${options.repeat})` : ''}`,
    '',
    textTable(['', 'rows/s', 'CPU ms per row'], rows),
    '',
    textTable(
      ['', 'measured', 'aim', ''],
      [
        [
          'batch, rows/s',
          perSecond(rate),
          `≥ ${AIMS.rowsPerSecond.toLocaleString('en')}`,
          mark(rate >= AIMS.rowsPerSecond),
        ],
        ...Object.entries(ratios).map(([what, ratio]) =>
          what.includes('write lane')
            ? [what, ratio.toFixed(2), `≥ ${AIMS.timesLane}`, mark(ratio >= AIMS.timesLane)]
            : [what, ratio.toFixed(2), '–', ''],
        ),
      ],
    ),
    '',
    ...verdict(
      violations,
      'Checked in the database: each row has one payment, one balanced entry, one audit row "new" and one event; the trial balance is zero; the second batches have made nothing',
    ),
  ].join('\n');
}

export function besideText({ options, cases, violations }: BesideResult): string {
  const rows = cases.map(({ company, clients, pairs, p95 }) => {
    const of = (figure: (pair: (typeof pairs)[number]) => number) => median(pairs.map(figure));
    return [
      `c=${clients}, ${company === 'same' ? 'the same' : 'another'} company`,
      shownMs(of(({ without }) => without.p95Ms)),
      shownMs(of(({ during }) => during.p95Ms)),
      p95.toFixed(2),
      mark(p95 <= AIMS.p95),
      perSecond(of(({ without }) => without.perSecond)),
      perSecond(of(({ during }) => during.perSecond)),
      perSecond(of((pair) => pair.rowsPerSecond)),
    ];
  });
  return [
    '',
    `Payments without and during a batch, in turn, ${options.seconds} s each${options.repeat > 1 ? ` (medians of ${options.repeat} pairs)` : ''}`,
    '',
    textTable(
      ['', 'p95 ms without', 'during', 'ratio', `≤ ${AIMS.p95}`, 'writes/s without', 'during', 'rows/s of the batch'],
      rows,
    ),
    '',
    ...verdict(violations, 'Checked in the database: each acknowledged write is there once'),
  ].join('\n');
}

function verdict(violations: readonly string[], otherwise: string): string[] {
  return violations.length === 0 ? [otherwise] : violations.map((violation) => `VIOLATED: ${violation}`);
}

function mark(met: boolean): string {
  return met ? 'met' : 'missed';
}

function perSecond(value: number): string {
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en');
}

function medianCpu(runs: readonly BatchRun[]): BatchRun['cpuMs'] {
  const names = Object.keys(runs[0]?.cpuMs ?? {});
  return Object.fromEntries(names.map((name) => [name, median(runs.map(({ cpuMs }) => cpuMs?.[name] ?? 0))]));
}

function cpuOf(cpuMs: BatchRun['cpuMs']): string {
  const shown = Object.entries(cpuMs ?? {}).filter(([name]) => name !== 'generator' || !('baseline' in (cpuMs ?? {})));
  return shown.length === 0 ? 'unknown' : shown.map(([name, ms]) => `${name} ${ms.toFixed(2)}`).join(', ');
}
