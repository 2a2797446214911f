import type { SealedEntry } from './content.ts';

/**
 * How rows are read whose content is sealed: by the sealer, by whoever verifies, and for a proof. Whatever is not read here is
 * not sealed.
 */

const instant = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** Of a write `w`: its fingerprint and SHA-256 of its answer. */
const REQUEST_AND_ANSWER = `w.fingerprint AS request, encode(sha256(w.response_body), 'hex') AS answer`;

/** Of the request for approval, or of the pay run: most entries have neither, and a join would look for both. */
const APPROVED_BY = `coalesce(
    (SELECT q.approved_by FROM approval_requests q WHERE q.company_id = e.company_id AND q.write_id = e.write_id),
    CASE w.operation WHEN 'executePayroll' THEN
      (SELECT r.approved_by FROM pay_runs r WHERE r.company_id = e.company_id AND r.id = w.resource_id::uuid) END)`;

/** Columns of an entry `e` and its write `w`. */
export const ENTRY_CONTENT = `e.company_id AS "companyId", e.id AS "entryId", e.write_id AS "writeId", e.operation,
  e.entry_date::text AS date, e.description, e.reverses, nullif(e.metadata, '{}') AS metadata,
  ${instant('e.created_at')} AS "postedAt", w.user_id AS "postedBy",
  ${APPROVED_BY} AS "approvedBy", w.request_id AS "requestId", ${REQUEST_AND_ANSWER},
  (SELECT json_agg(json_build_array(l.id, l.line_number, l.account_id, l.amount_minor::text, l.currency, l.memo)
     ORDER BY l.line_number)
   FROM journal_lines l WHERE l.company_id = e.company_id AND l.entry_id = e.id) AS lines`;

/** Follows `FROM journal_entries e`. A write that was deleted leaves its members null. */
export const ENTRY_JOINS = `
  LEFT JOIN idempotent_writes w ON w.company_id = e.company_id AND w.write_id = e.write_id`;

/**
 * Whether the write `w` has lost members with a person, of its request or of its answer: an audit row that was in the archive
 * meanwhile has its content no more. A write whose answer has the word by itself is taken for one: of its row the file is compared.
 */
export const LOST_MEMBERS = `coalesce(w.request ? 'erased' OR position('erased'::bytea IN w.response_body) > 0, false)`;

/** An entry as it was read; `lines` is null where all have been deleted. */
export type ReadEntry = Omit<SealedEntry, 'lines'> & { readonly lines: readonly ReadLine[] | null };
type ReadLine = readonly [
  ...[id: string, lineNumber: number, accountId: string, amount: string, currency: string, memo: string | null],
];

/** Columns of an audit row `a` and the write `w` that a `new` one tells of. */
export const AUDIT_CONTENT = `a.company_id AS "companyId", a.id::text AS id, ${instant('a.timestamp')} AS timestamp,
  a.operation_name AS operation, a.operation_type AS type, a.deterministic_id AS "writeId",
  a.idempotency_key AS "idempotencyKey", a.user_id AS "userId", a.status, a.error_code AS "errorCode",
  a.error_message AS "errorMessage", a.execution_duration_ms::text AS "executionDurationMs",
  a.request_id AS "requestId", a.route_path AS "routePath", a.http_method AS "httpMethod",
  a.workflows_triggered AS "workflowsTriggered", a.side_effects_executed AS "sideEffectsExecuted",
  nullif(a.metadata, '{}') AS metadata, ${REQUEST_AND_ANSWER}`;

/** Follows `FROM idempotent_write_audit_log a`. */
export const AUDIT_JOINS = `
  LEFT JOIN idempotent_writes w ON a.status = 'new' AND w.company_id = a.company_id AND w.write_id = a.deterministic_id`;

/** Reads the accounts of the lines once for all entries: joined to each line they cost as much as all else of an entry. */
export async function toSealedEntries<E extends ReadEntry>(
  query: <R extends object>(sql: string, values: unknown[]) => Promise<readonly R[]>,
  entries: readonly E[],
): Promise<(Omit<E, 'lines'> & SealedEntry)[]> {
  const accounts = await readAccounts(query, entries);
  return entries.map((entry) => ({
    ...entry,
    lines: (entry.lines ?? []).map(([id, lineNumber, accountId, amount, currency, memo]) => {
      const account = accounts.get(entry.companyId + accountId);
      // Empty where the account was deleted: then the line is not what was sealed.
      const { code: accountCode, type: accountType } = account ?? { code: '', type: '' };
      return { id, lineNumber, accountId, accountCode, accountType, amount, currency, memo };
    }),
  }));
}

type Account = { readonly company_id: string; readonly id: string; readonly code: string; readonly type: string };

/** By company and ID. */
async function readAccounts(
  query: Parameters<typeof toSealedEntries>[0],
  entries: readonly ReadEntry[],
): Promise<ReadonlyMap<string, Account>> {
  const keys = new Map<string, readonly [companyId: string, accountId: string]>();
  for (const { companyId, lines } of entries) {
    for (const [, , accountId] of lines ?? []) keys.set(companyId + accountId, [companyId, accountId]);
  }
  if (keys.size === 0) return new Map();
  const accounts = await query<Account>(
    `SELECT a.company_id, a.id, a.code, a.type FROM unnest($1::uuid[], $2::uuid[]) AS k (company_id, id)
     JOIN accounts a USING (company_id, id)`,
    [[...keys.values()].map(([companyId]) => companyId), [...keys.values()].map(([, id]) => id)],
  );
  return new Map(accounts.map((account) => [account.company_id + account.id, account]));
}
