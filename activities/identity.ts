import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { type WireInput, writeWorkflowId } from '../workflows/messages.ts';
import { uuidV5 } from './uuid-v5.ts';

/** The UUIDv5 namespace (RFC 9562, section 5.5) of write IDs; fixed for ever. */
export const WRITE_NAMESPACE = 'b3977cab-3beb-4177-b624-c5471d46253b';

/** The ID of a write and of the main row that it creates: a repetition can only produce the same row. */
export function writeId(companyId: string, operation: string, idempotencyKey: string): string {
  return uuidV5(`company:${companyId}:op:${operation}:key:${idempotencyKey}`, WRITE_NAMESPACE);
}

/** The ID of a further row of a write, by table and position. */
export function rowId(ofWrite: string, table: string, position: number): string {
  return uuidV5(`${table}:${position}`, ofWrite);
}

/** Checks a key that is neither quoted nor escaped, as in a path or in a row of a file. */
export function isKey(key: string): boolean {
  return /^[\x20-\x7e]{1,255}$/.test(key) && key.trim() !== '' && key !== '.' && key !== '..';
}

/** The keys of the writes that triggered workflows make; a client begins none with it. */
const TRIGGER_KEYS = 'trigger:';

/** The key of one write of a triggered workflow. */
export function triggerKey(triggerId: string, step: string): string {
  return `${TRIGGER_KEYS}${triggerId}:${step}`;
}

export const TRIGGER_KEY_REFUSED =
  'A new key must not begin with "trigger:". Such keys name the writes of triggered workflows.';

export function isTriggerKey(idempotencyKey: string): boolean {
  return idempotencyKey.startsWith(TRIGGER_KEYS);
}

/** SHA-256, in hexadecimal, of the request's canonical JSON (RFC 8785): equal requests get equal fingerprints. */
export function fingerprint(operation: string, input: WireInput): string {
  const canonical = canonicalize({ operation, params: input.params, body: input.body });
  // Stryker disable next-line all: an object always has canonical JSON, which its type does not say.
  if (canonical === undefined) throw new Error('Bug! The request has no canonical JSON');
  return createHash('sha256').update(canonical).digest('hex');
}

/** The ID of the workflow of a write in the key lane. */
export function workflowIdOf(companyId: string, idempotencyKey: string): string {
  return writeWorkflowId(companyId, idempotencyKey, sha256Base64Url);
}

export function sha256Base64Url(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

/** A UUID in the one form in which the database writes it. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/.test(text);
}
