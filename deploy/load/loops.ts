import { setTimeout as sleep } from 'node:timers/promises';

/** What a loop has measured over its successful answers. */
export type Measured = {
  /** How many were answered within the window of `seconds`. */
  readonly answered: number;
  readonly seconds: number;
  /** Of those, and of requests in flight when the window closed; without them the slowest would be missing. */
  readonly latenciesMs: readonly number[];
};

/** Sends one request; false if it did not succeed, and is then not counted here. */
export type Once = () => Promise<boolean>;

export type Window = {
  /** The minimum; a closed loop also waits until there are as many answers as clients. */
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called when measuring begins and ends, so that the caller can take samples. */
  onEdge?(edge: 'begin' | 'end'): void;
};

/** An open loop with more requests than this in flight would only measure its own queue. */
const MAX_OUTSTANDING = 20_000;
const TICK_MS = 2;
/** All clients start at once, and a window too early would measure that burst; but do not wait longer than this. */
const MAX_WARM_UP_MS = 60_000;
const WARM_UP_POLL_MS = 10;

/** Simulates `clients` that each send a request after the answer to the one before. */
export async function closedLoop(clients: number, once: Once, window: Window): Promise<Measured> {
  const recorder = createRecorder();
  let over = false;
  const client = async () => {
    while (!over && !window.signal?.aborted) {
      const startedAt = performance.now();
      recorder.record(startedAt, await once());
    }
  };
  const working = Array.from({ length: clients }, client);
  const seconds = await measure(recorder, window, clients);
  over = true;
  await Promise.all(working);
  return { answered: recorder.answered, seconds, latenciesMs: recorder.latenciesMs };
}

/**
 * Sends `perSecond` requests at even intervals, independent of earlier answers, as independent clients do. A latency counts
 * from the time at which the request was due, so that a service that falls behind cannot hide it.
 */
export async function openLoop(perSecond: number, once: Once, window: Window): Promise<Measured> {
  const recorder = createRecorder();
  const working = new Set<Promise<void>>();
  const startedAt = performance.now();
  let over = false;
  let sent = 0;
  const arrive = async () => {
    while (!over && !window.signal?.aborted) {
      // The first is due at once, each further one after its interval.
      const due = Math.floor(((performance.now() - startedAt) / 1_000) * perSecond) + 1;
      for (; sent < due; sent += 1) {
        if (working.size >= MAX_OUTSTANDING)
          throw new Error(`${perSecond} requests per second are far too many: give a lower rate`);
        const dueAt = startedAt + (sent / perSecond) * 1_000;
        const work = once().then((succeeded) => recorder.record(dueAt, succeeded));
        working.add(work);
        void work.finally(() => working.delete(work));
      }
      await sleep(TICK_MS);
    }
  };
  const arriving = arrive();
  const seconds = await Promise.race([measure(recorder, window, 0), arriving.then(() => 0)]);
  over = true;
  await arriving;
  await Promise.all(working);
  return { answered: recorder.answered, seconds, latenciesMs: recorder.latenciesMs };
}

/** Repeats `work`, a round of concurrent requests that returns their latencies, until the time is over. */
export async function rounds(work: () => Promise<readonly number[]>, window: Window): Promise<Measured> {
  await work(); // A whole round to warm up, however long it takes.
  const latenciesMs: number[] = [];
  window.onEdge?.('begin');
  const startedAt = performance.now();
  let busyMs = 0;
  while (performance.now() - startedAt < window.measureMs && !window.signal?.aborted) {
    const roundAt = performance.now();
    const latencies = await work();
    busyMs += performance.now() - roundAt;
    for (const latency of latencies) latenciesMs.push(latency);
  }
  window.onEdge?.('end');
  return { answered: latenciesMs.length, seconds: busyMs / 1_000, latenciesMs };
}

type Recorder = ReturnType<typeof createRecorder>;

function createRecorder() {
  return {
    window: 'before' as 'before' | 'open' | 'closed',
    ended: 0,
    answered: 0,
    latenciesMs: [] as number[],
    record(fromMs: number, succeeded: boolean): void {
      this.ended += 1;
      if (this.window === 'before' || !succeeded) return;
      if (this.window === 'open') this.answered += 1;
      this.latenciesMs.push(performance.now() - fromMs);
    },
  };
}

async function measure(recorder: Recorder, window: Window, endedFirst: number): Promise<number> {
  await warmUp(recorder, window, endedFirst);
  window.onEdge?.('begin');
  const startedAt = performance.now();
  recorder.window = 'open';
  await sleep(window.measureMs, undefined, { signal: window.signal }).catch(() => undefined);
  recorder.window = 'closed';
  window.onEdge?.('end');
  return (performance.now() - startedAt) / 1_000;
}

async function warmUp(recorder: Recorder, { warmUpMs, signal }: Window, endedFirst: number): Promise<void> {
  await sleep(warmUpMs, undefined, { signal }).catch(() => undefined);
  const deadline = performance.now() + MAX_WARM_UP_MS;
  while (recorder.ended < endedFirst && performance.now() < deadline && !signal?.aborted) await sleep(WARM_UP_POLL_MS);
}
