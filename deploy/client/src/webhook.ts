import type { WebhookCall } from './generated/types.ts';

export type WebhookRequest = {
  /**
   * `secret` of `GET /api/company/webhook-secret`: `whsec_` and base64. Several while a secret is being replaced, which is for 24
   * hours: the one that was, and the one that is; a call that any of them has signed is accepted.
   */
  readonly secret: string | readonly string[];
  /** Of the request, as `Headers`, as an object, or as Node's `request.headers`. */
  readonly headers: WebhookHeaders;
  /** The body as it arrived, text or bytes. Not parsed and written again: the signature is over these very bytes. */
  readonly body: string | Uint8Array | ArrayBuffer;
  /** How far the call's timestamp may be from now, before or after, in seconds; 300 if omitted. */
  readonly toleranceS?: number;
  /** For calls that were kept, and for tests. */
  readonly now?: Date;
};

export type WebhookHeaders =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

/** The call is not to be trusted: answer it with 400, and do nothing else. */
export class WebhookVerificationError extends Error {
  override readonly name = 'WebhookVerificationError';
  readonly reason: WebhookFault;

  constructor(reason: WebhookFault) {
    super(MESSAGES[reason]);
    this.reason = reason;
  }
}

/** `timestamp_too_old` is also what a genuine call is that somebody has kept and sent again. */
export type WebhookFault = keyof typeof MESSAGES;

const MESSAGES = {
  headers_missing: 'webhook-id, webhook-timestamp or webhook-signature is missing, or there is more than one.',
  timestamp_invalid: 'webhook-timestamp is not a number of seconds.',
  timestamp_too_old: 'webhook-timestamp is too long ago. Is the clock of this machine right?',
  timestamp_too_new: 'webhook-timestamp is in the future. Is the clock of this machine right?',
  no_matching_signature:
    'No signature is by this secret over this body. Is it the raw body, and the secret of this company?',
  not_json: 'The body is signed, but is not a JSON object.',
} as const;

const TOLERANCE_S = 300;

/**
 * The call, once it is certain that the service has sent it, unchanged and lately (Standard Webhooks, symmetric signatures).
 * Throws {@link WebhookVerificationError}, and a TypeError for a secret or a body that this function cannot work with.
 *
 * A call may come more than once. The one before is recognized by `webhook-id`, which is the event's ID.
 *
 * @example
 * const { type, data } = await verifyWebhook({ secret, headers: request.headers, body: await request.text() });
 */
export async function verifyWebhook({
  secret,
  headers,
  body,
  toleranceS = TOLERANCE_S,
  // biome-ignore lint/plugin: the service has told us its time of day
  now = new Date(),
}: WebhookRequest): Promise<WebhookCall> {
  const keys = keysOf(secret);
  const bytes = bytesOf(body);
  const { id, timestamp, signatures } = read(headers);
  const fault = faultOfTime(timestamp, { toleranceS, now });
  if (fault !== undefined) throw new WebhookVerificationError(fault);
  const signed = concat(encoder.encode(`${id}.${timestamp}.`), bytes);
  if (!(await isSigned(signed, keys, signatures))) throw new WebhookVerificationError('no_matching_signature');
  const call = parse(bytes);
  if (call === undefined) throw new WebhookVerificationError('not_json');
  return call;
}

type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const SECRET_PREFIX = 'whsec_';

/** No message repeats a secret: messages are logged. */
function keysOf(secret: string | readonly string[]): readonly Bytes[] {
  const secrets = typeof secret === 'string' ? [secret] : secret;
  if (secrets.length === 0) throw new TypeError('There is no secret to verify the call with.');
  return secrets.map((one) => {
    const key = one.startsWith(SECRET_PREFIX) ? fromBase64(one.slice(SECRET_PREFIX.length)) : undefined;
    if (key === undefined || key.length === 0) throw new TypeError(`A secret is "${SECRET_PREFIX}" and base64.`);
    return key;
  });
}

