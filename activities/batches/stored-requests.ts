import type { Tx } from '../database.ts';
import type { WriteRow } from '../write/write-row.ts';

/** What a write was asked for, as far as another request is compared with it. */
export type StoredRequest = Pick<
  WriteRow,
  'idempotency_key' | 'operation' | 'fingerprint' | 'request' | 'schema_version'
>;

/** The same of keys whose writes wait for their approval. */
export async function waitingRequestsOf(tx: Tx, keys: readonly string[]): Promise<ReadonlyMap<string, StoredRequest>> {
  const found = await tx.query<StoredRequest>(
    `SELECT idempotency_key, arguments ->> 'operation' AS operation, arguments ->> 'fingerprint' AS fingerprint,
       arguments -> 'input' AS request, (arguments ->> 'schemaVersion')::integer AS schema_version
     FROM approval_requests
     WHERE company_id = current_company() AND idempotency_key = ANY ($1) AND closed_at IS NULL`,
    [keys],
  );
  return new Map(found.map((row) => [row.idempotency_key, row]));
}

/** Of these keys of the transaction's company, what their writes were asked for, by key. */
export async function requestsOf(tx: Tx, keys: readonly string[]): Promise<ReadonlyMap<string, StoredRequest>> {
  if (keys.length === 0) return new Map();
  const found = await tx.query<StoredRequest>(
    `SELECT idempotency_key, operation, fingerprint, request, schema_version FROM idempotent_writes
     WHERE company_id = current_company() AND idempotency_key = ANY ($1)`,
    [keys],
  );
  return new Map(found.map((row) => [row.idempotency_key, row]));
}
