import { setTimeout as sleep } from 'node:timers/promises';

/** What a loop has measured, of what was answered well. */
export type Measured = {
  /** How many were answered within the window, which is so long. */
  readonly answered: number;
  readonly seconds: number;
  /** Of those, and of what was under way when the window closed: without them the slowest would be left out. */
  readonly latenciesMs: readonly number[];
};

/** Does one piece of work; false when it was not answered well, which then counts nowhere but where it was noted. */
export type Once = () => Promise<boolean>;

export type Window = {
  /** At least so long; a closed loop also waits until each lane could have had its first answer. */
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called when the measuring begins and when it ends, for what is sampled beside it. */
  onEdge?(edge: 'begin' | 'end'): void;
};

/** An open loop that is behind by more than this measures only its own queue. */
const MAX_OUTSTANDING = 20_000;
const TICK_MS = 2;
/** All lanes begin at once: until they have spread, a window would measure that burst. No longer than this, though. */
const MAX_WARM_UP_MS = 60_000;
const WARM_UP_POLL_MS = 10;

/** `lanes` workers, each with one piece of work at a time: as many clients that wait for their answers. */
export async function closedLoop(lanes: number, once: Once, window: Window): Promise<Measured> {
  const recorder = createRecorder();
  let over = false;
  const lane = async () => {
    while (!over && !window.signal?.aborted) {
      const startedAt = performance.now();
      recorder.record(startedAt, await once());
    }
  };
  const working = Array.from({ length: lanes }, lane);
  const seconds = await measure(recorder, window, lanes);
  over = true;
  await Promise.all(working);
  return { answered: recorder.answered, seconds, latenciesMs: recorder.latenciesMs };
}

/**
 * `perSecond` arrivals at even distances, whatever becomes of those before: as independent clients arrive. A latency
 * counts from the moment at which its request was due, so that a service that falls behind cannot hide it.
 */
export async function openLoop(perSecond: number, once: Once, window: Window): Promise<Measured> {
  const recorder = createRecorder();
  const working = new Set<Promise<void>>();
  const startedAt = performance.now();
  let over = false;
  let sent = 0;
  const arrive = async () => {
    while (!over && !window.signal?.aborted) {
      // The first is due at once, and each when its distance is over.
      const due = Math.floor(((performance.now() - startedAt) / 1_000) * perSecond) + 1;
      for (; sent < due; sent += 1) {
        if (working.size >= MAX_OUTSTANDING)
          throw new Error(`${perSecond} a second are far too many: give a lower rate`);
        const dueAt = startedAt + (sent / perSecond) * 1_000;
        const work = once().then((well) => recorder.record(dueAt, well));
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

/** As many pieces of work at once as `work` answers latencies for, again and again until the time is over. */
export async function rounds(work: () => Promise<readonly number[]>, window: Window): Promise<Measured> {
  await work(); // Warms up; a whole round, whatever time that takes.
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
    record(fromMs: number, well: boolean): void {
      this.ended += 1;
      if (this.window === 'before' || !well) return;
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
