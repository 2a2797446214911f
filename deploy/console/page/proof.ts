import type { WriteProof } from '../../client/src/generated/types.ts';

/** Checks a proof of inclusion in the browser, by docs/seal-format.md, as verify.mjs does: with what WebCrypto has. */

type Row = WriteProof['rows'][number];
export type Jwks = { readonly keys?: readonly Jwk[] };
type Jwk = { readonly kty?: string; readonly crv?: string; readonly kid?: string; readonly x?: string };

/** Why a row is not proved, as verify.mjs names it. */
export type Fault =
  | 'row-altered'
  | 'row-foreign'
  | 'entry-unbalanced'
  | 'head-altered'
  | 'head-signature'
  | 'head-time-stamp';

type SealedLine = {
  readonly accountCode: string;
  readonly amount: string;
  readonly currency: string;
};

/** What was sealed of a row. */
export type Content = {
  readonly version: number;
  readonly companyId: string;
  readonly log: string;
  readonly writeId: string | null;
  readonly operation: string;
  readonly entryId?: string;
  readonly id?: string;
  readonly idempotencyKey?: string;
  readonly date?: string;
  readonly timestamp?: string;
  readonly postedAt?: string;
  readonly status?: string;
  readonly errorCode?: string | null;
  readonly lines?: readonly SealedLine[];
};

type Head = {
  readonly companyId: string;
  readonly log: string;
  readonly root: string;
  readonly position: number;
  readonly number: number;
  readonly publishedAt: string;
};

export type CheckedRow = {
  readonly log: Row['log'];
  readonly number: number;
  readonly content: Content | undefined;
} & (
  | { readonly state: 'proved'; readonly head: Head; readonly keyId: string; readonly key: string }
  /** All but the signature holds: this browser knows no Ed25519. */
  | { readonly state: 'unsigned'; readonly head: Head; readonly keyId: string }
  | { readonly state: 'fault'; readonly fault: Fault }
);

/** Why nothing of a proof can be checked. */
export class Unreadable extends Error {}

/** Throws Unreadable for what is no proof of one write. */
export async function checkProof(proof: WriteProof, keys: Jwks): Promise<readonly CheckedRow[]> {
  if (globalThis.crypto?.subtle === undefined)
    throw new Unreadable('Browsers compute digests on pages of https or localhost alone, and this page is neither.');
  if (proof.rows.length === 0) throw new Unreadable('The proof has no row: it proves nothing.');
  if (new Set(proof.rows.map(({ log }) => log)).size < proof.rows.length)
    throw new Unreadable('The proof has two rows of one log: it is of one write.');
  return Promise.all(
    proof.rows.map(async (row) => ({ log: row.log, number: row.number, ...(await checkRow(proof, row, keys)) })),
  );
}

async function checkRow({ companyId, key, writeId }: WriteProof, row: Row, keys: Jwks) {
  const { log, head: published } = row;
  const content = readCanonical<Content>(row.content);
  const fault = (name: Fault) => ({ state: 'fault', content, fault: name }) as const;
  const leaf = await sha256(Uint8Array.of(0), utf8(row.content));
  if (content === undefined || hex(leaf) !== row.leaf) return fault('row-altered');
  if (content.version !== 1)
    throw new Unreadable(`The row has the version ${content.version}, which this page does not know.`);
  const isOfRow = content.companyId === companyId && content.log === log && content.writeId === writeId;
  const isOfKey = log === 'journal' || content.idempotencyKey === key;
  const isOfWrite = writeId === null || writeId === (await writeIdOf(companyId, content.operation, key));
  if (!isOfRow || !isOfKey || !isOfWrite) return fault('row-foreign');
  if (log === 'journal' && !isBalanced(content.lines ?? [])) return fault('entry-unbalanced');
  const head = readHead(published.head);
  const root = hex(await rootFrom(leaf, [...row.path, ...row.batchPath]));
  if (head === undefined || head.companyId !== companyId || head.log !== log || head.root !== root)
    return fault('head-altered');
  const signed = await isSigned(published, keys);
  if (signed === 'no') return fault('head-signature');
  if (!(await isStampOf(published))) return fault('head-time-stamp');
  const { keyId } = published;
  if (signed === 'unknown') return { state: 'unsigned', content, head, keyId } as const;
  return { state: 'proved', content, head, keyId, key: signed.key } as const;
}

async function rootFrom(leaf: Bytes, path: Row['path']): Promise<Bytes> {
  let found = leaf;
  for (const { side, digest } of path) {
    const beside = bytesOfHex(digest);
    const [left, right] = side === 'left' ? [beside, found] : [found, beside];
    found = await sha256(Uint8Array.of(1), left, right);
  }
  return found;
}

function isBalanced(lines: readonly SealedLine[]): boolean {
  const sums = new Map<string, bigint>();
  for (const { currency, amount } of lines) sums.set(currency, (sums.get(currency) ?? 0n) + BigInt(amount));
  return [...sums.values()].every((sum) => sum === 0n);
}

const HEAD_MEMBERS = 10;
const DIGEST = /^[0-9a-f]{64}$/;
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z$/;

/** Undefined where the text is not a head: canonical JSON with its members and no others. */
function readHead(text: string): Head | undefined {
  const head = readCanonical<Record<string, unknown>>(text);
  const isWhole =
    head !== undefined &&
    head['version'] === 1 &&
    (head['log'] === 'journal' || head['log'] === 'audit') &&
    ['position', 'epoch', 'number'].every((name) => Number.isSafeInteger(head[name]) && Number(head[name]) >= 1) &&
    ['digest', 'root', 'previous'].every((name) => DIGEST.test(String(head[name]))) &&
    typeof head['companyId'] === 'string' &&
    INSTANT.test(String(head['publishedAt'])) &&
    Object.keys(head).length === HEAD_MEMBERS;
  return isWhole ? (head as unknown as Head) : undefined;
}

