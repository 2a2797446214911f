import { createSecretKey } from 'node:crypto';
import { defaultPayloadConverter, type Payload, type SerializationContext } from '@temporalio/common';
import { describe, expect, test } from 'vitest';
import { createPayloadCodec, UnknownPayloadKey } from '../../worker/payloads/codec.ts';
import type { PayloadEncryption } from '../../worker/payloads/encryption.ts';
import { type PayloadKeys, payloadKeys } from '../../worker/payloads/keys.ts';
import { deriveKey, HALF_NONCE_BYTES, open, seal } from '../../worker/payloads/xaes-256-gcm.ts';
import { isRefused } from '../../workflows/refused.ts';

const OLD = `old:${Buffer.alloc(32, 1).toString('base64')}`;
const NEW = `new:${Buffer.alloc(32, 2).toString('base64url')}`;
const MINE = { type: 'workflow', namespace: 'default', workflowId: 'company:key' } as const;

const keysOf = (text: string): PayloadKeys => payloadKeys().parse(text);
const codecOf = (keys: string, encryption: PayloadEncryption = 'require') =>
  createPayloadCodec({ keys: keysOf(keys), encryption });

async function encode(value: unknown, keys = OLD, context: SerializationContext | undefined = MINE): Promise<Payload> {
  const [payload] = await codecOf(keys).encode([defaultPayloadConverter.toPayload(value)], context);
  return payload as Payload;
}

async function decode(payload: Payload, codec = codecOf(OLD), context: SerializationContext | undefined = MINE) {
  const [decoded] = await codec.decode([payload], context);
  return defaultPayloadConverter.fromPayload<unknown>(decoded as Payload);
}

describe('XAES-256-GCM', () => {
  // The test vectors of C2SP (c2sp.org/XAES-256-GCM), appendix.
  test.each([
    [1, '', 'ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271'],
    [3, 'c2sp.org/XAES-256-GCM', '986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d'],
  ])('seals as its specification says (key of %i, authenticated "%s")', (byte, authenticated, expected) => {
    const nonce = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWX');
    const [first, second] = [nonce.subarray(0, HALF_NONCE_BYTES), nonce.subarray(HALF_NONCE_BYTES)];
    const derived = deriveKey(createSecretKey(Buffer.alloc(32, byte)), first);
    const sealed = Buffer.concat(seal(derived, second, Buffer.from('XAES-256-GCM'), Buffer.from(authenticated)));
    expect(sealed.toString('hex')).toBe(expected);
    expect(open(derived, second, sealed, Buffer.from(authenticated))?.toString()).toBe('XAES-256-GCM');
    expect(open(derived, second, sealed, Buffer.from('other'))).toBeUndefined();
  });
});

