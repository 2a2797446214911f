import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type Approval, isApproved, mayDecide } from '../../activities/approvals/approval.ts';
import { INPUT_REFUSED } from '../../activities/check-input.ts';
import type { Tx } from '../../activities/database.ts';
import { violates } from '../../activities/failures.ts';
import { description } from '../../activities/fields.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { problemPointers } from '../../activities/problem-pointers.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import { recordSecurityFacts } from '../../activities/security/security-row.ts';
import { approvalRejected, finishWrite, rejectionOf } from '../../activities/write/finish.ts';
import { claimWrite } from '../../activities/write/run-operation.ts';
import { approvalOf, closeRequest, takeClaimBack } from '../../activities/write/wait-for-approval.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import type { ApiContext } from '../context.ts';
import { readPreferences } from '../http/preferences.ts';
import { ApiProblem } from '../http/problems.ts';
import { enforceRateLimit } from '../http/rate-limit.ts';
import { withStorageTimeout } from '../http/storage-timeout.ts';
import { inReadTransaction } from '../reads/read-transaction.ts';
import { READERS } from '../reads/readers.ts';
import type { Lookup } from '../submit/lookup.ts';
import { requireVerified } from '../submit/verified.ts';
import { mayReadWrite } from './access.ts';
import { awaitOutcome } from './await-outcome.ts';
import { keyTransaction } from './key-transaction.ts';
import { mayReadPending } from './pending.ts';
import { lostAnswer } from './run-of-key.ts';
import { keyOf, readWrite, recordReader, writeNotFound } from './status.ts';
import { nobodysKey } from './story.ts';

const LOOKUP_LIMIT_MS = 2_000;
const ROUTES = { approve: 'approved', reject: 'rejected' } as const;
type Decided = (typeof ROUTES)[keyof typeof ROUTES];

/** What a decision is sent with. */
export const DECISION_BODY = z.strictObject({ comment: description().optional() });

/**
 * `POST /api/writes/{key}/approve` and `/reject`: somebody other than the requester decides about a write that waits. The last
 * approval that it needs has it executed, a rejection is its outcome.
 */
export function registerDecisions(app: FastifyInstance, context: ApiContext): void {
  for (const [action, decision] of Object.entries(ROUTES)) {
    app.post<{ Params: { key: string } }>(`/api/writes/:key/${action}`, async (request, reply) => {
      const arrivedAtMs = performance.now();
      const { caller } = request;
      const key = keyOf(request.params.key);
      const comment = readComment(request.body);
      const preferences = readPreferences(request.headers['prefer']);
      if (preferences.applied !== undefined) reply.header('preference-applied', preferences.applied);
      const member = await context.lookups.find(caller, key, LOOKUP_LIMIT_MS);
      await requireVerified(context, member);
      enforceRateLimit(context.newWrites, caller);
      const approval = await findApproval(context, request, key, member);
      requireApprover(approval, member);
      const operation = operationOf(context, approval);
      if (approval.isOpen && (await lostAnswer(context, caller.companyId, key)) !== undefined) throw notPending(key);
      const made = await decide(context, request, { approval, operation, member, key, decision, comment });
      if (made) {
        wakeSoon(context, approval.arguments);
        await untilExecuted(context, request, key, arrivedAtMs + preferences.waitMs);
      }
      const write = await readWrite(context, caller, key, member);
      if (write === undefined) throw writeNotFound(key);
      recordReader(context, request, write);
      return reply.send(write);
    });
  }
}

function readComment(body: unknown): string | undefined {
  const parsed = DECISION_BODY.safeParse(body === undefined ? {} : body);
  if (parsed.success) return parsed.data.comment;
  throw new ApiProblem('validation_failed', { detail: INPUT_REFUSED, errors: problemPointers('body', parsed.error) });
}

/**
 * What is asked for under the key. Throws `forbidden` where the caller may neither read it nor decide, and for any key where they
 * may read no write at all: to them, no key tells whether it is known.
 */
