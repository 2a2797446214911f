import type { RunResult, WriteArguments } from '../../workflows/messages.ts';
import { type Database, type Tx, transaction } from '../database.ts';
import { classify, TransientFailure } from '../failures.ts';
import { rowId, writeId } from '../identity.ts';
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
 * The one transaction of a write: claim the key, do the business, record outcome, audit row and event, commit.
 *
 * The row becomes visible only with its outcome, so there is no lock to leak when this process dies, and a twin that runs
 * at the same time waits at the unique key for this one's COMMIT or ROLLBACK. Returns the row that stands: the one made
 * here, or the one that another attempt made. Throws {@link TransientFailure} when the attempt may be made again, and
 * anything else for a bug.
 */
export async function runOperation(
  dependencies: RunDependencies,
  args: WriteArguments,
  attempt: AttemptFacts,
): Promise<Attempt> {
  const { database, operations, allowPrivateWebhooks = false } = dependencies;
  const operation = operations.find(({ name }) => name === args.operation);
  // Of a later release, in the middle of its being rolled out: one of its workers will know what to do.
  if (operation === undefined || args.schemaVersion > operation.schemaVersion) {
    throw new TransientFailure(`This release does not know ${args.operation} as it was asked for`, {
      mayHaveCommitted: false,
    });
  }
  const input = parseInput(operation, args.input);
  try {
    return await transaction(database.writes, async (tx) => {
      const claim = await claimWrite(tx, operation, args, attempt);
      if (!claim.claimed) return fromExistingRow(claim.row, args, operations);
      const row = await decide(tx, operation, input, claim.roles, args, allowPrivateWebhooks);
      return { result: resultOf(row, true), row, made: true };
    });
  } catch (error) {
    const failure = classify(error);
    if (failure.kind !== 'transient') throw error;
    throw new TransientFailure('The database did not carry the transaction through', {
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
  readonly requestedAt: string;
  readonly workflowId: string;
  /** Counts from 1. */
  readonly attempt: number;
};

/** The row that stands, and whether this very transaction made it. In a mismatch the row is another request's. */
export type Attempt = { readonly result: RunResult; readonly row: WriteRow; readonly made: boolean };

type Claim = { readonly claimed: boolean; readonly roles: readonly string[]; readonly row: WriteRow | undefined };

async function claimWrite(tx: Tx, operation: Operation, args: WriteArguments, attempt: AttemptFacts): Promise<Claim> {
  const claiming = tx.query<{ claimed: boolean; member_roles: string[] | null } & WriteRow>(
    `SELECT c.claimed, c.member_roles, (c.write).*
     FROM claim_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS c`,
    [
      args.companyId,
      args.key,
      writeId(args.companyId, operation.name, args.key),
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
  // Sent right behind it: where the claim fails, the transaction has failed, and so does this.
  const [[claim]] = await Promise.all([claiming, tx.query('SAVEPOINT operation')]);
  if (claim === undefined) {
    // Another transaction held the key, and yet no row of it can be seen: not an answer to anything. Ask again.
    throw new TransientFailure('The key was taken and its row is not there', { mayHaveCommitted: false });
  }
  return { claimed: claim.claimed, roles: claim.member_roles ?? [], row: rowOrUndefined(claim) };
}

function fromExistingRow(row: WriteRow | undefined, args: WriteArguments, operations: readonly Operation[]): Attempt {
  if (row === undefined) throw new Error('Bug! A key that is taken, by no row');
  const mine = { ...args.input, operation: args.operation, fingerprint: args.fingerprint };
  if (row.outcome === 'cancelled' || isSameRequest(row, mine, operations)) {
    return { result: resultOf(row, row.submission_id === args.submissionId), row, made: false };
  }
  return { result: { outcome: 'mismatch', statusCode: 422, writeId: row.write_id, first: false }, row, made: false };
}

/** Success or rejection, decided and recorded; a rejection leaves nothing of the operation's own work. */
async function decide(
  tx: Tx,
  operation: Operation,
  input: Input,
  roles: readonly string[],
  args: WriteArguments,
  allowPrivateWebhooks: boolean,
) {
  if (!holdsOneOf(roles, operation.roles)) {
    return finishRejected(tx, operation, args, new Rejection('forbidden', 'The role for this was revoked meanwhile.'));
  }
  try {
    const context = contextOf(operation, args, allowPrivateWebhooks);
    const written = await operation.write(tx, input, context);
    return await finishSucceeded(tx, operation, args, context, written);
  } catch (error) {
    const rejection = toRejection(operation, error);
    if (rejection === undefined) throw error;
    await tx.query('ROLLBACK TO SAVEPOINT operation');
    return await finishRejected(tx, operation, args, rejection);
  }
}

function contextOf(operation: Operation, args: WriteArguments, allowPrivateWebhooks: boolean): WriteContext<string> {
  const id = writeId(args.companyId, operation.name, args.key);
  return {
    companyId: args.companyId,
    userId: args.actor.userId,
    operation: operation.name,
    writeId: id,
    allowPrivateWebhooks,
    rowId: (table, position) => rowId(id, table, position),
    reject: (...args) => new Rejection(...args),
  };
}

/** The operation's own no, or a rule that the database held and that the operation knows by its constraint. */
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
    `SELECT w.* FROM finish_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) AS w`,
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
  if (row === undefined) throw new Error('Bug! A claimed write that is not there');
  return row;
}

const MAX_AUDIT_MESSAGE = 2_000;

function resultOf(row: WriteRow, first: boolean): RunResult {
  return { outcome: row.outcome, statusCode: row.status_code, writeId: row.write_id, first };
}
