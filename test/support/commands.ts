import { type ChildProcess, type ExecFileException, execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { PAYLOAD_KEYS } from './payload-keys.ts';
import { compiled } from './program.ts';

/** What a command of `npm run` left: its exit code and what it printed. */
export type CommandEnd = { readonly code: number; readonly stdout: string; readonly stderr: string };

const projectFolder = fileURLToPath(new URL('../../', import.meta.url));
const TIMEOUT_MS = 150_000;

/**
 * Runs a command's script as `npm run` does, without a terminal and with this environment alone. As in production, so that
 * no local system is looked for.
 */
export function runCommand(
  script: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<CommandEnd> {
  return new Promise((resolve) => {
    startCommand(script, args, environment, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr }),
    );
  });
}

/** The same, to be ended in the middle. */
export function startCommand(
  script: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  onEnd: (error: ExecFileException | null, stdout: string, stderr: string) => void = () => undefined,
): ChildProcess {
  const options = {
    cwd: projectFolder,
    env: { PATH: process.env['PATH'], NODE_ENV: 'production', PAYLOAD_KEYS, ...environment },
    timeout: TIMEOUT_MS,
  };
  const child = execFile(process.execPath, [compiled(script), ...args], options, onEnd);
  child.stdin?.end();
  return child;
}

/** The owner's login at that database, as an operator has it. */
export function ownerUrlOf(owner: { readonly options: object }): string {
  return (owner.options as { connectionString: string }).connectionString;
}
