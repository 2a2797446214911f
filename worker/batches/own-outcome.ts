import type { RowProblem } from '../../activities/batches/batch-row.ts';
import type { KnownOutcome, WaitingWrite } from '../../activities/batches/batch-store.ts';
import type { ChunkFindings } from './chunk-findings.ts';

/** Notes what has become of a row whose write this batch has made. */
export function noteOwn(
  findings: ChunkFindings,
  { position, operation }: { readonly position: number; readonly operation: string | undefined },
  found: KnownOutcome,
): void {
  if (found.outcome === 'lost') findings.note(position, 'failed', { problem: RECORD_MISSING, operation });
  else findings.note(position, found.outcome === 'rejected' ? 'rejected' : 'succeeded', { operation });
}

/** Notes a row for whose write this batch has asked, and which waits for its approval. */
export function noteOwnWaiting(
  findings: ChunkFindings,
  { position, operation }: { readonly position: number; readonly operation: string | undefined },
  { idempotency_key: key }: WaitingWrite,
): void {
  findings.note(position, 'pending_approval', { operation, approval: { key, audit: null } });
}

export const RECORD_MISSING: RowProblem = {
  code: 'write_record_missing',
  detail:
    'The database has lost the record of this write. Operators are alerted. Retry the failed rows once they have decided.',
};
