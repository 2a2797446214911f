import type { FastifyInstance, FastifyRequest } from 'fastify';
import { transaction } from '../../activities/database.ts';
import { isLockTimeout, isNoTurn, isNotTrusted } from '../../activities/failures.ts';
import { writeUrl } from '../../activities/problem.ts';
import { holdsOneOf, type Role } from '../../activities/roles.ts';
import type { Patience } from '../../activities/shares.ts';
import { lockOutcome } from '../../activities/write/run-operation.ts';
import { rowOrUndefined, type WriteRow } from '../../activities/write/write-row.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import type { ApiContext } from '../context.ts';
import { ApiProblem, problemBody } from '../http/problems.ts';
import { enforceRateLimit } from '../http/rate-limit.ts';
import { pathOf } from '../http/request-path.ts';
import { withStorageTimeout } from '../http/storage-timeout.ts';
import { refuseBody } from '../http/validation.ts';
import type { Lookup } from '../submit/lookup.ts';
import { notVerified, requireVerified } from '../submit/verified.ts';
import { mayReadWrite } from './access.ts';
import { describeInTime, keyOf, readWrite } from './status.ts';
import { nobodysKey } from './story.ts';

/** May cancel every key, so their cancel does not depend on Temporal, which alone knows a running write. */
const CANCEL_ALWAYS: readonly Role[] = ['owner', 'admin'];
/** May cancel a key that has neither a row nor a run. */
const CANCEL_UNSEEN: readonly Role[] = [...CANCEL_ALWAYS, 'accountant'];
const LOOKUP_LIMIT_MS = 2_000;
/** A cancel waits for the write's running transaction to end, and PATIENCE_MS bounds that wait. */
const CANCEL_LIMIT_MS = 7_000;
/** Of that, for all of it once it has met a lock: a write in its transaction is no silent database. */
const PATIENCE_MS = 6_000;

/**
 * `POST /api/writes/{key}/cancel`: makes sure that the write never happens, whether it is running or has not arrived yet.
 * Whichever of the two inserts the key's row first, the write or the cancel, wins for ever.
 */
export function registerCancel(app: FastifyInstance, context: ApiContext): void {
  app.post<{ Params: { key: string } }>('/api/writes/:key/cancel', async (request, reply) => {
    const key = keyOf(request.params.key);
    refuseBody(request.body);
    const member = await context.lookups.find(request.caller, key, LOOKUP_LIMIT_MS);
    await requireVerified(context, member);
    await refuseUnlessAllowed(context, request.caller.companyId, key, member);
    enforceRateLimit(context.newWrites, request.caller);
    const row = await withStorageTimeout(cancel(context, request, key, member.userId), CANCEL_LIMIT_MS);
    if (row.outcome !== 'cancelled') throw tooLate(row);
    return reply.send(await readWrite(context, request.caller, key));
  });
}

/** Refuses an existing key and an unknown one in the same words, so that the refusal does not reveal which it is. */
async function refuseUnlessAllowed(
  context: ApiContext,
  companyId: string,
  idempotencyKey: string,
  member: Lookup,
): Promise<void> {
  const { roles, userId, row } = member;
  if (holdsOneOf(roles, CANCEL_ALWAYS)) return;
  const allowed =
    row === undefined
      ? await mayCancelOpenKey(context, companyId, idempotencyKey, member)
      : row.outcome === 'lost'
        ? // A cancel gives it up: as for a running write.
          row.user_id === userId || holdsOneOf(roles, operationOf(context, row.operation)?.roles ?? [])
        : // The write has its outcome: the answer only reports it, so the right to read is enough.
          mayReadWrite(
            { operation: row.operation, userId: row.user_id },
            { companyId, userId, roles },
            context.operations,
          );
  if (!allowed) {
    // As much is asked as for a key that is not there: how long the answer takes must not tell that this one is.
    if (row !== undefined) await describeInTime(context, companyId, nobodysKey());
    throw new ApiProblem('forbidden', {
      detail:
        'Only its actor, or a role that its operation allows, may cancel a running write. Only owner, admin or accountant may cancel a key that has not been used.',
    });
  }
}

