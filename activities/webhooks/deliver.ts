import type { WebhookBatch } from '../../workflows/event-messages.ts';
import { crashPoint } from '../crash-points.ts';
import { type Pool, queryOnce } from '../database.ts';
import { signedHeaders, signingSecrets } from './secrets.ts';
import { type Sent, sendWebhook } from './send.ts';

export type WebhookDependencies = {
  /** Its login is a member of accubooks_relay. */
  readonly relay: Pool;
  /** None: the service is not set up to sign. */
  readonly masterKeys: readonly string[];
  readonly allowPrivateWebhooks: boolean;
  onWebhookAttempt(outcome: 'delivered' | 'failed' | 'given_up', event: CalledEvent): void;
};

/** The IDs that lead from a webhook call to its event, write and request. */
type CalledEvent = { readonly eventId: string; readonly writeId: string; readonly requestId: unknown };

/** How long one activity execution makes attempts before it returns to the workflow. */
const ACTIVITY_LIMIT_MS = 3_000;
const MAX_ERROR_CHARACTERS = 500;

/**
 * Delivers the events of a batch in order until one has to wait. If the process dies after a call and before recording it,
 * the call is repeated: receivers recognize the repetition by its `webhook-id`.
 */
export async function deliverWebhooks(
  dependencies: WebhookDependencies,
  batch: WebhookBatch,
): Promise<{ waitMs: number | null }> {
  const startedAtMs = performance.now();
  while (performance.now() - startedAtMs < ACTIVITY_LIMIT_MS) {
    const event = await nextEvent(dependencies, batch);
    if (event === undefined) return { waitMs: null };
    const sent = await attempt(dependencies, batch.companyId, event);
    crashPoint('delivery: called');
    const waitMs = sent.error === undefined || sent.gone ? undefined : waitAfter(event, batch);
    await queryOnce(
      dependencies.relay,
      'SELECT record_webhook_attempt(p_company => $1, p_event => $2, p_error => $3, p_retry_ms => $4)',
      [batch.companyId, event.id, sent.error?.slice(0, MAX_ERROR_CHARACTERS) ?? null, waitMs ?? null],
    );
    const failed = waitMs === undefined ? 'given_up' : 'failed';
    const called = { eventId: event.id, writeId: event.write_id, requestId: event.payload['requestId'] };
    dependencies.onWebhookAttempt(sent.error === undefined ? 'delivered' : failed, called);
    if (waitMs !== undefined) return { waitMs };
  }
  return { waitMs: 0 };
}

type WebhookEvent = {
  readonly id: string;
  readonly kind: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly write_id: string;
  readonly occurred_at: string;
  /** The number of earlier attempts. */
  readonly attempts: number;
  /** Null before the first one. */
  readonly first_attempt_at: string | null;
  /** Null when the company has removed its webhook meanwhile. */
  readonly webhook_url: string | null;
  readonly secret_version: number;
  readonly old_secret_signs: boolean;
  readonly now: string;
};

async function nextEvent(
  { relay }: WebhookDependencies,
  { companyId, batchId }: WebhookBatch,
): Promise<WebhookEvent | undefined> {
  const [event] = await queryOnce<WebhookEvent>(relay, 'SELECT * FROM next_webhook_call($1, $2)', [companyId, batchId]);
  return event;
}

async function attempt(dependencies: WebhookDependencies, companyId: string, event: WebhookEvent): Promise<Sent> {
  const { masterKeys, allowPrivateWebhooks: allowPrivate } = dependencies;
  const { webhook_url: url, secret_version: version } = event;
  if (url === null) return { error: 'The webhook was removed', status: null, gone: true };
  if (masterKeys.length === 0) return { error: 'The service has no WEBHOOK_MASTER_KEY', status: null, gone: false };
  const secrets = signingSecrets(masterKeys, companyId, { version, oldSecretSigns: event.old_secret_signs });
  const body = JSON.stringify({
    type: event.kind,
    timestamp: event.occurred_at,
    data: { eventId: event.id, companyId, writeId: event.write_id, ...event.payload },
  });
  const timestampSeconds = Math.floor(Date.parse(event.now) / 1000);
  return sendWebhook({
    url,
    headers: signedHeaders({ id: event.id, timestampSeconds, body }, secrets),
    body,
    allowPrivate,
  });
}

/** The delay until the next attempt; undefined when the event is given up. */
function waitAfter(event: WebhookEvent, { retry }: WebhookBatch): number | undefined {
  const delayMs = retry.delaysMs[event.attempts];
  if (delayMs === undefined) return undefined;
  const sinceFirstMs = Date.parse(event.now) - Date.parse(event.first_attempt_at ?? event.now);
  return sinceFirstMs + delayMs > retry.giveUpAfterMs ? undefined : delayMs;
}
