import type { SealedEntry, SealedLine } from './content.ts';

/**
 * How rows are read whose content is sealed: by the sealer, by whoever verifies, and for a proof. Whatever is not read here is
 * not sealed.
 */

const instant = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** Of a write `w`: its fingerprint and SHA-256 of its answer. */
const REQUEST_AND_ANSWER = `w.fingerprint AS request, encode(sha256(w.response_body), 'hex') AS answer`;

/** Columns of an entry `e`, its write `w`, and the pay run or request `r`, `q` that tells who approved it. */
export const ENTRY_CONTENT = `e.company_id AS "companyId", e.id AS "entryId", e.write_id AS "writeId", e.operation,
  e.entry_date::text AS date, e.description, e.reverses, nullif(e.metadata, '{}') AS metadata,
  ${instant('e.created_at')} AS "postedAt", w.user_id AS "postedBy",
  coalesce(q.approved_by, r.approved_by) AS "approvedBy", w.request_id AS "requestId", ${REQUEST_AND_ANSWER},
  (SELECT json_agg(json_build_object('id', l.id, 'lineNumber', l.line_number, 'accountId', l.account_id,
     'accountCode', a.code, 'accountType', a.type, 'amount', l.amount_minor::text, 'currency', l.currency, 'memo', l.memo)
     ORDER BY l.line_number)
   FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
   WHERE l.company_id = e.company_id AND l.entry_id = e.id) AS lines`;

/** Follows `FROM journal_entries e`. A write that was deleted leaves its members null. */
export const ENTRY_JOINS = `
  LEFT JOIN idempotent_writes w ON w.company_id = e.company_id AND w.write_id = e.write_id
  LEFT JOIN pay_runs r ON r.company_id = e.company_id
    AND r.id = CASE w.operation WHEN 'executePayroll' THEN w.resource_id::uuid END
  LEFT JOIN approval_requests q ON q.company_id = e.company_id AND q.write_id = e.write_id`;

/** An entry as it was read; `lines` is null where all have been deleted. */
export type ReadEntry = Omit<SealedEntry, 'lines'> & { readonly lines: readonly SealedLine[] | null };

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

/** The entry as its content takes it. */
export function toSealedEntry({ lines, ...entry }: ReadEntry): SealedEntry {
  return { ...entry, lines: lines ?? [] };
}
