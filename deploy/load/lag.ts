import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** How far the relay is behind: events without a number, the age of the oldest one, and pending webhook calls. */
export type Lag = { readonly notNumbered: number; readonly oldestSeconds: number; readonly pending: number };

export type LagWatch = {
  /** The maximum of each so far. */
  readonly worst: Lag;
  /** The seconds from now until all events are numbered, and until all calls are delivered. */
  untilZero(limitSeconds: number): Promise<{ numbered: number | undefined; delivered: number | undefined }>;
  stop(): Promise<void>;
};

const POLL_MS = 250;

/** Polls the outbox's lag during the load. */
export function watchLag(owner: pg.Client, onPoll: (lag: Lag) => void): LagWatch {
  let worst: Lag = { notNumbered: 0, oldestSeconds: 0, pending: 0 };
  const polls: Lag[] = [];
  let isOver = false;
  const polling = (async () => {
    while (!isOver) {
      const lag = await readLag(owner);
      polls.push(lag);
      worst = {
        notNumbered: Math.max(worst.notNumbered, lag.notNumbered),
        oldestSeconds: Math.max(worst.oldestSeconds, lag.oldestSeconds),
        pending: Math.max(worst.pending, lag.pending),
      };
      onPoll(lag);
      await sleep(POLL_MS);
    }
  })();
  return {
    get worst() {
      return worst;
    },
    async untilZero(limitSeconds) {
      const startedAt = performance.now();
      const seconds = () => (performance.now() - startedAt) / 1_000;
      let numbered: number | undefined;
      polls.length = 0;
      while (seconds() < limitSeconds) {
        const lag = polls.at(-1);
        if (lag?.notNumbered === 0) numbered ??= seconds();
        if (lag?.notNumbered === 0 && lag.pending === 0) return { numbered, delivered: seconds() };
        // Rejects if polling has failed.
        await Promise.race([polling, sleep(POLL_MS)]);
      }
      return { numbered, delivered: undefined };
    },
    async stop() {
      isOver = true;
      await polling;
    },
  };
}

async function readLag(owner: pg.Client): Promise<Lag> {
  const { rows } = await owner.query<Lag>(
    `SELECT not_taken::int AS "notNumbered", not_taken_seconds AS "oldestSeconds", pending::int AS pending
     FROM relay_facts()`,
  );
  const [lag] = rows;
  if (lag === undefined) throw new Error('Bug! relay_facts returned no row');
  return lag;
}
