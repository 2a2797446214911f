import { workflowIdOf } from '../../activities/identity.ts';
import { type Fence, requireTrust } from '../../activities/write/fence.ts';
import type { GroupEnd, GroupRuns } from '../../worker/lanes/group-runs.ts';
import type { Lane } from '../../worker/lanes/lane.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import type { GroupItem, WriteArguments } from '../../workflows/messages.ts';
import { awaitRunClose } from './await-run-close.ts';
import { createSemaphore } from './semaphore.ts';
import type { Started, WriteRuns } from './write-runs.ts';

/**
 * Decides the lane of each write. At most two starts are under way at once, and at most one of them is a group; the writes
 * that wait meanwhile make the next group. So an idle process starts one workflow per write and a busy one starts groups,
 * without a timer or a threshold. Only a company whose transactions already wait for connections is held back.
 */
export type Dispatch = {
  /**
   * Queues a submission, and starts it in its turn unless it is unwanted before. Throws TemporalUnavailable, and
   * TransientFailure while this process knows of no verified database.
   */
  send(submission: QueuedSubmission, unwanted: AbortSignal): Promise<Dispatched>;
  /**
   * Starts a write at once as its own per-key workflow, past the queue: a 202 may only follow such a start. Undefined when it
   * is unwanted before its turn.
   */
  startAlone(args: WriteArguments, onStarting: () => void, unwanted: AbortSignal): Promise<Started | undefined>;
  readonly queued: number;
};

type QueuedSubmission = {
  readonly args: WriteArguments;
  /** Resolves when it has its outcome, or ends without one. */
  readonly ended: Promise<unknown>;
  /** Resolves when this process knows that its transaction waits for a lock. */
  readonly waitsForLock: Promise<unknown>;
  /** Called right before its start is sent. */
  onStarting(lane: 'key' | 'group'): void;
  /** Called when it leaves the queue, within the call that made it unwanted: it is never sent. */
  onForgotten(): void;
};

type Dispatched =
  | 'forgotten'
  | { readonly lane: 'key'; readonly started: Started }
  | { readonly lane: 'group'; readonly index: number; readonly end: Promise<GroupEnd> };

export type DispatchOptions = {
  readonly runs: WriteRuns;
  readonly groups: Pick<GroupRuns, 'waitUntilClosed'>;
  readonly fence: Pick<Fence, 'trust'>;
  /** While it is not open, each write goes in a workflow of its own. */
  readonly lane: Pick<Lane, 'isOpen' | 'start'>;
  /** Off: strictly one workflow per write, behind the same limit of starts. */
  readonly grouping: boolean;
  /** True while more of the company's transactions wait for a connection than a group should join. */
  isBacklogged(companyId: string): boolean;
  summarize(args: WriteArguments): string;
  /** Called at each start with its lane, and with how long each of its writes has waited in the queue. */
  observeStart(lane: 'key' | 'group', waitedMs: readonly number[]): void;
};

/**
 * More starts than this would only queue in Temporal, where a waiting write can no longer join a group. Only one of them
 * may be a group: two would share the same writes between them, and each costs as much as a workflow.
 */
const STARTS_AT_ONCE = 2;
const GROUPS_AT_ONCE = 1;
/** A group of which another process runs an item that waits for a lock must not delay the next start for longer than this. */
const OUTCOME_LIMIT_MS = 250;
/** How soon to ask again whether the transactions that wait for a connection have become fewer. */
const BACKLOG_PAUSE_MS = 10;
/** Starts past the queue are for clients that will not wait. There are many of them only when the process is overloaded. */
const STARTS_ALONE_AT_ONCE = 20;
const MAX_GROUP_ITEMS = 200;
/** Temporal limits an input to 2 MiB; the rest is room for what each item carries besides its own input. */
const MAX_GROUP_INPUT_BYTES = 256 * 1024;

