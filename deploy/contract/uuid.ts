import { createHash } from 'node:crypto';

/** The namespace of write IDs (contract.md). Repeated here, like the algorithm below: a check must not share code with what it checks. */
const WRITE_NAMESPACE = 'b3977cab-3beb-4177-b624-c5471d46253b';

export function expectedWriteId(companyId: string, operation: string, key: string): string {
  return uuidV5(`company:${companyId}:op:${operation}:key:${key}`, WRITE_NAMESPACE);
}

export function expectedEventId(writeId: string): string {
  return uuidV5('outbox:0', writeId);
}

/** RFC 9562, section 5.5: SHA-1 over namespace and name, its first 16 bytes with version and variant set. */
function uuidV5(name: string, namespace: string): string {
  const bytes = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest();
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.subarray(0, 16).toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
