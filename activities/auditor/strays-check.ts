import { controlNamed } from '../controls/controls.ts';
import { NO_REJECTIONS, TABLES_OF_WRITES } from '../controls/record.ts';
import type { AuditCheck, CheckContext, Step } from './check.ts';
import { type Finding, type FindingKind, findingOf } from './finding.ts';
import { MOST_ROWS, thereIsMore } from './most-rows.ts';

/** What is there, and no write accounts for it; and what is there twice. It goes through the other tables, not the writes. */
export const STRAYS_CHECK: AuditCheck = {
  name: 'strays',
  reads: 'rows that no write has made, or that are there twice',
  each: 'companies',
  async *run({ companyIds }, context) {
    for (const stray of STRAYS) {
      context.signal.throwIfAborted();
      yield await find(stray, companyIds, context);
    }
  },
};

/** What only a look at the writes of all companies together finds: so it is asked once. */
export const DOUBLES_CHECK: AuditCheck = {
  name: 'doubles',
  reads: 'write IDs that two writes have',
  each: 'everything',
  async *run({ companyIds }, context) {
    yield await find(DOUBLE, companyIds, context);
  },
};

/** Rows of a company that is not there would be compared by no other check: each asks about the companies that are. */
export const COMPANIES_CHECK: AuditCheck = {
  name: 'companies-of-rows',
  reads: 'companies of which there are rows',
  each: 'everything',
  async *run({ companyIds }, context) {
    yield await find(NO_COMPANY, companyIds, context);
  },
};

/** `sql`: the rows of the companies `$1`, as `company_id` and whatever else a finding has. */
type Stray = { readonly kind: FindingKind; readonly detail: string; readonly table?: string; readonly sql: string };

type StrayRow = {
  readonly company_id: string;
  readonly key?: string | null;
  readonly write_id?: string | null;
  readonly id?: string | null;
  readonly found_in?: string;
};

async function find(stray: Stray, companyIds: readonly string[], { ask }: CheckContext): Promise<Step> {
  const rows = await ask<StrayRow>(
    `SELECT * FROM (${stray.sql}) AS stray LIMIT ${MOST_ROWS + 1}`,
    [companyIds],
    'by hash',
  );
  const findings = rows.slice(0, MOST_ROWS).map((row) => toFinding(stray, row));
  return { findings: rows.length > MOST_ROWS ? [...findings, thereIsMore(stray.kind)] : findings };
}

function toFinding({ kind, detail, table }: Stray, row: StrayRow): Finding {
  const { company_id: companyId, key = null, write_id: writeId = null, id: rowId = null, found_in: foundIn } = row;
  return findingOf({ kind, companyId, key, writeId, table: foundIn ?? table ?? null, rowId, detail });
}

/** The rows of a table with a `write_id` of which there is no write at all; the writes that failed are compared one by one. */
function withoutWrite(table: string): string {
  return `
    SELECT t.company_id, t.id::text, t.write_id FROM ${table} t
    WHERE t.company_id = ANY ($1) AND NOT EXISTS (
      SELECT FROM idempotent_writes w WHERE w.company_id = t.company_id AND w.write_id = t.write_id)`;
}

