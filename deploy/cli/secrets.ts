import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

const SECRET_BYTES = 32;

/** The secret in `file`; made at the first call. */
export function keptSecret(file: string): string {
  if (!existsSync(file)) writePrivately(file, `${randomSecret()}\n`);
  return readFileSync(file, 'utf8').trim();
}

/** Whole or not at all, and readable by its owner alone at every moment. */
export function writePrivately(file: string, text: string): void {
  const half = `${file}.${process.pid}`;
  writeFileSync(half, text, { mode: 0o600 });
  renameSync(half, file);
}

/** URL-safe, so that it can stand in a connection string as it is. */
function randomSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}
