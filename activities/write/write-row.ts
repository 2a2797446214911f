/**
 * The row of a write, from which every answer is given. The columns are as the SQL functions of the write path return them;
 * if there is no row, they return a composite whose columns are all NULL.
 */
export type WriteRow = {
  readonly company_id: string;
  readonly idempotency_key: string;
  readonly write_id: string | null;
  readonly submission_id: string | null;
  readonly operation: string | null;
  readonly type: string | null;
  readonly fingerprint: string | null;
  readonly schema_version: number | null;
  readonly request: StoredInput | null;
  readonly outcome: Outcome;
  readonly status_code: number;
  readonly response_body: Buffer;
  readonly location: string | null;
  readonly resource_type: string | null;
  readonly resource_id: string | null;
  /** Null for a lost write whose user is gone, too. */
  readonly user_id: string | null;
  readonly request_id: string;
  readonly workflow_id: string | null;
  readonly attempt: number;
  readonly requested_at: string;
  readonly completed_at: string;
};

/** What was asked for. `erased`: JSON pointers of the members of the body that were erased with a person, if any were. */
export type StoredInput = {
  readonly params: Record<string, string>;
  readonly body: Record<string, unknown>;
  readonly erased?: readonly string[];
};

/** The final outcome of a write; it never changes. `lost`: its row was there, or may have been, and is gone. */
type Outcome = 'succeeded' | 'rejected' | 'cancelled' | 'lost';

/** Undefined for the all-NULL composite that `(f).write.*` yields when there is no row. */
export function rowOrUndefined(row: { [K in keyof WriteRow]: WriteRow[K] | null }): WriteRow | undefined {
  return row.idempotency_key === null ? undefined : (row as WriteRow);
}
