import { setTimeout as sleep } from 'node:timers/promises';
import { ERROR_LOG_LINES, logTail } from './log-tail.ts';
import { isAlive } from './processes.ts';

/** A running process, not necessarily a child of ours. */
export type Running = { readonly pid: number; stop(): Promise<void> };

/** `start` resolves once the service is started; a restart uses the same address. */
export type Service = { readonly name: string; readonly logFile: string; start(): Promise<Running> };

export type Supervised = {
  pid(): number;
  /** Stops the service gracefully and starts it again, which does not count as a crash. If that fails, supervision goes on. */
  restart(): Promise<void>;
  stop(): Promise<void>;
};

const POLL_MS = 200;
/** After the first crash the restart is immediate; after further ones it waits, within the promised 5 s. */
const RESTART_PAUSE_MS = 500;
const CRASHES_TO_GIVE_UP = 5;
const CRASH_WINDOW_MS = 60_000;
/** The pause while a developer fixes the source that makes it crash. */
const RESTART_FOREVER_PAUSE_MS = 3_000;

/**
 * Keeps a service running: restarts it after a crash, until it has crashed five times within a minute. It polls, because a
 * server taken over from an earlier run sends no exit event.
 */
export async function supervise(
  service: Service,
  on: {
    /** The service runs again, with another process ID. */
    restarted(): void;
    gaveUp(error: Error): void;
    log(line: string): void;
    /** Never gives up, because a developer is working on the source. */
    readonly restartForever?: boolean;
  },
): Promise<Supervised> {
  let running = await service.start();
  let restarting: Promise<void> | undefined;
  const stopping = new AbortController();
  const watch = keepRunning();
  return {
    pid: () => running.pid,
    restart: () => (restarting ??= restart().finally(() => (restarting = undefined))),
    async stop() {
      stopping.abort();
      await Promise.allSettled([watch, restarting]); // A restart may be in progress.
      await running.stop();
    },
  };

  async function restart(): Promise<void> {
    await running.stop();
    if (stopping.signal.aborted) return;
    running = await service.start();
    on.restarted();
  }

  async function keepRunning(): Promise<void> {
    let crashes: number[] = [];
    while (await pause(POLL_MS)) {
      if (restarting !== undefined || isAlive(running.pid)) continue;
      const now = performance.now();
      crashes = [...crashes.filter((at) => at > now - CRASH_WINDOW_MS), now];
      if (crashes.length >= CRASHES_TO_GIVE_UP && !on.restartForever) {
        on.gaveUp(
          new Error(`${service.name} crashed ${crashes.length} times within a minute. ${logTail(service.logFile)}`),
        );
        return;
      }
      on.log(`${service.name} (process ${running.pid}) crashed; restarting it`);
      if (on.restartForever && crashes.length === 2) on.log(logTail(service.logFile, ERROR_LOG_LINES));
      if (crashes.length > 1 && !(await pause(on.restartForever ? RESTART_FOREVER_PAUSE_MS : RESTART_PAUSE_MS))) return;
      if (restarting !== undefined || isAlive(running.pid)) continue; // A reload has restarted it meanwhile.
      try {
        running = await service.start();
        on.restarted();
      } catch (error) {
        on.log(`${service.name}: ${(error as Error).message}`); // Counts as the next crash.
      }
    }
  }

  /** False if supervision was stopped meanwhile. */
  async function pause(ms: number): Promise<boolean> {
    await sleep(ms, undefined, { signal: stopping.signal }).catch(() => {});
    return !stopping.signal.aborted;
  }
}
