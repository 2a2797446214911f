/** What may be the key of a write: 1 to 255 printable ASCII characters that are not all spaces, and neither `.` nor `..`. */
export function isKey(key: string): boolean {
  return /^[\x20-\x7e]{1,255}$/.test(key) && key.trim() !== '' && key !== '.' && key !== '..';
}

/** The key as the value of `Idempotency-Key`: bare where that is allowed, otherwise a quoted string (RFC 8941, section 3.3.3). */
export function formatKey(key: string): string {
  return BARE.test(key) ? key : `"${key.replace(/["\\]/g, '\\$&')}"`;
}

/** A new random key, a UUID of version 4. */
export function newKey(): string {
  return globalThis.crypto.randomUUID();
}

/**
 * Where a program keeps the writes that it has begun, so that it can send them again after it has died: with the same keys,
 * they happen once. Only a program that keeps its keys can be killed between a request and its answer without either losing
 * the write or making it twice.
 */
export type KeyStore = {
  /** Awaited before the first request. If it fails, nothing is sent. */
  keep(write: KeptWrite): void | Promise<void>;
  /** The write has its final answer and need not be kept any longer. */
  settle(idempotencyKey: string): void | Promise<void>;
};

/** All that is needed to send a write again, byte for byte; plain data. */
export type KeptWrite = {
  readonly idempotencyKey: string;
  /** The operation's name, such as `createPayment`. */
  readonly operation: string;
  readonly method: 'POST' | 'PATCH';
  readonly path: string;
  /** JSON text. */
  readonly body: string;
  /** Where it belongs: the client sends it to no other service and for no other company. */
  readonly baseUrl?: string | undefined;
  readonly companyId?: string | undefined;
};

/** 0x21–0x7E without `"` and `,`. */
const BARE = /^[\x21\x23-\x2b\x2d-\x7e]+$/;
