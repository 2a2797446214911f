import { markdownTable } from '../cli/table.ts';
import type { LongBatch } from './batch-figures.ts';
import type { Counts, Figures } from './figures.ts';

/** The report as a Markdown page: totals first, then details. */
export function reportMarkdown(figures: Figures): string {
  const { all } = figures;
  return `${[
    '# Weekly report on writes',
    `From ${figures.from} to ${figures.to}, ${figures.companies} ${figures.companies === 1 ? 'company' : 'companies'}.`,
    ...incomplete(figures),
    `**${all.total} answers: ${all.new} new, ${all.replayed} replayed (${all.replayPct} %), ${all.failed} failed, of which ${all.mismatches} mismatches.**`,
    '## By type',
    countsTable(['type'], figures.byType, ({ type }) => [type]),
    '## By operation',
    countsTable(['operation', 'type'], figures.byOperation, ({ operation, type }) => [operation, type]),
    'Average and p95 are of successful writes; the last column is of replays, measured from the request’s arrival.',
    '## Failed, by cause',
    figures.failures.length === 0
      ? 'None.'
      : markdownTable(
          ['operation', 'type', 'code', 'times', 'companies'],
          figures.failures.map((row) => [
            row.operation,
            row.type,
            row.errorCode,
            String(row.count),
            String(row.companies),
          ]),
        ),
    '## Lost',
    ...lost(figures),
    '## Batches',
    ...batches(figures),
    '## Slowest writes',
    figures.slowest.length === 0
      ? 'None.'
      : markdownTable(
          ['at', 'operation', 'company', 'key', 'request ID', 'ms'],
          figures.slowest.map((row) => [
            row.at,
            row.operation,
            row.companyId,
            cell(row.key),
            cell(row.requestId),
            ms(row.durationMs),
          ]),
        ),
  ].join('\n\n')}\n`;
}

function lost({ lost: rows }: Figures): string[] {
  if (rows.length === 0) return ['None.'];
  const sum = (of: 'writes' | 'undecided') => String(rows.reduce((total, row) => total + row[of], 0));
  const companies = new Set(rows.map(({ companyId }) => companyId)).size;
  return [
    `**A failover or a restore has taken the record of ${sum('writes')} writes of ${companies} ${companies === 1 ? 'company' : 'companies'}; ${sum('undecided')} are neither reopened nor cancelled.**`,
    markdownTable(
      ['company', 'operation', 'lost', 'undecided'],
      rows.map((row) => [row.companyId, row.operation, String(row.writes), String(row.undecided)]),
    ),
  ];
}

function batches({ batches: figures }: Figures): string[] {
  const { total, completed, cancelled, unfinished, stuck, rows, rowsPerSecond, byOutcome, longest } = figures;
  if (total === 0) return ['None.'];
  const outcomes = Object.entries(byOutcome).filter(([, count]) => count > 0);
  return [
    `**${total} ${total === 1 ? 'batch' : 'batches'} of ${rows} rows: ${completed} completed, ${cancelled} cancelled, ${unfinished} not over${unfinished === 0 ? '' : `, of which ${stuck} stuck`}${rowsPerSecond === null ? '' : `; ${rowsPerSecond} rows/s`}.**`,
    markdownTable(
      ['outcome', 'rows'],
      outcomes.map(([outcome, count]) => [outcome, String(count)]),
    ),
    'The longest, from the first chunk to the end:',
    longest.length === 0
      ? 'None has begun.'
      : markdownTable(['company', 'batch', 'operation', 'state', 'rows', 's'], longest.map(batchLine)),
  ];
}

function batchLine({ companyId, key, operation, state, rows, seconds }: LongBatch): readonly string[] {
  return [companyId, cell(key), operation ?? 'as each row says', state, String(rows), seconds.toFixed(1)];
}

function incomplete({ from, onlineFrom }: Figures): string[] {
  if (onlineFrom === null || from >= onlineFrom) return [];
  return [`The audit log is online from ${onlineFrom}; older rows are archived and not included in these figures.`];
}

function countsTable<Row extends Counts>(
  names: readonly string[],
  rows: readonly Row[],
  namesOf: (row: Row) => readonly string[],
): string {
  if (rows.length === 0) return 'None.';
  return markdownTable(
    [
      ...names,
      'total',
      'new',
      'replayed',
      'failed',
      'mismatches',
      'replayed %',
      'average ms',
      'p95 ms',
      'replay p95 ms',
    ],
    rows.map((row) => [
      ...namesOf(row),
      ...[row.total, row.new, row.replayed, row.failed, row.mismatches].map(String),
      row.replayPct.toFixed(2),
      ...[row.averageMs, row.p95Ms, row.replayP95Ms].map(ms),
    ]),
  );
}

function ms(value: number | null): string {
  return value === null ? '–' : value.toFixed(1);
}

/** Escapes Markdown, because keys and request IDs are clients' text and may contain it. */
function cell(text: string): string {
  return text.replace(/[\\`*_{}[\]<>()#+!|~]/g, '\\$&');
}
