import { randomUUID } from 'node:crypto';
import { workflowIdOf } from '../activities/identity.ts';
import type { GroupItem, WriteArguments } from '../workflows/messages.ts';
import { within } from './deferred.ts';
import type { GroupEnd, GroupRuns } from './group-runs.ts';
import { createStartGate } from './start-gate.ts';
import { untilClosed } from './until-closed.ts';
import type { Started, WriteRuns } from './write-runs.ts';

/**
 * Which lane a write takes. At most two starts are under way at once, and one of them at most is a group; what waits
 * meanwhile travels together in the next one. So an idle process has one workflow a write and a busy one has groups,
 * without a timer or a threshold.
 */
export type Dispatch = {
  /** Waits for its turn, then starts it. Throws TemporalUnavailable. */
  send(passenger: Passenger): Promise<Dispatched>;
  /** Starts it in a workflow of its own now, past the queue: a 202 may only follow such a start. */
  express(args: WriteArguments, onStarting: () => void): Promise<Started>;
  readonly queued: number;
};

type Passenger = {
  readonly args: WriteArguments;
  /** No one waits for it any more and nothing has been sent: it need not fly. */
  isAbandoned(): boolean;
  /** Resolves when it has its outcome, or whatever else it ends with. */
  readonly ended: Promise<unknown>;
  /** Told right before its start is sent. */
  onLeaving(lane: 'key' | 'group'): void;
};

type Dispatched =
  | 'abandoned'
  | { readonly lane: 'key'; readonly started: Started }
  | { readonly lane: 'group'; readonly index: number; readonly end: Promise<GroupEnd> };

export type DispatchOptions = {
  readonly runs: WriteRuns;
  readonly groups: GroupRuns;
  /** Off: strictly one workflow a write, behind the same limit of starts. */
  readonly grouping: boolean;
  summarize(args: WriteArguments): string;
  /** Told of what leaves: the lane, and how long each write has waited for its turn. */
  observeDeparture(lane: 'key' | 'group', waitedMs: readonly number[]): void;
};

/**
 * More than this would only queue up in Temporal, where a waiting write could not join a group any more. Of groups it is
 * one: two at once share the same writes between them, and each costs what a workflow costs.
 */
const STARTS_AT_ONCE = 2;
const GROUPS_AT_ONCE = 1;
/** A group in which one waits for a lock must not hold up the others for longer. */
const OUTCOME_LIMIT_MS = 250;
/** Starts past the queue are for clients that will not wait; they are many only when the process is overloaded. */
const EXPRESS_STARTS_AT_ONCE = 20;
const MAX_GROUP_ITEMS = 200;
/** Far below what Temporal takes as one input (2 MiB), with room for what each item carries beside its own. */
const MAX_GROUP_INPUT_BYTES = 256 * 1024;

export function createDispatch({ runs, groups, grouping, summarize, observeDeparture }: DispatchOptions): Dispatch {
  const queue = createTurns();
  const expressGate = createStartGate(EXPRESS_STARTS_AT_ONCE);
  const underWay = { key: 0, group: 0 };

  function pump(): void {
    while (queue.size > 0 && underWay.group < GROUPS_AT_ONCE && underWay.key + underWay.group < STARTS_AT_ONCE) {
      const batch = queue.take(grouping ? MAX_GROUP_ITEMS : 1, MAX_GROUP_INPUT_BYTES).filter(boarded);
      if (batch.length === 0) continue;
      const lane = batch.length === 1 ? 'key' : 'group';
      underWay[lane] += 1;
      void depart(batch)
        .then(() => (grouping ? outcomes(batch) : undefined))
        .finally(() => {
          underWay[lane] -= 1;
          pump();
        });
    }
  }

  async function depart(batch: readonly Waiting[]): Promise<void> {
    const [only] = batch;
    observeDeparture(
      batch.length === 1 ? 'key' : 'group',
      batch.map(({ sinceMs }) => performance.now() - sinceMs),
    );
    try {
      if (batch.length === 1 && only !== undefined) {
        only.passenger.onLeaving('key');
        const { args } = only.passenger;
        only.resolve({ lane: 'key', started: await runs.start(args, summarize(args)) });
        return;
      }
      for (const { passenger } of batch) passenger.onLeaving('group');
      const workflowId = `group:${randomUUID()}`;
      const { runId } = await groups.start(workflowId, batch.map(toItem));
      // Where each outcome has been handed over, Temporal need not be asked, and no one listens.
      const end = outcomes(batch).then((all) =>
        all
          ? 'unproven'
          : untilClosed(
              () => groups.waitUntilClosed(workflowId, runId),
              () => false,
            ),
      );
      // Those whose outcome was handed over do not listen any more.
      end.catch(() => undefined);
      for (const [index, { resolve }] of batch.entries()) resolve({ lane: 'group', index, end });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  function toItem({ passenger: { args } }: Waiting): GroupItem {
    return { args, workflowId: workflowIdOf(args.companyId, args.key), summary: summarize(args) };
  }

  return {
    get queued() {
      return queue.size;
    },
    send(passenger) {
      const sent = new Promise<Dispatched>((resolve, reject) => {
        const bytes = Buffer.byteLength(JSON.stringify(passenger.args.input));
        queue.add({ passenger, bytes, sinceMs: performance.now(), resolve, reject });
      });
      pump();
      return sent;
    },
    express: (args, onStarting) =>
      expressGate.pass(() => {
        onStarting();
        return runs.start(args, summarize(args));
      }),
  };
}

type Waiting = {
  readonly passenger: Passenger;
  readonly bytes: number;
  /** By the clock of `performance.now()`. */
  readonly sinceMs: number;
  resolve(dispatched: Dispatched): void;
  reject(error: unknown): void;
};

/**
 * With groups, a start counts as under way until its writes have their outcomes: what waits meanwhile makes the next group.
 * Counted until the first outcome only, groups shrink as the load grows, since the clients of that one come alone.
 * Without groups that would only make a slow database the limit of starts, which are what a 202 waits for.
 */
async function outcomes(batch: readonly Waiting[]): Promise<boolean> {
  const all = Promise.all(batch.map(({ passenger }) => passenger.ended));
  return (await within(all, OUTCOME_LIMIT_MS)) !== undefined;
}

function boarded({ passenger, resolve }: Waiting): boolean {
  if (!passenger.isAbandoned()) return true;
  resolve('abandoned');
  return false;
}

/** First come, first served within a company; companies in turn, so that the one with a thousand does not hold up one. */
function createTurns() {
  const lines = new Map<string, Waiting[]>();
  let size = 0;
  return {
    get size() {
      return size;
    },
    add(waiting: Waiting): void {
      const line = lines.get(waiting.passenger.args.companyId);
      if (line === undefined) lines.set(waiting.passenger.args.companyId, [waiting]);
      else line.push(waiting);
      size += 1;
    },
    take(maxItems: number, maxBytes: number): Waiting[] {
      const taken: Waiting[] = [];
      let bytes = 0;
      for (const [companyId, line] of lines) {
        const next = line[0];
        if (next === undefined || taken.length >= maxItems) break;
        bytes += next.bytes;
        if (taken.length > 0 && bytes > maxBytes) break;
        taken.push(next);
        line.shift();
        size -= 1;
        // A map is walked in the order of insertion: put back, the company has its next turn after all the others.
        lines.delete(companyId);
        if (line.length > 0) lines.set(companyId, line);
      }
      return taken;
    },
  };
}
