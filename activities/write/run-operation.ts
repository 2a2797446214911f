import type { PendingResult, RunResult, Trust, WriteArguments } from '../../workflows/messages.ts';
import { type Approval, approvedBy } from '../approvals/approval.ts';
import { type ApprovalPolicy, demandsOf } from '../approvals/policies.ts';
import { crashPoint } from '../crash-points.ts';
import { type Database, type Tx, transaction } from '../database.ts';
import { classify, TransientFailure } from '../failures.ts';
import { rowId } from '../identity.ts';
import { type Input, type Operation, parseInput, type WriteContext } from '../operation.ts';
import { holdsOneOf } from '../roles.ts';
import type { Turn } from '../shares.ts';
import { isSameRequest } from './compare-requests.ts';
import { approvalExpired, finishWrite, rejectionOf, roleRevoked, successOf } from './finish.ts';
import { Rejection } from './rejection.ts';
import {
  closeRequest,
  isRequestOf,
  NeedsApproval,
  reopenRequest,
  requestApproval,
  takeClaimBack,
  waitingResult,
} from './wait-for-approval.ts';
import { rowOrUndefined, type WriteRow } from './write-row.ts';

/**
 * The one transaction of a write: claims the key, runs the operation, records outcome, audit row and event, and commits.
 *
 * The row becomes visible only with its outcome, so no lock leaks when this process dies. A concurrent attempt at the same
 * key waits at the unique index for this one's COMMIT or ROLLBACK. Returns the write's row, written here or by another
 * attempt. Throws {@link TransientFailure} when the attempt may be retried, and any other error for a bug.
 *
 * A write that an approval policy matches takes its claim back and leaves a request for approval; so does one that waits
 * already. Only the run of its key can wait: everywhere else {@link NeedsApproval} is thrown.
 */
export async function runOperation(
  dependencies: RunDependencies,
  args: WriteArguments,
  attempt: AttemptFacts,
  turn: Omit<Turn, 'companyId'>,
): Promise<Attempt> {
  const { database, operations } = dependencies;
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
    const attempted = await transaction(
      database.writes,
      async (tx) => {
        const claim = await claimWrite(tx, operation, args, attempt);
        if (!claim.claimed) {
          await lockOutcome(tx, args.companyId, args.key);
          return fromExistingRow(claim.row, args, operations);
        }
        const context = contextOf(args, attempt.writeId, dependencies);
        const decided = await decide(tx, operation, input, claim, args, { ...attempt, context, operations });
        crashPoint('transaction: before COMMIT');
        return decided;
      },
      { companyId: args.companyId, ...turn },
    );
    crashPoint('transaction: after COMMIT');
    return attempted;
  } catch (error) {
    const failure = classify(error);
    if (failure.kind !== 'transient') throw error;
    throw transient(failure, error);
  }
}

export function transient(
  { mayHaveCommitted }: { readonly mayHaveCommitted: boolean },
  cause: unknown,
): TransientFailure {
  return new TransientFailure('The transaction failed, or its COMMIT was not confirmed', { mayHaveCommitted, cause });
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
  /** What the claim says of the database, which refuses it where it is another one. Without it, the database need only be verified. */
  readonly trust?: Trust | undefined;
  /** It is the run of the key, which waits where the write needs an approval. */
  readonly canWait?: boolean;
  /** See RunFacts. */
  readonly attemptsSince?: string | undefined;
};

/** What an attempt has come to. */
export type Attempt = Ended | Pending;

/** The write's row, and whether this transaction wrote it. In a mismatch it is the row of another request. */
export type Ended = { readonly result: RunResult; readonly row: WriteRow; readonly made: boolean };

export function hasEnded(attempt: Attempt): attempt is Ended {
  return 'row' in attempt;
}

/** The write waits for its approval; `made`: this transaction has asked for it. `result` is a mismatch where another request waits. */
type Pending = {
  readonly result: RunResult | PendingResult;
  readonly approval: Approval;
  readonly made: boolean;
};

type Claim = {
  readonly claimed: boolean;
  readonly roles: readonly string[];
  readonly row: WriteRow | undefined;
  /** Of the company. */
  readonly policies: readonly ApprovalPolicy[];
  /** Of the key, whatever has become of it. */
  readonly approval: Approval | undefined;
};

