import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { openPool, type Pool } from '../../../../activities/database.ts';
import { createOutboxRelay } from '../../../../worker/outbox-relay.ts';
import { watchLag } from '../../lag.ts';
import type { Side } from './side.ts';

/** Under this name {@link behindRelay} reports the time that so many events take. */
export const EVENTS = 1_000;
export const NUMBERING = `relay, ${EVENTS.toLocaleString('en')} events numbered`;
const LAG = 'relay, oldest event without a number';
/** As the worker's relay waits when there is nothing to do. */
const POLL_MS = 1_000;
const CATCH_UP_SECONDS = 60;
const STATEMENT_TIMEOUT_MS = 10_000;

/**
 * Runs the worker's relay in this process, first alone, over the events of the cases before it, then during the load. The
 * cost is that of both; the lag is the load's.
 */
export async function behindRelay(
  side: Side,
  load: () => Promise<unknown>,
): Promise<Readonly<Record<string, readonly number[]>>> {
  const pool = openPool({
    connectionString: side.database.relayDatabaseUrl,
    max: 2,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-relay',
  });
  try {
    const relay = timedRelay(pool);
    await relay.catchUp();
    const ages: number[] = [];
    const watch = watchLag(side.owner, ({ oldestSeconds }) => ages.push(oldestSeconds * 1_000));
    const over = new AbortController();
    const running = relay.run(over.signal);
    try {
      await load();
      const { numbered } = await watch.untilZero(CATCH_UP_SECONDS);
      if (numbered === undefined) side.violate(`events have no number ${CATCH_UP_SECONDS} s after the load`);
    } finally {
      over.abort();
      await Promise.all([running, watch.stop()]);
    }
    return { [NUMBERING]: [relay.msPerEvent() * EVENTS], [LAG]: ages };
  } finally {
    await pool.close();
  }
}

function timedRelay(pool: Pool) {
  const relay = createOutboxRelay({
    pool,
    // No filled company has a webhook, and none triggers a workflow.
    starts: { registered: nothingToStart, webhooks: nothingToStart },
    wakeups: { next: nothingToStart, close: nothingToStart },
    logger: pino({ level: 'silent' }),
    onRun: () => undefined,
  });
  let events = 0;
  let ms = 0;
  const catchUp = async () => {
    for (let left = true; left; ) {
      const startedAt = performance.now();
      const { numbered } = await relay.runOnce();
      left = numbered > 0;
      // A run that finds nothing is not part of the cost of an event.
      if (left) ms += performance.now() - startedAt;
      events += numbered;
    }
  };
  return {
    catchUp,
    async run(signal: AbortSignal) {
      while (!signal.aborted) {
        await catchUp();
        await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
      }
    },
    msPerEvent: () => ms / events,
  };
}

function nothingToStart(): Promise<never> {
  return Promise.reject(new Error('Bug! The benchmark has no events that start a workflow'));
}
