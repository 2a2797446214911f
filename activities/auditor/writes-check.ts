import { ENTRIES_OF_WRITE, MAIN_ROW_IS_THERE, tableOfMainRow } from '../controls/record.ts';
import { StorageError } from '../database.ts';
import { writeId as writeIdOf } from '../identity.ts';
import { OPERATIONS } from '../operation-list.ts';
import type { AuditCheck, CheckContext, Step } from './check.ts';
import { type Finding, type FindingKind, findingOf } from './finding.ts';

/** Writes that one statement compares: enough that its cost is theirs, and few enough that its rows stay in memory. */
const WRITES_A_PAGE = 5_000;

/**
 * Compares each write, page by page, with its audit rows, its event, its entry and its main row. Pages follow the time at which
 * keys were claimed, beside which the rows of the other tables lie.
 */
export function writesCheck({ keys, writesAPage = WRITES_A_PAGE }: WritesCheckOptions = {}): AuditCheck {
  return {
    name: 'writes',
    reads: 'writes, with their audit rows, events, entries and main rows',
    each: 'company',
    async *run({ companyIds }, context) {
      for (const companyId of companyIds) {
        yield* pagesOf(companyId, { context, writesAPage, keys: keys && (keys.get(companyId) ?? []) });
      }
    },
  };
}

type WritesCheckOptions = {
  /** By company; only the writes of these keys. */
  readonly keys?: ReadonlyMap<string, readonly string[]>;
  readonly writesAPage?: number;
};

type Cursor = { readonly claimedAt: string; readonly key: string };
const NEWEST: Cursor = { claimedAt: 'infinity', key: '' };

type Reading = {
  readonly context: CheckContext;
  readonly writesAPage: number;
  readonly keys: readonly string[] | undefined;
};

async function* pagesOf(companyId: string, { context, writesAPage, keys }: Reading): AsyncGenerator<Step> {
  let cursor = (context.cursor as Cursor | undefined) ?? NEWEST;
  let limit = writesAPage;
  for (;;) {
    context.signal.throwIfAborted();
    let page: Page | undefined;
    try {
      [page] = await context.ask<Page>(PAGE, valuesOf(companyId, cursor, limit, context, keys));
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      // A stored answer among them is no JSON, and the statement ends with the first such row: halve, until it stands alone.
      if (limit > 1) {
        limit = Math.ceil(limit / 2);
        continue;
      }
      const [row] = await context.ask<Next>(NEXT, valuesOf(companyId, cursor, limit, context, keys).slice(0, 7));
      if (row === undefined) throw error;
      cursor = { claimedAt: row.claimed_at, key: row.key };
      limit = writesAPage;
      yield { checked: { writes: 1 }, findings: [unreadable(companyId, row)], cursor };
      continue;
    }
    if (page === undefined || page.writes === 0) return;
    cursor = { claimedAt: page.last_claimed_at, key: page.last_key };
    const { writes, entries, audit_rows: auditRows, events } = page;
    yield { checked: { writes, entries, auditRows, events }, findings: [...findingsOf(companyId, page)], cursor };
    limit = Math.min(limit * 2, writesAPage);
  }
}

/** Class 22: a value that cannot be read as what it should be. */
function isUnreadable(error: unknown): boolean {
  return error instanceof StorageError && error.sqlState.startsWith('22');
}

function unreadable(companyId: string, { key, write_id: writeId }: Next): Finding {
  const detail = 'The stored answer is no JSON.';
  return findingOf({ kind: 'answer-altered', companyId, key, writeId, table: 'idempotent_writes', detail });
}

type Next = { readonly claimed_at: string; readonly key: string; readonly write_id: string | null };

type Page = {
  readonly writes: number;
  readonly entries: number;
  readonly audit_rows: number;
  readonly events: number;
  readonly last_claimed_at: string;
  readonly last_key: string;
  /** Operation, write ID and key of each write, tab-separated, one a line. */
  readonly ids: string | null;
  readonly broken: readonly Broken[] | null;
};

type Broken = {
  readonly kinds: readonly PageKind[];
  readonly key: string;
  readonly write_id: string | null;
  readonly operation: string | null;
  readonly outcome: string | null;
  readonly told: number;
  readonly entries: number;
  readonly events: number;
  readonly status_code: number | null;
  readonly answered_status: string | null;
  /** Of a write that succeeded. */
  readonly success_status: number | null;
};

