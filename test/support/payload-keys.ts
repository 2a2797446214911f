import type { PayloadConfig } from '../../worker/config.ts';
import { payloadKeys } from '../../worker/payloads/keys.ts';

/** The keys with which every system of the tests encrypts what it gives to Temporal. */
export const PAYLOAD_KEYS = `tests:${Buffer.alloc(32, 'payloads of the tests').toString('base64url')}`;

/** The same, as a client of ours needs it. */
export const PAYLOADS: PayloadConfig = {
  TEMPORAL_NAMESPACE: 'default',
  PAYLOAD_KEYS: payloadKeys().parse(PAYLOAD_KEYS),
  PAYLOAD_ENCRYPTION: 'require',
};
