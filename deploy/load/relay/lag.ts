import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** How far the relay is behind: events that have no number yet, how old the oldest of them is, and calls that are owed. */
export type Lag = { readonly notNumbered: number; readonly oldestSeconds: number; readonly pending: number };

export type LagWatch = {
  /** The worst of each so far. */
  readonly worst: Lag;
  /** How many seconds from now on it takes until nothing is without its number, and until no call is owed. */
  untilZero(limitSeconds: number): Promise<{ numbered: number | undefined; delivered: number | undefined }>;
  stop(): Promise<void>;
};

const LOOK_EVERY_MS = 250;

/** Looks at the outbox while others work. */
export function watchLag(owner: pg.Client, onLook: (lag: Lag) => void): LagWatch {
  let worst: Lag = { notNumbered: 0, oldestSeconds: 0, pending: 0 };
  const looks: Lag[] = [];
  let isOver = false;
  const looking = (async () => {
    while (!isOver) {
      const lag = await readLag(owner);
      looks.push(lag);
      worst = {
        notNumbered: Math.max(worst.notNumbered, lag.notNumbered),
        oldestSeconds: Math.max(worst.oldestSeconds, lag.oldestSeconds),
        pending: Math.max(worst.pending, lag.pending),
      };
      onLook(lag);
      await sleep(LOOK_EVERY_MS);
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
      looks.length = 0;
      while (seconds() < limitSeconds) {
        const lag = looks.at(-1);
        if (lag?.notNumbered === 0) numbered ??= seconds();
        if (lag?.notNumbered === 0 && lag.pending === 0) return { numbered, delivered: seconds() };
        // A watch that has failed says so.
        await Promise.race([looking, sleep(LOOK_EVERY_MS)]);
      }
      return { numbered, delivered: undefined };
    },
    async stop() {
      isOver = true;
      await looking;
    },
  };
}

async function readLag(owner: pg.Client): Promise<Lag> {
  const { rows } = await owner.query<Lag>(
    `SELECT not_taken::int AS "notNumbered", not_taken_seconds AS "oldestSeconds", pending::int AS pending
     FROM relay_facts()`,
  );
  const [lag] = rows;
  if (lag === undefined) throw new Error('Bug! The lag of an outbox without a row');
  return lag;
}
