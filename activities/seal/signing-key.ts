import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { z } from 'zod';

/** The key that signs heads: Ed25519 (RFC 8032). */
export type SigningKey = {
  readonly id: string;
  /** 32 bytes, which anyone may have. */
  readonly publicKey: Buffer;
  /** 64 bytes. */
  sign(text: string): Buffer;
};

const ID = /^[A-Za-z0-9._-]{1,64}$/;
const SEED_BYTES = 32;
/** What stands before the 32 bytes of an Ed25519 key in DER: private in PKCS #8, public in SPKI (RFC 8410). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI = Buffer.from('302a300506032b6570032100', 'hex');

/** `id:key`; the key is 32 random bytes in base64 or base64url. */
export function signingKey() {
  return z.string().transform((text, context): SigningKey => {
    const [id = '', seed = '', ...rest] = text.trim().split(':');
    const bytes = Buffer.from(seed, 'base64');
    const isKey = /^[A-Za-z0-9+/_-]+=*$/.test(seed) && bytes.length === SEED_BYTES;
    if (rest.length > 0 || !ID.test(id) || !isKey) {
      context.addIssue({
        code: 'custom',
        message: `must be id:key, the key ${SEED_BYTES} bytes in base64 ("openssl rand -base64 ${SEED_BYTES}")`,
      });
      return z.NEVER;
    }
    return signingKeyOf(id, bytes);
  });
}

function signingKeyOf(id: string, seed: Buffer): SigningKey {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI.length);
  return { id, publicKey, sign: (text) => sign(null, Buffer.from(text), key) };
}

/** Of 32 bytes, for verifying. */
export function publicKeyOf(bytes: Buffer): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI, bytes]), format: 'der', type: 'spki' });
}

/** As a member of a JWK set (RFC 7517, RFC 8037). */
export function jwkOf(id: string, publicKey: Buffer) {
  return { kty: 'OKP', crv: 'Ed25519', kid: id, x: publicKey.toString('base64url'), use: 'sig', alg: 'EdDSA' };
}
