/**
 * The row of a write: the record that every answer is given from. Its columns as the functions of the write path return
 * them; a NULL composite (no such row) has every column NULL.
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
  readonly request: { readonly params: Record<string, string>; readonly body: Record<string, unknown> } | null;
  readonly outcome: Outcome;
  readonly status_code: number;
  readonly response_body: Buffer;
  readonly location: string | null;
  readonly resource_type: string | null;
  readonly resource_id: string | null;
  readonly user_id: string;
  readonly request_id: string;
  readonly workflow_id: string | null;
  readonly attempt: number;
  readonly requested_at: string;
  readonly completed_at: string;
};

/** What a write came to, once and for ever. */
type Outcome = 'succeeded' | 'rejected' | 'cancelled';

/** A row as it is read by `(f).write.*`: absent when its key is NULL. */
export function rowOrUndefined(row: { [K in keyof WriteRow]: WriteRow[K] | null }): WriteRow | undefined {
  return row.idempotency_key === null ? undefined : (row as WriteRow);
}
