import type { BatchRow, RowProblem } from '../../activities/batches/batch-row.ts';
import {
  type KnownOutcome,
  readOutcomes,
  readRequests,
  type WaitingWrite,
} from '../../activities/batches/batch-store.ts';
import type { Pool } from '../../activities/database.ts';
import { writeId } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import type { ProblemPointer } from '../../activities/problem.ts';
import { type AuditedEnd, auditRowOf, OF_NO_WRITE } from '../../activities/write/audit-row.ts';
import { differences, isSameRequest, recordedDifferences } from '../../activities/write/compare-requests.ts';
import type { ProcessFence } from '../fence.ts';
import type { ChunkFindings } from './chunk-findings.ts';
import { noteOwn, noteOwnWaiting, RECORD_MISSING } from './own-outcome.ts';
import type { PendingRow } from './pending-rows.ts';

export type OutcomeDependencies = {
  /** The database's reads. */
  readonly pool: Pool;
  readonly operations: readonly Operation[];
  readonly fence: Pick<ProcessFence, 'isAwake' | 'witnesses'>;
};

/**
 * Notes the rows whose key has an outcome, or waits for its approval, as the API would answer them: a row of another request is a
 * mismatch, any other that this batch has not written is a replay. Returns the others, in their order, and with them those that this batch has written
 * without a group that vouches for it: the COMMIT of an attempt whose end nobody knows. After a restore that takes such a row,
 * nothing would tell that it was there. Sent again, it stays in its group, by whose name a verification finds it.
 *
 * @param bugs positions of rows whose attempts a bug has ended; those that are written nevertheless are taken out
 * @param isLast nothing is sent again, so none of those is left either
 */
export async function noteOutcomes(
  { pool, operations, fence }: OutcomeDependencies,
  batch: BatchRow,
  pending: readonly PendingRow[],
  {
    findings,
    bugs,
    isLast,
  }: { readonly findings: ChunkFindings; readonly bugs: Set<number>; readonly isLast: boolean },
): Promise<readonly PendingRow[]> {
  const keys = pending.map(({ item }) => item.args.key);
  const { known, waiting } = await readOutcomes(pool, batch.company_id, batch.user_id, keys);
  const askedFor = (key: string) => (known.has(key) ? undefined : waiting.get(key));
  const others = pending.flatMap(({ item: { args } }) => {
    const stored = (known.get(args.key) ?? waiting.get(args.key))?.fingerprint ?? null;
    return stored === null || stored === args.fingerprint ? [] : [args.key];
  });
  const requests = await readRequests(pool, batch.company_id, others);

  function differencesOf({ item: { args } }: PendingRow): readonly ProblemPointer[] | undefined {
    const stored = requests.get(args.key);
    if (stored === undefined) return undefined;
    const mine = { ...args.input, operation: args.operation, fingerprint: args.fingerprint };
    if (isSameRequest(stored, mine, operations)) return undefined;
    const { params = {}, body = {}, erased = [] } = stored.request ?? {};
    return differences({ operation: stored.operation ?? '', params, body, erased }, mine);
  }

  return pending.filter((row) => {
    const found = known.get(row.item.args.key);
    const asked = askedFor(row.item.args.key);
    const isOwn = isWrittenBy(row, found ?? asked);
    const { refusal } = row;
    if (refusal !== undefined && !isOwn && ((found ?? asked) === undefined || refusal.unless === 'own')) {
      findings.note(row.position, 'refused', { problem: refusal.problem, operation: row.operation.name });
      return false;
    }
    if (asked !== undefined) noteWaiting(findings, row, asked, differencesOf(row));
    if (found === undefined) return asked === undefined;
    if (isOwn && !findings.isVouched(row.position) && !isLast) {
      bugs.delete(row.position);
      return true;
    }
    if (fence.isAwake) fence.witnesses.note({ ...found, company_id: batch.company_id });
    noteOutcome(findings, row, found, differencesOf(row));
    return false;
  });
}

function isWrittenBy({ item }: PendingRow, found: Pick<KnownOutcome, 'submission_id'> | undefined): boolean {
  return found?.submission_id === item.args.submissionId;
}

function noteWaiting(
  findings: ChunkFindings,
  row: PendingRow,
  asked: WaitingWrite,
  differing: readonly ProblemPointer[] | undefined,
): void {
  const { position, item } = row;
  const operation = row.operation.name;
  if (isWrittenBy(row, asked)) noteOwnWaiting(findings, { position, operation }, asked);
  else if (differing !== undefined) noteMismatch(findings, row, differing);
  else {
    const approval = { key: item.args.key, audit: auditOf(row, REPLAYED) };
    findings.note(position, 'pending_approval', { operation, approval });
  }
}

function noteMismatch(findings: ChunkFindings, row: PendingRow, differing: readonly ProblemPointer[]): void {
  const problem = { ...KEY_REUSED, differences: differing };
  const metadata = { differences: recordedDifferences(row.operation, differing) };
  const audit = { ...auditOf(row, failedWith(problem)), metadata };
  findings.note(row.position, 'mismatched', { problem, audit, operation: row.operation.name });
}

function noteOutcome(
  findings: ChunkFindings,
  row: PendingRow,
  found: KnownOutcome,
  differing: readonly ProblemPointer[] | undefined,
): void {
  const { position } = row;
  const operation = row.operation.name;
  if (isWrittenBy(row, found)) {
    noteOwn(findings, { position, operation }, found);
  } else if (found.outcome === 'lost') {
    findings.note(position, 'failed', { problem: RECORD_MISSING, operation });
  } else if (found.outcome === 'cancelled') {
    findings.note(position, 'cancelled', { audit: { ...auditOf(row, REPLAYED), ...OF_NO_WRITE }, operation });
  } else if (differing !== undefined) {
    noteMismatch(findings, row, differing);
  } else {
    const outcome = found.outcome === 'rejected' ? 'rejected' : 'replayed';
    findings.note(position, outcome, { audit: auditOf(row, REPLAYED), operation });
  }
}

/** A bug has ended the attempts of the row, and each was rolled back. */
export function noteFailed(findings: ChunkFindings, row: PendingRow): void {
  const audit = auditOf(row, failedWith(WRITE_FAILED));
  findings.note(row.position, 'failed', { problem: WRITE_FAILED, audit, operation: row.operation.name });
}

/** The row had no outcome for so long that nobody waits for it any more. It may be written nevertheless. */
export function noteUnknown(findings: ChunkFindings, row: PendingRow): void {
  findings.note(row.position, 'failed', { problem: OUTCOME_UNKNOWN, operation: row.operation.name });
}

const KEY_REUSED: RowProblem = {
  code: 'idempotency_key_reused',
  detail: 'The key belongs to another request, whose write is unchanged. Use a new key for a new write.',
};
const WRITE_FAILED: RowProblem = {
  code: 'write_failed',
  detail: 'The write failed and was rolled back. Retry the failed rows once the cause is mended.',
};
const OUTCOME_UNKNOWN: RowProblem = {
  code: 'outcome_unknown',
  detail: 'The write had no outcome after many attempts. Retry the failed rows: the write will not happen twice.',
};

const REPLAYED: AuditedEnd = { status: 'replayed', error_code: null, error_message: null, execution_duration_ms: 0 };

function failedWith({ code }: RowProblem): AuditedEnd {
  return { ...REPLAYED, status: 'failed', error_code: code };
}

function auditOf({ operation, item: { args } }: PendingRow, end: AuditedEnd) {
  const id = writeId(args.companyId, operation.name, args.key);
  return auditRowOf(args, { type: operation.type, writeId: id }, end);
}