/** With the key that has signed it; `unknown` where the browser cannot tell. */
async function isSigned({ head, keyId, signature }: Row['head'], { keys = [] }: Jwks) {
  // The last of a kid counts, as where a program reads them.
  const jwk = keys.findLast(({ kty, crv, kid }) => kty === 'OKP' && crv === 'Ed25519' && kid === keyId);
  const bytes = bytesOfBase64(signature);
  if (jwk?.x === undefined || bytes === undefined) return 'no';
  const { kty, crv, x } = jwk;
  let key: Awaited<ReturnType<typeof crypto.subtle.importKey>>;
  try {
    key = await crypto.subtle.importKey('jwk', { kty: kty ?? '', crv: crv ?? '', x }, { name: 'Ed25519' }, false, [
      'verify',
    ]);
  } catch (error) {
    return (error as Error).name === 'NotSupportedError' ? 'unknown' : 'no';
  }
  return (await crypto.subtle.verify({ name: 'Ed25519' }, key, bytes, utf8(head))) ? { key: x } : 'no';
}

// ---- Time stamps (RFC 3161): whether a token is of the digest of the head. Who has signed it is for OpenSSL.

/** In DER: id-ct-TSTInfo and SHA-256. */
const TST_INFO = '060b2a864886f70d0109100104';
const SHA256 = '0609608648016503040201';

/** Whether the head has no time stamp, or one of its SHA-256. */
export async function isStampOf({ head, timeStamp }: Row['head']): Promise<boolean> {
  if (timeStamp === undefined) return true;
  const digest = stampedDigest(bytesOfBase64(timeStamp));
  return digest !== undefined && digest === hex(await sha256(utf8(head)));
}

function stampedDigest(token: Bytes | undefined): string | undefined {
  try {
    const [, content] = partsOf(onlyPart(token ?? new Uint8Array()).content);
    const [, , encapsulated] = partsOf(onlyPart(content?.content).content);
    const [type, octets] = partsOf(encapsulated?.content);
    const [, , imprint] = partsOf(onlyPart(onlyPart(octets?.content).content).content);
    const [algorithm, digest] = partsOf(imprint?.content);
    const [name] = partsOf(algorithm?.content);
    const isKnown = hex(type?.der ?? new Uint8Array()) === TST_INFO && hex(name?.der ?? new Uint8Array()) === SHA256;
    return isKnown && digest !== undefined ? hex(digest.content) : undefined;
  } catch {
    return undefined;
  }
}

type Part = { readonly der: Bytes; readonly content: Bytes };

function onlyPart(bytes: Bytes | undefined): Part {
  const [part, ...others] = partsOf(bytes);
  if (part === undefined || others.length > 0) throw new RangeError('There is not exactly one');
  return part;
}

/** The values in DER that follow one another: tags of one byte, lengths of up to three. */
function partsOf(bytes: Bytes | undefined): Part[] {
  if (bytes === undefined) throw new RangeError('It is not there');
  const parts: Part[] = [];
  for (let at = 0; at < bytes.length; ) {
    const short = bytes[at + 1] ?? 0;
    const more = short < 0x80 ? 0 : short - 0x80;
    if (more > 3 || short === 0x80) throw new RangeError('A length cannot be read');
    const from = at + 2 + more;
    const length = more === 0 ? short : bytes.subarray(at + 2, from).reduce((sum, byte) => sum * 256 + byte, 0);
    if (from + length > bytes.length) throw new RangeError('It is cut off');
    parts.push({ der: bytes.subarray(at, from + length), content: bytes.subarray(from, from + length) });
    at = from + length;
  }
  return parts;
}

// ---- Digests, bytes, canonical JSON

type Bytes = Uint8Array<ArrayBuffer>;

const WRITE_NAMESPACE = 'b3977cab3beb4177b624c5471d46253b';

/** UUIDv5 (RFC 9562, section 5.5) of the company, the operation and the key. */
async function writeIdOf(companyId: string, operation: string, key: string): Promise<string> {
  const name = joined(bytesOfHex(WRITE_NAMESPACE), utf8(`company:${companyId}:op:${operation}:key:${key}`));
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-1', name)).subarray(0, 16);
  const [version = 0, variant = 0] = [bytes[6], bytes[8]];
  bytes[6] = (version & 0x0f) | 0x50;
  bytes[8] = (variant & 0x3f) | 0x80;
  return hex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

async function sha256(...parts: readonly Bytes[]): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', joined(...parts)));
}

function joined(...parts: readonly Bytes[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function utf8(text: string): Bytes {
  return new TextEncoder().encode(text);
}

function hex(bytes: Bytes): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function bytesOfHex(text: string): Bytes {
  return Uint8Array.from(text.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
}

/** Undefined where it is not the one text of these bytes: one signature has one text. */
function bytesOfBase64(text: string): Bytes | undefined {
  try {
    const binary = atob(text);
    return btoa(binary) === text ? Uint8Array.from(binary, (character) => character.charCodeAt(0)) : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined where the text is not RFC 8785 canonical JSON of an object: two readers could read two things in it. */
function readCanonical<T extends object>(text: string): T | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && canonical(value) === text ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`);
  return `{${members.join(',')}}`;
}