export async function claimWrite(
  tx: Tx,
  operation: Operation,
  args: WriteArguments,
  attempt: AttemptFacts,
): Promise<Claim> {
  const claiming = tx.query<Claimed & WriteRow>(
    `SELECT c.claimed, c.member_roles, c.policies, c.approval, (c.write).*
     FROM claim_write(
       p_company => $1, p_key => $2, p_write_id => $3, p_submission_id => $4, p_operation => $5, p_type => $6,
       p_fingerprint => $7, p_schema_version => $8, p_request => $9, p_user => $10, p_request_id => $11,
       p_workflow_id => $12, p_attempt => $13, p_requested_at => $14, p_version => $15, p_approvals => true
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
      attempt.trust?.version ?? null,
    ],
  );
  // Pipelined with the claim: if the claim fails, the transaction is aborted and the savepoint fails too.
  const [[claim]] = await Promise.all([claiming, tx.query('SAVEPOINT operation')]);
  if (claim === undefined) {
    // Another transaction held the key, yet its row is not visible: this proves nothing, so retry.
    throw new TransientFailure('The key was taken, but its row is not visible', { mayHaveCommitted: false });
  }
  return {
    claimed: claim.claimed,
    roles: claim.member_roles ?? [],
    row: rowOrUndefined(claim),
    policies: claim.policies ?? [],
    approval: claim.approval ?? undefined,
  };
}

type Claimed = {
  readonly claimed: boolean;
  readonly member_roles: string[] | null;
  readonly policies: ApprovalPolicy[] | null;
  readonly approval: Approval | null;
};

/**
 * Another COMMIT made the row, which is not durable where that wait for the synchronous standby was cancelled. PostgreSQL
 * waits only with what has written: after this lock, the COMMIT of a transaction that found the row waits as well.
 */
export async function lockOutcome(tx: Tx, companyId: string, key: string): Promise<void> {
  await tx.query('SELECT FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = $2 FOR KEY SHARE', [
    companyId,
    key,
  ]);
}

function fromExistingRow(row: WriteRow | undefined, args: WriteArguments, operations: readonly Operation[]): Ended {
  if (row === undefined) throw new Error('Bug! The key is taken, but there is no row');
  return { result: resultFromExistingRow(row, args, operations), row, made: false };
}

/** The outcome that the key's row holds for this request, or that the key belongs to another one. */
export function resultFromExistingRow(
  row: WriteRow,
  args: WriteArguments,
  operations: readonly Operation[],
): RunResult {
  const mine = { ...args.input, operation: args.operation, fingerprint: args.fingerprint };
  return row.outcome === 'cancelled' || row.outcome === 'lost' || isSameRequest(row, mine, operations)
    ? resultOf(row, row.submission_id === args.submissionId)
    : { outcome: 'mismatch', statusCode: 422, writeId: row.write_id, first: false };
}

/**
 * Runs the operation and records success or rejection; a rejection rolls back all of the operation's own changes. So does the
 * demand of a policy, which is looked at with the document as the operation would leave it.
 */
async function decide(
  tx: Tx,
  operation: Operation,
  input: Input,
  claim: Claim,
  args: WriteArguments,
  attempt: Deciding,
): Promise<Attempt> {
  const { context } = attempt;
  const approver =
    claim.approval === undefined ? undefined : await lookAtApproval(tx, operation, claim.approval, args, attempt);
  if (typeof approver === 'object') return approver;
  const ended = (row: WriteRow): Ended => ({ result: resultOf(row, true), row, made: true });
  if (!holdsOneOf(claim.roles, operation.roles)) {
    return ended(await finishWrite(tx, args, rejectionOf(operation, args, roleRevoked())));
  }
  try {
    const written = await operation.write(tx, input, { ...context, approvedBy: approver ?? null });
    const demands = approver === undefined ? demandsOf(claim.policies, operation, written) : undefined;
    if (demands === undefined) {
      return ended(await finishWrite(tx, args, successOf(operation, args, context, written, approver)));
    }
    if (!attempt.canWait) throw new NeedsApproval();
    const approval = await requestApproval(tx, args, demands, attempt);
    return { result: waitingResult(approval, true), approval, made: true };
  } catch (error) {
    const rejection = toRejection(operation, error);
    if (rejection === undefined) throw error;
    await tx.query('ROLLBACK TO SAVEPOINT operation');
    return ended(await finishWrite(tx, args, rejectionOf(operation, args, rejection)));
  }
}

type Deciding = AttemptFacts & { readonly context: WriteContext<string>; readonly operations: readonly Operation[] };

/**
 * A write that has been asked about. Returns who has given the last approval that it needed, or what the attempt ends with: it
 * goes on waiting, has expired, or another request waits under its key.
 */
async function lookAtApproval(
  tx: Tx,
  operation: Operation,
  approval: Approval,
  args: WriteArguments,
  attempt: Deciding,
): Promise<string | Attempt> {
  if (!attempt.canWait) throw new NeedsApproval();
  const isMine = isRequestOf(approval, args, attempt.operations) && approval.userId === args.actor.userId;
  if (isMine && !approval.isOpen) await reopenRequest(tx, args);
  const approver = isMine ? approvedBy(approval) : undefined;
  if (approver !== undefined) {
    // The savepoint of the claim is before this: a rejection must not undo it.
    await Promise.all([closeRequest(tx, args, approver), tx.query('SAVEPOINT operation')]);
    return approver;
  }
  if (isMine && approval.expiresInMs <= 0) {
    await closeRequest(tx, args, undefined);
    const row = await finishWrite(tx, args, rejectionOf(operation, args, approvalExpired(approval)));
    return { result: resultOf(row, true), row, made: true };
  }
  await takeClaimBack(tx, args);
  return { result: waitingResult(approval, isMine), approval, made: false };
}

export function contextOf(
  args: WriteArguments,
  writeId: string,
  { operations, allowPrivateWebhooks = false }: RunDependencies,
): WriteContext<string> {
  return {
    companyId: args.companyId,
    userId: args.actor.userId,
    operation: args.operation,
    writeId,
    requestId: args.request.id,
    approvedBy: null,
    allowPrivateWebhooks,
    operations,
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
  if (code === undefined || kind === undefined) return undefined;
  const told = kind.toldByDatabase && error instanceof Error ? asSentence(error.message) : `${kind.title}.`;
  return new Rejection(code, told, kind.about?.pointer, kind.about?.in);
}

/** PostgreSQL has a message begin with a small letter, and end without a full stop. */
const asSentence = (message: string) => `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;

export function resultOf(row: WriteRow, first: boolean): RunResult {
  return { outcome: row.outcome, statusCode: row.status_code, writeId: row.write_id, first };
}
