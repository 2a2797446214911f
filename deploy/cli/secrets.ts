import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

const SECRET_BYTES = 32;

/** The secret in `file`; the first call creates it. */
export function keptSecret(file: string): string {
  if (!existsSync(file)) writePrivately(file, `${randomSecret()}\n`);
  return readFileSync(file, 'utf8').trim();
}

/** Writes a file atomically, readable by its owner only. */
export function writePrivately(file: string, text: string): void {
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, file);
}

/** 32 random bytes in base64url. URL-safe, so that a connection string can contain it unescaped. */
export function randomSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}
