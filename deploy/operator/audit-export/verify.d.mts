import type { KeyObject } from 'node:crypto';
import type { Head } from '../../../activities/seal/published-head.ts';
import type { SignedHead } from '../../../workflows/seal-messages.ts';

/** What {@link file://./verify.mjs} lends to `audit:verify`, so that both read the same files in the same way. */

/** What cannot be read at all; the message says why. */
export class Refusal extends Error {}

export function outsideHeadsOf(
  path: string,
  told?: { lines: number; heads: number },
): AsyncIterable<{ readonly published: SignedHead; readonly head: Head; readonly line: number }>;

export function readKeys(path: string): ReadonlyMap<string, { readonly publicKey: KeyObject }>;
