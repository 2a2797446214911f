import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { recordAuditRows } from '../../activities/audit/record-rows.ts';
import { type Tx, transaction } from '../../activities/database.ts';
import { id } from '../../activities/fields.ts';
import { EVENT_COLUMNS, type EventRow, toEvent } from '../../activities/resources/event.ts';
import { holdsOneOf, type Role } from '../../activities/roles.ts';
import { masterKeysOf, signedHeaders, signingSecrets, webhookSecret } from '../../activities/webhooks/secrets.ts';
import { sendWebhook } from '../../activities/webhooks/send.ts';
import type { ApiContext } from '../context.ts';
import { ApiProblem, notFound } from '../http/problems.ts';
import { enforceRateLimit } from '../http/rate-limit.ts';
import { withStorageTimeout } from '../http/storage-timeout.ts';
import { invalidPart, refuseBody } from '../http/validation.ts';
import { sourceOf } from '../security/refusals.ts';
import { type Lookup, lookUpIn } from '../submit/lookup.ts';
import { READ_WEBHOOK_SECRET } from '../writes/timeline.ts';

const MAY_CALL: readonly Role[] = ['owner', 'admin'];
const MAY_KNOW: readonly Role[] = ['owner'];
const LIMIT_MS = 5_000;
const TEST_LIMITED = 'Test calls have a limit of their own. Wait ten seconds between two of them.';

/**
 * The routes about a company's webhook: they read its secret, call it for a test, and deliver an event again. None of them
 * changes the books, so repeating one is harmless and needs no key. (Setting the webhook's URL is a write.)
 */
export function registerWebhooks(app: FastifyInstance, context: ApiContext): void {
  app.get('/api/company/webhook-secret', async (request, reply) => {
    enforceRateLimit(context.replays, request.caller);
    return reply.header('cache-control', 'no-store').send(await readSecret(context, request));
  });
  app.post('/api/company/webhook-test', async (request, reply) => {
    refuseBody(request.body);
    enforceRateLimit(context.newWrites, request.caller);
    return reply.send(await callForTest(context, request));
  });
  app.post<{ Params: { eventId: string } }>('/api/events/:eventId/redeliver', async (request, reply) => {
    refuseBody(request.body);
    const eventId = id().safeParse(request.params.eventId);
    if (!eventId.success) throw invalidPart('path', '/eventId', 'must be the ID of an event');
    enforceRateLimit(context.newWrites, request.caller);
    return reply.send(await redeliver(context, request, eventId.data));
  });
}

/** Reads the secret. The audit row is written before the answer, so that no reader is missing from the log. */
async function readSecret(context: ApiContext, request: FastifyRequest): Promise<object> {
  const [masterKey] = requireMasterKeys(context);
  const { userId, webhook } = await asMember(context, request, MAY_KNOW, 'Reading the secret', readWebhook);
  const { companyId } = request.caller;
  await withStorageTimeout(
    recordAuditRows(context.database.reads, [
      {
        company_id: companyId,
        operation_name: READ_WEBHOOK_SECRET,
        operation_type: 'high-risk',
        deterministic_id: null,
        // It belongs to no write: not the request's ID, by which a client could name one.
        idempotency_key: randomUUID(),
        user_id: userId,
        // It changes nothing: like a replay, it returns what is stored.
        status: 'replayed',
        error_code: null,
        error_message: null,
        execution_duration_ms: 0,
        request_id: request.id,
        route_path: '/api/company/webhook-secret',
        http_method: 'GET',
      },
    ]),
    LIMIT_MS,
  );
  context.security.record({ event: 'secret_shown', reason: 'webhook_secret', ...request.caller, ...sourceOf(request) });
  const { webhook_secret_version: version, old_secret_signs_until: signsUntil } = webhook;
  return {
    version,
    secret: webhookSecret(masterKey, companyId, version),
    previous:
      signsUntil === null || !webhook.old_secret_signs
        ? null
        : {
            version: version - 1,
            secret: webhookSecret(masterKey, companyId, version - 1),
            signsUntil,
          },
  };
}

