import { ANSWER_CONTROLS } from '../controls/answers/answers.ts';
import type { Control } from '../controls/control.ts';
import { brokenRows, CONTROLS } from '../controls/controls.ts';
import type { AuditCheck, CheckContext, Step } from './check.ts';
import { CouldNotAsk } from './check.ts';
import { type Finding, type FindingKind, findingOf } from './finding.ts';
import { MOST_ROWS, thereIsMore } from './most-rows.ts';
import { placeOf } from './place-of-row.ts';

/** What the pages of writes and the search for strays compare, write by write. */
const ASKED_OTHERWISE = new Set([
  'successes-told',
  'rejections-told',
  'cancels-told',
  'one-entry-a-write',
  'main-rows',
  'no-strays',
]);

/** Each control as it is, over the whole books of some companies. */
export const CONTROL_CHECKS: readonly AuditCheck[] = CONTROLS.filter(({ name }) => !ASKED_OTHERWISE.has(name)).map(
  (control) => checkOf(control, null),
);

/** Of these controls each row names its write, so that they can be asked of some writes only. */
const CONTROLS_OF_WRITES = [...ANSWER_CONTROLS, ...CONTROLS.filter(({ name }) => ['labels', 'authors'].includes(name))];

/** Those controls whose rows name their write, of these writes only. */
export function controlChecksOf(writeIds: ReadonlyMap<string, readonly string[]>): readonly AuditCheck[] {
  return CONTROLS_OF_WRITES.map((control) => checkOf(control, writeIds));
}

function checkOf(control: Control, writeIds: ReadonlyMap<string, readonly string[]> | null): AuditCheck {
  return {
    name: control.name,
    reads: `the control ${control.name}: ${control.sentence}`,
    each: 'companies',
    async *run({ companyIds }, context) {
      context.signal.throwIfAborted();
      if (control.needsAuditRows && context.archivedMonths.length > 0) {
        throw new CouldNotAsk(`it needs all audit rows, and ${context.archivedMonths.join(', ')} are archived`);
      }
      const only = writeIds === null ? null : companyIds.flatMap((id) => writeIds.get(id) ?? []);
      yield await askControl(control, companyIds, only, context);
    },
  };
}

type Row = Readonly<Record<string, unknown>>;

async function askControl(
  control: Control,
  companyIds: readonly string[],
  writeIds: readonly string[] | null,
  { ask }: CheckContext,
): Promise<Step> {
  const plan = writeIds === null ? 'by hash' : 'by index';
  const database = {
    query: async <R>(sql: string, values: unknown[] = []) => ({ rows: await ask<R>(sql, values, plan) }),
  };
  const rows = await brokenRows(database, control, companyIds, { limit: MOST_ROWS + 1, writeIds });
  const findings = rows.slice(0, MOST_ROWS).map((row) => toFinding(control, row));
  const named = await withKeys(findings, ask);
  return { findings: rows.length > MOST_ROWS ? [...named, thereIsMore(control.name)] : named };
}

/** An entry, an audit row or an event that is not its write's has a kind of its own. */
const KINDS_OF_LABELS: Readonly<Record<string, FindingKind>> = {
  journal_entries: 'entry-altered',
  idempotent_write_audit_log: 'audit-row-altered',
  outbox: 'event-altered',
};

function toFinding(control: Control, row: Row): Finding {
  const place = placeOf(control, row);
  const kind = control.name === 'labels' ? (KINDS_OF_LABELS[place.table ?? ''] ?? control.name) : control.name;
  const { company_id: companyId, write_id: writeId, idempotency_key: key, ...rest } = row;
  return findingOf({
    kind,
    companyId: textOf(companyId),
    key: textOf(key),
    writeId: textOf(writeId),
    ...place,
    detail: `${control.sentence} ${JSON.stringify(rest, (_, value) => (typeof value === 'bigint' ? String(value) : value))}`,
  });
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/** A main row has the ID of its write, and an entry names it: then its key is known, too. */
async function withKeys(findings: readonly Finding[], ask: CheckContext['ask']): Promise<readonly Finding[]> {
  const wanting = findings.filter(({ key, writeId, rowId }) => key === null && (writeId ?? rowId) !== null);
  if (wanting.length === 0) return findings;
  const found = await ask<{ company_id: string; id: string; write_id: string; key: string }>(
    `SELECT i.company_id, i.id, w.write_id, w.idempotency_key AS key FROM unnest($1::uuid[], $2::text[]) AS i (company_id, id)
     CROSS JOIN LATERAL (
       SELECT w.write_id, w.idempotency_key FROM idempotent_writes w
       WHERE w.company_id = i.company_id AND w.write_id = CASE WHEN i.id ~ '${UUID}' THEN i.id::uuid END
       UNION ALL
       SELECT w.write_id, w.idempotency_key FROM journal_entries e
       JOIN idempotent_writes w ON w.company_id = e.company_id AND w.write_id = e.write_id
       WHERE e.company_id = i.company_id AND e.id = CASE WHEN i.id ~ '${UUID}' THEN i.id::uuid END
       LIMIT 1
     ) AS w`,
    [wanting.map(({ companyId }) => companyId), wanting.map(({ writeId, rowId }) => writeId ?? rowId)],
  );
  const byId = new Map(found.map((row) => [`${row.company_id}/${row.id}`, row]));
  return findings.map((finding) => {
    const row = byId.get(`${finding.companyId}/${finding.writeId ?? finding.rowId}`);
    return row === undefined || finding.key !== null ? finding : { ...finding, key: row.key, writeId: row.write_id };
  });
}

const UUID = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
