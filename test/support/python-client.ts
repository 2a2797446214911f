import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporalBinaryConfig } from '../../deploy/local/config.ts';
import { reason } from '../../deploy/local/fetched-binary.ts';

const run = promisify(execFile);
const FOLDER = join(import.meta.dirname, 'python-client');
const REQUIREMENTS = join(FOLDER, 'requirements.txt');
/** Ten megabytes, over a slow line. */
const INSTALL_TIMEOUT_MS = 300_000;
/** Debian has `ensurepip`, without which `venv` makes no environment, in a package of its own. */
const PREREQUISITES = `
import ensurepip, sys, venv
sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed")
print(sys.version, sys.executable)
`;

/**
 * A Python with openapi-python-client, and with what its generated clients need; else why there is none. Installed once, into
 * the cache: the name tells which packages are in it.
 */
export async function resolvePython(): Promise<{ python: string } | { missing: string }> {
  try {
    const { stdout: interpreter } = await run('python3', ['-c', PREREQUISITES]);
    const name = createHash('sha256').update(interpreter).update(readFileSync(REQUIREMENTS)).digest('hex').slice(0, 12);
    const { cacheFolder } = temporalBinaryConfig();
    const environment = join(cacheFolder, `python-${name}`);
    if (!existsSync(environment)) await install(cacheFolder, environment);
    return { python: join(environment, 'bin/python') };
  } catch (error) {
    return { missing: reason(error) };
  }
}

/** In a folder beside it, renamed once it is whole. Only its `bin/python` may be used: scripts have the first folder's name. */
async function install(cacheFolder: string, environment: string): Promise<void> {
  mkdirSync(cacheFolder, { recursive: true });
  const temporary = mkdtempSync(join(cacheFolder, 'fetching-'));
  try {
    await run('python3', ['-m', 'venv', temporary]);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:'];
    await run(join(temporary, 'bin/python'), [...pip, '--require-hashes', '-r', REQUIREMENTS], {
      timeout: INSTALL_TIMEOUT_MS,
    });
    // Another run may have been faster.
    if (!existsSync(environment)) renameSync(temporary, environment);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** The client that is generated from the document at that URL, installed where `modules` says; `told` is all that the generator said. */
export async function generateClient(
  python: string,
  { documentUrl, folder }: { readonly documentUrl: string; readonly folder: string },
): Promise<{ modules: string; told: string }> {
  const [source, modules] = [join(folder, 'source'), join(folder, 'modules')];
  const generated = await run(
    python,
    [
      '-m',
      'openapi_python_client',
      'generate',
      '--url',
      documentUrl,
      '--config',
      join(FOLDER, 'generator.yaml'),
    ].concat(['--meta', 'setup', '--output-path', source]),
  );
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--no-index'];
  await run(python, [...pip, '--no-build-isolation', '--target', modules, source]);
  return { modules, told: generated.stdout + generated.stderr };
}

/** What the script prints, which is JSON. */
export async function runScript(
  python: string,
  { modules, environment }: { readonly modules: string; readonly environment: Readonly<Record<string, string>> },
): Promise<unknown> {
  const { stdout } = await run(python, [join(FOLDER, 'smoke.py')], { env: { ...environment, PYTHONPATH: modules } });
  return JSON.parse(stdout);
}