function bytesOf(body: unknown): Bytes {
  if (typeof body === 'string') return encoder.encode(body);
  // Not by `instanceof`, which does not know the bytes of another realm.
  if (ArrayBuffer.isView(body))
    return new Uint8Array(body.buffer.slice(body.byteOffset, body.byteOffset + body.byteLength) as ArrayBuffer);
  if (Object.prototype.toString.call(body) === '[object ArrayBuffer]') return new Uint8Array(body as ArrayBuffer);
  throw new TypeError('The body must be the text or the bytes that arrived; a parsed body has lost what was signed.');
}

function read(headers: WebhookHeaders) {
  const values = valuesIn(headers);
  const [id, timestamp, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map(values);
  if (id?.length !== 1 || timestamp?.length !== 1 || signatures === undefined || signatures.length === 0) {
    throw new WebhookVerificationError('headers_missing');
  }
  return { id: id[0] as string, timestamp: timestamp[0] as string, signatures: signatures.join(' ').split(/\s+/) };
}

/** The values of a header, in any case of its name. */
function valuesIn(headers: WebhookHeaders): (name: string) => readonly string[] {
  if (isHeaders(headers)) {
    return (name) => {
      const value = headers.get(name);
      return value === null || value === '' ? [] : [value];
    };
  }
  const entries = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  return (name) =>
    entries.flatMap(([known, value]) => (known === name ? (value ?? []) : [])).filter((value) => value !== '');
}

function isHeaders(headers: WebhookHeaders): headers is { get(name: string): string | null } {
  return typeof (headers as { get?: unknown }).get === 'function';
}

function faultOfTime(
  timestamp: string,
  { toleranceS, now }: { readonly toleranceS: number; readonly now: Date },
): WebhookFault | undefined {
  // Otherwise every comparison below is false, and every call recent.
  if (!(toleranceS >= 0)) throw new TypeError('toleranceS must be a number of seconds, 0 or more.');
  if (Number.isNaN(now.getTime())) throw new TypeError('now is not a valid date.');
  if (!/^\d{1,12}$/.test(timestamp)) return 'timestamp_invalid';
  const ageS = Math.floor(now.getTime() / 1_000) - Number(timestamp);
  if (ageS > toleranceS) return 'timestamp_too_old';
  return ageS < -toleranceS ? 'timestamp_too_new' : undefined;
}

async function isSigned(signed: Bytes, keys: readonly Bytes[], signatures: readonly string[]): Promise<boolean> {
  const { subtle } = globalThis.crypto;
  // Further versions, such as "v1a" with a public key, may stand beside it.
  const given = signatures.filter((one) => one.startsWith('v1,')).map((one) => fromBase64(one.slice('v1,'.length)));
  let matches = false;
  for (const bytes of keys) {
    const key = await subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    // Once for each secret, however many signatures a stranger sends.
    const expected = new Uint8Array(await subtle.sign('HMAC', key, signed));
    for (const signature of given) matches = isSame(expected, signature) || matches;
  }
  return matches;
}

/** Without telling by its duration how much of a signature is right. */
function isSame(expected: Uint8Array, given: Uint8Array | undefined): boolean {
  if (given?.length !== expected.length) return false;
  return expected.reduce((difference, byte, index) => difference | (byte ^ (given[index] as number)), 0) === 0;
}

function concat(first: Uint8Array, second: Uint8Array): Bytes {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

/** Undefined for what is not base64 in its one proper spelling. */
function fromBase64(text: string): Bytes | undefined {
  try {
    const binary = atob(text);
    return btoa(binary) === text ? Uint8Array.from(binary, (character) => character.charCodeAt(0)) : undefined;
  } catch {
    return undefined;
  }
}

function parse(bytes: Bytes): WebhookCall | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as WebhookCall) : undefined;
  } catch {
    return undefined;
  }
}