async function findApproval(
  context: ApiContext,
  request: FastifyRequest,
  key: string,
  member: Lookup,
): Promise<Approval> {
  const { companyId } = request.caller;
  const isSeen = (approval: Approval) => mayReadPending(approval, { companyId, ...member }, context.operations);
  const { approval: open } = member;
  if (open !== undefined && isSeen(open)) return open;
  const closed = await closedApproval(context, request, open === undefined ? key : nobodysKey());
  if (closed !== undefined && isSeen(closed)) return closed;
  const isAskedFor = open !== undefined || closed !== undefined;
  if (isAskedFor || !holdsOneOf(member.roles, READERS.writes)) throw noDecider();
  throw nothingThere(context, key, companyId, member);
}

/** What became of a request for approval whose key has its outcome: the same decision again is answered as before. */
async function closedApproval(
  { database }: ApiContext,
  { caller }: FastifyRequest,
  key: string,
): Promise<Approval | undefined> {
  return inReadTransaction({ database, caller, limitMs: LOOKUP_LIMIT_MS }, (tx) => approvalOf(tx, key));
}

function nothingThere({ operations }: ApiContext, key: string, companyId: string, { row, ...member }: Lookup) {
  const isSeen =
    row !== undefined &&
    mayReadWrite({ operation: row.operation, userId: row.user_id }, { companyId, ...member }, operations);
  return isSeen ? notPending(key) : writeNotFound(key);
}

/** Throws `idempotency_in_progress` where a later release has asked, which is being rolled out: the next process may be of it. */
function operationOf({ operations }: ApiContext, { key, arguments: { operation: asked } }: Approval): Operation {
  const operation = operations.find(({ name }) => name === asked);
  if (operation !== undefined) return operation;
  throw new ApiProblem('idempotency_in_progress', {
    detail: `This process is of an earlier release than the request, and does not know ${asked}. Send the decision again.`,
    idempotencyKey: key,
  });
}

function requireApprover(approval: Approval, { userId, roles }: Lookup): void {
  if (approval.userId === userId) {
    throw new ApiProblem('approver_is_requester', {
      detail: 'You have asked for this write: someone else decides about it.',
      idempotencyKey: approval.key,
    });
  }
  if (!mayDecide(approval, roles)) throw noApprover(approval);
}

/** For those who may not know what the key is of. */
function noDecider(): ApiProblem {
  return new ApiProblem('forbidden', {
    detail: 'Only who holds one of the roles that an approval policy names decides about a write.',
  });
}

function noApprover({ demands, arguments: { operation: name } }: Approval): ApiProblem {
  const needed = [...new Set(demands.flatMap((demand) => demand.roles))].join(', ');
  return new ApiProblem('forbidden', { detail: `The approval of this ${name} needs one of the roles ${needed}.` });
}

type Deciding = {
  readonly approval: Approval;
  readonly operation: Operation;
  readonly member: Lookup;
  readonly key: string;
  readonly decision: Decided;
  readonly comment: string | undefined;
};

/**
 * False when it had been decided so by the same person before. Throws `already_decided`, `approval_not_pending`, and `forbidden`
 * where the role was revoked meanwhile: the database asks for it again with the decision.
 */
async function decide(context: ApiContext, request: FastifyRequest, deciding: Deciding): Promise<boolean> {
  try {
    return await decideOnce(context, request, deciding);
  } catch (error) {
    if (violates(error, 'approval_not_pending')) throw notPending(deciding.key);
    if (violates(error, 'approver_without_role')) throw noApprover(deciding.approval);
    throw error;
  }
}

