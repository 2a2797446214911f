import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Pool, queryOnce } from '../activities/database.ts';
import type { EventStarts } from './event-starts.ts';
import type { Wakeups } from './outbox-wakeups.ts';

/**
 * Moves events out of the outbox. For a *triggered* event it starts the workflow. Then it *numbers* the event, which makes
 * it visible in lists; all other events it numbers at once. A numbered event of a company with a webhook is *pending*
 * until a *batch* delivers it.
 *
 * Each step may be repeated safely: a workflow is started under an ID derived from the event, and the event is marked
 * afterwards. A relay that dies between the two starts the workflow again, and Temporal answers that it already exists.
 */
export type OutboxRelay = {
  runOnce(): Promise<RelayCounts>;
  /** Runs until the signal, then finishes the step in progress. */
  run(signal: AbortSignal): Promise<void>;
};

export type RelayCounts = {
  readonly workflowsStarted: number;
  readonly numbered: number;
  readonly batchesStarted: number;
  /** Events or batches whose workflow could not be started; the next run tries them again. */
  readonly failed: number;
};

/** Large enough that a few UPDATEs per second process thousands of events, small enough that each is short. */
const EVENTS_A_RUN = 2_000;
const WORKFLOWS_A_RUN = 50;
const BATCHES_A_RUN = 50;
/** One workflow delivers up to this many events. */
const EVENTS_A_BATCH = 100;
/** No event waits longer than this, even when its NOTIFY is lost. */
const POLL_MS = 1_000;
const FIRST_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 30_000;

export function createOutboxRelay(options: {
  /** Its login is a member of accubooks_relay. */
  readonly pool: Pool;
  readonly starts: EventStarts;
  readonly wakeups: Wakeups;
  readonly logger: Logger;
  onRun(counts: RelayCounts): void;
}): OutboxRelay {
  const { pool, starts, wakeups, logger } = options;
  const relay: OutboxRelay = {
    async runOnce() {
      const workflows = await startTriggered(pool, starts, logger);
      const numbered = await numberEvents(pool, workflows.done);
      const batches = await startBatches(pool, starts, logger);
      const counts = {
        workflowsStarted: workflows.done.length,
        numbered,
        batchesStarted: batches.done.length,
        failed: workflows.failed + batches.failed,
      };
      options.onRun(counts);
      return counts;
    },
    async run(signal) {
      let backoffMs = FIRST_BACKOFF_MS;
      while (!signal.aborted) {
        const counts = await relay.runOnce().catch((error: unknown) => {
          logger.warn({ err: error }, 'A run of the outbox relay failed');
        });
        if (counts === undefined || counts.failed > 0) {
          await sleep(backoffMs, undefined, { signal }).catch(() => undefined);
          backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
          continue;
        }
        backoffMs = FIRST_BACKOFF_MS;
        const more = counts.numbered === EVENTS_A_RUN || counts.workflowsStarted === WORKFLOWS_A_RUN;
        if (!more) await wakeups.next(POLL_MS, signal);
      }
    },
  };
  return relay;
}

type Triggered = { id: string; company_id: string; trigger_id: string; workflow_name: string };

async function startTriggered(pool: Pool, starts: EventStarts, logger: Logger) {
  const events = await queryOnce<Triggered>(pool, 'SELECT * FROM triggered_events($1)', [WORKFLOWS_A_RUN]);
  return startEach(events, logger, async (event) => {
    const trigger = { companyId: event.company_id, triggerId: event.trigger_id };
    await starts.registered({ id: event.id, workflowName: event.workflow_name, trigger });
    return event.id;
  });
}

async function numberEvents(pool: Pool, started: readonly string[]): Promise<number> {
  const [row] = await queryOnce<{ numbered: number }>(pool, 'SELECT number_events($1, $2) AS numbered', [
    EVENTS_A_RUN,
    started,
  ]);
  return row?.numbered ?? 0;
}

async function startBatches(pool: Pool, starts: EventStarts, logger: Logger) {
  const batches = await queryOnce<{ company_id: string; batch_id: string }>(
    pool,
    'SELECT * FROM webhook_batches($1, $2)',
    [EVENTS_A_BATCH, BATCHES_A_RUN],
  );
  return startEach(batches, logger, async ({ company_id: companyId, batch_id: batchId }) => {
    // A workflow of an earlier relay run may be about to close, so only what it delivers marks its events.
    if ((await starts.webhooks({ companyId, batchId })) === 'exists') return undefined;
    await queryOnce(pool, 'SELECT mark_batch_started($1, $2)', [companyId, batchId]);
    return batchId;
  });
}

/** Starts each item in turn. One failed start must not block the rest. */
async function startEach<Item>(
  items: readonly Item[],
  logger: Logger,
  start: (item: Item) => Promise<string | undefined>,
) {
  const done: string[] = [];
  let failed = 0;
  for (const item of items) {
    try {
      const id = await start(item);
      if (id !== undefined) done.push(id);
    } catch (error) {
      failed += 1;
      logger.warn({ err: error }, 'The workflow of an outbox event or batch could not be started; it will be retried');
    }
  }
  return { done, failed };
}
