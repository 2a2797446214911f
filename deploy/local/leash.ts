/**
 * Preloaded into API and worker by `npm start` (`--import`), so that they know nothing of it: when the launcher is
 * gone, however it went, the pipe that is their standard input ends, and they drain and end as after any SIGTERM.
 */
import { isMainThread } from 'node:worker_threads';

/** Longer than a drain takes; then even a hung process is gone. */
const GRACE_MS = 20_000;

// Threads inherit the preload, but have no standard input.
if (isMainThread) {
  process.stdin.once('close', letGo);
  process.stdin.once('error', letGo);
  process.stdin.resume();
  (process.stdin as typeof process.stdin & { unref(): void }).unref();
}

function letGo(): void {
  process.kill(process.pid, 'SIGTERM');
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), GRACE_MS).unref();
}
