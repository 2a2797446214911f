import { hash } from 'node:crypto';

/**
 * The UUIDv5 (RFC 9562, section 5.5) of a name. Instead of that of the package `uuid`, which reads the namespace anew each time
 * and takes several times as long: a write takes a dozen of them.
 *
 * @param namespace a UUID in any form that has 32 hexadecimal digits
 */
export function uuidV5(name: string, namespace: string): string {
  const digest = hash('sha1', Buffer.concat([bytesOf(namespace), Buffer.from(name)]), 'hex');
  const variant = VARIANTS[Number.parseInt(digest.charAt(16), 16) & 3] ?? '';
  return `${digest.slice(0, 8)}-${digest.slice(8, 12)}-5${digest.slice(13, 16)}-${variant}${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
}

const VARIANTS = '89ab';

/** The last one: most names of a write are in the same namespace. */
let last = { namespace: '', bytes: Buffer.alloc(0) };

function bytesOf(namespace: string): Buffer {
  if (namespace !== last.namespace) {
    const bytes = Buffer.from(namespace.replaceAll('-', ''), 'hex');
    if (bytes.length !== 16) throw new TypeError(`${namespace} is no UUID`);
    last = { namespace, bytes };
  }
  return last.bytes;
}
