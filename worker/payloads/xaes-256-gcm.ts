import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';

/**
 * XAES-256-GCM (C2SP): AES-256-GCM with a nonce of 24 bytes, under a key that is derived from its first half. AES-GCM alone
 * has nonces of 12 bytes: chosen at random, they would repeat too soon for one key that years of payloads share. The derived
 * key may be kept as long as the first half stays the same.
 */
export const KEY_BYTES = 32;
export const NONCE_BYTES = 24;
const TAG_BYTES = 16;
/** The half of the nonce that the key is derived with, and the half that AES-GCM gets. */
export const HALF_NONCE_BYTES = NONCE_BYTES / 2;

const BLOCK_BYTES = 16;
/** The polynomial of the field in which CMAC doubles (NIST SP 800-38B, section 5.3). */
const DOUBLED_OUT = 0x87;

/** By CMAC in counter mode (NIST SP 800-108). `key`: 32 bytes. */
export function deriveKey(key: KeyObject, firstHalf: Uint8Array): KeyObject {
  const aes = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  const subkey = doubled(aes.update(Buffer.alloc(BLOCK_BYTES)));
  const blocks = Buffer.alloc(2 * BLOCK_BYTES);
  for (const counter of [1, 2]) {
    const block = blocks.subarray((counter - 1) * BLOCK_BYTES);
    block.set([0, counter, 'X'.charCodeAt(0), 0, ...firstHalf]);
    for (let index = 0; index < BLOCK_BYTES; index += 1) block[index] = (block[index] ?? 0) ^ (subkey[index] ?? 0);
  }
  return createSecretKey(aes.update(blocks));
}

function doubled(block: Buffer): Buffer {
  const result = Buffer.alloc(BLOCK_BYTES);
  let carry = 0;
  for (let index = BLOCK_BYTES - 1; index >= 0; index -= 1) {
    const byte = block[index] ?? 0;
    result[index] = ((byte << 1) | carry) & 0xff;
    carry = byte >> 7;
  }
  if (carry === 1) result[BLOCK_BYTES - 1] = (result[BLOCK_BYTES - 1] ?? 0) ^ DOUBLED_OUT;
  return result;
}

/** The ciphertext, with its tag behind it. */
export function seal(
  derived: KeyObject,
  secondHalf: Uint8Array,
  plaintext: Uint8Array,
  authenticated: Uint8Array,
): readonly Buffer[] {
  const cipher = createCipheriv('aes-256-gcm', derived, secondHalf).setAAD(authenticated);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  return [ciphertext, cipher.getAuthTag()];
}

/** Undefined where it was not sealed with this key and these authenticated bytes. */
export function open(
  derived: KeyObject,
  secondHalf: Uint8Array,
  sealed: Uint8Array,
  authenticated: Uint8Array,
): Buffer | undefined {
  if (sealed.byteLength < TAG_BYTES) return undefined;
  const tagAt = sealed.byteLength - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', derived, secondHalf, { authTagLength: TAG_BYTES })
    .setAAD(authenticated)
    .setAuthTag(sealed.subarray(tagAt));
  const plaintext = decipher.update(sealed.subarray(0, tagAt));
  try {
    decipher.final();
    return plaintext;
  } catch {
    return undefined;
  }
}
