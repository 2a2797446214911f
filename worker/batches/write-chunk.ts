import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditRow } from '../../activities/audit/record-rows.ts';
import type { BatchRow, ChunkRow, RowOutcome, RowProblem } from '../../activities/batches/batch-row.ts';
import { type KnownOutcome, readOutcomes, readRequests } from '../../activities/batches/batch-store.ts';
import { checkRow, type RowWrite } from '../../activities/batches/check-row.ts';
import { decodeRows } from '../../activities/batches/chunk-content.ts';
import { submissionOfRow } from '../../activities/batches/identity.ts';
import { pathOf } from '../../activities/batches/row-path.ts';
import { crashPoint } from '../../activities/crash-points.ts';
import type { Database } from '../../activities/database.ts';
import { TransientFailure } from '../../activities/failures.ts';
import { fingerprint, workflowIdOf, writeId } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import { ATTEMPT_POLICY } from '../../activities/write/attempt-policy.ts';
import { differences, isSameRequest } from '../../activities/write/compare-requests.ts';
import type { Fence } from '../../activities/write/fence.ts';
import { createNamedSet, namedResources } from '../../activities/write/named-resources.ts';
import type { GroupItem, WriteArguments } from '../../workflows/messages.ts';
import type { ProcessFence } from '../fence.ts';
import type { GroupRuns } from '../lanes/group-runs.ts';
import type { Lane } from '../lanes/lane.ts';
import { type ChunkFindings, createFindings } from './chunk-findings.ts';

export type ChunkDependencies = {
  readonly database: Database;
  readonly operations: readonly Operation[];
  readonly fence: Fence & Pick<ProcessFence, 'isAwake' | 'witnesses'>;
  readonly lane: Pick<Lane, 'isOpen' | 'start'>;
  readonly groups: Pick<GroupRuns, 'waitUntilClosed'>;
  /** How many rows may share a transaction now. */
  setSize(): number;
  /** Called for rows once they are recorded. `operation`: null where the row names none that there is. */
  onRows(operation: string | null, outcome: RowOutcome, count: number): void;
};

/** Rows that have met a lock, or an error that may pass, are sent again after a pause; in milliseconds. */
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 30_000;
/** After so many rounds a row is told as failed; it may be tried again later. That is after about seven minutes. */
const MAX_ROUNDS = 20;
const LANE_POLL_MS = 200;

/** A row that is to become a write. */
type Pending = {
  /** Only a new key is refused: one that has a row is answered. */
  readonly refusedIfNew?: RowProblem | undefined;
  readonly position: number;
  readonly operation: Operation;
  readonly item: GroupItem;
  readonly resources: readonly string[];
};

/** `version`: of the database in which it was claimed; what is found there is recorded there, or not at all. */
export type ClaimedChunk = { readonly batch: BatchRow; readonly chunk: ChunkRow; readonly version: string };

/**
 * Has each row of a chunk written that is pending, and records what has become of it. A row whose key has an outcome is a replay
 * or a mismatch, as it would be alone; the others travel as one group. What has no outcome then is sent again, in halves while
 * that goes on, and what cannot succeed fails alone. Throws when Temporal or the database does not answer: another attempt goes
 * on from what was recorded.
 */
export async function writeChunk(
  dependencies: ChunkDependencies,
  { batch, chunk, version }: ClaimedChunk,
  signal: AbortSignal,
): Promise<BatchRow> {
  const { database } = dependencies;
  const findings = createFindings({ pool: database.writes, batch, chunk, onRows: dependencies.onRows });
  let pending = await rowsToWrite(dependencies, batch, chunk, findings);
  let size = chunk.row_count;
  let pauseMs = FIRST_PAUSE_MS;
  /** By position: a bug has ended their attempts, unless another one has made them meanwhile. */
  const bugs = new Set<number>();
  for (let round = 1; ; round += 1) {
    pending = await settle(dependencies, batch, pending, { findings, bugs, isLast: round > MAX_ROUNDS });
    crashPoint('chunk: outcomes found');
    for (const row of pending) if (bugs.has(row.position)) fail(findings, row, 'write_failed');
    pending = pending.filter(({ position }) => findings.isPending(position));
    if (round > MAX_ROUNDS) for (const row of pending.splice(0)) fail(findings, row, 'outcome_unknown');
    // Also after each round: the counts go on while some rows wait.
    if (pending.length === 0 || round > 1) {
      const standing = await findings.record(version);
      crashPoint('chunk: recorded');
      if (pending.length === 0) return standing;
    }
    if (round > 1) {
      size = Math.max(1, Math.ceil(size / 2));
      await sleep(pauseMs, undefined, { signal });
      pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
    }
    await sendAll(dependencies, pending, { size, signal, findings, bugs });
  }
}

