import { openPool } from '../../activities/database.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { readVerification, type Verification } from '../../worker/fence.ts';
import { compareKeyRuns, missingKeyRuns } from '../../worker/verification/key-runs.ts';
import type { NamedRun } from '../../worker/verification/named-runs.ts';
import { reconcile } from '../../worker/verification/reconcile.ts';
import { retireLanes } from '../../worker/verification/retire-lanes.ts';
import { openVerified } from '../../worker/verification/verify.ts';
import { groupWorkflowId, laneWorkflowId, type WriteArguments } from '../../workflows/messages.ts';
import { ownerUrlOf } from './commands.ts';
import { COMPANY_ID, openOneCompany } from './two-databases.ts';

const DAY_MS = 24 * 60 * 60_000;
const SINCE = '2026-03-01T12:00:00Z';

/** `failure`: the group is the chunk of a batch, which has left those items so. */
type GroupSigns = {
  readonly state?: NamedRun['state'];
  readonly left?: readonly number[];
  readonly failure?: 'bug' | 'transient';
};

type LaneSigns = { readonly settled?: number; readonly confirmed?: boolean; readonly ageMs?: number };

/** A database that comes back as another, and a Temporal that knows what the test says: the verification alone. */
export async function openVerification() {
  const company = await openOneCompany();
  const { owner } = company;
  const pool = openPool({
    connectionString: ownerUrlOf(owner),
    max: 4,
    statementTimeoutMs: 10_000,
    applicationName: 'test',
  });
  const temporal = new Map<string, NamedRun>();
  let isAway = false;
  const runs = {
    async read(id: string) {
      if (isAway) throw new Error('Temporal does not answer');
      return temporal.get(id);
    },
    async poison(id: string, poison: object) {
      if (temporal.has(id)) return 'exists' as const;
      temporal.set(id, runOf('poison', [poison]));
      return 'placed' as const;
    },
  };
  const verification = () => readVerification(pool);
  let { version } = await verification();

  /** The writes of the database, by key: made, or only known to Temporal. */
  const argumentsOf = (key: string): WriteArguments =>
    company.argumentsOf({ operation: 'createCustomer', key, body: { name: key, currency: 'USD' } });
  const make = async (...keys: readonly string[]) => {
    for (const key of keys) await company.runAlone(argumentsOf(key));
  };

  /** Completed runs of keys, as Temporal lists them. */
  function visibilityOf(keys: readonly string[]) {
    const listed = keys.map((key) => {
      const workflowId = workflowIdOf(COMPANY_ID, key);
      temporal.set(workflowId, runOf('write', [key === 'unreadable' ? '?' : argumentsOf(key)]));
      const searchAttributes = { CompanyId: [COMPANY_ID], IdempotencyKey: [key] };
      return { workflowId, runId: `run of ${workflowId}`, searchAttributes };
    });
    const queries: string[] = [];
    const list = async function* ({ query }: { query: string }) {
      queries.push(query);
      yield* listed;
    };
    return { client: { workflow: { list } } as never, queries };
  }

  return {
    company,
    owner,
    pool,
    temporal,
    get version() {
      return version;
    },
    verification,
    argumentsOf,
    make,
    /** Verified anew, without lanes and with a Temporal that knows nothing. Rows of writes stay. */
    async reset() {
      temporal.clear();
      await owner.query(`DELETE FROM lanes; UPDATE verification SET version = gen_random_uuid(), incarnation = incarnation(),
        key_runs_listed = true, key_runs_since = NULL, replaced = NULL, replaced_at = NULL, continued = false,
        reconciler = NULL, reconciler_until = NULL, verified_at = clock_timestamp()`);
      ({ version } = await verification());
    },
    goAway(away: boolean) {
      isAway = away;
    },
    /** A process that starts groups: its row, and its registration in Temporal. */
    async lane(lane: number, { settled = 0, confirmed = true, ageMs = 0 }: LaneSigns = {}, of = version) {
      temporal.set(laneWorkflowId(of, lane), runOf('lane', [{ process: 'test' }]));
      await owner.query(
        `INSERT INTO lanes (version, lane, process, settled, confirmed, registered_at, settled_started_at, settled_at, heartbeat_at)
         SELECT $1, $2, 'test', $3, CASE WHEN $4 THEN incarnation() END, t, t, t, t
         FROM (SELECT clock_timestamp() - make_interval(secs => $5::double precision / 1000) AS t) AS ago`,
        [of, lane, settled, confirmed, ageMs],
      );
    },
    /** A group of the lane 0 that Temporal knows. */
    group(number: number, keys: readonly string[], more: GroupSigns = {}) {
      const { state = 'completed', left = [], failure } = more;
      const items = keys.map((key) => ({
        args: argumentsOf(key),
        workflowId: workflowIdOf(COMPANY_ID, key),
        summary: key,
      }));
      const leftItem = (index: number) => ({ index, runId: null, ...(failure === undefined ? {} : { failure }) });
      const run = runOf('writeGroup', [items], { left: left.map(leftItem) }, state);
      temporal.set(groupWorkflowId(version, 0, number), run);
    },
    /** The server that was verified last was another: by default, this one before it was started again. */
    async comeBack(from: 'this server' | 'another cluster' | 'another database' = 'this server') {
      const [cluster, start, database] = ((await verification()).live as string).split('/');
      const before = {
        'this server': [cluster, '1', database],
        'another cluster': ['1', start, database],
        'another database': [cluster, '1', '1.1'],
      }[from];
      await owner.query('UPDATE verification SET incarnation = $1', [before.join('/')]);
    },
    /** As a process that has looked at the database just now, or before. */
    reconcile: async (options: { readonly as?: string; readonly found?: Verification } = {}) =>
      reconcile(
        {
          ...{ pool, runs, process: options.as ?? 'test', awaitsSurvivors: false },
          retentionMs: async () => 7 * DAY_MS,
        },
        options.found ?? (await verification()),
      ),
    retire: async () => retireLanes(pool, runs, await verification()),
    /** Of these completed runs of keys, those without a row; with what visibility was asked. */
    async missingKeyRuns(keys: readonly string[]) {
      const { client, queries } = visibilityOf(keys);
      const { live } = await verification();
      return { ...(await missingKeyRuns({ client, runs, pool, taskQueue: 'queue', since: SINCE, live })), queries };
    },
    /** What a process does a minute after a verification. */
    compareKeyRuns: async (keys: readonly string[]) =>
      compareKeyRuns({
        ...{ client: visibilityOf(keys).client, runs, pool, writes: pool, taskQueue: 'queue', operations: OPERATIONS },
        ...{ verification: await verification(), since: SINCE },
      }),
    /** Opens the database as the operator's command does, with these losses, as it was when they were listed. */
    async verify(writes: readonly WriteArguments[]) {
      const found = await verification();
      const lost = writes.map((args) => {
        const workflowId = workflowIdOf(args.companyId, args.key);
        return { args, workflowId, runId: `run of ${workflowId}`, requestedAt: '2026-03-01T12:00:00Z' };
      });
      const losses = { groups: 0, keyRuns: 0, lost, inOwnRuns: 0, unreadable: [], lostVersions: 0 };
      const statement = { operator: 'test', reason: 'of a test' };
      return () => openVerified({ pool, operations: OPERATIONS }, found, losses, statement);
    },
    async close() {
      await pool.close();
      await company.close();
    },
  };
}

/** Of which Temporal says that it has begun, and ended, long ago. */
export function runOf(
  type: string,
  input: readonly unknown[],
  result?: unknown,
  state: NamedRun['state'] = 'completed',
): NamedRun {
  return {
    type,
    runId: 'run',
    startedAt: '2026-03-01T12:00:00.000Z',
    closedAt: state === 'open' ? undefined : '2026-03-01T12:00:01.000Z',
    state,
    argument: (position) => input[position],
    result: () => result,
  };
}
