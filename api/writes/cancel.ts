import type { FastifyInstance, FastifyRequest } from 'fastify';
import { writeUrl } from '../../activities/problem.ts';
import { holdsOneOf, type Role } from '../../activities/roles.ts';
import { lockOutcome } from '../../activities/write/run-operation.ts';
import { rowOrUndefined, type WriteRow } from '../../activities/write/write-row.ts';
import { memoOf } from '../../workflows/messages.ts';
import type { ApiContext } from '../context.ts';
import { ApiProblem, problemBody } from '../http/problems.ts';
import { enforceRateLimit } from '../http/rate-limit.ts';
import { pathOf } from '../http/request-path.ts';
import { refuseBody } from '../http/validation.ts';
import type { Lookup } from '../submit/lookup.ts';
import { requireVerified } from '../submit/verified.ts';
import { mayReadWrite } from './access.ts';
import { wakeSoon } from './decide.ts';
import { keyTransaction } from './key-transaction.ts';
import { describeInTime } from './run-of-key.ts';
import { keyOf, readWrite, recordReader } from './status.ts';
import { nobodysKey } from './story.ts';

/** May cancel every key, so their cancel does not depend on Temporal, which alone knows a running write. */
const CANCEL_ALWAYS: readonly Role[] = ['owner', 'admin'];
/** May cancel a key that has neither a row nor a run. */
const CANCEL_UNSEEN: readonly Role[] = [...CANCEL_ALWAYS, 'accountant'];
const LOOKUP_LIMIT_MS = 2_000;

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
    const row = await cancel(context, request, key, member.userId);
    if (row.outcome !== 'cancelled') throw tooLate(row);
    if (member.approval !== undefined) wakeSoon(context, member.approval.arguments);
    const write = await readWrite(context, request.caller, key);
    // Of one that had waited for its approval, it shows what was asked for.
    if (write !== undefined) recordReader(context, request, write);
    return reply.send(write);
  });
}

/** Refuses an existing key and an unknown one in the same words, so that the refusal does not reveal which it is. */
async function refuseUnlessAllowed(
  context: ApiContext,
  companyId: string,
  idempotencyKey: string,
  member: Lookup,
): Promise<void> {
  const { roles, userId, row, approval } = member;
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
    if (row !== undefined || approval !== undefined) await describeInTime(context, companyId, nobodysKey());
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
  { roles, userId, approval }: Lookup,
): Promise<boolean> {
  const memo = approval ? memoOf(approval.arguments) : (await describeInTime(context, companyId, idempotencyKey))?.memo;
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
  const { row } = await keyTransaction<{ readonly cancelledNow: boolean; readonly row: WriteRow }>(context, {
    companyId,
    key: idempotencyKey,
    action: 'cancel',
    onCommitted({ cancelledNow }) {
      if (cancelledNow) countCancelled(context);
    },
    async work(tx) {
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
  });
  return row;
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
