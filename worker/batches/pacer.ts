import { asApplication } from '../../activities/as-application.ts';
import type { Pool } from '../../activities/database.ts';

/** How the transactions of batches give way to the writes that somebody waits for. */
export type Pacer = {
  /** Whether API processes have made writes lately. */
  readonly isGivingWay: boolean;
  /** Runs a transaction, at once or in its turn. */
  pace<T>(work: () => Promise<T>): Promise<T>;
  close(): void;
};

const LOOK_MS = 1_000;
/** After its last sign an API process is taken for gone, and one that has been idle for so long for idle. */
const SINCE_S = 4;
/** While others write: how long batches rest after each transaction, as a multiple of what that took. */
const REST = 1;

/**
 * While API processes make writes, the batches of this process have one transaction at a time, and rest as long as each took. So
 * whatever else the machine does, they leave at least half of one connection's work to the others. With nobody waiting, they take
 * all they can. `pool` is asked once a second for what the lanes of API processes report.
 */
export function createPacer(pool: Pool): Pacer {
  let isGivingWay = false;
  let last: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    hasForegroundWrites(pool).then(
      (found) => {
        isGivingWay = found;
      },
      // As long as the database does not answer, nobody writes.
      () => undefined,
    );
  }, LOOK_MS);
  timer.unref();

  return {
    get isGivingWay() {
      return isGivingWay;
    },
    async pace(work) {
      if (!isGivingWay) return work();
      const before = last;
      let rested: () => void = () => undefined;
      last = new Promise((resolve) => {
        rested = resolve;
      });
      await before;
      const sinceMs = performance.now();
      try {
        return await work();
      } finally {
        setTimeout(rested, isGivingWay ? (performance.now() - sinceMs) * REST : 0);
      }
    },
    close: () => clearInterval(timer),
  };
}

async function hasForegroundWrites(pool: Pool): Promise<boolean> {
  const [found] = await asApplication(pool, (tx) =>
    tx.query<{ busy: boolean }>(
      `SELECT EXISTS (
         SELECT FROM lanes l WHERE l.version = trusted_version() AND l.wrote_at > clock_timestamp() - make_interval(secs => $1)
       ) AS busy`,
      [SINCE_S],
    ),
  );
  return found?.busy === true;
}
