import type { Trust, WriteArguments } from '../../workflows/messages.ts';
import { type Tx, transaction } from '../database.ts';
import { classify, TransientFailure } from '../failures.ts';
import { writeId } from '../identity.ts';
import type { Operation } from '../operation.ts';
import { type Problem, problemType, writeUrl } from '../problem.ts';
import {
  type Attempt,
  type AttemptFacts,
  type RunDependencies,
  resultFromExistingRow,
  transient,
} from './run-operation.ts';
import { rowOrUndefined, type WriteRow } from './write-row.ts';

/** A write that was, or may have been, answered, and has no row. */
export type LostWrite = {
  readonly args: WriteArguments;
  /** The run or group that made it. */
  readonly workflowId: string;
  readonly runId: string;
  /** RFC 3339. */
  readonly requestedAt: string;
};

/**
 * Marks the writes as lost, as the transaction's own step; each with its audit row, and the counters of numbers raised by
 * those that took one. Returns those that it marked: not what has a row, what an operator has reopened, or what belongs to a
 * company that is gone. Leaves the transaction in the company that it marked last.
 */
export async function loseWrites(
  tx: Tx,
  writes: readonly LostWrite[],
  operations: readonly Operation[],
  reason: string,
): Promise<readonly LostWrite[]> {
  if (writes.length === 0) return [];
  const marked = await tx.query<{ company: string; lost_key: string }>(
    'SELECT company, lost_key FROM lose_writes(p_items => $1, p_reason => $2)',
    [JSON.stringify(writes.map((write) => toItem(write, operations))), reason],
  );
  const keys = new Set(marked.map(({ company, lost_key: key }) => `${company}/${key}`));
  return writes.filter(({ args }) => keys.has(`${args.companyId}/${args.key}`));
}

const MAX_BATCH = 100;
const MAX_BATCH_BYTES = 256 * 1024;

/** Of one company each, and small enough for one statement; in no particular order. */
export function* inBatches(writes: readonly LostWrite[]): Generator<readonly LostWrite[]> {
  const sorted = [...writes].sort((a, b) => (a.args.companyId < b.args.companyId ? -1 : 1));
  let batch: LostWrite[] = [];
  let bytes = 0;
  for (const write of sorted) {
    const size = Buffer.byteLength(JSON.stringify(write.args));
    const isOther = batch[0] !== undefined && batch[0].args.companyId !== write.args.companyId;
    if (isOther || batch.length === MAX_BATCH || (batch.length > 0 && bytes + size > MAX_BATCH_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(write);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/**
 * The attempt of a run that was started before the last loss: nobody knows whether its write was answered from a row that is
 * gone. So without a row it ends as lost, and is never made a second time.
 */
export async function attemptAfterLoss(
  { database, operations }: RunDependencies,
  args: WriteArguments,
  facts: AttemptFacts,
  trust: Trust,
  runId: string,
): Promise<Attempt> {
  const { companyId, key } = args;
  const write = { args, workflowId: facts.workflowId, runId, requestedAt: facts.requestedAt };
  try {
    return await transaction(
      database.writes,
      async (tx) => {
        await tx.query('SELECT enter_company($1), require_trust($2)', [companyId, trust.version]);
        await loseWrites(tx, [write], operations, 'Its run was started before the database lost writes');
        const [found] = await tx.query<WriteRow>(
          'SELECT * FROM idempotent_writes WHERE company_id = current_company() AND idempotency_key = $1 FOR KEY SHARE',
          [key],
        );
        const row = found === undefined ? undefined : rowOrUndefined(found);
        if (row === undefined) {
          throw new TransientFailure('The key of a lost write has no row', { mayHaveCommitted: false });
        }
        return { result: resultFromExistingRow(row, args, operations), row, made: false };
      },
      { companyId, patience: 'patient' },
    );
  } catch (error) {
    const failure = classify(error);
    if (failure.kind !== 'transient') throw error;
    throw transient(failure, error);
  }
}

function toItem({ args, workflowId, runId, requestedAt }: LostWrite, operations: readonly Operation[]) {
  const operation = operations.find(({ name }) => name === args.operation);
  return {
    company_id: args.companyId,
    key: args.key,
    write_id: writeId(args.companyId, args.operation, args.key),
    submission_id: args.submissionId,
    operation: args.operation,
    type: operation?.type ?? 'financial',
    fingerprint: args.fingerprint,
    schema_version: args.schemaVersion,
    request: args.input,
    body: JSON.stringify(problemOf(args.key)),
    user_id: args.actor.userId,
    request_id: args.request.id,
    route_path: args.request.path,
    http_method: args.request.method,
    workflow_id: workflowId,
    run_id: runId,
    requested_at: requestedAt,
    number_kind: operation?.takesNumber ?? null,
  };
}

/** What the row stores. The API answers with its own words for the code. */
function problemOf(key: string): Problem {
  return {
    type: problemType('write_record_missing'),
    title: 'The record of this write is missing',
    status: 500,
    detail: 'The database was replaced by an earlier state of itself, in which this write is missing.',
    instance: writeUrl(key),
    code: 'write_record_missing',
    retryable: false,
    nextAction: 'none',
  };
}
