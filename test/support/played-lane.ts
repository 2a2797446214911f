import { createLane } from '../../worker/lanes/lane.ts';
import { TemporalUnavailable } from '../../worker/temporal-unavailable.ts';
import { type ChunkOptions, FIRST_EPOCH, type GroupItem, type Trust } from '../../workflows/messages.ts';

type Run = {
  readonly type: string;
  readonly isOwn: boolean;
  readonly closes?: boolean;
  /** That of the start when left out. */
  readonly runId?: string;
  state: 'running' | 'completed' | 'unsuccessful';
};

/** What becomes of a start: Temporal takes it and says so, takes it and its answer is lost, or never sees it. */
type Fate = 'answered' | 'taken' | 'not taken';

export const INCARNATION = 'cluster/start/database';

export function trustIn(version: string): Trust {
  return { version, incarnation: INCARNATION, epoch: FIRST_EPOCH };
}

/** A lane whose Temporal and database do as the test says. Ticks by hand. */
export function playLane() {
  const temporal = new Map<string, Run>();
  const started: {
    readonly id: string;
    readonly keys: readonly string[];
    readonly chunk?: ChunkOptions | undefined;
  }[] = [];
  const fates: Fate[] = [];
  const asked: string[] = [];
  const database = playDatabase();
  let beforeTaken: () => Promise<void> = async () => undefined;
  let beforeDescribe: () => Promise<void> = async () => undefined;
  const fence = {
    process: 'this',
    trust: trustIn('v') as Trust | undefined,
    mayGroup: true,
    notices: 0,
    notice() {
      fence.notices += 1;
    },
    distrusted: [] as string[],
    distrust: (version: string) => void fence.distrusted.push(version),
    refresh: async () => undefined,
    onLook: () => undefined,
  };
  const lane = createLane({
    groups: {
      async register(id) {
        if (temporal.has(id)) return 'exists';
        temporal.set(id, { type: 'lane', isOwn: true, state: 'completed' });
        return 'registered';
      },
      async start(id, items, _stamp, chunk) {
        const fate = fates.shift() ?? 'answered';
        if (fate === 'not taken') throw new TemporalUnavailable(undefined);
        if (temporal.has(id)) return 'exists';
        temporal.set(id, { type: 'writeGroup', isOwn: true, state: 'running' });
        started.push({ id, keys: items.map(({ args }) => args.key), chunk });
        await beforeTaken();
        if (fate === 'taken') throw new TemporalUnavailable(undefined);
        return { runId: `run of ${id}` };
      },
      async describe(id) {
        asked.push(id);
        await beforeDescribe();
        const run = temporal.get(id);
        return run === undefined ? undefined : { closes: run.type === 'poison', runId: `run of ${id}`, ...run };
      },
      waitUntilClosed: () => new Promise<never>(() => undefined),
    },
    fence: fence as never,
    database: database as never,
    runs: {
      async poison(id) {
        if (temporal.has(id)) return 'exists';
        temporal.set(id, { type: 'poison', isOwn: false, closes: false, state: 'completed' });
        return 'placed';
      },
    },
  });
  return {
    lane,
    fence,
    temporal,
    database,
    /** The groups that Temporal has taken, in their order, with the keys of their writes. */
    started,
    /** What becomes of the next starts. */
    fates,
    /** The names that Temporal was asked for. */
    asked,
    /** Temporal answers what it is asked when this is over, with what it knows then. */
    holdAnswers(until: () => Promise<void>) {
      beforeDescribe = until;
    },
    /** Temporal says that it has taken a start when this is over. */
    holdTaken(until: () => Promise<void>) {
      beforeTaken = until;
    },
    startChunk: (chunk: ChunkOptions, ...keys: string[]) => lane.start(keys.map(itemOf), chunk),
    start: (...keys: string[]) => lane.start(keys.map(itemOf)).catch((error: unknown) => error),
    note: (key: string) => lane.noteRow(itemOf(key).args),
    /** The process of another lane, or an operator, has taken that name. */
    take: (id: string, type: string) => void temporal.set(id, { type, isOwn: false, state: 'completed' }),
    /** The settled group, and the age of the oldest one after it, as the last tick told the database. */
    async settled() {
      await lane.tick();
      return database.settled.at(-1);
    },
  };
}

function itemOf(key: string): GroupItem {
  return { args: { companyId: 'company', key }, workflowId: key, summary: key } as unknown as GroupItem;
}

function playDatabase() {
  const calls = { settled: [] as unknown[], registered: [] as unknown[], retired: [] as unknown[] };
  const played = {
    ...calls,
    /** The next lane that has no row. */
    next: 0,
    isRefusing: false,
    /** Keys that have a row. */
    rows: new Set<string>(),
  };
  const answer = (text: string, values: readonly unknown[]): readonly object[] => {
    if (text.includes('AS next')) return [{ next: played.next }];
    if (text.includes('register_lane')) {
      if (!played.isRefusing) played.registered.push(values[2]);
      return [{ registered: !played.isRefusing }];
    }
    if (text.includes('settle_lane')) {
      const [version, , lane, settled, , unsettledMs] = values;
      if (!played.isRefusing) played.settled.push({ version, lane, settled, unsettledMs });
      return [{ settled: !played.isRefusing }];
    }
    if (text.includes('retire_lane')) {
      const [version, incarnation, lane, from, to] = values;
      played.retired.push({ version, incarnation, lane, from, to: to ?? from });
      return [{}];
    }
    if (text.includes('keys_without_row')) {
      const keys = values[2] as readonly string[];
      return keys.flatMap((key, index) => (played.rows.has(key) ? [] : [{ pos: index + 1 }]));
    }
    return [];
  };
  const client = {
    query: async ({ text, values = [] }: { text: string; values?: readonly unknown[] }) => ({
      rows: answer(text, values),
      command: text,
    }),
    release: () => undefined,
    on: () => undefined,
    off: () => undefined,
  };
  const pool = { connections: { connect: async () => client }, onConnectionWait: () => undefined };
  return Object.assign(played, { reads: pool, writes: pool });
}
