import { asApplication } from '../../activities/as-application.ts';
import type { Database } from '../../activities/database.ts';
import { DAY_MS } from '../../activities/durations.ts';
import {
  type ChunkOptions,
  GROUP_WORKFLOW_TYPE,
  type GroupItem,
  groupWorkflowId,
  laneWorkflowId,
  type Trust,
  type WriteArguments,
} from '../../workflows/messages.ts';
import type { ProcessFence } from '../fence.ts';
import { TemporalUnavailable } from '../temporal-unavailable.ts';
import { withTimeout } from '../timeouts.ts';
import { type KeyOfRun, keysWithoutRow } from '../verification/missing-writes.ts';
import type { NamedRuns } from '../verification/named-runs.ts';
import type { GroupRuns } from './group-runs.ts';

/**
 * The groups of this process, by names that can be found again without a search: `group:{version}:{lane}:{n}`, where the
 * lane is registered in Temporal and in the database, and no n is left out. Every two seconds the database is told up to
 * which group each write has its row, or its own run is known. So after a failover or restore only the groups after that have
 * to be read, and compared with what is left.
 */
export type Lane = {
  /** Whether this process may start groups now. */
  readonly isOpen: boolean;
  /**
   * Starts the next group. `closed`: none was started, since the lane may not be used any more. Throws TemporalUnavailable;
   * then it is unknown whether the group was started. Of several at once, each waits for those before it.
   */
  start(items: readonly GroupItem[], chunk?: ChunkOptions): Promise<StartedGroup | 'closed'>;
  /** The write has its row. */
  noteRow(args: WriteArguments): void;
  /** What this process has registered under a version, for its confirmation after the database came back. */
  registeredAt(version: string): readonly number[];
  /** Registers this process, or tells the database what is settled. Never throws. */
  tick(): Promise<void>;
  /** Retires the lane if all of it is settled: no verification has to look at it. */
  close(): Promise<void>;
};

type StartedGroup = {
  readonly workflowId: string;
  readonly runId: string;
  /** The group's result is known: what has no row has its own run. */
  settle(): void;
};

const TICK_MS = 2_000;
/** Temporal forgets a registration after its retention; a lane that can be looked up proves that Temporal has lost nothing. */
const RENEW_AFTER_MS = DAY_MS;
/** How long after its start a group whose writes have no row is asked for. */
const ASK_AFTER_MS = 3_000;
/** So that a tick, and with it the sign that this process is alive, is not held up by many of them. */
const ASKED_AT_ONCE = 20;
/** Longer than any transaction of a group that was ended from outside can go on. */
const GONE_AFTER_MS = 60 * 60 * 1_000;
/** A process that ends must not wait long for a server that does not answer: another one retires its lane later. */
const CLOSE_LIMIT_MS = 2_000;
/** Another process that registers at the same moment takes a lane; so many at once are none. */
const MAX_REGISTRATIONS = 1_000;

/** Times are those of `performance.now()`. */
type Pending = {
  readonly sinceMs: number;
  /** By company and key. */
  readonly keys: Map<string, KeyOfRun>;
  /** Undefined until Temporal has said that it took the group. */
  readonly runId: string | undefined;
  /** When it was first seen that the group has closed. */
  closedSinceMs: number | undefined;
};

type Registration = {
  readonly trust: Trust;
  readonly lane: number;
  readonly sinceMs: number;
  next: number;
  /** The start of the group `next` was sent, and Temporal has not said whether it took it. */
  uncertain: Pending | undefined;
  /** By the number of the group: some of its writes are not known to have a row. */
  readonly pending: Map<number, Pending>;
  /** When the groups from the last settled one on were started; 0 is the registration. */
  readonly starts: Map<number, number>;
};

