import { type KeyObject, verify } from 'node:crypto';
import type { SignedHead } from '../../workflows/seal-messages.ts';
import { canonicalJson, SEALED_LOGS, type SealedLog } from './content.ts';

/** What a head says; docs/seal-format.md has its members. */
export type Head = {
  readonly companyId: string;
  readonly log: SealedLog;
  readonly position: number;
  readonly epoch: number;
  readonly number: number;
  readonly digest: string;
  readonly root: string;
  readonly previous: string;
  readonly publishedAt: string;
};

/** Public keys by their IDs. */
export type SealKeys = ReadonlyMap<string, KeyObject>;

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.(\d{1,9}))?Z$/;
/** With `version`. */
const MEMBERS = 10;
const DIGEST = /^[0-9a-f]{64}$/;

/** Undefined where the text is not a head: canonical JSON with its members and no others. */
export function readHead(text: string): Head | undefined {
  let head: Partial<Head> & { version?: unknown };
  try {
    head = JSON.parse(text);
    if (typeof head !== 'object' || head === null || canonicalJson(head) !== text) return undefined;
  } catch {
    return undefined;
  }
  const isWhole =
    head.version === 1 &&
    SEALED_LOGS.some((log) => log === head.log) &&
    [head.position, head.epoch, head.number].every((number) => Number.isSafeInteger(number) && Number(number) >= 1) &&
    [head.digest, head.root, head.previous].every((digest) => typeof digest === 'string' && DIGEST.test(digest)) &&
    typeof head.companyId === 'string' &&
    typeof head.publishedAt === 'string' &&
    INSTANT.test(head.publishedAt) &&
    Object.keys(head).length === MEMBERS;
  return isWhole ? (head as Head) : undefined;
}

export function isSigned({ head, keyId, signature }: SignedHead, keys: SealKeys): boolean {
  const key = keys.get(keyId);
  const bytes = Buffer.from(signature, 'base64');
  // One signature has one text.
  if (key === undefined || bytes.toString('base64') !== signature) return false;
  return verify(null, Buffer.from(head), key, bytes);
}

/** Of a `publishedAt`, with nine digits of a second, to be compared as text. */
export function instantOf(publishedAt: string): string {
  const [, fraction = ''] = INSTANT.exec(publishedAt) ?? [];
  return `${publishedAt.slice(0, 19)}.${fraction.padEnd(9, '0')}`;
}
