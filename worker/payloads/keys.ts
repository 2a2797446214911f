import { createSecretKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { KEY_BYTES } from './xaes-256-gcm.ts';

/** The keys of Temporal's payloads: the first one encrypts, all of them decrypt. */
export type PayloadKeys = { readonly first: PayloadKey; readonly byId: ReadonlyMap<string, PayloadKey> };

type PayloadKey = { readonly id: string; readonly key: KeyObject };

const ID = /^[A-Za-z0-9._-]{1,64}$/;

/** `id:key`, separated by commas; each key is 32 random bytes in base64 or base64url. */
export function payloadKeys() {
  return z.string().transform((text, context): PayloadKeys => {
    const byId = new Map<string, PayloadKey>();
    const fault = (message: string): never => {
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    };
    for (const [index, part] of text.split(',').entries()) {
      const place = `the ${ordinal(index + 1)} key`;
      const [id = '', key = '', ...rest] = part.trim().split(':');
      if (rest.length > 0 || !ID.test(id) || key === '') return fault(`${place} must be id:key, comma between keys`);
      if (byId.has(id)) return fault(`${place} has the ID of another one`);
      if (!/^[A-Za-z0-9+/_-]+=*$/.test(key) || Buffer.from(key, 'base64').byteLength !== KEY_BYTES) {
        return fault(`${place} must be ${KEY_BYTES} bytes in base64 ("openssl rand -base64 ${KEY_BYTES}")`);
      }
      byId.set(id, { id, key: createSecretKey(key, 'base64') });
    }
    const [first] = byId.values();
    return first === undefined ? fault('must have a key') : { first, byId };
  });
}

function ordinal(position: number): string {
  return ['first', 'second', 'third'][position - 1] ?? `${position}th`;
}