export function createLane(options: {
  readonly groups: GroupRuns;
  readonly fence: ProcessFence;
  readonly database: Database;
  readonly runs: Pick<NamedRuns, 'poison'>;
  /** Whether somebody waits for the writes of this process: batches give way to those. */
  readonly isForeground?: boolean;
}): Lane {
  const { groups, fence, database, runs, isForeground = false } = options;
  /** The last one is in use; those before it have groups that are not settled yet. */
  let registrations: Registration[] = [];
  let ticking: Promise<void> | undefined;
  let hasWritten = false;
  let starting: Promise<unknown> = Promise.resolve();
  let isClosed = false;

  const current = () => {
    const last = registrations.at(-1);
    return last !== undefined && last.trust.version === fence.trust?.version && fence.mayGroup ? last : undefined;
  };

  async function register(trust: Trust): Promise<void> {
    const [{ next } = { next: 0 }] = await asApplication(database.reads, (tx) =>
      tx.query<{ next: number }>('SELECT coalesce(max(lane) + 1, 0) AS next FROM lanes WHERE version = $1', [
        trust.version,
      ]),
    );
    for (let lane = next; lane < next + MAX_REGISTRATIONS; lane += 1) {
      const workflowId = laneWorkflowId(trust.version, lane);
      if ((await groups.register(workflowId)) === 'exists') {
        // Another process has it; or the lanes of this version were closed, and this one knows of no later version.
        if ((await groups.describe(workflowId))?.closes === true) return fence.distrust(trust.version);
        continue;
      }
      const [done] = await asApplication(database.writes, (tx) =>
        tx.query<{ registered: boolean }>('SELECT register_lane($1, $2, $3, $4) AS registered', [
          trust.version,
          trust.incarnation,
          lane,
          fence.process,
        ]),
      );
      if (done?.registered !== true) return;
      registrations.push({
        trust,
        lane,
        sinceMs: performance.now(),
        next: 1,
        uncertain: undefined,
        pending: new Map(),
        starts: new Map([[0, performance.now()]]),
      });
      return;
    }
  }

  async function startNext(
    items: readonly GroupItem[],
    chunk: ChunkOptions | undefined,
  ): Promise<StartedGroup | 'closed'> {
    const registration = current();
    if (registration === undefined) return 'closed';
    for (;;) {
      const group = registration.next;
      const { trust, lane } = registration;
      const workflowId = groupWorkflowId(trust.version, lane, group);
      const mine = pendingOf(items);
      let started: Awaited<ReturnType<GroupRuns['start']>>;
      try {
        started = await groups.start(workflowId, items, trust, chunk);
      } catch (error) {
        // The same name is used again: so none is left out, whether Temporal has taken this one or not.
        if (error instanceof TemporalUnavailable) registration.uncertain = either(registration.uncertain, mine);
        throw error;
      }
      if (started !== 'exists') {
        registration.uncertain = undefined;
        take(registration, { ...mine, runId: started.runId });
        return { workflowId, runId: started.runId, settle: () => void registration.pending.delete(group) };
      }
      if ((await resolveUncertain(registration)) === 'foreign') {
        // Someone has closed the lane: this process may have been frozen, and the database may be another one.
        registrations = registrations.filter((each) => each !== registration);
        fence.notice();
        return 'closed';
      }
    }
  }

  /** Two that were under way by the same name would each take the other's group for that of a stranger. */
  function start(items: readonly GroupItem[], chunk?: ChunkOptions): Promise<StartedGroup | 'closed'> {
    const started = starting.then(() => startNext(items, chunk));
    starting = started.catch(() => undefined);
    return started;
  }

  /**
   * Whether Temporal has taken the start of which it could not say so. `changed`: another has asked, or started a group,
   * meanwhile; it is to be looked at again.
   */
  async function resolveUncertain(registration: Registration): Promise<'taken' | 'not taken' | 'foreign' | 'changed'> {
    const { trust, lane, uncertain, next } = registration;
    const run = await groups.describe(groupWorkflowId(trust.version, lane, next));
    if (registration.uncertain !== uncertain || registration.next !== next) return 'changed';
    if (run === undefined) return 'not taken';
    if (run.closes) fence.distrust(trust.version);
    if (uncertain === undefined || run.type !== GROUP_WORKFLOW_TYPE || !run.isOwn) return 'foreign';
    registration.uncertain = undefined;
    take(registration, { ...uncertain, runId: run.runId });
    return 'taken';
  }

  /** Asks for what nobody has told: a group that another process runs, or whose writes nobody waits for. */
  async function askFor(registration: Registration): Promise<void> {
    const { trust, lane, uncertain, pending } = registration;
    if (uncertain !== undefined && performance.now() - uncertain.sinceMs > ASK_AFTER_MS) {
      // If Temporal takes it yet, it does so from now on.
      if ((await resolveUncertain(registration)) === 'not taken') {
        registration.uncertain = { ...uncertain, sinceMs: performance.now() };
      }
    }
    const due = [...pending].filter(([, { sinceMs }]) => performance.now() - sinceMs > ASK_AFTER_MS);
    for (const [group, asked] of due.slice(0, ASKED_AT_ONCE)) {
      const named = await groups.describe(groupWorkflowId(trust.version, lane, group));
      // Another run by that name, which anyone who reaches Temporal could have put there, says nothing of this group.
      const run = named?.runId === asked.runId ? named : undefined;
      if (run?.state === 'running') continue;
      asked.closedSinceMs ??= performance.now();
      const keys = [...asked.keys.values()];
      const isOver =
        run?.state === 'completed' || (await keysWithoutRow(database.reads, trust.incarnation, keys)).length === 0;
      // Ended from outside, or forgotten by Temporal; and what it had begun has ended since.
      if (isOver || performance.now() - asked.closedSinceMs > GONE_AFTER_MS) pending.delete(group);
    }
  }

  async function settle(registration: Registration): Promise<boolean> {
    const { trust, lane, pending, uncertain, next, starts } = registration;
    // In the order of their numbers.
    const [oldest] = pending.keys();
    const settled = (oldest ?? next) - 1;
    for (const group of starts.keys()) if (group < settled) starts.delete(group);
    const nowMs = performance.now();
    const oldestMs = Math.min(nowMs, uncertain?.sinceMs ?? nowMs, pending.get(oldest ?? 0)?.sinceMs ?? nowMs);
    const [done] = await asApplication(database.reads, (tx) =>
      tx.query<{ settled: boolean }>('SELECT settle_lane($1, $2, $3, $4, $5, $6) AS settled', [
        trust.version,
        trust.incarnation,
        lane,
        settled,
        nowMs - (starts.get(settled) ?? nowMs),
        nowMs - oldestMs,
      ]),
    );
    return done?.settled === true;
  }

  async function tellForeground(registration: Registration | undefined): Promise<void> {
    if (registration === undefined) return;
    hasWritten = false;
    await asApplication(database.reads, (tx) =>
      tx.query('UPDATE lanes SET wrote_at = clock_timestamp() WHERE version = $1 AND lane = $2', [
        registration.trust.version,
        registration.lane,
      ]),
    );
  }

  async function retire({ trust, lane, next, pending, uncertain }: Registration): Promise<void> {
    if (pending.size > 0 || uncertain !== undefined || fence.trust?.version !== trust.version) return;
    const poison = { version: trust.version, incarnation: trust.incarnation, because: 'retired' } as const;
    if ((await runs.poison(groupWorkflowId(trust.version, lane, next), poison)) !== 'placed') return;
    await asApplication(database.reads, (tx) =>
      tx.query('SELECT retire_lane($1, $2, $3, $4, $4)', [trust.version, trust.incarnation, lane, next - 1]),
    );
  }

  async function doTick(): Promise<void> {
    const { trust } = fence;
    if (trust === undefined) return;
    // Under another version nothing of it is asked for any more: what it had not settled has been compared.
    registrations = registrations.filter((each) => each.trust.version === trust.version);
    for (const registration of [...registrations]) {
      const isLast = registration === registrations.at(-1);
      if (!(await settle(registration))) {
        await fence.refresh();
        // On a server that has come back the process has to confirm what it had registered.
        if (fence.trust?.incarnation !== registration.trust.incarnation) return;
        registrations = registrations.filter((each) => each !== registration);
      } else if (!isLast && registration.pending.size === 0 && registration.uncertain === undefined) {
        registrations = registrations.filter((each) => each !== registration);
      }
    }
    if (hasWritten && isForeground) await tellForeground(registrations.at(-1));
    for (const registration of registrations) await askFor(registration).catch(() => undefined);
    const last = registrations.at(-1);
    if (last === undefined || performance.now() - last.sinceMs > RENEW_AFTER_MS) await register(trust);
  }

  async function tick(): Promise<void> {
    if (isClosed) return;
    ticking ??= doTick()
      .catch(() => undefined)
      .finally(() => {
        ticking = undefined;
      });
    await ticking;
  }

  const timer = setInterval(() => void tick(), TICK_MS);
  timer.unref();
  fence.onLook(() => void tick());
  return {
    get isOpen() {
      return current() !== undefined;
    },
    start,
    noteRow({ companyId, key }) {
      hasWritten = true;
      const id = `${companyId}/${key}`;
      for (const { pending } of registrations) {
        for (const [group, { keys }] of pending) {
          if (keys.delete(id) && keys.size === 0) pending.delete(group);
        }
      }
    },
    registeredAt: (version) => registrations.flatMap(({ trust, lane }) => (trust.version === version ? [lane] : [])),
    tick,
    async close() {
      clearInterval(timer);
      const retiring = tick()
        .then(() => Promise.all(registrations.map(retire)))
        .catch(() => undefined);
      isClosed = true;
      await withTimeout(retiring, CLOSE_LIMIT_MS);
    },
  };
}

function take(registration: Registration, group: Pending): void {
  registration.pending.set(registration.next, group);
  registration.starts.set(registration.next, group.sinceMs);
  registration.next += 1;
}

/** Two starts by one name of which it is not known whether Temporal has taken one: whichever it was is settled with both. */
function either(first: Pending | undefined, second: Pending): Pending {
  return first === undefined ? second : { ...first, keys: new Map([...first.keys, ...second.keys]) };
}

function pendingOf(items: readonly GroupItem[]): Pending {
  return {
    sinceMs: performance.now(),
    keys: new Map(items.map(({ args: { companyId, key } }) => [`${companyId}/${key}`, { companyId, key }])),
    runId: undefined,
    closedSinceMs: undefined,
  };
}
