import { type KeyObject, verify } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { publicKeyOf } from '../seal/signing-key.ts';

/** Heads that whoever verifies an archive compares its chains with: its own, and those that were collected outside. */

export type PublishedHead = { readonly head: string; readonly keyId: string; readonly signature: string };

/** The chain's digest after a number, in hexadecimal, and the head that was published there, if one was. */
export type HeadAt = { readonly digest: string; readonly head: PublishedHead | null };

/** Something in an archive is not what was sealed: `what` names the row and its company, where they are known. */
export class ArchiveDiffers extends Error {
  constructor(what: string) {
    super(`${what}. Nothing was changed. See docs/runbooks.md#finding-an-archived-month-is-not-what-was-sealed`);
  }
}

/** By their IDs. */
export type KnownKeys = ReadonlyMap<string, KeyObject>;

/** Heads of audit logs, by {@link placeOf}. */
export type OutsideHeads = ReadonlyMap<string, readonly PublishedHead[]>;

/** With what the heads of an archive are verified. */
export type HeadContext = { readonly keys: KnownKeys; readonly outside: OutsideHeads };

export function placeOf(companyId: string, number: number): string {
  return `${companyId} ${number}`;
}

const head = z.object({
  companyId: z.string(),
  log: z.string(),
  number: z.number(),
  digest: z.string(),
});

const keySet = z.object({ keys: z.array(z.object({ kid: z.string(), x: z.string() })) });

/** Throws unless the head is signed by a known key, and says that the company's audit log has this digest after the number. */
export function requireHead(
  { head: text, keyId, signature }: PublishedHead,
  of: { readonly keys: KnownKeys; readonly companyId: string; readonly number: number; readonly digest: string },
): void {
  const differs = (what: string) =>
    new ArchiveDiffers(`the head at number ${of.number} of the audit log of company ${of.companyId} ${what}`);
  const key = of.keys.get(keyId);
  if (key === undefined) throw differs(`is signed with the key ${keyId}, which is not known`);
  const bytes = Buffer.from(signature, 'base64');
  // One signature has one text.
  if (bytes.toString('base64') !== signature || !verify(null, Buffer.from(text), key, bytes)) {
    throw differs(`is not signed by the key ${keyId}`);
  }
  const said = head.parse(JSON.parse(text));
  if (said.companyId !== of.companyId || said.log !== 'audit' || said.number !== of.number) {
    throw differs('is of something else');
  }
  if (said.digest !== of.digest) throw differs('was published for other rows: they were changed and sealed anew');
}

/** Of a JWK set. */
export function knownKeys(set: unknown): KnownKeys {
  return new Map(keySet.parse(set).keys.map(({ kid, x }) => [kid, publicKeyOf(Buffer.from(x, 'base64url'))]));
}

export async function readKeys(path: string): Promise<KnownKeys> {
  return knownKeys(JSON.parse(await readFile(path, 'utf8')));
}