const STRAYS: readonly Stray[] = [
  {
    kind: 'business-row-without-write',
    detail: 'No succeeded write of its company, of an operation that makes such rows, has its ID.',
    sql: `SELECT company_id, id::text, id AS write_id, found_in FROM (${controlNamed('no-strays').sql}) AS strays WHERE company_id = ANY ($1)`,
  },
  {
    kind: 'entry-without-write',
    detail: 'There is no write that this journal entry could be of.',
    table: 'journal_entries',
    sql: withoutWrite('journal_entries'),
  },
  {
    kind: 'entry-without-write',
    detail: 'There is no journal entry that this line could be of.',
    table: 'journal_lines',
    sql: `
    SELECT l.company_id, l.id::text FROM journal_lines l
    WHERE l.company_id = ANY ($1) AND NOT EXISTS (
      SELECT FROM journal_entries e WHERE e.company_id = l.company_id AND e.id = l.entry_id)`,
  },
  {
    kind: 'event-without-write',
    detail: 'There is no write that this event could be of.',
    table: 'outbox',
    sql: withoutWrite('outbox'),
  },
  {
    kind: 'audit-row-without-write',
    detail: 'It calls a write new, or a key cancelled, of which there is no such row.',
    table: 'idempotent_write_audit_log',
    sql: `
    SELECT a.company_id, a.id::text, a.idempotency_key AS key, a.deterministic_id AS write_id FROM idempotent_write_audit_log a
    WHERE a.company_id = ANY ($1) AND a.status = 'new' AND NOT EXISTS (
      SELECT FROM idempotent_writes w WHERE w.company_id = a.company_id AND w.write_id = a.deterministic_id)
    UNION ALL
    SELECT a.company_id, a.id::text, a.idempotency_key, NULL FROM idempotent_write_audit_log a
    WHERE a.company_id = ANY ($1) AND a.status = 'failed' AND a.error_code = 'write_cancelled' AND NOT EXISTS (
      SELECT FROM idempotent_writes w
      WHERE w.company_id = a.company_id AND w.idempotency_key = a.idempotency_key AND w.outcome = 'cancelled')`,
  },
  {
    kind: 'audit-row-without-write',
    detail:
      'It tells of a rejection of this key, of which there is no row: whoever sends the key again would have it written.',
    table: 'idempotent_write_audit_log',
    sql: `
    SELECT a.company_id, a.id::text, a.idempotency_key AS key, a.deterministic_id AS write_id FROM idempotent_write_audit_log a
    WHERE a.company_id = ANY ($1) AND a.status = 'failed' AND a.error_code NOT IN (${NO_REJECTIONS}) AND NOT EXISTS (
      SELECT FROM idempotent_writes w WHERE w.company_id = a.company_id AND w.idempotency_key = a.idempotency_key)`,
  },
  {
    kind: 'audit-row-doubled',
    detail: 'Two rows of the audit log call the same write new, more than a day apart.',
    table: 'idempotent_write_audit_log',
    // Those of one day are found with their write.
    sql: `
    SELECT company_id, max(id)::text AS id, min(idempotency_key) AS key, deterministic_id AS write_id
    FROM idempotent_write_audit_log
    WHERE company_id = ANY ($1) AND status = 'new' GROUP BY company_id, deterministic_id
    HAVING count(*) > 1 AND max(timestamp) - min(timestamp) >= interval '1 day'`,
  },
  {
    kind: 'write-doubled',
    detail: 'There are two rows of this key.',
    table: 'idempotent_writes',
    sql: `
    SELECT company_id, idempotency_key AS key FROM idempotent_writes WHERE company_id = ANY ($1)
    GROUP BY company_id, idempotency_key HAVING count(*) > 1`,
  },
  {
    kind: 'business-row-doubled',
    detail: 'There are two rows with this ID.',
    sql: [...TABLES_OF_WRITES, 'journal_entries', 'accounts']
      .map(
        (table) => `
    SELECT company_id, id::text, '${table}' AS found_in FROM ${table} WHERE company_id = ANY ($1)
    GROUP BY company_id, id HAVING count(*) > 1`,
      )
      .join('\n    UNION ALL'),
  },
];

const DOUBLE: Stray = {
  kind: 'write-doubled',
  detail: 'Two keys, or two companies, have a write with this ID.',
  table: 'idempotent_writes',
  sql: `
    SELECT min(company_id::text)::uuid AS company_id, write_id, min(idempotency_key) AS key FROM idempotent_writes
    WHERE write_id IS NOT NULL GROUP BY write_id
    HAVING count(*) > 1 AND count(DISTINCT (company_id, idempotency_key)) > 1 AND array_agg(company_id) && $1::uuid[]`,
};

const TABLES_OF_COMPANIES = [
  ...['idempotent_writes', 'idempotent_write_audit_log', 'journal_entries', 'journal_lines', 'outbox'],
  ...['seal_batches', 'seal_heads'],
];

/** Unless one company alone was asked for. */
const NO_COMPANY: Stray = {
  kind: 'company-missing',
  detail: 'There are rows of this company, and the company is not there.',
  table: 'companies',
  sql: `
    SELECT company_id, company_id::text AS id FROM (
      ${TABLES_OF_COMPANIES.map((table) => `SELECT DISTINCT company_id FROM ${table}`).join('\n      UNION ')}
    ) AS r
    WHERE NOT EXISTS (SELECT FROM companies c WHERE c.id = r.company_id)
      AND (SELECT count(*) FROM companies) = cardinality($1::uuid[])`,
};
