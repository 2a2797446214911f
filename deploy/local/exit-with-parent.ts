/**
 * Runs the process named by its argument on a leash: when the launcher is gone, however it went, the pipe that is this
 * process's standard input ends, and it drains and ends as after any SIGTERM. API and worker know nothing of it.
 *
 * The script's main module rather than a preload (`--import`): a preload is inherited by the worker threads that run
 * workflows, which have no TypeScript loader at that point.
 */
import { pathToFileURL } from 'node:url';

/** Longer than a drain may take; then one that hangs is gone too. */
const GRACE_MS = 75_000;

process.stdin.once('close', letGo);
process.stdin.once('error', letGo);
process.stdin.resume();
(process.stdin as typeof process.stdin & { unref(): void }).unref();

await import(pathToFileURL(process.argv[2] ?? '').href);

function letGo(): void {
  process.kill(process.pid, 'SIGTERM');
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), GRACE_MS).unref();
}
