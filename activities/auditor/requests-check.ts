import { fingerprint } from '../identity.ts';
import type { StoredInput } from '../write/write-row.ts';
import type { AuditCheck, CheckContext } from './check.ts';
import { type Finding, findingOf } from './finding.ts';

/** Rows and compressed bytes of requests that one question returns at most; one request alone may be larger. */
const ROWS_A_PAGE = 2_000;
const BYTES_A_PAGE = 4 * 1024 * 1024;

/**
 * The stored request of each write gives its fingerprint: by that duplicates are told from other requests, and the seal holds it. What
 * has lost members with a person gives another one.
 */
export const REQUESTS_CHECK: AuditCheck = {
  name: 'requests',
  reads: 'the stored requests, against their fingerprints',
  each: 'company',
  async *run({ companyIds: [companyId] }, context) {
    if (companyId === undefined) return;
    let cursor = (context.cursor as Cursor | undefined) ?? NEWEST;
    for (;;) {
      context.signal.throwIfAborted();
      const rows = await context.ask<Row>(PAGE, valuesOf(companyId, cursor, context));
      const last = rows.at(-1);
      if (last === undefined) return;
      cursor = { claimedAt: last.claimed_at, key: last.key };
      yield { checked: {}, findings: rows.filter((row) => !agrees(row)).map((row) => altered(companyId, row)), cursor };
    }
  },
};

type Cursor = { readonly claimedAt: string; readonly key: string };
const NEWEST: Cursor = { claimedAt: 'infinity', key: '' };

type Row = {
  readonly claimed_at: string;
  readonly key: string;
  readonly write_id: string | null;
  readonly operation: string | null;
  readonly fingerprint: string | null;
  readonly request: StoredInput | null;
};

function agrees({ operation, fingerprint: kept, request }: Row): boolean {
  if (operation === null || kept === null || request === null)
    return operation === null && kept === null && request === null;
  return request.erased !== undefined || fingerprint(operation, request) === kept;
}

function altered(companyId: string, { key, write_id: writeId, operation }: Row): Finding {
  const write = operation === null ? 'A cancelled key' : `A write (${operation})`;
  const detail = `${write} has a stored request that does not give its fingerprint.`;
  return findingOf({ kind: 'request-altered', companyId, key, writeId, table: 'idempotent_writes', detail });
}

function valuesOf(companyId: string, { claimedAt, key }: Cursor, { range }: CheckContext): unknown[] {
  return [companyId, claimedAt, key, range.from, range.to];
}

const PAGE = `
SELECT claimed_at::text, key, write_id, operation, fingerprint, request
FROM (
  SELECT claimed_at, key, write_id, operation, fingerprint, request,
    sum(bytes) OVER (ORDER BY claimed_at DESC, key DESC) - bytes AS bytes_before
  FROM (
    SELECT w.claimed_at, w.idempotency_key AS key, w.write_id, w.operation, w.fingerprint, w.request,
      coalesce(pg_column_size(w.request), 0) AS bytes
    FROM idempotent_writes w
    WHERE w.company_id = $1 AND (w.claimed_at, w.idempotency_key) < ($2::timestamptz, $3)
      AND ($4::date IS NULL OR w.claimed_at >= $4::date::timestamptz - interval '6 hours')
      AND ($5::date IS NULL OR w.claimed_at < ($5::date + 1)::timestamptz)
    ORDER BY w.claimed_at DESC, w.idempotency_key DESC LIMIT ${ROWS_A_PAGE}
  ) AS next
) AS page
WHERE bytes_before < ${BYTES_A_PAGE}
ORDER BY claimed_at DESC, key DESC`;