/** Calls the webhook once and returns the result. The call is not an event and is not retried. */
async function callForTest(context: ApiContext, request: FastifyRequest): Promise<object> {
  const masterKeys = requireMasterKeys(context);
  const { webhook } = await asMember(context, request, MAY_CALL, 'Calling the webhook', readWebhook);
  if (webhook.webhook_url === null) throw unavailable('The company has set no webhook.');
  // Last, so that nobody who may not call uses it up.
  enforceRateLimit(context.webhookTests, request.caller, TEST_LIMITED);
  const { companyId } = request.caller;
  const version = webhook.webhook_secret_version;
  const secrets = signingSecrets(masterKeys, companyId, { version, oldSecretSigns: webhook.old_secret_signs });
  const body = JSON.stringify({ type: 'webhook.test', timestamp: webhook.now, data: { companyId } });
  const timestampSeconds = Math.floor(Date.parse(webhook.now) / 1000);
  const { error, status } = await sendWebhook({
    url: webhook.webhook_url,
    // Nothing in what is signed is the client's choice: the signature proves to a receiver that we say it.
    headers: signedHeaders({ id: `test_${randomUUID()}`, timestampSeconds, body }, secrets),
    body,
    allowPrivate: context.config.WEBHOOK_ALLOW_PRIVATE === '1',
  });
  return { delivered: error === undefined, status, error: error ?? null };
}

/** Delivers an event again; one whose delivery is pending is left unchanged. */
async function redeliver(context: ApiContext, request: FastifyRequest, eventId: string): Promise<object> {
  const { event } = await asMember(context, request, MAY_CALL, 'Delivering an event again', async (tx) => {
    const { webhook } = await readWebhook(tx);
    const [found] = await tx.query('SELECT FROM outbox WHERE company_id = current_company() AND id = $1', [eventId]);
    if (found === undefined) throw notFound('event', `There is no event ${eventId}.`);
    if (webhook.webhook_url === null) throw unavailable('The company has set no webhook.');
    await tx.query('SELECT redeliver_event($1)', [eventId]);
    const [row] = await tx.query<EventRow>(
      `SELECT ${EVENT_COLUMNS} FROM outbox WHERE company_id = current_company() AND id = $1`,
      [eventId],
    );
    if (row === undefined) throw new Error('Bug! The event has vanished');
    return { event: toEvent(row) };
  });
  return event;
}

type WebhookRow = {
  webhook_url: string | null;
  webhook_secret_version: number;
  old_secret_signs_until: string | null;
  old_secret_signs: boolean;
  now: string;
};

async function readWebhook(tx: Tx): Promise<{ webhook: WebhookRow }> {
  const [webhook] = await tx.query<WebhookRow>(
    // The old secret signs for so long as it does in next_webhook_call.
    `SELECT webhook_url, webhook_secret_version, signs.until AS old_secret_signs_until,
       coalesce(signs.until > now(), false) AS old_secret_signs, now() AS now
     FROM companies, LATERAL (SELECT webhook_secret_rotated_at + interval '24 hours' AS until) AS signs
     WHERE id = current_company()`,
  );
  if (webhook === undefined) throw new Error('Bug! A company without its row');
  return { webhook };
}

async function asMember<T extends object>(
  { database }: ApiContext,
  { caller }: FastifyRequest,
  allowed: readonly Role[],
  what: string,
  work: (tx: Tx) => Promise<T>,
): Promise<T & Pick<Lookup, 'userId'>> {
  const working = transaction(database.reads, async (tx) => {
    const { userId, roles } = await lookUpIn(tx, caller, undefined);
    if (!holdsOneOf(roles, allowed)) {
      throw new ApiProblem('forbidden', { detail: `${what} needs one of the roles ${allowed.join(', ')}.` });
    }
    return { ...(await work(tx)), userId };
  });
  return withStorageTimeout(working, LIMIT_MS);
}

/** The first is the one from which the secrets that companies see are derived. */
function requireMasterKeys({ config }: ApiContext): readonly [string, ...string[]] {
  const [first, ...others] = masterKeysOf(config);
  if (first === undefined) throw unavailable('This service is not set up to sign webhooks.');
  return [first, ...others];
}

function unavailable(detail: string): ApiProblem {
  return new ApiProblem('webhook_not_available', { detail });
}
