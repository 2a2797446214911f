import { randomUUID } from 'node:crypto';
import type { Approval } from '../../activities/approvals/approval.ts';
import type { Tx } from '../../activities/database.ts';
import { writeId } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { approvalOf } from '../../activities/write/wait-for-approval.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import type { Reader } from '../reads/read.ts';
import type { LookedUp } from '../submit/lookup.ts';
import type { FailedAttempts, RunDescription } from '../submit/write-runs.ts';
import { mayReadBody, mayReadWrite, shownBy } from './access.ts';
import { documentOf } from './document.ts';
import { approvalItems, approvalMembers, askedWrite, mayReadPending, mayReadRequest, pendingWrite } from './pending.ts';
import {
  beginningOf,
  finishedWrite,
  sentBy,
  type TemporalUi,
  type TimelineItem,
  type WriteResource,
  type WriteSummary,
  writeOfRun,
} from './resource.ts';
import { LOST, readAuditItems, readEventItems, toTimeline } from './timeline.ts';
import { withoutBodies } from './without-bodies.ts';

/** What describes a write: its row, its newest run, or the audit log alone. One function each. */
export type Describer = { readonly reader: Reader; readonly operations: readonly Operation[]; readonly ui: TemporalUi };

/** What the database records of a key. */
export type RecordStory = {
  readonly hasRow: boolean;
  /** It waits for its approval. */
  readonly isPending: boolean;
  /** There is a row, or a write that waits, and the reader may not read it: to them it is not there. */
  readonly isHidden: boolean;
  /** From the row; without a row, of a failed run that the audit log recorded. Undefined if there is neither. */
  readonly write: WriteResource | undefined;
  /** The audit log's items of a key without a row, for the story of its run. */
  readonly audited: readonly TimelineItem[];
};

export async function describeFromRecord(
  tx: Tx,
  idempotencyKey: string,
  { row, approval }: Pick<LookedUp, 'row' | 'approval'>,
  describer: Describer,
): Promise<RecordStory> {
  const { reader, operations } = describer;
  // Asked for whether there is one or not: how long the answer takes must not tell that the key is taken.
  const isPendingSeen = approval !== undefined && mayReadPending(approval, reader, operations);
  const asked = isPendingSeen ? approval : await approvalOf(tx, idempotencyKey);
  const isHidden =
    row === undefined
      ? approval !== undefined && !isPendingSeen
      : !mayRead(row, describer) && (asked === undefined || !mayReadPending(asked, reader, operations));
  const has = { hasRow: row !== undefined, isPending: approval !== undefined, isHidden };
  if (row !== undefined && !isHidden) {
    return { ...has, write: await describeFromRow(tx, row, asked, describer), audited: [] };
  }
  if (approval !== undefined && !isHidden) {
    const audited = await readAuditItems(tx, idempotencyKey);
    return { ...has, write: pendingWrite(approval, describer, audited), audited };
  }
  // The same statements either way: how long the answer takes must not tell that the key is taken.
  const key = isHidden ? nobodysKey() : idempotencyKey;
  return {
    ...has,
    write: await describeFromAudit(tx, key, describer),
    audited: await readAuditItems(tx, key),
  };
}

/** A key of which nothing is known: asked for in the place of one that the caller may not know of. */
export function nobodysKey(): string {
  return randomUUID();
}

function mayRead({ operation, user_id: userId }: WriteRow, { reader, operations }: Describer): boolean {
  return mayReadWrite({ operation, userId }, reader, operations);
}

/** Describes a write from its row, to a reader who may read it; who has only decided about it does not see what it answered. */
async function describeFromRow(
  tx: Tx,
  row: WriteRow,
  approval: Approval | undefined,
  describer: Describer,
): Promise<WriteResource> {
  const { reader, operations, ui } = describer;
  // The row of a cancelled key is the cancel's. What had waited under the key is known from its request for approval.
  const asked = row.outcome === 'cancelled' ? approval : undefined;
  const isSeen =
    asked === undefined
      ? mayReadBody({ operation: row.operation, userId: row.user_id }, reader, operations)
      : mayReadRequest(asked, reader, operations);
  const write = { ...finishedWrite(row, ui), ...(asked === undefined ? {} : askedWrite(asked, operations, ui)) };
  const response: unknown = JSON.parse(row.response_body.toString());
  const documented = {
    request: asked?.arguments.input.body ?? row.request?.body,
    response: row.outcome === 'succeeded' ? response : null,
  };
  const events = row.write_id === null ? [] : await readEventItems(tx, row.write_id, row.completed_at);
  const audited = await readAuditItems(tx, row.idempotency_key);
  const told: WriteResource = {
    ...write,
    document: isSeen ? documentOf(write.operation, documented, operations) : null,
    ...(approval === undefined ? {} : approvalMembers(approval)),
    response: isSeen ? response : null,
    request: isSeen ? (asked?.arguments.input ?? askedFor(row)) : null,
    ...toTimeline([
      ...(row.outcome === 'cancelled' && asked === undefined ? [] : beginningOf(write)),
      ...(approval === undefined ? [] : approvalItems(approval)),
      ...outcomeItems(row, response, audited),
      ...events,
      ...audited,
    ]),
  };
  // The comments of those who have decided repeat what was asked for.
  const isHarmless = isSeen || shownBy(write.operation, operations).shows === undefined;
  return isHarmless ? told : withoutBodies(told);
}

