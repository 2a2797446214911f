import type { RunResult, WriteArguments } from '../../workflows/messages.ts';
import { type Database, type Tx, transaction } from '../database.ts';
import { classify, TransientFailure } from '../failures.ts';
import { rowId } from '../identity.ts';
import {
  type Input,
  type Operation,
  parseInput,
  WORKFLOW_TRIGGERED,
  type WriteContext,
  type Written,
} from '../operation.ts';
import { type Problem, problemType, writeUrl } from '../problem.ts';
import { holdsOneOf } from '../roles.ts';
import { isSameRequest } from './compare-requests.ts';
import { Rejection } from './rejection.ts';
import { rowOrUndefined, type WriteRow } from './write-row.ts';

/**
 * The one transaction of a write: claims the key, runs the operation, records outcome, audit row and event, and commits.
 *
 * The row becomes visible only with its outcome, so no lock leaks when this process dies. A concurrent attempt at the same
 * key waits at the unique index for this one's COMMIT or ROLLBACK. Returns the write's row, written here or by another
 * attempt. Throws {@link TransientFailure} when the attempt may be retried, and any other error for a bug.
 */
export async function runOperation(
  dependencies: RunDependencies,
  args: WriteArguments,
  attempt: AttemptFacts,
): Promise<Attempt> {
  const { database, operations, allowPrivateWebhooks = false } = dependencies;
  const operation = operations.find(({ name }) => name === args.operation);
  // The write comes from a later release that is being rolled out: a retry may reach one of its workers.
  if (operation === undefined || args.schemaVersion > operation.schemaVersion) {
    throw new TransientFailure(
      `This release does not know ${args.operation} with schema version ${args.schemaVersion}`,
      {
        mayHaveCommitted: false,
      },
    );
  }
  const input = parseInput(operation, args.input);
  try {
    return await transaction(database.writes, async (tx) => {
      const claim = await claimWrite(tx, operation, args, attempt);
      if (!claim.claimed) return fromExistingRow(claim.row, args, operations);
      const context = contextOf(args, attempt.writeId, allowPrivateWebhooks);
      const row = await decide(tx, operation, input, claim.roles, args, context);
      return { result: resultOf(row, true), row, made: true };
    });
  } catch (error) {
    const failure = classify(error);
    if (failure.kind !== 'transient') throw error;
    throw new TransientFailure('The transaction failed, or its COMMIT was not confirmed', {
      mayHaveCommitted: failure.mayHaveCommitted,
      cause: error,
    });
  }
}

export type RunDependencies = {
  readonly database: Database;
  readonly operations: readonly Operation[];
  readonly allowPrivateWebhooks?: boolean | undefined;
};

export type AttemptFacts = {
  /** Follows from the arguments; the caller has it, and it is hashed once per attempt. */
  readonly writeId: string;
  readonly requestedAt: string;
  readonly workflowId: string;
  /** Counts from 1. */
  readonly attempt: number;
};

/** The write's row, and whether this transaction wrote it. In a mismatch it is the row of another request. */
export type Attempt = { readonly result: RunResult; readonly row: WriteRow; readonly made: boolean };

type Claim = { readonly claimed: boolean; readonly roles: readonly string[]; readonly row: WriteRow | undefined };

async function claimWrite(tx: Tx, operation: Operation, args: WriteArguments, attempt: AttemptFacts): Promise<Claim> {
  const claiming = tx.query<{ claimed: boolean; member_roles: string[] | null } & WriteRow>(
    `SELECT c.claimed, c.member_roles, (c.write).*
     FROM claim_write(
       p_company => $1, p_key => $2, p_write_id => $3, p_submission_id => $4, p_operation => $5, p_type => $6,
       p_fingerprint => $7, p_schema_version => $8, p_request => $9, p_user => $10, p_request_id => $11,
       p_workflow_id => $12, p_attempt => $13, p_requested_at => $14
     ) AS c`,
    [
      args.companyId,
      args.key,
      attempt.writeId,
      args.submissionId,
      operation.name,
      operation.type,
      args.fingerprint,
      args.schemaVersion,
      JSON.stringify(args.input),
      args.actor.userId,
      args.request.id,
      attempt.workflowId,
      attempt.attempt,
      attempt.requestedAt,
    ],
  );
  // Pipelined with the claim: if the claim fails, the transaction is aborted and the savepoint fails too.
  const [[claim]] = await Promise.all([claiming, tx.query('SAVEPOINT operation')]);
  if (claim === undefined) {
    // Another transaction held the key, yet its row is not visible: this proves nothing, so retry.
    throw new TransientFailure('The key was taken, but its row is not visible', { mayHaveCommitted: false });
  }
  return { claimed: claim.claimed, roles: claim.member_roles ?? [], row: rowOrUndefined(claim) };
}

function fromExistingRow(row: WriteRow | undefined, args: WriteArguments, operations: readonly Operation[]): Attempt {
  if (row === undefined) throw new Error('Bug! The key is taken, but there is no row');
  const mine = { ...args.input, operation: args.operation, fingerprint: args.fingerprint };
  if (row.outcome === 'cancelled' || isSameRequest(row, mine, operations)) {
    return { result: resultOf(row, row.submission_id === args.submissionId), row, made: false };
  }
  return { result: { outcome: 'mismatch', statusCode: 422, writeId: row.write_id, first: false }, row, made: false };
}

