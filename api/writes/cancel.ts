import type { FastifyInstance, FastifyRequest } from 'fastify';
import { StorageError, transaction } from '../../activities/database.ts';
import { writeUrl } from '../../activities/problem.ts';
import { holdsOneOf, type Role } from '../../activities/roles.ts';
import { rowOrUndefined, type WriteRow } from '../../activities/write/write-row.ts';
import type { ApiContext } from '../context.ts';
import { ApiProblem, problemBody } from '../http/problems.ts';
import { withStorageTimeout } from '../http/storage-timeout.ts';
import { type Lookup, lookUp } from '../submit/lookup.ts';
import { mayReadWrite } from './access.ts';
import { describeInTime, keyOf, readWrite } from './status.ts';

/** They may cancel whatever the key is, so they may also when Temporal cannot be asked what it is. */
const CANCEL_ALWAYS: readonly Role[] = ['owner', 'admin'];
/** They may cancel a key of which nothing is known. */
const CANCEL_UNSEEN: readonly Role[] = [...CANCEL_ALWAYS, 'accountant'];
const LOOKUP_LIMIT_MS = 2_000;
/** A transaction of the write that is under way has to end first; the lock timeout (5 s) ends the waiting for it. */
const CANCEL_LIMIT_MS = 7_000;
/** SQLSTATE of the lock timeout. */
const LOCK_NOT_AVAILABLE = '55P03';

/**
 * `POST /api/writes/{key}/cancel`: takes the key away from its write, before it arrives or while it runs. The row decides
 * between the two, once and for ever.
 */
export function registerCancel(app: FastifyInstance, context: ApiContext): void {
  app.post<{ Params: { key: string } }>('/api/writes/:key/cancel', async (request, reply) => {
    const key = keyOf(request.params.key);
    refuseBody(request.body);
    const who = await withStorageTimeout(lookUp(context.database, request.caller, key), LOOKUP_LIMIT_MS);
    await refuseUnlessAllowed(context, request.caller.companyId, key, who);
    if (!context.newWrites.take(request.caller.companyId)) {
      throw new ApiProblem('rate_limited', { detail: 'Send it again after Retry-After.' });
    }
    const { cancelledNow, row } = await withStorageTimeout(cancel(context, request, key, who.userId), CANCEL_LIMIT_MS);
    if (cancelledNow) countCancelled(context);
    if (row.outcome !== 'cancelled') throw tooLate(row);
    return reply.send(await readWrite(context, request.caller, key));
  });
}

function refuseBody(body: unknown): void {
  if (body === undefined || (isObject(body) && Object.keys(body).length === 0)) return;
  const message = 'must be left out, or be {}';
  throw new ApiProblem('validation_failed', {
    detail: `The body ${message}.`,
    errors: [{ in: 'body', pointer: '', message }],
  });
}

/** The same refusal for a key that is there and one that is not, so that it tells nothing of the write. */
async function refuseUnlessAllowed(context: ApiContext, companyId: string, key: string, who: Lookup): Promise<void> {
  const { roles, userId, row } = who;
  if (holdsOneOf(roles, CANCEL_ALWAYS)) return;
  const allowed =
    row === undefined
      ? await mayCancelOpenKey(context, companyId, key, who)
      : // It has its outcome: there is only something to be told.
        mayReadWrite(
          { operation: row.operation, userId: row.user_id },
          { companyId, userId, roles },
          context.operations,
        );
  if (!allowed) {
    throw new ApiProblem('forbidden', {
      detail:
        'A running write is cancelled by its actor or a role that its operation allows, a key not seen yet by owner, admin or accountant.',
    });
  }
}

async function mayCancelOpenKey(
  context: ApiContext,
  companyId: string,
  key: string,
  { roles, userId }: Lookup,
): Promise<boolean> {
  const memo = (await describeInTime(context, companyId, key))?.memo;
  if (memo === undefined) return holdsOneOf(roles, CANCEL_UNSEEN);
  const operation = context.operations.find(({ name }) => name === memo.operation);
  return memo.userId === userId || holdsOneOf(roles, operation?.roles ?? []);
}

async function cancel({ database }: ApiContext, request: FastifyRequest, key: string, userId: string) {
  const { companyId } = request.caller;
  const body = problemBody(
    new ApiProblem('write_cancelled', { detail: 'The key was cancelled before its write happened. It never will.' }),
    writeUrl(key),
    undefined, // stored, and sent to whoever asks: it is of no one request
  );
  const path = (request.url.split('?')[0] ?? request.url).slice(0, 2_000);
  const values = [companyId, key, userId, request.id, Buffer.from(JSON.stringify(body)), path, request.method];
  try {
    return await transaction(database.writes, async (tx) => {
      const [found] = await tx.query<{ cancelled_now: boolean } & WriteRow>(
        `SELECT c.cancelled_now, (c.write).* FROM cancel_write(
           p_company => $1, p_key => $2, p_user => $3, p_request_id => $4, p_body => $5, p_route_path => $6,
           p_http_method => $7
         ) AS c`,
        values,
      );
      const row = found === undefined ? undefined : rowOrUndefined(found);
      if (found === undefined || row === undefined) throw new Error('Bug! A cancelled key without its row');
      return { cancelledNow: found.cancelled_now, row };
    });
  } catch (error) {
    if (error instanceof StorageError && error.sqlState === LOCK_NOT_AVAILABLE) throw inItsTransaction(key);
    throw error;
  }
}

/** With one transaction under way, its end decides; nobody is kept for that longer than the lock timeout. */
function inItsTransaction(key: string): ApiProblem {
  return new ApiProblem('idempotency_in_progress', {
    detail: 'The write is in its transaction at this moment. Send the cancel again: how that ends decides.',
    key,
  });
}

function tooLate({ idempotency_key: key, outcome, status_code: status }: WriteRow): ApiProblem {
  return new ApiProblem('too_late', {
    detail: `The write was not cancelled: it has its outcome, ${outcome}, with status ${status}.`,
    key,
  });
}

/** As the audit row counts it: the key's operation is not known. */
function countCancelled({ metrics }: ApiContext): void {
  const labels = { operation: 'unknown', type: 'unknown' };
  metrics.writes.inc({ ...labels, status: 'failed' });
  metrics.failed.inc({ ...labels, error_type: 'cancelled' });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