async function decideOnce(context: ApiContext, request: FastifyRequest, deciding: Deciding): Promise<boolean> {
  const { approval, operation, member, key, decision } = deciding;
  if (isRepeated(approval, deciding)) return false;
  if (!approval.isOpen) throw notPending(key);
  const args = approval.arguments;
  const { companyId } = request.caller;
  const { made } = await keyTransaction(context, {
    companyId,
    key,
    action: decision === 'approved' ? 'approval' : 'rejection',
    async work(tx) {
      const attempt = {
        writeId: approval.writeId,
        requestedAt: new Date(approval.requestedAt).toISOString(),
        workflowId: workflowIdOf(companyId, key),
        attempt: 1,
        trust: context.fence.trust,
      };
      // As an attempt of the run does: whoever holds the key decides what becomes of it.
      const claim = await claimWrite(tx, operation, args, attempt);
      const now = claim.approval ?? (await approvalOf(tx, key));
      if (now === undefined) throw notPending(key);
      if (isRepeated(now, deciding)) {
        if (claim.claimed) await takeClaimBack(tx, args);
        return { made: false };
      }
      if (!claim.claimed || !now.isOpen || now.expiresInMs <= 0) throw notPending(key);
      // Its run executes it as soon as it has the key: whoever approved it has been told so.
      if (decision === 'rejected' && isApproved(now)) throw notPending(key);
      await record(tx, request, deciding);
      if (decision === 'approved') {
        await takeClaimBack(tx, args);
        return { made: true };
      }
      await closeRequest(tx, args, undefined);
      const rejection = rejectionOf(operation, args, approvalRejected(deciding.comment));
      const row = await finishWrite(tx, args, { ...rejection, auditMetadata: { rejectedBy: member.userId } });
      return { made: true, row };
    },
    onCommitted({ row }: { readonly made: boolean; readonly row?: WriteRow }) {
      if (row !== undefined) context.reports.onOutcome(args, row, true);
    },
  });
  return made;
}

/** Throws `already_decided` where the same person has decided otherwise. */
function isRepeated({ decisions }: Approval, { member, decision, key }: Deciding): boolean {
  const own = decisions.find(({ userId }) => userId === member.userId);
  if (own === undefined || own.decision === decision) return own !== undefined;
  throw new ApiProblem('already_decided', {
    detail: `You have ${own.decision} this write. A decision stays as it was made.`,
    idempotencyKey: key,
  });
}

/** The decision, and its row in the security log. */
async function record(tx: Tx, request: FastifyRequest, deciding: Deciding): Promise<void> {
  const { approval, member, key, decision, comment } = deciding;
  const source = {
    companyId: request.caller.companyId,
    operation: approval.arguments.operation,
    actor: { userId: member.userId },
    request: { id: request.id },
  };
  await Promise.all([
    tx.query(
      `INSERT INTO approval_decisions (company_id, idempotency_key, user_id, requested_by, decision, comment, request_id)
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [source.companyId, key, member.userId, approval.userId, decision, comment ?? null, request.id],
    ),
    recordSecurityFacts(tx, source, [
      { event: 'approval_decided', reason: decision, details: { key, writeId: approval.writeId } },
    ]),
  ]);
}

/** The run looks by itself later if this does not reach it. */
export function wakeSoon({ wake }: Pick<ApiContext, 'wake'>, args: WriteArguments): void {
  wake(args).catch(() => undefined);
}

/** After the last approval, the answer tells the outcome, unless it takes longer than the client waits. */
async function untilExecuted(context: ApiContext, { caller }: FastifyRequest, key: string, deadline: number) {
  const { approval } = await withStorageTimeout(context.lookups.findOutcome(caller.companyId, key), LOOKUP_LIMIT_MS);
  if (approval === undefined || !isApproved(approval)) return;
  const leftMs = deadline - performance.now();
  await withTimeout(awaitOutcome(context, caller.companyId, { key }, deadline), leftMs);
}

function notPending(key: string): ApiProblem {
  return new ApiProblem('approval_not_pending', {
    detail: 'Nothing waits for an approval under this key: it has all it needs, or its outcome, or its time is over.',
    idempotencyKey: key,
  });
}
