import { type KeyObject, randomFillSync } from 'node:crypto';
import type { Payload, PayloadCodec, SerializationContext } from '@temporalio/common';
import proto from '@temporalio/proto';
import { AUDIT_MAINTENANCE_WORKFLOW_TYPE } from '../../workflows/maintenance-messages.ts';
import { REFUSED } from '../../workflows/refused.ts';
import { SCHEDULED_AUDIT_WORKFLOW_TYPE } from '../../workflows/scheduled-audit-messages.ts';
import type { PayloadEncryption } from './encryption.ts';
import type { PayloadKeys } from './keys.ts';
import { deriveKey, HALF_NONCE_BYTES, NONCE_BYTES, open, seal } from './xaes-256-gcm.ts';

export type PayloadCodecOptions = {
  readonly keys: PayloadKeys;
  readonly encryption: PayloadEncryption;
  /**
   * What becomes of a payload under a key that is not configured. A worker throws, because it may be one of ours: the task is
   * tried again until the key is there. A client refuses it: whoever forges one would otherwise end what reads many runs.
   */
  readonly unknownKeys?: 'throw' | 'refuse';
  /** Called for each payload that is not ours. */
  onRefused?(reason: string, context: SerializationContext | undefined): void;
};

/** The form in which Temporal's own samples encrypt a payload. */
const protobuf = proto.temporal.api.common.v1.Payload;
/** The names are those that Temporal's own samples use, so that its tools show them. */
const ENCODING = 'encoding';
const KEY_ID = 'encryption-key-id';
const CIPHER = 'encryption-cipher';
/** The namespace and the workflow that the payload belongs to. It is authenticated: nowhere else is the payload believed. */
const BELONGS_TO = 'encryption-context';
const ENCRYPTED = Buffer.from('binary/encrypted');
const XAES = Buffer.from('XAES-256-GCM');

/** The random second halves of nonces under one derived key stay far below 2^32 (NIST SP 800-38D, section 8.3). */
const SEALED_PER_KEY = 2 ** 20;
/** Those of all processes whose payloads are read at one time. */
const DERIVED_KEYS_KEPT = 1_000;
/** Random bytes are drawn for so many nonces at once: each draw is a call into OpenSSL. */
const NONCES_PER_DRAW = 256;

/**
 * Encrypts each payload with XAES-256-GCM, bound to its workflow. A payload that does not decrypt, or that belongs to another
 * workflow, is refused: {@link REFUSED} takes its place. Decoding throws {@link UnknownPayloadKey} as `unknownKeys` says.
 */
export function createPayloadCodec(options: PayloadCodecOptions): PayloadCodec {
  const { keys, encryption, unknownKeys = 'throw', onRefused } = options;
  const sealer = createSealer(keys.first.key);
  const derivedKeys = createDerivedKeys(keys);
  const firstId = Buffer.from(keys.first.id);

  function encode(payload: Payload, belongsTo: Buffer): Payload {
    const plaintext = protobuf.encode(payload).finish();
    return {
      metadata: { [ENCODING]: ENCRYPTED, [CIPHER]: XAES, [KEY_ID]: firstId, [BELONGS_TO]: belongsTo },
      data: sealer.seal(plaintext, belongsTo),
    };
  }

  function decode(payload: Payload, context: SerializationContext | undefined): Payload {
    if (!isEncrypted(payload)) {
      return encryption === 'require' ? refuse('it is not encrypted', context) : payload;
    }
    const belongsTo = payload.metadata?.[BELONGS_TO] ?? new Uint8Array();
    if (context !== undefined && !isOf(Buffer.from(belongsTo).toString(), ownerOf(context))) {
      return refuse('it belongs to another workflow', context);
    }
    const sealed = payload.data ?? new Uint8Array();
    if (sealed.byteLength < NONCE_BYTES) return refuse('it is too short', context);
    const keyId = Buffer.from(payload.metadata?.[KEY_ID] ?? []).toString();
    const derived = derivedKeys(keyId, sealed.subarray(0, HALF_NONCE_BYTES));
    if (derived === undefined) {
      const unknown = new UnknownPayloadKey(keyId);
      if (unknownKeys === 'throw') throw unknown;
      return refuse(unknown.message, context);
    }
    const secondHalf = sealed.subarray(HALF_NONCE_BYTES, NONCE_BYTES);
    const plaintext = open(derived, secondHalf, sealed.subarray(NONCE_BYTES), belongsTo);
    return plaintext === undefined
      ? refuse('it was not encrypted by this system', context)
      : protobuf.decode(plaintext);
  }

  function refuse(reason: string, context: SerializationContext | undefined): Payload {
    onRefused?.(reason, context);
    return refusedPayload(reason);
  }

  return {
    async encode(payloads, context) {
      if (encryption === 'accept') return payloads;
      const belongsTo = Buffer.from(context === undefined ? '' : ownerOf(context));
      return payloads.map((payload) => encode(payload, belongsTo));
    },
    async decode(payloads, context) {
      return payloads.map((payload) => decode(payload, context));
    },
  };
}