async function mayCancelOpenKey(
  context: ApiContext,
  companyId: string,
  idempotencyKey: string,
  { roles, userId }: Lookup,
): Promise<boolean> {
  const memo = (await describeInTime(context, companyId, idempotencyKey))?.memo;
  if (memo === undefined) return holdsOneOf(roles, CANCEL_UNSEEN);
  return memo.userId === userId || holdsOneOf(roles, operationOf(context, memo.operation)?.roles ?? []);
}

function operationOf({ operations }: ApiContext, operation: string | null) {
  return operations.find(({ name }) => name === operation);
}

async function cancel(context: ApiContext, request: FastifyRequest, idempotencyKey: string, userId: string) {
  const { companyId } = request.caller;
  const body = problemBody(
    new ApiProblem('write_cancelled', { detail: 'The key was cancelled before its write happened. It never will.' }),
    writeUrl(idempotencyKey),
    undefined, // the body is stored and returned to every request with the key, so it names no single request
  );
  const values = [
    companyId,
    idempotencyKey,
    userId,
    request.id,
    Buffer.from(JSON.stringify(body)),
    pathOf(request),
    request.method,
    context.fence.trust?.version ?? null,
  ];
  const inTurn = async (patience: Patience) => {
    const { cancelledNow, row } = await transaction(
      context.database.writes,
      async (tx) => {
        const [found] = await tx.query<{ cancelled_now: boolean } & WriteRow>(
          `SELECT c.cancelled_now, (c.write).* FROM cancel_write(
           p_company => $1, p_key => $2, p_user => $3, p_request_id => $4, p_body => $5, p_route_path => $6,
           p_http_method => $7, p_version => $8
         ) AS c`,
          values,
        );
        const row = found === undefined ? undefined : rowOrUndefined(found);
        if (found === undefined || row === undefined) throw new Error('Bug! A cancelled key without its row');
        if (!found.cancelled_now) await lockOutcome(tx, companyId, idempotencyKey);
        return { cancelledNow: found.cancelled_now, row };
      },
      { companyId, patience },
    );
    // Also when its client has been answered that it is not over.
    if (cancelledNow) countCancelled(context);
    return row;
  };
  const sinceMs = performance.now();
  try {
    return await inTurn('brief');
  } catch (error) {
    if (isNotTrusted(error)) {
      context.fence.notice();
      throw notVerified();
    }
    if (!isLockTimeout(error)) throw error;
  }
  // As the writes for which they wait, a company's cancels hold only its share of the connections.
  const leftMs = sinceMs + PATIENCE_MS - performance.now();
  const done = await withTimeout(inTurn('patient'), leftMs).catch((error: unknown) => {
    if (isLockTimeout(error) || isNoTurn(error)) return undefined;
    throw error;
  });
  if (done === undefined) throw inItsTransaction(idempotencyKey);
  return done;
}

/** The write's transaction is running and its end decides, but a client waits for it no longer than PATIENCE_MS. */
function inItsTransaction(idempotencyKey: string): ApiProblem {
  return new ApiProblem('idempotency_in_progress', {
    detail: "The write's transaction is still running. Send the cancel again.",
    idempotencyKey,
  });
}

function tooLate({ idempotency_key: idempotencyKey, outcome, status_code: status }: WriteRow): ApiProblem {
  return new ApiProblem('too_late', {
    detail: `The write was not cancelled. It already has its outcome, ${outcome}, with status ${status}.`,
    idempotencyKey,
  });
}

/** Counted as in the audit log, under an unknown operation: a cancelled key has no request. */
function countCancelled({ metrics }: ApiContext): void {
  const labels = { operation: 'unknown', type: 'unknown' };
  metrics.writes.inc({ ...labels, status: 'failed' });
  metrics.failed.inc({ ...labels, error_type: 'cancelled' });
}