/** With `[erased]` in the place of what was erased. */
function askedFor({ request }: WriteRow) {
  return request === null ? null : { params: request.params, body: request.body };
}

/** Describes a write without a row from the newest run of its workflow. */
export function describeFromRun(
  idempotencyKey: string,
  run: RunDescription,
  state: 'running' | 'failed' | 'unknown',
  { audited, attempts }: RunDetails,
  { reader, operations, ui }: Describer,
): WriteResource | undefined {
  const { memo } = run;
  // A run without our memo was not started by this API.
  if (memo?.operation === undefined || !mayReadWrite(memo, reader, operations)) return undefined;
  const { operation, userId, requestId } = memo;
  const type = operations.find(({ name }) => name === operation)?.type ?? null;
  const { companyId } = reader;
  const write = writeOfRun(
    {
      companyId,
      idempotencyKey,
      writeId: writeId(companyId, operation, idempotencyKey),
      operation,
      type,
    },
    { runId: run.runId, startedAt: run.startedAt.toISOString(), userId, requestId },
    state,
    ui,
  );
  const failed = attempts?.count ?? 0;
  const ended = state === 'running' ? [] : endItems(run, state, audited);
  return {
    ...write,
    // Plus the attempt that is running or waiting for its backoff, or the one that succeeded and whose row is missing.
    attempts: state === 'running' || run.state === 'completed' ? failed + 1 : Math.max(1, failed),
    response: null,
    ...toTimeline([
      ...beginningOf(write),
      // The last failure of a failed run is reported as the failure of the run.
      ...attemptItems(state === 'failed' ? failed - 1 : failed, attempts?.lastAt.toISOString() ?? ''),
      ...audited,
      ...ended,
    ]),
  };
}

/** What is known of a run besides its description. */
type RunDetails = {
  readonly audited: readonly TimelineItem[];
  readonly attempts: FailedAttempts | undefined;
};

/** Describes a failed run that Temporal no longer has, from the audit log, which records its end but not its start. */
async function describeFromAudit(
  tx: Tx,
  idempotencyKey: string,
  describer: Describer,
): Promise<WriteResource | undefined> {
  const { reader, operations } = describer;
  const [failed] = await tx.query<FailedRunRow>(
    `SELECT timestamp, operation_name, operation_type, deterministic_id, user_id, request_id
     FROM idempotent_write_audit_log
     WHERE company_id = current_company() AND idempotency_key = $1 AND error_code = 'write_failed'
     ORDER BY timestamp DESC, id DESC LIMIT 1`,
    [idempotencyKey],
  );
  if (failed === undefined) return undefined;
  const { operation_name: operation, user_id: userId } = failed;
  if (!mayReadWrite({ operation, userId }, reader, operations)) return undefined;
  const write: WriteSummary = {
    key: idempotencyKey,
    writeId: failed.deterministic_id,
    operation,
    type: failed.operation_type === 'unknown' ? null : failed.operation_type,
    state: 'failed',
    status: null,
    location: null,
    resource: null,
    actor: { userId },
    requestId: failed.request_id,
    requestedAt: failed.timestamp,
    completedAt: null,
    attempts: 1,
    workflow: null,
  };
  return { ...write, response: null, ...toTimeline(await readAuditItems(tx, idempotencyKey)) };
}

type FailedRunRow = {
  timestamp: string;
  operation_name: string;
  operation_type: 'financial' | 'high-risk' | 'unknown';
  deterministic_id: string | null;
  user_id: string;
  request_id: string;
};

function outcomeItems(row: WriteRow, response: unknown, audited: readonly TimelineItem[]): TimelineItem[] {
  const { completed_at: at, outcome } = row;
  const by = sentBy(row.request_id, row.user_id);
  // The audit log has it, until that month is archived.
  if (outcome === 'lost') return audited.some(({ kind }) => kind === 'lost') ? [] : [{ at, ...LOST, ...by }];
  if (outcome === 'cancelled') return [{ at, kind: 'cancelled', ...by }];
  const failures = attemptItems(row.attempt - 1, at);
  if (outcome === 'succeeded') return [...failures, { at, kind: 'completed', ...by }];
  return [...failures, { at, kind: 'rejected', ...by, detail: (response as { code: string }).code }];
}

/** Attempts have no records of their own: one item gives their number, at the time of the last one known. */
function attemptItems(failed: number, at: string): TimelineItem[] {
  if (failed <= 0) return [];
  const detail =
    failed === 1 ? '1 attempt failed and was rolled back' : `${failed} attempts failed and were rolled back`;
  return [{ at, kind: 'attempt_failed', detail }];
}

/** The end of the run, unless the audit log has it: the activity records the failure there before it gives up. */
function endItems(run: RunDescription, state: 'failed' | 'unknown', audited: readonly TimelineItem[]): TimelineItem[] {
  const isAudited = audited.some(({ kind, requestId }) => kind === 'run_failed' && requestId === run.memo?.requestId);
  if (isAudited && state === 'failed') return [];
  const at = (run.closedAt ?? run.startedAt).toISOString();
  const detail =
    state === 'failed' ? 'The run failed and was rolled back' : 'The run ended without proof of its outcome';
  return [{ at, kind: 'run_failed', detail }];
}