export function createDispatch(options: DispatchOptions): Dispatch {
  const { runs, groups, fence, grouping, isBacklogged, summarize, observeStart } = options;
  const queue = createFairQueue();
  const startsAlone = createSemaphore(STARTS_ALONE_AT_ONCE);
  const underWay = { key: 0, group: 0 };

  const isHeldBack = (companyId: string) => grouping && isBacklogged(companyId);

  let isPaused = false;
  function askAgain(): void {
    if (isPaused) return;
    isPaused = true;
    setTimeout(() => {
      isPaused = false;
      pump();
    }, BACKLOG_PAUSE_MS);
  }

  function pump(): void {
    while (queue.size > 0 && underWay.group < GROUPS_AT_ONCE && underWay.key + underWay.group < STARTS_AT_ONCE) {
      const maxItems = grouping && options.lane.isOpen ? MAX_GROUP_ITEMS : 1;
      const batch = queue.take(maxItems, MAX_GROUP_INPUT_BYTES, isHeldBack);
      if (batch.length === 0) {
        askAgain();
        return;
      }
      const lane = batch.length === 1 ? 'key' : 'group';
      underWay[lane] += 1;
      void startBatch(batch)
        .then(() => (grouping ? mayBeFollowed(batch) : undefined))
        .finally(() => {
          underWay[lane] -= 1;
          pump();
        });
    }
  }

  async function startBatch(batch: readonly Waiting[]): Promise<void> {
    const [only] = batch;
    observeStart(
      batch.length === 1 ? 'key' : 'group',
      batch.map(({ sinceMs }) => performance.now() - sinceMs),
    );
    try {
      if (batch.length === 1 && only !== undefined) {
        only.submission.onStarting('key');
        const { args } = only.submission;
        only.resolve({ lane: 'key', started: await startRun(args) });
        return;
      }
      for (const { submission } of batch) submission.onStarting('group');
      const group = await options.lane.start(batch.map(toItem));
      if (group === 'closed') {
        for (const waiting of batch) queue.add(waiting);
        return;
      }
      const { workflowId, runId } = group;
      // When each outcome has been handed over, nobody waits for the end of the group, and Temporal need not be asked.
      const end = haveOutcomes(batch).then((all) =>
        all
          ? 'unproven'
          : awaitRunClose(
              () => groups.waitUntilClosed(workflowId, runId),
              () => false,
            ).then((closed) => {
              if (closed !== undefined && closed !== 'unproven') group.settle();
              return closed ?? 'unproven';
            }),
      );
      // Submissions whose outcome was handed over do not wait for it: its failure is not an unhandled rejection.
      end.catch(() => undefined);
      for (const [index, { resolve }] of batch.entries()) resolve({ lane: 'group', index, end });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  /** Stamped as late as can be: it says what is known of the database now. */
  function startRun(args: WriteArguments): Promise<Started> {
    return runs.start({ ...args, stamp: requireTrust(fence) }, summarize(args));
  }

  function toItem({ submission: { args } }: Waiting): GroupItem {
    return { args, workflowId: workflowIdOf(args.companyId, args.key), summary: summarize(args) };
  }

  return {
    get queued() {
      return queue.size;
    },
    send(submission, unwanted) {
      const sent = new Promise<Dispatched>((resolve, reject) => {
        const bytes = Buffer.byteLength(JSON.stringify(submission.args.input));
        const waiting = { submission, bytes, sinceMs: performance.now(), resolve, reject };
        queue.add(waiting);
        const leave = () => {
          if (!queue.remove(waiting)) return;
          submission.onForgotten();
          resolve('forgotten');
        };
        unwanted.addEventListener('abort', leave, { once: true });
      });
      pump();
      return sent;
    },
    startAlone: (args, onStarting, unwanted) =>
      startsAlone.run(
        args.companyId,
        async () => {
          requireTrust(fence);
          onStarting();
          return startRun(args);
        },
        unwanted,
      ),
  };
}

type Waiting = {
  readonly submission: QueuedSubmission;
  readonly bytes: number;
  /** By the clock of `performance.now()`. */
  readonly sinceMs: number;
  resolve(dispatched: Dispatched): void;
  reject(error: unknown): void;
};

/**
 * With grouping on, a start counts as under way until its writes have their outcomes, and the writes that wait meanwhile
 * make the next group. One that waits for a lock does not count: it may wait for long. If a start counted until its first
 * outcome only, groups would shrink as the load grows. With grouping off it counts until Temporal has taken it: a slow
 * database must not limit the starts that a 202 waits for.
 */
async function mayBeFollowed(batch: readonly Waiting[]): Promise<void> {
  await withTimeout(
    Promise.all(batch.map(({ submission }) => Promise.race([submission.ended, submission.waitsForLock]))),
    OUTCOME_LIMIT_MS,
  );
}

async function haveOutcomes(batch: readonly Waiting[]): Promise<boolean> {
  const all = Promise.all(batch.map(({ submission }) => submission.ended));
  return (await withTimeout(all, OUTCOME_LIMIT_MS)) !== undefined;
}

/** First in, first out within a company; companies take turns, so that a company with a thousand writes delays no other. */
function createFairQueue() {
  const queues = new Map<string, Waiting[]>();
  let size = 0;
  return {
    get size() {
      return size;
    },
    add(waiting: Waiting): void {
      const { companyId } = waiting.submission.args;
      const queue = queues.get(companyId);
      if (queue === undefined) queues.set(companyId, [waiting]);
      else queue.push(waiting);
      size += 1;
    },
    /** False when it has been taken already. */
    remove(waiting: Waiting): boolean {
      const { companyId } = waiting.submission.args;
      const queue = queues.get(companyId) ?? [];
      const position = queue.indexOf(waiting);
      if (position === -1) return false;
      queue.splice(position, 1);
      if (queue.length === 0) queues.delete(companyId);
      size -= 1;
      return true;
    },
    /** Nothing of a company that is held back, and nothing at all when all are. */
    take(maxItems: number, maxBytes: number, isHeldBack: (companyId: string) => boolean): Waiting[] {
      const taken: Waiting[] = [];
      let bytes = 0;
      for (const [companyId, queue] of queues) {
        const next = queue[0];
        if (next === undefined || taken.length >= maxItems) break;
        if (isHeldBack(companyId)) continue;
        bytes += next.bytes;
        if (taken.length > 0 && bytes > maxBytes) break;
        taken.push(next);
        queue.shift();
        size -= 1;
        // A Map iterates in insertion order: inserted again, the company has its next turn after all the others.
        queues.delete(companyId);
        if (queue.length > 0) queues.set(companyId, queue);
      }
      return taken;
    },
  };
}
