/** The keys with which every system of the tests encrypts what it gives to Temporal. */
export const PAYLOAD_KEYS = `tests:${Buffer.alloc(32, 'payloads of the tests').toString('base64url')}`;
