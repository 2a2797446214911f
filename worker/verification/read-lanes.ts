import { asApplication } from '../../activities/as-application.ts';
import type { Pool } from '../../activities/database.ts';
import { uuidV5 } from '../../activities/uuid-v5.ts';
import {
  GROUP_WORKFLOW_TYPE,
  type GroupItem,
  groupWorkflowId,
  isGroupResult,
  LANE_WORKFLOW_TYPE,
  laneWorkflowId,
  POISON_WORKFLOW_TYPE,
  type PoisonArguments,
} from '../../workflows/messages.ts';
import type { NamedRun, NamedRuns } from './named-runs.ts';
import { readArguments } from './read-arguments.ts';

/** A process that starts groups, as the database knows it. Ages are in ms, by the clock of the server. */
export type LaneRow = {
  readonly lane: number;
  readonly settled: number;
  readonly retired: boolean;
  readonly confirmed: string | null;
  readonly registeredAgeMs: number;
  readonly settledStartedAgeMs: number;
  readonly settledAgeMs: number;
  readonly heartbeatAgeMs: number;
};

/** Throws where another server answers than the one of this incarnation. */
export async function readLaneRows(pool: Pool, version: string, live: string): Promise<readonly LaneRow[]> {
  const age = (column: string) => `extract(epoch FROM clock_timestamp() - ${column})::double precision * 1000`;
  const rows = await asApplication(pool, async (tx) => {
    await tx.query('SELECT require_incarnation($1)', [live]);
    return tx.query<{
      lane: number;
      settled: number;
      retired: boolean;
      confirmed: string | null;
      registered: number;
      settled_started: number;
      settled_age: number;
      heartbeat: number;
    }>(
      `SELECT lane, settled, retired, confirmed, ${age('registered_at')} AS registered,
         ${age('settled_started_at')} AS settled_started, ${age('settled_at')} AS settled_age,
         ${age('heartbeat_at')} AS heartbeat
       FROM lanes WHERE version = $1 ORDER BY lane`,
      [version],
    );
  });
  return rows.map((row) => ({
    lane: row.lane,
    settled: row.settled,
    retired: row.retired,
    confirmed: row.confirmed,
    registeredAgeMs: row.registered,
    settledStartedAgeMs: row.settled_started,
    settledAgeMs: row.settled_age,
    heartbeatAgeMs: row.heartbeat,
  }));
}

/** What is found by the names of a version's lanes and groups. */
export type Found =
  | { readonly kind: 'group'; readonly group: GroupOfLane }
  /**
   * The lanes were closed for another incarnation before, which then went on under this version, and was lost: its groups
   * come next.
   */
  | { readonly kind: 'lost version'; readonly version: string }
  /** The same, where the other has started no group: it may not have gone on at all. */
  | { readonly kind: 'earlier verification'; readonly version: string }
  /** What it contained is not known. */
  | { readonly kind: 'unreadable'; readonly workflowId: string };

export type GroupOfLane = {
  readonly lane: number;
  readonly number: number;
  readonly workflowId: string;
  readonly runId: string;
  /** RFC 3339, by Temporal's clock. */
  readonly startedAt: string;
  readonly closedAt: string | undefined;
  readonly state: NamedRun['state'];
  readonly items: readonly GroupItem[];
  /** The positions of the items without an outcome of the group; known once it has completed. */
  readonly left: ReadonlySet<number>;
  /** How many of these go on in their own runs: what a chunk has left is sent again in another group. */
  readonly inOwnRuns: number;
};

/**
 * The version under which a database goes on after a verification. It follows from where and when that was: so a state that
 * is restored later finds the groups of what went on from it, and was lost.
 */
export function nextVersion({ version, incarnation }: Pick<PoisonArguments, 'version' | 'incarnation'>): string {
  return uuidV5(incarnation, version);
}

/**
 * All groups of the lanes that are not settled, in the order of each lane. With a `poison` each list is closed behind its
 * last group, and behind the last lane: then no process can add to it, and what was found is all there is. Throws when
 * Temporal does not answer.
 */
export async function* readLanes(
  runs: NamedRuns,
  version: string,
  rows: readonly LaneRow[],
  poison: PoisonArguments | undefined,
): AsyncGenerator<Found, void> {
  const poisons: PoisonArguments[] = [];
  const read = new Set([version, ...(poison === undefined ? [] : [nextVersion(poison)])]);
  yield* readVersion(runs, version, rows, poison, poisons);
  for (let next = poisons.shift(); next !== undefined; next = poisons.shift()) {
    const later = nextVersion(next);
    if (read.has(later)) continue;
    read.add(later);
    const hadLanes = (await runs.read(laneWorkflowId(later, 0)))?.type === LANE_WORKFLOW_TYPE;
    yield { kind: hadLanes ? 'lost version' : 'earlier verification', version: later };
    // Also where it has none: then its first lane is closed, and it can never have one.
    yield* readVersion(runs, later, [], poison, poisons);
  }
}

