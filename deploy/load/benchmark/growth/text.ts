import { median, shownMs } from '../../../cli/latencies.ts';
import { markdownTable, textTable } from '../../../cli/table.ts';
import { conditions } from '../report.ts';
import type { GrowthResult } from './growth.ts';
import type { Pair, Percentiles } from './pairs.ts';
import { EVENTS, NUMBERING } from './relay.ts';

type Table = {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
};

/** What is promised. For information: no latency makes a run fail. */
const MAX_RATIO = 1.1;

export function growthText(result: GrowthResult): string {
  const tables = tablesOf(result).map(({ title, head, rows }) => `\n${title}\n\n${textTable(head, rows)}`);
  return [...introduction(result), ...tables, '', errorsOf(result), ...verdict(result)].join('\n');
}

export function growthMarkdown(result: GrowthResult): string {
  const { keys, companies, seconds, pairs } = result.options;
  const command = `npm run benchmark -- --mode growth --keys ${keys} --companies ${companies} --seconds ${seconds} --repeat ${pairs}`;
  const [first, ...others] = introduction(result);
  const tables = tablesOf(result).map(({ title, head, rows }) => `${title}:\n\n${markdownTable(head, rows)}\n`);
  return [`Measured with \`${command}\`. ${first}`, '', ...others.map((line) => `- ${line}`), '', ...tables].join('\n');
}

function introduction({ options, filling, indexBytes, after }: GrowthResult): string[] {
  const { keys, companies, seconds, pairs } = options;
  const parts = Object.entries(filling).map(([part, took]) => `${part} ${took.toFixed(0)} s`);
  const total = Object.values(filling).reduce((sum, took) => sum + took, 0);
  const numbered = after.get(NUMBERING) ?? [];
  const perSecond = (of: (pair: Pair) => Percentiles) =>
    shown((EVENTS / median(numbered.map((pair) => of(pair).p50Ms))) * 1_000);
  return [
    `${shown(keys)} keys in ${shown(companies)} companies beside an almost empty database; ${pairs === 1 ? 'one pair' : `medians of ${pairs} pairs`} of ${seconds} s.`,
    ...conditions('An API process for each of the two databases'),
    `All indexes of the filled database (${(indexBytes / 1e9).toFixed(1)} GB) were read once before it was measured, its tables were not.`,
    `Filled in ${total.toFixed(0)} s (${shown(keys / total)} keys/s): ${parts.join(', ')}`,
    `Events that the relay numbers per second: ${perSecond(({ filled }) => filled)}; in the small database ${perSecond(({ small }) => small)}`,
  ];
}

function tablesOf({ before, after, sizes, scans }: GrowthResult): Table[] {
  const latencies = [...after].flatMap(([what, pairs]) =>
    PERCENTILES.map(([name, of]) => [what, name, ...comparison(before.get(what) ?? [], pairs, of)]),
  );
  const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
  return [
    {
      title: 'Latencies in milliseconds, before and after one of the databases was filled',
      head: ['', '', 'before', 'filled', 'small, beside', 'filled ÷ small', 'from … to', 'ratio before', ''],
      rows: latencies,
    },
    {
      title: 'Kilobytes of write-ahead log by each write, among them whole pages after a checkpoint',
      head: ['', 'filled', 'small, beside'],
      rows: WRITES.map((what) => {
        const pairs = after.get(what) ?? [];
        const kilobytes = (of: (pair: Pair) => number) => (median(pairs.map(of)) / 1_000).toFixed(1);
        return [what, kilobytes(({ filled }) => filled.walBytes), kilobytes(({ small }) => small.walBytes)];
      }),
    },
    {
      title: 'Bytes per key, which are megabytes per million keys',
      head: ['', 'table', 'index'],
      rows: [
        ...sizes.map(({ name, bytes, isIndex }) => [
          name,
          isIndex ? '' : shownBytes(bytes),
          isIndex ? shownBytes(bytes) : '',
        ]),
        ['all', shownBytes(total), ''],
      ],
    },
    {
      title: 'How the big tables were read while the filled database was measured',
      head: ['', 'rows', 'from end to end', 'by index', 'rows each time'],
      rows: scans.map(({ table, rows, sequential, byIndex, rowsByIndex }) => [
        table,
        shown(rows),
        shown(sequential),
        shown(byIndex),
        byIndex === 0 ? '–' : (rowsByIndex / byIndex).toFixed(1),
      ]),
    },
  ];
}

/** The cases that write nothing else. */
const WRITES = ['new, c=1', 'new, c=32'];

type Of = (percentiles: Percentiles) => number;

const PERCENTILES: readonly (readonly [name: string, of: Of])[] = [
  ['p50', ({ p50Ms }) => p50Ms],
  ['p95', ({ p95Ms }) => p95Ms],
];

/** The last ratio is that of the two databases while both were small: what this machine cannot resolve. */
function comparison(before: readonly Pair[], after: readonly Pair[], of: Of): string[] {
  const ratios = ratiosOf(after, of);
  const ratio = ratios.length === 0 ? 1 : median(ratios);
  return [
    shownMs(median(before.map(({ filled }) => of(filled)))),
    shownMs(median(after.map(({ filled }) => of(filled)))),
    shownMs(median(after.map(({ small }) => of(small)))),
    ratio.toFixed(2),
    `${Math.min(...ratios).toFixed(2)} … ${Math.max(...ratios).toFixed(2)}`,
    median(ratiosOf(before, of)).toFixed(2),
    ratio <= MAX_RATIO ? `≤ ${MAX_RATIO}` : `> ${MAX_RATIO}`,
  ];
}

function ratiosOf(pairs: readonly Pair[], of: Of): number[] {
  // A lag may be zero.
  return pairs.flatMap(({ small, filled }) => (of(small) > 0 ? [of(filled) / of(small)] : []));
}

function errorsOf({ errors }: GrowthResult): string {
  const counts = Object.entries(errors).flatMap(([side, labels]) =>
    Object.entries(labels).map(([label, times]) => `${side}: ${label} × ${times}`),
  );
  return `Errors: ${counts.length === 0 ? 'none' : counts.join(', ')}`;
}

function verdict({ violations }: GrowthResult): string[] {
  if (violations.length > 0) return violations.map((violation) => `VIOLATED: ${violation}`);
  return ['Every answer agrees with the databases, the books are right, and no big table was read from end to end.'];
}

function shown(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function shownBytes(bytes: number): string {
  return bytes < 10 ? bytes.toFixed(1) : shown(bytes);
}
