import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { crashPoint } from '../activities/crash-points.ts';
import { type Pool, queryOnce } from '../activities/database.ts';
import type { EventStarts } from './event-starts.ts';
import { createBell, type Wakeups } from './outbox-wakeups.ts';

/**
 * Moves events out of the outbox. For a *triggered* event it starts the workflow. Then it *numbers* the event, which makes
 * it visible in lists; all other events it numbers at once. A numbered event of a company with a webhook is *pending*
 * until a *batch* delivers it.
 *
 * Each step may be repeated safely: a workflow is started under an ID derived from the event, and the event is marked
 * afterwards. A relay that dies between the two starts the workflow again, and Temporal answers that it already exists.
 */
export type OutboxRelay = {
  /** Each step once, one after the other. */
  runOnce(): Promise<RelayCounts>;
  /** Runs until the signal, each step at its own pace; then finishes what is in progress. */
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
/** The starts run after each numbering; by themselves they only run when that hangs. */
const UNCALLED_POLL_MS = 2 * POLL_MS;
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

  async function startWorkflows(signal?: AbortSignal): Promise<StepCounts> {
    const { done, failed } = await startTriggered(pool, starts, { logger, signal });
    const numbered = done.length === 0 ? 0 : await numberEvents(pool, { others: 0, started: done });
    return { ...NOTHING, workflowsStarted: done.length, numbered, failed, isFull: done.length === WORKFLOWS_A_RUN };
  }
  async function number(): Promise<StepCounts> {
    const numbered = await numberEvents(pool, { others: EVENTS_A_RUN, started: [] });
    return { ...NOTHING, numbered, isFull: numbered === EVENTS_A_RUN };
  }
  async function startWebhooks(signal?: AbortSignal): Promise<StepCounts> {
    const { done, failed } = await startBatches(pool, starts, { logger, signal });
    return { ...NOTHING, batchesStarted: done.length, failed, isFull: done.length === BATCHES_A_RUN };
  }

  /** Repeats a step, at once while there is more to do, else when it is woken. After a failure it waits, longer each time. */
  async function keepDoing(
    step: (signal: AbortSignal) => Promise<StepCounts>,
    { signal, wait, after }: { signal: AbortSignal; wait: () => Promise<void>; after: (counts: StepCounts) => void },
  ): Promise<void> {
    let backoffMs = FIRST_BACKOFF_MS;
    while (!signal.aborted) {
      const counts = await step(signal).catch((error: unknown) => {
        logger.warn({ err: error }, 'A run of the outbox relay failed');
      });
      if (counts !== undefined) {
        options.onRun(counts);
        after(counts);
      }
      if (counts === undefined || counts.failed > 0) {
        await sleep(backoffMs, undefined, { signal }).catch(() => undefined);
        backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
        continue;
      }
      backoffMs = FIRST_BACKOFF_MS;
      if (!counts.isFull) await wait();
    }
  }

  return {
    async runOnce() {
      const counts = [await startWorkflows(), await number(), await startWebhooks()].reduce<RelayCounts>(plus, NOTHING);
      options.onRun(counts);
      return counts;
    },
    async run(signal) {
      // A start takes as long as Temporal takes to answer it, so none of them may keep the others, or the numbers, waiting.
      const [workflows, webhooks] = [createBell(), createBell()];
      await Promise.all([
        keepDoing(number, {
          signal,
          wait: () => wakeups.next(POLL_MS, signal),
          after() {
            workflows.ring();
            webhooks.ring();
          },
        }),
        keepDoing(startWorkflows, {
          signal,
          wait: () => workflows.next(UNCALLED_POLL_MS, signal),
          after: ({ numbered }) => numbered > 0 && webhooks.ring(),
        }),
        keepDoing(startWebhooks, {
          signal,
          wait: () => webhooks.next(UNCALLED_POLL_MS, signal),
          after: () => {},
        }),
      ]);
    },
  };
}

type StepCounts = RelayCounts & {
  /** It has done as much as one run does: there may be more. */
  readonly isFull: boolean;
};

const NOTHING: RelayCounts = { workflowsStarted: 0, numbered: 0, batchesStarted: 0, failed: 0 };

function plus(a: RelayCounts, b: RelayCounts): RelayCounts {
  return {
    workflowsStarted: a.workflowsStarted + b.workflowsStarted,
    numbered: a.numbered + b.numbered,
    batchesStarted: a.batchesStarted + b.batchesStarted,
    failed: a.failed + b.failed,
  };
}

type Starting = { readonly logger: Logger; readonly signal: AbortSignal | undefined };

type Triggered = { id: string; company_id: string; trigger_id: string; workflow_name: string };

async function startTriggered(pool: Pool, starts: EventStarts, starting: Starting) {
  const events = await queryOnce<Triggered>(pool, 'SELECT * FROM triggered_events($1)', [WORKFLOWS_A_RUN]);
  return startEach(events, starting, async (event) => {
    const trigger = { companyId: event.company_id, triggerId: event.trigger_id };
    await starts.registered({ id: event.id, workflowName: event.workflow_name, trigger });
    crashPoint('relay: workflow started');
    return event.id;
  });
}

/** Numbers up to so many `others`, and those whose workflow has been `started`. */
async function numberEvents(
  pool: Pool,
  { others, started }: { readonly others: number; readonly started: readonly string[] },
): Promise<number> {
  const [row] = await queryOnce<{ numbered: number }>(pool, 'SELECT number_events($1, $2) AS numbered', [
    others,
    started,
  ]);
  return row?.numbered ?? 0;
}

async function startBatches(pool: Pool, starts: EventStarts, starting: Starting) {
  const batches = await queryOnce<{ company_id: string; batch_id: string }>(
    pool,
    'SELECT * FROM webhook_batches($1, $2)',
    [EVENTS_A_BATCH, BATCHES_A_RUN],
  );
  return startEach(batches, starting, async ({ company_id: companyId, batch_id: batchId }) => {
    // A workflow of an earlier relay run may be about to close, so only what it delivers marks its events.
    if ((await starts.webhooks({ companyId, batchId })) === 'exists') return undefined;
    crashPoint('relay: batch started');
    await queryOnce(pool, 'SELECT mark_batch_started($1, $2)', [companyId, batchId]);
    return batchId;
  });
}

/** Starts each item in turn, until the signal. One failed start must not block the rest. */
async function startEach<Item>(
  items: readonly Item[],
  { logger, signal }: Starting,
  start: (item: Item) => Promise<string | undefined>,
) {
  const done: string[] = [];
  let failed = 0;
  for (const item of items) {
    if (signal?.aborted === true) break;
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
