import type { Counts, Explained, NotAsked, Range } from '../../../activities/auditor/check.ts';
import type { Finding } from '../../../activities/auditor/finding.ts';
import { MOST_ROWS } from '../../../activities/auditor/most-rows.ts';
import { CONFIDENCE, largestShare } from '../../../activities/auditor/sample.ts';
import { shown } from '../../cli/progress.ts';
import type { HeadFile } from './kept-heads.ts';

/** What people read; a finding at a time, because there may be more than fit into memory. */
export function headText({ from, to }: Range, checked: Counts): string {
  const days = from === null && to === null ? 'all days' : `${from ?? 'the beginning'} to ${to ?? 'today'}`;
  const rows = [
    [checked.companies, 'companies'],
    [checked.writes, 'writes'],
    [checked.entries, 'journal entries'],
    [checked.auditRows, 'audit rows'],
    [checked.events, 'events'],
    [checked.seals, 'seals'],
    [checked.outsideHeads, 'heads kept outside'],
  ] as const;
  const width = Math.max(...rows.map(([count]) => shown(count).length));
  return [`Compared, of ${days} (UTC):`, ...rows.map(([count, of]) => `  ${shown(count).padStart(width)}  ${of}`)].join(
    '\n',
  );
}

export function filesText(files: readonly HeadFile[]): string {
  return files
    .map(({ path, lines, heads }) => `Of ${path}: ${shown(heads)} heads in ${shown(lines)} lines.`)
    .join('\n');
}

export function findingText({ kind, companyId, key, writeId, table, rowId, detail, runbook }: Finding): string {
  const line = (name: string, value: string | null) => (value === null ? [] : [`  ${name.padEnd(8)} ${value}`]);
  return [
    '',
    kind,
    ...line('company', companyId),
    ...line('key', key),
    ...line('write', writeId),
    ...line('row', table === null ? null : `${table}${rowId === null ? '' : ` ${rowId}`}`),
    ...line('found', detail),
    ...line('next', runbook),
  ].join('\n');
}

export function endText(findings: number, couldNotAsk: readonly NotAsked[]): string {
  return [
    '',
    findings === 0 ? 'Nothing was found.' : `${shown(findings)} ${findings === 1 ? 'finding' : 'findings'}.`,
    ...(couldNotAsk.length === 0
      ? []
      : ['', 'Could not be asked:', ...couldNotAsk.map(({ what, why }) => `  ${what}: ${why}`)]),
  ].join('\n');
}

/** By epoch: a restore may have taken heads of each company. */
export function explainedText(explained: readonly Explained[]): string {
  const byEpoch = new Map<number, Explained & { heads: number }>();
  for (const one of explained) {
    const ofEpoch = byEpoch.get(one.epoch);
    if (ofEpoch === undefined) byEpoch.set(one.epoch, { ...one, heads: 1 });
    else ofEpoch.heads += 1;
  }
  // No more are kept of one question.
  const orMore = explained.length >= MOST_ROWS ? ' or more' : '';
  return [...byEpoch.values()]
    .map(({ epoch, beganAt, operator, reason, heads: count }) => {
      const heads = count === 1 ? 'a published head names' : `${shown(count)}${orMore} published heads name`;
      const began = beganAt === undefined ? '' : ` (It began ${beganAt}.)`;
      return `Explained: ${heads} rows that are gone. Epoch ${epoch} began without them; ${operator} has stated why: ${reason}${began}`;
    })
    .join('\n');
}

/** What a spot check says of the writes that were not in it. */
export function confidenceText(sample: { sampled: number; found: number; of: number }): string {
  const { sampled, found, of } = sample;
  const percent = (largestShare(sample) * 100).toPrecision(3);
  return sampled >= of
    ? `All ${shown(of)} writes were compared: ${shown(found)} have a finding.`
    : `${shown(found)} of ${shown(sampled)} writes, drawn at random from ${shown(of)}, have a finding. ` +
        `Confidence ${CONFIDENCE * 100} %: at most ${percent} % of all of them have one that can be seen in a write alone.`;
}
