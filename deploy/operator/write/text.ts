import { textTable } from '../../cli/table.ts';
import type { WriteFacts } from './facts.ts';

/** Facts and advice as text, in the order in which an operator needs them. */
export function factsText(facts: WriteFacts, advice: readonly string[]): string {
  const { company, key, state, write, row, run, group, event, batches } = facts;
  const line = (name: string, value: string | number | null | undefined) =>
    value == null || value === '' ? [] : [`  ${name.padEnd(10)} ${value}`];
  return [
    `${key} of ${company.name} (${company.id})`,
    '',
    ...line(
      'state',
      row === null ? state : `${state}, answered ${row.statusCode}${row.errorCode === null ? '' : ` ${row.errorCode}`}`,
    ),
    ...line('request', row?.request),
    ...line('operation', write?.operation == null ? undefined : `${write.operation} (${write.type ?? 'unknown'})`),
    ...line('write ID', write?.writeId),
    ...line('resource', write?.location),
    ...line('sent by', write?.actor.userId),
    ...line('request ID', write?.requestId),
    ...line('requested', write?.requestedAt),
    ...line(state === 'lost' ? 'found lost' : 'completed', write?.completedAt),
    ...line('workflow', write?.workflow?.id),
    ...line('UI', write?.workflow?.url),
    ...line('run', run === null ? undefined : `${run.runId} ${run.end ?? run.state}`),
    ...line(
      'group',
      group === null
        ? undefined
        : `${group.workflowId} ${group.status}${group.summary === null ? '' : `, ${group.summary}`}`,
    ),
    ...batches.flatMap((batch) => line('batch', `row ${batch.row} of ${batch.key} (${batch.state}): ${batch.outcome}`)),
    ...line(
      'event',
      event === null
        ? undefined
        : `${event.id} ${event.kind}, delivery ${event.delivery}${event.lastError === null ? '' : `: ${event.lastError}`}`,
    ),
    ...section('Timeline', timeline(facts)),
    ...section('Audit log', auditTable(facts)),
    '',
    'What to do',
    ...advice.map((text) => `  ${text}`),
  ].join('\n');
}

function section(title: string, text: string | undefined): string[] {
  return text === undefined ? [] : ['', title, ...text.split('\n').map((line) => `  ${line}`)];
}

function timeline({ write }: WriteFacts): string | undefined {
  if (write === null || write.timeline.length === 0) return undefined;
  const rows = write.timeline.map(({ at, kind, requestId, detail }) =>
    `${at}  ${kind.padEnd(15)} ${[requestId, detail].filter(Boolean).join('  ')}`.trimEnd(),
  );
  return [...rows, ...(write.timelineTruncated ? ['(the middle is omitted)'] : [])].join('\n');
}

function auditTable({ audit }: WriteFacts): string | undefined {
  if (audit.length === 0) return undefined;
  return textTable(
    ['at', 'status', 'ms', 'request ID', 'code', 'message'],
    audit.map((row) => [
      row.at,
      row.status,
      row.durationMs.toFixed(1),
      row.requestId,
      row.errorCode ?? '',
      row.errorMessage ?? '',
    ]),
  );
}