export class UnknownPayloadKey extends Error {
  constructor(keyId: string) {
    super(`A payload was encrypted with the key ${JSON.stringify(keyId)}, which PAYLOAD_KEYS does not have`);
    this.name = 'UnknownPayloadKey';
  }
}

function isEncrypted({ metadata }: Payload): boolean {
  const encoding = metadata?.[ENCODING];
  return encoding != null && ENCRYPTED.equals(encoding);
}

function ownerOf({ namespace, workflowId = '' }: SerializationContext): string {
  return `${namespace}/${workflowId}`;
}

/** A run of our schedule has the name in the schedule, and the time behind it. */
function isOf(belongsTo: string, owner: string): boolean {
  if (belongsTo === owner) return true;
  const isSchedule = SCHEDULED_TYPES.has(belongsTo.split('/').at(-1)?.split(':')[0] ?? '');
  return isSchedule && owner.startsWith(belongsTo) && SCHEDULED.test(owner.slice(belongsTo.length));
}

const SCHEDULED_TYPES: ReadonlySet<string> = new Set([AUDIT_MAINTENANCE_WORKFLOW_TYPE, SCHEDULED_AUDIT_WORKFLOW_TYPE]);
const SCHEDULED = /^-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

function refusedPayload(reason: string): Payload {
  return {
    metadata: { [ENCODING]: Buffer.from('json/plain') },
    data: Buffer.from(JSON.stringify({ [REFUSED]: reason })),
  };
}

/** Seals under a derived key, and takes another one before too much is sealed with it. */
function createSealer(key: KeyObject) {
  const nonces = Buffer.alloc(NONCES_PER_DRAW * HALF_NONCE_BYTES);
  let drawn = NONCES_PER_DRAW;
  let sealed = SEALED_PER_KEY;
  let firstHalf = Buffer.alloc(HALF_NONCE_BYTES);
  let derived: KeyObject | undefined;
  return {
    /** The nonce, the ciphertext and the tag. */
    seal(plaintext: Uint8Array, authenticated: Uint8Array): Buffer {
      if (derived === undefined || sealed === SEALED_PER_KEY) {
        firstHalf = randomFillSync(Buffer.alloc(HALF_NONCE_BYTES));
        derived = deriveKey(key, firstHalf);
        sealed = 0;
      }
      if (drawn === NONCES_PER_DRAW) {
        randomFillSync(nonces);
        drawn = 0;
      }
      const secondHalf = nonces.subarray(drawn * HALF_NONCE_BYTES, (drawn + 1) * HALF_NONCE_BYTES);
      drawn += 1;
      sealed += 1;
      return Buffer.concat([firstHalf, secondHalf, ...seal(derived, secondHalf, plaintext, authenticated)]);
    },
  };
}

/** Undefined where the key is not configured. */
function createDerivedKeys({ byId }: PayloadKeys) {
  const kept = new Map<string, KeyObject>();
  return (keyId: string, firstHalf: Uint8Array): KeyObject | undefined => {
    const name = `${keyId}/${Buffer.from(firstHalf).toString('latin1')}`;
    const known = kept.get(name);
    if (known !== undefined) return known;
    const key = byId.get(keyId)?.key;
    if (key === undefined) return undefined;
    const derived = deriveKey(key, firstHalf);
    const [oldest] = kept.keys();
    if (kept.size === DERIVED_KEYS_KEPT && oldest !== undefined) kept.delete(oldest);
    kept.set(name, derived);
    return derived;
  };
}