/** Reads the rows that are pending; refuses those that the API would refuse at the door. */
async function rowsToWrite(
  { operations, database }: ChunkDependencies,
  batch: BatchRow,
  chunk: ChunkRow,
  findings: ChunkFindings,
): Promise<Pending[]> {
  if (chunk.content === null) throw new Error('Bug! Rows are pending whose upload has been removed');
  requireKnownOperations(batch, operations);
  const rows = await decodeRows(chunk.content);
  const { roles } = await readOutcomes(database.reads, batch.company_id, batch.user_id, []);
  const pending: Pending[] = [];
  for (const [position, row] of rows.entries()) {
    if (!findings.isPending(position)) continue;
    const operation = operations.find(({ name }) => name === batch.operation);
    const checked = checkRow(row, { operations, operation, sha256: batch.file_sha256 ?? '' });
    const refusal = 'code' in checked ? checked : undefined;
    const write = 'code' in checked ? checked.unlessStored : checked;
    const problem = refusal && { code: refusal.code, detail: refusal.detail, errors: refusal.errors };
    if (write === undefined) {
      findings.note(position, 'refused', problem === undefined ? {} : { problem });
    } else if (roles === null || !holdsOneOf(roles, write.operation.roles)) {
      findings.note(position, 'refused', {
        problem: notAllowed(write.operation, roles),
        operation: write.operation.name,
      });
    } else {
      pending.push({ ...toPending(batch, chunk.first_row + position, position, write), refusedIfNew: problem });
    }
  }
  return pending;
}

/** A later release has taken the file, which is being rolled out: what this one refuses may be right there. */
function requireKnownOperations(batch: BatchRow, operations: readonly Operation[]): void {
  for (const [index, name] of (batch.operations ?? []).entries()) {
    const operation = operations.find((one) => one.name === name);
    if (operation !== undefined && operation.schemaVersion >= (batch.schema_versions?.[index] ?? 0)) continue;
    throw new TransientFailure(`This release does not know ${name} as the file has it`, { mayHaveCommitted: false });
  }
}

function notAllowed({ name, roles: needed }: Operation, roles: readonly string[] | null): RowProblem {
  if (roles === null)
    return { code: 'not_a_member', detail: 'Who has sent the batch is no longer a member of the company.' };
  return { code: 'forbidden', detail: `${name} needs one of the roles ${needed.join(', ')}.` };
}

function toPending(batch: BatchRow, row: number, position: number, { operation, key, input }: RowWrite): Pending {
  const args: WriteArguments = {
    operation: operation.name,
    companyId: batch.company_id,
    key,
    input,
    fingerprint: fingerprint(operation.name, input),
    schemaVersion: operation.schemaVersion,
    policy: ATTEMPT_POLICY,
    actor: { userId: batch.user_id },
    request: { id: batch.request_id, method: operation.method, path: pathOf(operation, input.params) },
    submissionId: submissionOfRow(batch.id, row),
  };
  const item = { args, workflowId: workflowIdOf(batch.company_id, key), summary: '' };
  return { position, operation, item, resources: namedResources(args) };
}

/**
 * Notes the rows whose key has an outcome. Returns the others, in their order, and with them those that this batch has written
 * without a group that vouches for it: the COMMIT of an attempt whose end nobody knows. After a restore that takes such a row,
 * nothing would tell that it was there. Sent again, it stays in its group, by whose name a verification finds it.
 */
async function settle(
  { database, operations, fence }: ChunkDependencies,
  batch: BatchRow,
  pending: readonly Pending[],
  { findings, bugs, isLast }: { findings: ChunkFindings; bugs: Set<number>; isLast: boolean },
): Promise<Pending[]> {
  const keys = pending.map(({ item }) => item.args.key);
  const { known } = await readOutcomes(database.reads, batch.company_id, batch.user_id, keys);
  const others = pending.filter(({ item: { args } }) => {
    const row = known.get(args.key);
    return row !== undefined && row.fingerprint !== args.fingerprint && row.fingerprint !== null;
  });
  const requests = await readRequests(
    database.reads,
    batch.company_id,
    others.map(({ item }) => item.args.key),
  );
  return pending.filter((row) => {
    const { args } = row.item;
    const found = known.get(args.key);
    if (found === undefined) {
      if (row.refusedIfNew === undefined) return true;
      findings.note(row.position, 'refused', { problem: row.refusedIfNew, operation: row.operation.name });
      return false;
    }
    const isOwn = found.submission_id === args.submissionId;
    if (isOwn && !findings.isVouched(row.position) && !isLast) {
      bugs.delete(row.position);
      return true;
    }
    if (fence.isAwake) fence.witnesses.note({ ...found, company_id: batch.company_id });
    noteOutcome(findings, row, found, () => {
      const stored = requests.get(args.key);
      if (stored === undefined) return undefined;
      const mine = { ...args.input, operation: args.operation, fingerprint: args.fingerprint };
      if (isSameRequest(stored, mine, operations)) return undefined;
      const { params = {}, body = {} } = stored.request ?? {};
      return differences({ operation: stored.operation ?? '', params, body }, mine);
    });
    return false;
  });
}

