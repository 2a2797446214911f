import { setTimeout as sleep } from 'node:timers/promises';
import { submitWrite } from '../client/src/submit-write.ts';
import { createRandom, type Random, seededNumbers } from '../simulate/requests/random.ts';
import type { ChaosSent, Planned, Ran, Stage, Trouble } from './scenario.ts';

/** One client: what it writes next, at the same moment; nothing when it has no more. Called again only after the answers. */
export type Client = (random: Random, count: number) => Promise<readonly Planned[]> | readonly Planned[];

export type LoadOptions = {
  /** Between an answer and the next write, at random up to this. Without it, there is none. */
  readonly pauseMs?: number;
  /** The connection of one write; by default that of the stage. */
  http?(random: Random): Stage['http'];
};

/** Longer than any trouble: a client that waits for less could not tell a slow answer from a lost one. */
const GIVE_UP_AFTER_MS = 180_000;
const TICK_MS = 500;

/**
 * Each client keeps a key until its final answer, then takes the next one. Some keys are sent twice at the same moment, some
 * once more after their answer. No client begins another write when `trouble` is over; those under way are waited for.
 * Without `trouble` they go on until none has more to write.
 */
export async function underLoad(
  stage: Stage,
  clients: readonly Client[],
  options: LoadOptions & { trouble?(): Promise<readonly Trouble[]> } = {},
): Promise<Ran> {
  const sent: ChaosSent[] = [];
  let [isOver, lastSuccessAt] = [false, performance.now()];
  const loadBeganAt = performance.now();

  const send = async (planned: Planned, random: Random) => {
    const beganAt = performance.now();
    const http = options.http?.(random) ?? stage.http;
    const submitted = await submitWrite(http, planned.write, { deadlineMs: GIVE_UP_AFTER_MS });
    const answeredAt = performance.now();
    if (isSuccess(submitted.final?.status)) lastSuccessAt = answeredAt;
    sent.push({ ...planned, submitted, beganAt, answeredAt, latencyMs: answeredAt - beganAt });
  };
  const work = async (client: Client, number: number) => {
    const random = createRandom(seededNumbers(`${stage.seed}:${number}`), 0);
    for (let count = 0; !isOver && !stage.signal.aborted; count += 1) {
      const planned = await client(random, count);
      if (planned.length === 0) return;
      const { atOnce, later } = random.pick(COPIES);
      const copies = Array.from({ length: atOnce }, () => planned).flat();
      await Promise.all(copies.map((one) => send(one, random)));
      if (later) await Promise.all(planned.map((one) => send(one, random)));
      if (options.pauseMs !== undefined) await sleep(random.nat(options.pauseMs));
    }
  };

  const ticking = setInterval(() => {
    const silent = ((performance.now() - lastSuccessAt) / 1_000).toFixed(1);
    stage.progress.update(`${sent.length} answered, ${isOver ? 'waiting for the last' : `silent for ${silent} s`}`);
  }, TICK_MS);
  try {
    const working = Promise.all(clients.map(work));
    working.catch(() => undefined);
    const troubles = await (options.trouble?.() ?? working.then(() => []));
    isOver = true;
    const loadEndedAt = performance.now();
    await working;
    return { sent, loadBeganAt, loadEndedAt, troubles };
  } finally {
    isOver = true;
    clearInterval(ticking);
  }
}

const COPIES = [
  ...Array.from({ length: 7 }, () => ({ atOnce: 1, later: false })),
  ...Array.from({ length: 2 }, () => ({ atOnce: 2, later: false })),
  { atOnce: 1, later: true },
];

export function isSuccess(status: number | undefined): boolean {
  return status === 200 || status === 201;
}

/** Ends early, with an error, at Ctrl-C. */
export async function pause(stage: Stage, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: stage.signal });
}

const CALM_BEFORE_MS = 6_000;
/** Three kills a minute: the local system gives a service up that crashes five times in a minute. */
const CALM_AFTER_MS = 20_000;

/** Calm, then trouble and calm in turn until the time is over: at least once, and never cut short. */
export async function inTurns(stage: Stage, once: () => Promise<Trouble>): Promise<Trouble[]> {
  const until = performance.now() + stage.seconds * 1_000;
  const troubles: Trouble[] = [];
  await pause(stage, CALM_BEFORE_MS);
  do {
    stage.progress.done(`trouble ${troubles.length + 1} begins`);
    troubles.push(await once());
    stage.progress.done('and is over');
    await pause(stage, CALM_AFTER_MS);
  } while (performance.now() < until);
  return troubles;
}