/** Adds the poison of other verifications to `poisons`. */
async function* readVersion(
  runs: NamedRuns,
  version: string,
  rows: readonly LaneRow[],
  poison: PoisonArguments | undefined,
  poisons: PoisonArguments[],
): AsyncGenerator<Found, void> {
  const known = new Map(rows.map((row) => [row.lane, row]));
  const highest = Math.max(-1, ...known.keys());
  for (let lane = 0; ; lane += 1) {
    const row = known.get(lane);
    if (row !== undefined) {
      if (!row.retired) yield* readGroups(runs, { version, lane, settled: row.settled }, poison, poisons);
      continue;
    }
    const workflowId = laneWorkflowId(version, lane);
    const run = await runs.read(workflowId);
    if (run?.type === LANE_WORKFLOW_TYPE) {
      // Registered, and its row was lost, or was not made yet.
      yield* readGroups(runs, { version, lane, settled: 0 }, poison, poisons);
    } else if (run !== undefined) {
      yield* readPoison(run, workflowId, poisons);
      return;
    } else if (lane > highest) {
      if (poison === undefined || (await runs.poison(workflowId, poison)) === 'placed') return;
      lane -= 1; // Taken at this moment: look again.
    }
  }
}

/** The groups of one lane behind the last settled one. Adds the poison of verifications to `poisons`. */
export async function* readGroups(
  runs: NamedRuns,
  { version, lane, settled }: { readonly version: string; readonly lane: number; readonly settled: number },
  poison: PoisonArguments | undefined,
  poisons: PoisonArguments[],
): AsyncGenerator<Found, void> {
  const readAhead = createReadAhead(runs, (number) => groupWorkflowId(version, lane, number));
  for (let number = settled + 1; ; number += 1) {
    const workflowId = groupWorkflowId(version, lane, number);
    const run = await readAhead(number);
    if (run === undefined) {
      if (poison === undefined || (await runs.poison(workflowId, poison)) === 'placed') return;
      number -= 1; // Taken at this moment: look again.
    } else if (run.type === GROUP_WORKFLOW_TYPE) {
      const group = toGroup(run, { lane, number, workflowId });
      yield group === undefined ? { kind: 'unreadable', workflowId } : { kind: 'group', group };
    } else {
      yield* readPoison(run, workflowId, poisons);
      return;
    }
  }
}

/** So many are asked for at once, once the first is there: one by one, a hundred thousand groups would take an hour. */
const READ_AHEAD = 20;

/** A run that is not there is asked for again the next time: it may have been started meanwhile. */
function createReadAhead(runs: NamedRuns, nameOf: (number: number) => string) {
  const asked = new Map<number, Promise<NamedRun | undefined>>();
  const ask = (number: number) => {
    const known = asked.get(number);
    if (known !== undefined) return known;
    const answer = runs.read(nameOf(number));
    asked.set(number, answer);
    answer.then(
      (run) => run === undefined && asked.delete(number),
      () => asked.delete(number),
    );
    return answer;
  };
  return async (number: number): Promise<NamedRun | undefined> => {
    const run = await ask(number);
    asked.delete(number);
    if (run === undefined) return undefined;
    for (let next = number + 1; next <= number + READ_AHEAD; next += 1) ask(next).catch(() => undefined);
    return run;
  };
}

/** What holds a name so that no group follows; anything else is not ours. */
function* readPoison(run: NamedRun, workflowId: string, poisons: PoisonArguments[]): Generator<Found, void> {
  try {
    const poison = run.argument(0) as PoisonArguments;
    if (run.type === POISON_WORKFLOW_TYPE && typeof poison.version === 'string') {
      if (poison.because === 'verification') poisons.push(poison);
      return;
    }
  } catch {
    // It cannot be decoded.
  }
  yield { kind: 'unreadable', workflowId };
}

/** Undefined where what it contained is not known. */
export function toGroup(
  run: NamedRun,
  name: Pick<GroupOfLane, 'lane' | 'number' | 'workflowId'>,
): GroupOfLane | undefined {
  const { runId, startedAt, closedAt, state } = run;
  try {
    const items = run.argument(0);
    const result = run.result();
    if (!Array.isArray(items) || !items.every(isItem) || (state === 'completed' && !isGroupResult(result))) {
      return undefined;
    }
    const left = isGroupResult(result) ? result.left : [];
    return {
      ...{ ...name, runId, startedAt, closedAt, state, items },
      left: new Set(left.map(({ index }) => index)),
      inOwnRuns: left.filter(({ failure }) => failure === undefined).length,
    };
  } catch {
    return undefined;
  }
}

function isItem(item: unknown): item is GroupItem {
  return readArguments((item as Partial<GroupItem> | null)?.args) !== undefined;
}
