/**
 * Runs the script named by its argument in a process that exits with its parent. Its standard input is a pipe from the
 * launcher: when the launcher exits, even by SIGKILL, the pipe closes and this process drains and exits as after a SIGTERM.
 * API and worker do not know about it.
 *
 * It is the main module and not a preload (`--import`), because the worker threads that run workflows inherit preloads and
 * have no TypeScript loader at that point.
 */
import { pathToFileURL } from 'node:url';

/** Longer than a drain may take; a process that hangs is killed then. */
const GRACE_MS = 75_000;

process.stdin.once('close', exit);
process.stdin.once('error', exit);
process.stdin.resume();
(process.stdin as typeof process.stdin & { unref(): void }).unref();

await import(pathToFileURL(process.argv[2] ?? '').href);

function exit(): void {
  process.kill(process.pid, 'SIGTERM');
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), GRACE_MS).unref();
}
