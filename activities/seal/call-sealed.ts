import type { SealedCall, SignedHead } from '../../workflows/seal-messages.ts';
import { queryOnce } from '../database.ts';
import type { WebhookDependencies } from '../webhooks/deliver.ts';
import { signedHeaders, signingSecrets } from '../webhooks/secrets.ts';
import { sendWebhook } from '../webhooks/send.ts';

type Webhook = {
  readonly webhook_url: string | null;
  readonly secret_version: number;
  readonly old_secret_signs: boolean;
  readonly now: string;
};

/**
 * Tells a company's webhook, if it has one, the heads of its logs: once, outside the outbox, since a head is no event of a
 * write. `false`: not received, to be tried again.
 */
export async function callSealed(
  {
    relay,
    masterKeys,
    allowPrivateWebhooks,
  }: Pick<WebhookDependencies, 'relay' | 'masterKeys' | 'allowPrivateWebhooks'>,
  { companyId, callId, heads }: SealedCall,
): Promise<boolean> {
  const [webhook] = await queryOnce<Webhook>(relay, 'SELECT * FROM webhook_of($1)', [companyId]);
  if (webhook === undefined || webhook.webhook_url === null || masterKeys.length === 0) return true;
  const { secret_version: version, old_secret_signs: oldSecretSigns, now } = webhook;
  const stamped = await withTimeStamps(relay, companyId, heads);
  const body = JSON.stringify({ type: 'ledger.sealed', timestamp: now, data: { companyId, heads: stamped } });
  const timestampSeconds = Math.floor(Date.parse(now) / 1000);
  const secrets = signingSecrets(masterKeys, companyId, { version, oldSecretSigns });
  const { error, gone } = await sendWebhook({
    url: webhook.webhook_url,
    headers: signedHeaders({ id: callId, timestampSeconds, body }, secrets),
    body,
    allowPrivate: allowPrivateWebhooks,
  });
  return error === undefined || gone;
}

/** Those that have come by now: the call waits for none. */
async function withTimeStamps(
  relay: WebhookDependencies['relay'],
  companyId: string,
  heads: readonly SignedHead[],
): Promise<readonly (SignedHead & { readonly timeStamp?: string })[]> {
  const named = heads.map(({ head }) => JSON.parse(head) as { log: string; position: number });
  const tokens = await queryOnce<{ place: number; token: string }>(relay, 'SELECT * FROM time_stamps_of($1, $2, $3)', [
    companyId,
    named.map(({ log }) => log),
    named.map(({ position }) => position),
  ]);
  const byPlace = new Map(tokens.map(({ place, token }) => [place, token]));
  return heads.map((head, i) => {
    const timeStamp = byPlace.get(i + 1);
    return timeStamp === undefined ? head : { ...head, timeStamp };
  });
}
