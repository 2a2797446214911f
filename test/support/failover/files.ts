import { execFile } from 'node:child_process';
import { chownSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A server that runs renames these to WAL segments as it likes: no copy needs them. */
const TEMPORARY = /^xlogtemp\./;

/** Copies a folder with owners and modes, since PostgreSQL insists on both; `except` names entries at its top. */
export async function copyFiles(from: string, to: string, except: readonly string[] = []): Promise<void> {
  makeFolderLike(from, to);
  const entries = readdirSync(from).filter((entry) => !except.includes(entry) && !TEMPORARY.test(entry));
  await promisify(execFile)('cp', ['-a', ...entries.map((entry) => join(from, entry)), to]);
}

function makeFolderLike(model: string, path: string): void {
  const { uid, gid } = statSync(model);
  mkdirSync(path, { mode: 0o700 });
  chownSync(path, uid, gid);
}
