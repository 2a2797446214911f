import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { projectFolder } from '../../deploy/cli/local-config.ts';
import { openThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';

export type TestRun = {
  /** Full names of the tests that failed. */
  readonly failed: readonly string[];
  /** Files that failed outside of their tests, with the reason. */
  readonly broken: readonly string[];
};

/** A copy of this project, with what is not committed yet, in a folder that does not outlive this process. */
export function openCopy() {
  const throwaway = openThrowawayFolder();
  const folder = join(throwaway.path, 'project');
  const git = (...args: string[]) => execFileSync('git', args, { cwd: projectFolder, encoding: 'utf8' });
  for (const file of git('ls-files', '-z', '--cached', '--others', '--exclude-standard').split('\0').filter(Boolean)) {
    if (!existsSync(join(projectFolder, file))) continue; // Deleted, but not committed yet.
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(projectFolder, file), join(folder, file));
  }
  for (const shared of ['node_modules', '.cache']) symlinkSync(join(projectFolder, shared), join(folder, shared));
  // A repository of its own: within another one, `git apply` skips what lies outside of the folder that it runs in.
  execFileSync('git', ['init', '--quiet'], { cwd: folder });
  const applies = (...args: string[]) => {
    try {
      execFileSync('git', ['apply', ...args], { cwd: folder, stdio: 'pipe' });
      return true;
    } catch {
      return false;
    }
  };
  return {
    folder,
    /** False if the code has changed so that the patch no longer fits. */
    apply: (patch: string) => applies(patch),
    revert(patch: string) {
      if (!applies('--reverse', patch)) throw new Error(`Bug! ${patch} cannot be taken back`);
    },
    runTests: (files: readonly string[], options: { readonly bail: boolean }) => runTests(folder, files, options),
    remove: () => throwaway.remove(),
  };
}

/** Attacks run with the tests of the system (vitest.config.ts). */
function projectOf(folder: string): string {
  return folder === 'security' ? 'system' : folder;
}

/** What has no short form runs with the long ones (vitest.config.ts). */
function formOf(files: readonly string[]): 'short' | 'long' {
  return files.some((file) => file.startsWith('test/slow/long/')) ? 'long' : 'short';
}

/** Several times what the slowest of the files takes on a busy machine. */
const LIMIT_MS = 15 * 60_000;

async function runTests(folder: string, files: readonly string[], { bail }: { bail: boolean }): Promise<TestRun> {
  const result = join(folder, 'result.json');
  rmSync(result, { force: true });
  const projects = [...new Set(files.map((file) => projectOf(file.split('/')[1] as string)))];
  const child = spawn(
    process.execPath,
    [
      'node_modules/vitest/vitest.mjs',
      'run',
      ...projects.flatMap((project) => ['--project', project]),
      ...['--reporter=json', `--outputFile=${result}`, ...(bail ? ['--bail=1'] : [])],
      ...files,
    ],
    // A process group of its own: a worker in an endless loop would outlive its parent.
    { cwd: folder, stdio: 'ignore', detached: true, env: { ...process.env, TEST_FORM: formOf(files) } },
  );
  const end = () => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL');
  const interrupted = () => process.exit(130);
  process.once('exit', end).once('SIGINT', interrupted).once('SIGTERM', interrupted);
  let isTooLong = false;
  const timer = setTimeout(() => {
    isTooLong = true;
    end();
  }, LIMIT_MS);
  const [code] = await once(child, 'exit');
  clearTimeout(timer);
  process.off('exit', end).off('SIGINT', interrupted).off('SIGTERM', interrupted);
  if (isTooLong) return { failed: [`no test: it had not ended after ${LIMIT_MS / 60_000} minutes`], broken: [] };
  if (!existsSync(result)) return { failed: [], broken: [`the test run ended with ${code} before its result`] };
  const { failed, broken } = readResult(folder, JSON.parse(readFileSync(result, 'utf8')) as Result);
  // The servers did not start, or a test left something behind: neither says anything of a mechanism.
  const isUntold = code !== 0 && failed.length + broken.length === 0;
  return { failed, broken: isUntold ? [`the test run ended with ${code}, though no test failed`] : broken };
}

type Result = {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
};

function readResult(folder: string, { testResults }: Result): TestRun {
  const failed = testResults.flatMap(({ assertionResults }) =>
    assertionResults.flatMap(({ status, fullName }) => (status === 'failed' ? [fullName] : [])),
  );
  const broken = testResults
    .filter(
      ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((one) => one.status === 'failed'),
    )
    .map(({ name, message }) => `${relative(folder, name)}: ${message.split('\n')[0]}`);
  return { failed, broken };
}