/** Runs the operation and records success or rejection; a rejection rolls back all of the operation's own changes. */
async function decide(
  tx: Tx,
  operation: Operation,
  input: Input,
  roles: readonly string[],
  args: WriteArguments,
  context: WriteContext<string>,
) {
  if (!holdsOneOf(roles, operation.roles)) {
    return finishRejected(
      tx,
      operation,
      args,
      new Rejection('forbidden', 'Your role was revoked before the write ran.'),
    );
  }
  try {
    const written = await operation.write(tx, input, context);
    return await finishSucceeded(tx, operation, args, context, written);
  } catch (error) {
    const rejection = toRejection(operation, error);
    if (rejection === undefined) throw error;
    await tx.query('ROLLBACK TO SAVEPOINT operation');
    return await finishRejected(tx, operation, args, rejection);
  }
}

function contextOf(args: WriteArguments, writeId: string, allowPrivateWebhooks: boolean): WriteContext<string> {
  return {
    companyId: args.companyId,
    userId: args.actor.userId,
    operation: args.operation,
    writeId,
    allowPrivateWebhooks,
    rowId: (table, position) => rowId(writeId, table, position),
    reject: (...args) => new Rejection(...args),
  };
}

/** The operation's own rejection, or the one that it declares for the violated constraint. */
function toRejection(operation: Operation, error: unknown): Rejection | undefined {
  if (error instanceof Rejection) return error;
  const failure = classify(error);
  if (failure.kind !== 'constraint') return undefined;
  const code = operation.constraints[failure.constraint];
  const kind = code === undefined ? undefined : operation.rejections[code];
  return code === undefined || kind === undefined ? undefined : new Rejection(code, `${kind.title}.`);
}

async function finishSucceeded(
  tx: Tx,
  operation: Operation,
  args: WriteArguments,
  context: WriteContext,
  written: Written,
): Promise<WriteRow> {
  const location = written.location ?? `${operation.resource.reads}/${encodeURIComponent(written.resourceId)}`;
  const resource = { type: operation.resource.type, id: written.resourceId, url: location };
  return finish(tx, args, {
    outcome: 'succeeded',
    statusCode: operation.successStatus,
    body: written.body,
    location,
    resource,
    error: undefined,
    event: {
      id: context.rowId('outbox', 0),
      kind: operation.event,
      payload: { resource, requestId: args.request.id, ...written.eventPayload },
    },
    auditMetadata: written.auditMetadata ?? {},
  });
}

function finishRejected(tx: Tx, operation: Operation, args: WriteArguments, rejection: Rejection): Promise<WriteRow> {
  const kind = rejection.code === 'forbidden' ? FORBIDDEN : operation.rejections[rejection.code];
  if (kind === undefined) throw new Error(`Bug! ${operation.name} does not declare the rejection ${rejection.code}`);
  const problem: Problem = {
    type: problemType(rejection.code),
    title: kind.title,
    status: kind.status,
    detail: rejection.message,
    instance: writeUrl(args.key),
    code: rejection.code,
    retryable: false,
    nextAction: kind.nextAction ?? 'use_new_key',
    ...(rejection.pointer === undefined ? {} : { errors: [rejection.pointer] }),
  };
  return finish(tx, args, {
    outcome: 'rejected',
    statusCode: kind.status,
    body: problem,
    location: undefined,
    resource: undefined,
    error: { code: rejection.code, message: rejection.message },
    event: undefined,
    auditMetadata: {},
  });
}

const FORBIDDEN = { status: 403, title: 'Your role does not allow this', nextAction: 'use_new_key' } as const;

type Finish = {
  readonly outcome: 'succeeded' | 'rejected';
  readonly statusCode: number;
  readonly body: object;
  readonly location: string | undefined;
  readonly resource: { readonly type: string; readonly id: string } | undefined;
  readonly error: { readonly code: string; readonly message: string } | undefined;
  readonly event: { readonly id: string; readonly kind: string; readonly payload: object } | undefined;
  readonly auditMetadata: Readonly<Record<string, unknown>>;
};

async function finish(tx: Tx, args: WriteArguments, end: Finish): Promise<WriteRow> {
  const [row] = await tx.query<WriteRow>(
    `SELECT w.* FROM finish_write(
       p_company => $1, p_key => $2, p_outcome => $3, p_status_code => $4, p_body => $5, p_location => $6,
       p_resource_type => $7, p_resource_id => $8, p_error_code => $9, p_error_message => $10, p_route_path => $11,
       p_http_method => $12, p_event_id => $13, p_event_kind => $14, p_event_payload => $15,
       p_workflows_triggered => $16, p_audit_metadata => $17
     ) AS w`,
    [
      args.companyId,
      args.key,
      end.outcome,
      end.statusCode,
      Buffer.from(JSON.stringify(end.body)),
      end.location ?? null,
      end.resource?.type ?? null,
      end.resource?.id ?? null,
      end.error?.code ?? null,
      end.error?.message.slice(0, MAX_AUDIT_MESSAGE) ?? null,
      args.request.path,
      args.request.method,
      end.event?.id ?? null,
      end.event?.kind ?? null,
      end.event === undefined ? null : JSON.stringify(end.event.payload),
      end.event?.kind === WORKFLOW_TRIGGERED ? 1 : 0,
      JSON.stringify(end.auditMetadata),
    ],
  );
  if (row === undefined) throw new Error('Bug! The claimed write has no row');
  return row;
}

const MAX_AUDIT_MESSAGE = 2_000;

function resultOf(row: WriteRow, first: boolean): RunResult {
  return { outcome: row.outcome, statusCode: row.status_code, writeId: row.write_id, first };
}
