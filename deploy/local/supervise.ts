import { setTimeout as sleep } from 'node:timers/promises';
import { LINES_OF_AN_ERROR, logTail } from './log-tail.ts';
import { isAlive } from './processes.ts';

/** A process that runs; it need not be a child of ours. */
export type Running = { readonly pid: number; stop(): Promise<void> };

/** `start` starts it at the place where it was before, and resolves once that has happened. */
export type Service = { readonly name: string; readonly logFile: string; start(): Promise<Running> };

export type Supervised = {
  pid(): number;
  /** Ends it in its own good time and starts it again; no death. One that does not come up is started again as usual. */
  restart(): Promise<void>;
  stop(): Promise<void>;
};

const POLL_MS = 200;
/** The first death is answered at once; one that dies again and again gets a breath, within the promised 5 s. */
const RESTART_PAUSE_MS = 500;
const DEATHS_TO_GIVE_UP = 5;
const DEATHS_WINDOW_MS = 60_000;
/** While somebody mends the source, which kills it until then. */
const PATIENT_PAUSE_MS = 3_000;

/**
 * Keeps a service running: one that dies is started again, until it has died five times within a minute. It looks
 * rather than listens, since a server taken over from an earlier run sends no exit event.
 */
export async function supervise(
  service: Service,
  on: {
    /** It died and runs again, under another pid. */
    restarted(): void;
    gaveUp(error: Error): void;
    log(line: string): void;
    /** Never gives up: its source is being worked on. */
    readonly patient?: boolean;
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
      await Promise.allSettled([watch, restarting]); // It may just be starting the service again.
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
    let deaths: number[] = [];
    while (await pause(POLL_MS)) {
      if (restarting !== undefined || isAlive(running.pid)) continue;
      const now = Date.now();
      deaths = [...deaths.filter((at) => at > now - DEATHS_WINDOW_MS), now];
      if (deaths.length >= DEATHS_TO_GIVE_UP && !on.patient) {
        on.gaveUp(
          new Error(`${service.name} died ${deaths.length} times within a minute. ${logTail(service.logFile)}`),
        );
        return;
      }
      on.log(`${service.name} (process ${running.pid}) died; starting it again`);
      if (on.patient && deaths.length === 2) on.log(logTail(service.logFile, LINES_OF_AN_ERROR));
      if (deaths.length > 1 && !(await pause(on.patient ? PATIENT_PAUSE_MS : RESTART_PAUSE_MS))) return;
      if (restarting !== undefined || isAlive(running.pid)) continue; // By its reload, meanwhile.
      try {
        running = await service.start();
        on.restarted();
      } catch (error) {
        on.log(`${service.name}: ${(error as Error).message}`); // Counts as its next death.
      }
    }
  }

  /** False when it is over. */
  async function pause(ms: number): Promise<boolean> {
    await sleep(ms, undefined, { signal: stopping.signal }).catch(() => {});
    return !stopping.signal.aborted;
  }
}