function noteOutcome(
  findings: ChunkFindings,
  row: Pending,
  found: KnownOutcome,
  mismatch: () => readonly object[] | undefined,
): void {
  const { position } = row;
  const operation = row.operation.name;
  if (found.outcome === 'lost') {
    findings.note(position, 'failed', { problem: { code: 'write_record_missing', detail: RECORD_MISSING }, operation });
    return;
  }
  if (found.outcome === 'cancelled') {
    const audit = { ...auditOf(row, 'replayed', null), ...OF_NO_WRITE };
    findings.note(position, 'cancelled', { audit, operation });
    return;
  }
  const differing = mismatch();
  if (differing !== undefined) {
    const code = 'idempotency_key_reused';
    const problem = { code, detail: KEY_REUSED, differences: differing };
    findings.note(position, 'mismatched', { problem, audit: auditOf(row, 'failed', code), operation });
    return;
  }
  const isOwn = found.submission_id === row.item.args.submissionId;
  const outcome = found.outcome === 'rejected' ? 'rejected' : isOwn ? 'succeeded' : 'replayed';
  findings.note(position, outcome, isOwn ? { operation } : { audit: auditOf(row, 'replayed', null), operation });
}

const KEY_REUSED = 'The key belongs to another request, whose write is unchanged. Use a new key for a new write.';
const RECORD_MISSING =
  'The database has lost the record of this write. Operators are alerted. Retry the failed rows once they have decided.';
/** As for a replay of a cancelled key alone, which has no operation. */
const OF_NO_WRITE = { operation_name: 'unknown', operation_type: 'unknown', deterministic_id: null } as const;

function auditOf(
  { operation, item: { args } }: Pending,
  status: AuditRow['status'],
  errorCode: string | null,
): AuditRow {
  return {
    company_id: args.companyId,
    operation_name: operation.name,
    operation_type: operation.type,
    deterministic_id: writeId(args.companyId, operation.name, args.key),
    idempotency_key: args.key,
    user_id: args.actor.userId,
    status,
    error_code: errorCode,
    error_message: null,
    execution_duration_ms: 0,
    request_id: args.request.id,
    route_path: args.request.path,
    http_method: args.request.method,
  };
}

/** `write_failed`: its attempt was rolled back by an error that a retry cannot fix. */
function fail(findings: ChunkFindings, row: Pending, code: 'write_failed' | 'outcome_unknown'): void {
  const operation = row.operation.name;
  if (code === 'outcome_unknown') {
    findings.note(row.position, 'failed', { problem: { code, detail: OUTCOME_UNKNOWN }, operation });
    return;
  }
  const audit = auditOf(row, 'failed', code);
  findings.note(row.position, 'failed', { problem: { code, detail: WRITE_FAILED }, audit, operation });
}

const WRITE_FAILED = 'The write failed and was rolled back. Retry the failed rows once the cause is mended.';
const OUTCOME_UNKNOWN =
  'The write had no outcome after many attempts. Retry the failed rows: the write will not happen twice.';

/**
 * Sends rows in groups of up to `size`, one after another. A row that names a resource of an earlier one that has no outcome stays
 * behind it.
 */
async function sendAll(
  dependencies: ChunkDependencies,
  pending: readonly Pending[],
  { size, signal, findings, bugs }: { size: number; signal: AbortSignal; findings: ChunkFindings; bugs: Set<number> },
): Promise<void> {
  const held = createNamedSet();
  let piece: Pending[] = [];
  const send = async () => {
    const left = await sendGroup(dependencies, piece, signal);
    const positions = new Set(left.map(({ row }) => row.position));
    for (const { position } of piece) if (!positions.has(position)) findings.vouch(position);
    for (const { row, failure } of left) {
      if (failure === 'bug') bugs.add(row.position);
      else held.add(row.resources);
    }
    piece = [];
  };
  for (const row of pending) {
    if (held.meets(row.resources)) {
      held.add(row.resources);
      continue;
    }
    piece.push(row);
    if (piece.length === size) await send();
  }
  if (piece.length > 0) await send();
}

/** Sends one group and waits for its end. Returns the rows without an outcome. */
async function sendGroup(
  { lane, groups, setSize }: ChunkDependencies,
  rows: readonly Pending[],
  signal: AbortSignal,
): Promise<readonly { readonly row: Pending; readonly failure: 'bug' | 'transient' }[]> {
  for (;;) {
    while (!lane.isOpen) await sleep(LANE_POLL_MS, undefined, { signal });
    const started = await lane.start(
      rows.map(({ item }) => item),
      { setSize: setSize() },
    );
    if (started === 'closed') continue;
    crashPoint('chunk: group started');
    for (;;) {
      const end = await Promise.race([groups.waitUntilClosed(started.workflowId, started.runId), untilAborted(signal)]);
      if (end === 'still open') continue;
      // Whatever it has done: the rows are looked up.
      if (end === 'unproven') return rows.map((row) => ({ row, failure: 'transient' }));
      started.settle();
      return end.left.flatMap(({ index, failure = 'transient' }) => {
        const row = rows[index];
        return row === undefined ? [] : [{ row, failure }];
      });
    }
  }
}

/** Rejects when this attempt is over: another one goes on. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}
