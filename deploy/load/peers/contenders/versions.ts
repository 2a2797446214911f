import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectFolder } from '../../../cli/local-config.ts';

export const PEERS_FOLDER = join(import.meta.dirname, '..');

/** The version of an installed package: this folder's, else the project's; undefined if it is in neither. */
export function packageVersion(name: string): string | undefined {
  const files = [PEERS_FOLDER, projectFolder].map((folder) => join(folder, 'node_modules', name, 'package.json'));
  const file = files.find(existsSync);
  return file && (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** `1.9.1 (Server 1.31.0)` */
export function temporalVersion(binary: string): string {
  const told = execFileSync(binary, ['--version'], { encoding: 'utf8' });
  const [, cli = 'unknown', server] = /version (\S+)(?: \(Server ([\d.]+))?/.exec(told) ?? [];
  return server === undefined ? cli : `${cli} (Server ${server})`;
}

/** The commit that is measured, `-dirty` with changes of one's own; undefined outside of a git repository. */
export function ourCommit(): string | undefined {
  try {
    return execFileSync('git', ['-C', projectFolder, 'describe', '--always', '--dirty', '--exclude', '*'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}
