import { createHmac, randomBytes } from 'node:crypto';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { signedHeaders } from '../../activities/webhooks/secrets.ts';
import { verifyWebhook, type WebhookHeaders, type WebhookRequest } from '../../deploy/client/src/webhook.ts';

/** The example of the libraries of Standard Webhooks. */
const VECTOR = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  body: '{"test": 2432232314}',
  now: new Date(1_614_265_330_000),
  headers: {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  },
} satisfies WebhookRequest;

const AT_S = 1_750_000_000;
const NOW = new Date(AT_S * 1_000);
const secretOf = (bytes: Buffer) => `whsec_${bytes.toString('base64')}`;
const [SECRET, OLD_SECRET, FOREIGN] = [32, 32, 32].map((length) => secretOf(randomBytes(length))) as [
  string,
  string,
  string,
];
const CALL = {
  type: 'payment.created',
  timestamp: '2025-06-15T15:06:40.000Z',
  data: { companyId: 'a', eventId: 'b', writeId: 'c', text: 'Grüße, 料金 & "{}"' },
};

/** A call as the worker makes it. */
function call(change: { id?: string; timestampSeconds?: number; body?: string; secrets?: readonly string[] } = {}) {
  const { id = 'event', timestampSeconds = AT_S, body = JSON.stringify(CALL), secrets = [SECRET] } = change;
  return { secret: SECRET, now: NOW, body, headers: signedHeaders({ id, timestampSeconds, body }, secrets) };
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

const reasonOf = (request: WebhookRequest) =>
  verifyWebhook(request).then(
    () => 'verified',
    (error: { name: string; reason?: string }) => error.reason ?? error.name,
  );

describe('a call that the service has signed', () => {
  test('is the vector of Standard Webhooks', async () => {
    expect(await verifyWebhook(VECTOR)).toEqual({ test: 2_432_232_314 });
    const signed = Object.values({ ...VECTOR.headers, 'webhook-signature': VECTOR.body }).join('.');
    const key = Buffer.from(VECTOR.secret.slice('whsec_'.length), 'base64');
    expect(VECTOR.headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`);
  });

  test.each<readonly [string, (text: string) => WebhookRequest['body']]>([
    ['text', (text) => text],
    ['bytes', (text) => new TextEncoder().encode(text)],
    ['a Buffer in the middle of another', (text) => Buffer.from(`--${text}--`).subarray(2, -2)],
    ['bytes of another realm', (text) => runInNewContext('Uint8Array.from(bytes)', { bytes: Buffer.from(text) })],
    [
      'an ArrayBuffer of another realm',
      (text) => runInNewContext('Uint8Array.from(b).buffer', { b: Buffer.from(text) }),
    ],
    ['an ArrayBuffer', (text) => new TextEncoder().encode(text).buffer as ArrayBuffer],
  ])('is verified by its body as %s', async (_, form) => {
    const { body, ...rest } = call();
    expect(await verifyWebhook({ ...rest, body: form(body) })).toEqual(CALL);
  });

  const { headers } = call();
  test.each<readonly [string, WebhookHeaders]>([
    ['Headers', new Headers(headers)],
    ['an object with names in another case', { 'Webhook-Id': 'event', ...upper(headers) }],
    ['Node’s headers', { ...headers, 'set-cookie': ['a', 'b'], host: 'a', 'x-none': undefined }],
    ['arrays', Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]))],
  ])('is verified by its headers as %s', async (_, form) => {
    expect(await verifyWebhook({ ...call(), headers: form })).toEqual(CALL);
  });

  test('is verified by any of several signatures and any of several secrets', async () => {
    const rotating = call({ secrets: [SECRET, OLD_SECRET] });
    for (const secret of [SECRET, OLD_SECRET, [OLD_SECRET, SECRET], [FOREIGN, OLD_SECRET]]) {
      expect(await reasonOf({ ...rotating, secret })).toBe('verified');
    }
    expect(await reasonOf({ ...rotating, secret: FOREIGN })).toBe('no_matching_signature');
    expect(await reasonOf({ ...rotating, secret: [FOREIGN] })).toBe('no_matching_signature');
    const beside = `v1a,${'A'.repeat(86)}== nonsense v1, ${rotating.headers['webhook-signature']}`;
    const headers = { ...rotating.headers, 'webhook-signature': beside };
    expect(await reasonOf({ ...rotating, headers })).toBe('verified');
  });

  test.each([
    [300, 300, 'verified'],
    [-300, 300, 'verified'],
    [301, 300, 'timestamp_too_old'],
    [-301, 300, 'timestamp_too_new'],
    [86_400, 300, 'timestamp_too_old'],
    [11, 10, 'timestamp_too_old'],
    [86_400, 90_000, 'verified'],
    [86_400, Number.POSITIVE_INFINITY, 'verified'],
    [1, 0, 'timestamp_too_old'],
  ])('and is %i s old with a tolerance of %d s is %s', async (ageS, toleranceS, expected) => {
    expect(await reasonOf({ ...call({ timestampSeconds: AT_S - ageS }), toleranceS })).toBe(expected);
  });

  test('is compared with the clock, if no other time is given', async () => {
    const { now: _, ...old } = call();
    expect(await reasonOf(old)).toBe('timestamp_too_old');
    const { now: __, ...fresh } = call({ timestampSeconds: Math.floor(Date.now() / 1_000) });
    expect(await reasonOf(fresh)).toBe('verified');
  });

  test.each(['null', '[]', '"text"', '1', '', '{', '\ufeff{}'])('but says %j is not a call', async (body) => {
    expect(await reasonOf(call({ body }))).toBe('not_json');
  });
});

describe('a call is refused', () => {
  const { headers, body } = call();

  test.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])('without %s, or with two', async (name) => {
    const { [name]: value, ...others } = headers;
    for (const given of [undefined, '', []]) {
      expect(await reasonOf({ ...call(), headers: { ...others, [name]: given } })).toBe('headers_missing');
    }
    expect(await reasonOf({ ...call(), headers: new Headers(others) })).toBe('headers_missing');
    const twice = name === 'webhook-signature' ? 'verified' : 'headers_missing';
    expect(await reasonOf({ ...call(), headers: { ...others, [name]: [value ?? '', value ?? ''] } })).toBe(twice);
  });

  test.each(['', 'v1', 'v1,', 'v2,', 'abc', `v1 ${headers['webhook-signature']?.slice(3)}`])(
    'with the signature %j',
    async (signature) => {
      const reason = await reasonOf({ ...call(), headers: { ...headers, 'webhook-signature': signature } });
      expect(reason).toBe(signature === '' ? 'headers_missing' : 'no_matching_signature');
    },
  );

  test.each(['now', '1.75e9', '-1', '0x10', '1750000000.5', ' ', '9'.repeat(400)])(
    'with the timestamp %j',
    async (timestamp) => {
      const changed = { ...headers, 'webhook-timestamp': timestamp };
      expect(await reasonOf({ ...call(), headers: changed, toleranceS: Number.POSITIVE_INFINITY })).toBe(
        'timestamp_invalid',
      );
    },
  );

  test('with another ID or time than was signed', async () => {
    for (const change of [{ 'webhook-id': 'other' }, { 'webhook-timestamp': String(AT_S + 1) }]) {
      expect(await reasonOf({ ...call(), headers: { ...headers, ...change } })).toBe('no_matching_signature');
    }
  });

  test('with any byte of the body changed, one more, or one fewer', async () => {
    const bytes = Buffer.from(body);
    for (let index = 0; index < bytes.length; index += 1) {
      const changed = Buffer.from(bytes);
      changed[index] = (changed[index] ?? 0) ^ 1;
      expect([index, await reasonOf({ ...call(), body: changed })]).toEqual([index, 'no_matching_signature']);
    }
    for (const other of [body.slice(0, -1), `${body} `, `${body}\n`, '', JSON.stringify(JSON.parse(body), null, 1)]) {
      expect(await reasonOf({ ...call(), body: other })).toBe('no_matching_signature');
    }
  });

  test('with any character of the signature changed, also one that changes no bit of what it encodes', async () => {
    const signature = headers['webhook-signature'] ?? '';
    for (let index = 3; index < signature.length; index += 1) {
      // Of the last one before the padding, two bits mean nothing.
      for (const other of index === signature.length - 2 ? ALPHABET : 'ABCD=') {
        if (signature[index] === other) continue;
        const changed = signature.slice(0, index) + other + signature.slice(index + 1);
        const reason = await reasonOf({ ...call(), headers: { ...headers, 'webhook-signature': changed } });
        expect([changed, reason]).toEqual([changed, 'no_matching_signature']);
      }
    }
  });

  test('by a TypeError that names no secret, if it cannot be verified at all', async () => {
    const wrong = { ...call(), body: JSON.parse(body) as never };
    await expect(verifyWebhook(wrong)).rejects.toThrow('a parsed body has lost what was signed');
    for (const secret of [[], '', 'whsec_', 'whsec_not*base64', SECRET.slice('whsec_'.length), [SECRET, 'x']]) {
      const error = await verifyWebhook({ ...call(), secret }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(TypeError);
      expect(String(error)).not.toContain('not*base64');
      expect(String(error)).not.toContain(SECRET.slice('whsec_'.length));
    }
    for (const change of [{ toleranceS: Number.NaN }, { toleranceS: -1 }, { now: new Date('never') }]) {
      await expect(verifyWebhook({ ...call(), ...change })).rejects.toBeInstanceOf(TypeError);
    }
  });

  test('with an error that says why', async () => {
    await expect(verifyWebhook({ ...call(), secret: FOREIGN })).rejects.toMatchObject({
      ...{ name: 'WebhookVerificationError', reason: 'no_matching_signature' },
      message: expect.stringContaining('raw body'),
    });
  });
});

function upper(headers: Readonly<Record<string, string>>): Record<string, string> {
  const renamed = Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value] as const);
  return Object.fromEntries(renamed.filter(([name]) => name !== 'WEBHOOK-ID'));
}