describe('a payload', () => {
  test.each([[{ amount: 4200 }], ['text'], [null], [undefined], [new Uint8Array([1, 2, 3])]])(
    'is what it was, and nobody reads it on its way: %j',
    async (value) => {
      const payload = await encode(value);
      expect(await decode(payload)).toEqual(value);
      expect(Buffer.from(payload.data ?? []).toString('latin1')).not.toMatch(/amount|4200|text|json/);
    },
  );

  test('is another one each time', async () => {
    const [one, two] = [await encode('same'), await encode('same')];
    expect(Buffer.from(one.data ?? []).equals(Buffer.from(two.data ?? []))).toBe(false);
  });

  test('of another workflow, or of another namespace, is refused', async () => {
    const payload = await encode('mine');
    for (const other of [{ workflowId: 'company:other' }, { namespace: 'other' }, { workflowId: 'company:key2' }]) {
      expect(isRefused(await decode(payload, codecOf(OLD), { ...MINE, ...other }))).toBe(true);
    }
    const activity = { ...MINE, type: 'activity', isLocal: true } as const;
    expect(await decode(payload, codecOf(OLD), activity)).toBe('mine');
  });

  test('that names another workflow than it was sealed for is refused', async () => {
    const payload = await encode('mine');
    const moved = {
      ...payload,
      metadata: { ...payload.metadata, 'encryption-context': Buffer.from('default/company:other') },
    };
    const there = { ...MINE, workflowId: 'company:other' };
    expect(isRefused(await decode(moved, codecOf(OLD), there))).toBe(true);
    // As the Temporal UI asks, which does not say for which workflow.
    expect(isRefused(await decode(moved, codecOf(OLD), undefined))).toBe(true);
    expect(await decode(payload, codecOf(OLD), undefined)).toBe('mine');
  });

  test('of a schedule belongs to the runs that it starts, and to no others', async () => {
    const payload = await encode('order', OLD, { ...MINE, workflowId: 'auditMaintenance' });
    const at = (workflowId: string) => decode(payload, codecOf(OLD), { ...MINE, workflowId });
    expect(await at('auditMaintenance-2026-11-28T03:17:00Z')).toBe('order');
    const audit = await encode('audit', OLD, { ...MINE, workflowId: 'scheduledAudit:all' });
    const ofAudit = { ...MINE, workflowId: 'scheduledAudit:all-2026-11-28T04:07:00Z' };
    expect(await decode(audit, codecOf(OLD), ofAudit)).toBe('audit');
    for (const other of ['auditMaintenance-1', 'auditMaintenance-2026-11-28T03:17:00Z-x', 'auditMaintenance:other']) {
      expect(isRefused(await at(other))).toBe(true);
    }
  });

  test('of which one bit is changed, or a part is missing, is refused', async () => {
    const payload = await encode('mine');
    const data = Buffer.from(payload.data ?? []);
    for (let index = 0; index < data.length; index += 1) {
      const changed = Buffer.from(data);
      changed[index] = (changed[index] ?? 0) ^ 1;
      expect(isRefused(await decode({ ...payload, data: changed }))).toBe(true);
    }
    for (let length = 0; length < data.length; length += 1) {
      expect(isRefused(await decode({ ...payload, data: data.subarray(0, length) }))).toBe(true);
    }
  });

  test('under a key that is not configured is no forgery: that throws, and names the key', async () => {
    const payload = await encode('mine', NEW);
    await expect(decode(payload)).rejects.toThrow(UnknownPayloadKey);
    await expect(decode(payload)).rejects.toThrow('"new"');
  });

  test('that is plain is read until encryption is required, and written until it is switched on', async () => {
    const plain = defaultPayloadConverter.toPayload('plain');
    for (const encryption of ['accept', 'encrypt'] as const) {
      expect(await decode(plain, codecOf(OLD, encryption))).toBe('plain');
      expect(await decode(await encode('sealed'), codecOf(OLD, encryption))).toBe('sealed');
    }
    expect(isRefused(await decode(plain))).toBe(true);
    expect(await codecOf(OLD, 'accept').encode([plain], MINE)).toEqual([plain]);
    expect(await codecOf(OLD, 'encrypt').encode([plain], MINE)).not.toEqual([plain]);
  });

  test('is sealed with the first key, and opened with any', async () => {
    const [before, after] = [await encode('before', OLD), await encode('after', `${NEW},${OLD}`)];
    expect(Buffer.from(after.metadata?.['encryption-key-id'] ?? []).toString()).toBe('new');
    for (const keys of [`${OLD},${NEW}`, `${NEW}, ${OLD}`]) {
      expect(await decode(before, codecOf(keys))).toBe('before');
      expect(await decode(after, codecOf(keys))).toBe('after');
    }
  });
});

describe('PAYLOAD_KEYS', () => {
  test.each([
    ['without an ID', Buffer.alloc(32).toString('base64')],
    ['without a key', 'one:'],
    ['with a key that is too short', `one:${Buffer.alloc(31).toString('base64')}`],
    ['with a key that is no base64', `one:${'*'.repeat(43)}`],
    ['with one ID twice', `${OLD},${OLD}`],
    ['with an ID of other characters', `a b:${Buffer.alloc(32).toString('base64')}`],
    ['with a comma at its end', `${OLD},`],
    ['that is empty', ''],
  ])('%s is refused, and no part of it is shown', (_, text) => {
    const result = payloadKeys().safeParse(text);
    expect(result.success).toBe(false);
    const message = result.error?.issues.map((issue) => issue.message).join() ?? '';
    expect(message).toMatch(/^the (first|second) key /);
    for (const part of text.split(/[:,]/).filter((each) => each.length > 20)) expect(message).not.toContain(part);
  });
});
