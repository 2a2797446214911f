import { createHmac, hkdfSync } from 'node:crypto';

const SECRET_BYTES = 32;

/**
 * The secret that signs a company's webhooks, in the form of Standard Webhooks. It is not stored: HKDF (RFC 5869) derives it
 * from the service's master key, the company and the version, so it changes with any of them.
 */
export function webhookSecret(masterKey: string, companyId: string, version: number): string {
  const info = `accubooks webhook secret:${companyId}:${version}`;
  return `whsec_${Buffer.from(hkdfSync('sha256', masterKey, '', info, SECRET_BYTES)).toString('base64')}`;
}

/**
 * The secrets that sign now, of each master key: the current one, and for a while after a rotation the one before it. There
 * are two master keys while one is being replaced.
 */
export function signingSecrets(
  masterKeys: readonly string[],
  companyId: string,
  { version, oldSecretSigns }: { readonly version: number; readonly oldSecretSigns: boolean },
): string[] {
  const versions = oldSecretSigns ? [version, version - 1] : [version];
  return masterKeys.flatMap((masterKey) => versions.map((one) => webhookSecret(masterKey, companyId, one)));
}

/**
 * The headers of a signed call (standardwebhooks.com): HMAC-SHA256 over `{id}.{timestamp}.{body}`, one signature per valid
 * secret.
 */
export function signedHeaders(
  message: { readonly id: string; readonly timestampSeconds: number; readonly body: string },
  secrets: readonly string[],
): Record<string, string> {
  const signed = `${message.id}.${message.timestampSeconds}.${message.body}`;
  return {
    'webhook-id': message.id,
    'webhook-timestamp': String(message.timestampSeconds),
    'webhook-signature': secrets.map((secret) => `v1,${sign(signed, secret)}`).join(' '),
  };
}

function sign(text: string, secret: string): string {
  return createHmac('sha256', Buffer.from(secret.slice('whsec_'.length), 'base64'))
    .update(text)
    .digest('base64');
}

/** The master keys of a process: the one from which the secrets that companies see are derived comes first. */
export function masterKeysOf(config: {
  readonly WEBHOOK_MASTER_KEY?: string | undefined;
  readonly WEBHOOK_MASTER_KEY_SECONDARY?: string | undefined;
}): string[] {
  return [config.WEBHOOK_MASTER_KEY, config.WEBHOOK_MASTER_KEY_SECONDARY].filter((key) => key !== undefined);
}
