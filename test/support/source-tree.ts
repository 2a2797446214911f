import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SourceFile } from './tidy-rules.ts';

const PROJECT_FOLDER = join(import.meta.dirname, '../..');

/** The files of the repository as git sees them: tracked or new, but not ignored. */
export function listPaths(): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: PROJECT_FOLDER,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  // What is deleted, and the deletion not committed, is listed, too.
  return [...new Set(listed.split('\0'))].filter((path) => path !== '' && existsInTree(path));
}

/** The text files among them. */
export function readSourceTree(): SourceFile[] {
  return listPaths()
    .filter((path) => /\.(ts|cjs|json|sql|md|ya?ml|sh)$/.test(path) && !path.endsWith('package-lock.json'))
    .map((path) => ({ path, text: readFileSync(join(PROJECT_FOLDER, path), 'utf8') }));
}

export function existsInTree(path: string): boolean {
  return existsSync(join(PROJECT_FOLDER, path));
}