function* findingsOf(companyId: string, { ids, broken }: Page): Generator<Finding> {
  for (const row of broken ?? []) {
    for (const kind of row.kinds) {
      const { key, write_id: writeId } = row;
      yield findingOf({ kind, companyId, key, writeId, ...placeOf(kind, row), detail: detailOf(kind, row) });
    }
  }
  for (const line of ids === null ? [] : ids.split('\n')) {
    const [operation = '', writeId = '', ...rest] = line.split('\t');
    const key = rest.join('\t');
    if (writeIdOf(companyId, operation, key) === writeId) continue;
    const detail = `The ID of a write follows from its company, operation (${operation}) and key: this one is of others.`;
    yield findingOf({ kind: 'write-id-altered', companyId, key, writeId, table: 'idempotent_writes', detail });
  }
}

function placeOf(kind: PageKind, { operation, write_id: writeId }: Broken): Pick<Finding, 'table' | 'rowId'> {
  if (kind.startsWith('business-row')) return { table: tableOfMainRow(operation ?? ''), rowId: writeId };
  if (kind.startsWith('entry')) return { table: 'journal_entries', rowId: null };
  if (kind.startsWith('audit-row')) return { table: 'idempotent_write_audit_log', rowId: null };
  if (kind.startsWith('event')) return { table: 'outbox', rowId: null };
  return { table: 'idempotent_writes', rowId: null };
}

function detailOf(kind: PageKind, row: Broken): string {
  const { operation, outcome } = row;
  const write = operation === null ? 'The key is cancelled' : `The write (${operation}) is ${outcome ?? 'unfinished'}`;
  return `${write}, and ${AND[kind](row)}.`;
}

/** What is said of each kind that a page finds. */
const AND = {
  'write-unfinished': () => 'its key is claimed nevertheless, which no transaction can commit',
  'business-row-missing': () => 'the row that it made is not there',
  'business-row-without-write': () => 'nevertheless there is a row with its ID',
  'entry-missing': () => 'has no journal entry',
  'entry-doubled': ({ entries }) => `has ${entries} journal entries`,
  'entry-without-write': () => 'nevertheless has a journal entry',
  'audit-row-missing': () => 'no row of the audit log says so',
  'audit-row-doubled': ({ told }) => `${told} rows of the audit log say so`,
  'audit-row-without-write': () => 'nevertheless a row of the audit log calls it new',
  'event-missing': () => 'has no event',
  'event-doubled': ({ events }) => `has ${events} events`,
  'event-without-write': () => 'nevertheless has an event',
  'answer-altered': ({ status_code: status, answered_status: answered, success_status: success }) =>
    success === null
      ? `its status is ${status}, and the stored answer says ${answered ?? 'none'}`
      : `its status is ${status}, and that of its operation is ${success}`,
} as const satisfies Partial<Record<FindingKind, (row: Broken) => string>>;

type PageKind = keyof typeof AND;

function valuesOf(
  companyId: string,
  cursor: Cursor,
  limit: number,
  { range, archivedMonths }: CheckContext,
  keys: readonly string[] | undefined,
): unknown[] {
  const months = archivedMonths.map((month) => `${month}-01`);
  return [companyId, cursor.claimedAt, cursor.key, limit, range.from, range.to, keys ?? null, months];
}

/**
 * The next writes, the newest first. A key is claimed before its write is completed, in the same transaction: the hours say how
 * long before at most, and let the index find them.
 */
const NEXT_WRITES = `
  FROM idempotent_writes w
  WHERE w.company_id = $1 AND (w.claimed_at, w.idempotency_key) < ($2::timestamptz, $3)
    AND ($5::date IS NULL OR w.claimed_at >= $5::date::timestamptz - interval '6 hours'
      AND coalesce(w.completed_at, w.claimed_at) >= $5::date::timestamptz)
    AND ($6::date IS NULL OR w.claimed_at < ($6::date + 1)::timestamptz
      AND coalesce(w.completed_at, w.claimed_at) < ($6::date + 1)::timestamptz)
    AND ($7::text[] IS NULL OR w.idempotency_key = ANY ($7))
  ORDER BY w.claimed_at DESC, w.idempotency_key DESC LIMIT $4`;

const NEXT = `SELECT w.claimed_at::text, w.idempotency_key AS key, w.write_id ${NEXT_WRITES}`;

/** What tells of a write, by its outcome. What tells of a lost one is the matter of the control `losses-told`. */
const TELLS_OF_IT = `CASE w.outcome
        WHEN 'succeeded' THEN a.status = 'new' AND a.deterministic_id = w.write_id
        WHEN 'rejected' THEN a.status = 'failed' AND a.deterministic_id = w.write_id AND a.error_code = w.code
        WHEN 'cancelled' THEN a.status = 'failed' AND a.error_code = 'write_cancelled' END`;

/** Null of an operation that this release does not know. */
const SUCCESS_STATUS = `CASE w.operation ${OPERATIONS.map(({ name, successStatus }) => `WHEN '${name}' THEN ${successStatus}`).join(' ')} END`;

