import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { dataFolder, projectFolder } from '../cli/local-config.ts';
import { commandLine, endProcess, isAlive } from './processes.ts';
import type { Service } from './supervise.ts';

/** Longer than a request may wait (at most 60 s) and than the processes' own drain limits. */
const DRAIN_MS = 75_000;
/** Processes exit with their parent, so one left over from a killed launcher is already exiting. */
const LEFTOVER_GRACE_MS = 5_000;
const EXIT_WITH_PARENT = 'deploy/local/exit-with-parent.ts';

/** API or worker, in its own process group, with its output in DATA_DIR/logs. */
export function nodeProcess(name: string, script: string, environment: Record<string, string>): Service {
  const logFile = join(dataFolder(), 'logs', `${name}.log`);
  return {
    name,
    logFile,
    async start() {
      const log = openSync(logFile, 'a', 0o600);
      const child = spawn(process.execPath, ['--import', 'tsx', EXIT_WITH_PARENT, script], {
        cwd: projectFolder,
        env: environment,
        detached: true,
        // The child exits when this pipe closes, and so with this process (exit-with-parent.ts).
        stdio: ['pipe', log, log],
      });
      closeSync(log);
      await once(child, 'spawn');
      const pid = child.pid as number;
      writeFileSync(pidFile(name), String(pid));
      return {
        pid,
        async stop() {
          await endProcess(pid, DRAIN_MS);
          rmSync(pidFile(name), { force: true });
        },
      };
    },
  };
}

/** Builds the workflow bundle and returns its file. */
export async function buildBundle(): Promise<string> {
  const file = join(runFolder(), 'workflow-bundle.js');
  const script = fileURLToPath(new URL('./bundle.ts', import.meta.url));
  await promisify(execFile)(process.execPath, ['--import', 'tsx', script, file], { cwd: projectFolder });
  return file;
}

/** Builds the console and returns its folder. */
export async function buildLocalConsole(): Promise<string> {
  const folder = join(runFolder(), 'console');
  // Imported only here: esbuild takes a tenth of a second, and most commands do without it.
  const { buildConsole } = await import('../console/build-console.ts');
  await buildConsole(folder);
  return folder;
}

/** Ends a process that a killed launcher left behind and that still holds its port. */
export async function endLeftover(name: string, script: string): Promise<void> {
  const file = pidFile(name);
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8'));
  if (isAlive(pid) && commandLine(pid).includes(`${EXIT_WITH_PARENT} ${script}`))
    await endProcess(pid, LEFTOVER_GRACE_MS);
  rmSync(file, { force: true });
}

function pidFile(name: string): string {
  return join(runFolder(), `${name}.pid`);
}

function runFolder(): string {
  const folder = join(dataFolder(), 'run');
  mkdirSync(folder, { recursive: true });
  return folder;
}
