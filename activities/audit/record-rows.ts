import { type Pool, queryOnce } from '../database.ts';

/** A row of the audit log that is written outside a write's own transaction. */
export type AuditRow = {
  readonly company_id: string;
  readonly operation_name: string;
  readonly operation_type: string;
  readonly deterministic_id: string | null;
  readonly idempotency_key: string;
  readonly user_id: string;
  readonly status: 'replayed' | 'failed';
  readonly error_code: string | null;
  readonly error_message: string | null;
  readonly execution_duration_ms: number;
  readonly request_id: string;
  readonly route_path: string;
  readonly http_method: string;
  /** Nothing that tells of a person. */
  readonly metadata?: object;
};

/** Writes audit rows of several companies in one round trip, each under its own company's row-level security. */
export async function recordAuditRows(pool: Pool, rows: readonly AuditRow[]): Promise<void> {
  await queryOnce(pool, 'SELECT record_audit_rows($1)', [JSON.stringify(rows)]);
}