/** An audit row is made with the outcome. The day on either side keeps the search to the partitions of these months. */
const PAGE = `
WITH page AS MATERIALIZED (
  SELECT w.company_id, w.idempotency_key, w.write_id, w.operation, w.outcome, w.claimed_at, w.completed_at, w.status_code,
    a.answer ->> 'code' AS code, a.answer ->> 'status' AS answered_status
  FROM (SELECT w.* ${NEXT_WRITES}) AS w
  CROSS JOIN LATERAL (SELECT convert_from(w.response_body, 'UTF8')::jsonb AS answer OFFSET 0) AS a
)
SELECT count(*)::integer AS writes, coalesce(sum(e.entries), 0)::integer AS entries,
  coalesce(sum(t.audit_rows), 0)::integer AS audit_rows, coalesce(sum(o.events), 0)::integer AS events,
  (array_agg(w.claimed_at::text ORDER BY w.claimed_at, w.idempotency_key))[1] AS last_claimed_at,
  (array_agg(w.idempotency_key ORDER BY w.claimed_at, w.idempotency_key))[1] AS last_key,
  string_agg(concat_ws(E'\\t', w.operation, w.write_id, w.idempotency_key), E'\\n') FILTER (WHERE w.write_id IS NOT NULL) AS ids,
  jsonb_agg(jsonb_build_object('kinds', f.kinds, 'key', w.idempotency_key, 'write_id', w.write_id, 'operation', w.operation,
    'outcome', w.outcome, 'told', t.told, 'entries', e.entries, 'events', o.events, 'status_code', w.status_code,
    'answered_status', w.answered_status, 'success_status', x.success_status)) FILTER (WHERE f.kinds <> '{}') AS broken
FROM page w
CROSS JOIN LATERAL (
  SELECT count(*) AS audit_rows, count(*) FILTER (WHERE ${TELLS_OF_IT}) AS told,
    count(*) FILTER (WHERE a.status = 'new') AS news
  FROM idempotent_write_audit_log a
  WHERE a.company_id = w.company_id AND a.idempotency_key = w.idempotency_key AND a.status <> 'replayed'
    AND a.timestamp >= (SELECT min(claimed_at) - interval '1 day' FROM page)
    AND a.timestamp < (SELECT max(coalesce(completed_at, claimed_at)) + interval '1 day' FROM page)
) AS t
CROSS JOIN LATERAL (
  SELECT count(*) AS entries FROM journal_entries e WHERE e.company_id = w.company_id AND e.write_id = w.write_id
) AS e
CROSS JOIN LATERAL (
  SELECT count(*) AS events FROM outbox o WHERE o.company_id = w.company_id AND o.write_id = w.write_id
) AS o
CROSS JOIN LATERAL (
  SELECT ${MAIN_ROW_IS_THERE} AS main_row, ${ENTRIES_OF_WRITE.least} AS least, ${ENTRIES_OF_WRITE.most} AS most,
    w.outcome = 'succeeded' AS succeeded, CASE WHEN w.outcome = 'succeeded' THEN ${SUCCESS_STATUS} END AS success_status, NOT EXISTS (
      SELECT FROM unnest($8::date[]) AS m (month)
      WHERE w.completed_at >= m.month - interval '1 hour' AND w.completed_at < m.month + interval '1 month' + interval '1 hour'
    ) AS has_audit_rows
) AS x
CROSS JOIN LATERAL (
  SELECT array_remove(ARRAY[
    CASE WHEN w.outcome IS NULL THEN 'write-unfinished' END,
    CASE WHEN x.succeeded AND NOT x.main_row THEN 'business-row-missing' END,
    CASE WHEN NOT x.succeeded AND x.main_row THEN 'business-row-without-write' END,
    CASE WHEN e.entries < x.least THEN 'entry-missing' END,
    CASE WHEN e.entries > x.most THEN CASE x.most WHEN 0 THEN 'entry-without-write' ELSE 'entry-doubled' END END,
    CASE WHEN w.outcome <> 'lost' AND x.has_audit_rows AND t.told = 0 THEN 'audit-row-missing' END,
    CASE WHEN w.outcome <> 'lost' AND t.told > 1 THEN 'audit-row-doubled' END,
    CASE WHEN w.outcome IN ('rejected', 'cancelled') AND t.news > 0 THEN 'audit-row-without-write' END,
    CASE WHEN x.succeeded AND o.events = 0 THEN 'event-missing' END,
    CASE WHEN x.succeeded AND o.events > 1 THEN 'event-doubled' END,
    CASE WHEN NOT x.succeeded AND o.events > 0 THEN 'event-without-write' END,
    CASE WHEN w.outcome IN ('rejected', 'cancelled') AND w.answered_status IS DISTINCT FROM w.status_code::text
      OR x.success_status <> coalesce(w.status_code, 0) THEN 'answer-altered' END
  ], NULL) AS kinds
) AS f`;
