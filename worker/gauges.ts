import { setTimeout as sleep } from 'node:timers/promises';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type Pool, queryOnce } from '../activities/database.ts';
import { evidenceLagSeconds } from '../activities/seal/evidence.ts';
import { sealLagSeconds } from '../activities/seal/seal.ts';
import { TRUST_STATES, type TrustState } from './fence.ts';
import type { OpenRuns } from './open-runs.ts';

/** Gauges that are read at scrape time. One whose source does not answer has no value, since an old value would mislead. */

/** Prometheus waits ten seconds; one server that does not answer must not cost the whole scrape. */
const ASK_LIMIT_MS = 2_000;
const MINUTE_MS = 60_000;

/** From an idle connection, which costs nothing, to the pool's connection timeout (activities/database.ts). */
const CONNECTION_BUCKETS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/** Metrics of a process's connection pools: connections by state, waiting time, and time in use. */
export function createPoolMetrics(registry: Registry) {
  const registers = [registry];
  const pools = new Map<string, { readonly pool: Pool; account(change: number): void }>();
  const wait = new Histogram({
    name: 'database_pool_wait_ms',
    help: 'Time spent waiting for a connection',
    labelNames: ['pool'] as const,
    buckets: CONNECTION_BUCKETS_MS,
    registers,
  });
  // A group uses all connections for a few milliseconds, so a gauge that samples at scrapes says little about the load.
  const busy = new Counter({
    name: 'database_pool_busy_seconds_total',
    help: 'Total time for which connections were in use; its rate is the average number in use',
    labelNames: ['pool'] as const,
    registers,
    collect() {
      for (const { account } of pools.values()) account(0);
    },
  });
  new Gauge({
    name: 'database_pool_connections',
    help: 'Connections by state: busy, idle; max is the pool size, wanted the requests that wait for a connection',
    labelNames: ['pool', 'state'] as const,
    registers,
    collect() {
      for (const [name, { pool }] of pools) {
        const { totalCount, idleCount, waitingCount, options } = pool.connections;
        const wanted = waitingCount + pool.shares.waiting;
        const states = { busy: totalCount - idleCount, idle: idleCount, max: options.max, wanted };
        for (const [state, count] of Object.entries(states)) this.set({ pool: name, state }, count);
      }
    },
  });
  return {
    observe(name: 'writes' | 'lookups' | 'relay' | 'sealer', pool: Pool): void {
      const labels = { pool: name };
      let inUse = 0;
      let since = performance.now();
      const account = (change: number) => {
        const now = performance.now();
        busy.inc(labels, (inUse * (now - since)) / 1_000);
        inUse += change;
        since = now;
      };
      pool.connections.on('acquire', () => account(1));
      pool.connections.on('release', () => account(-1));
      pool.onConnectionWait = (ms) => wait.observe(labels, ms);
      pools.set(name, { pool, account });
    },
  };
}

/** Facts across companies, which only the relay's role may read. */
export function observeRelay(registry: Registry, relay: Pool): void {
  type Facts = {
    not_taken: bigint;
    not_taken_seconds: number;
    pending: bigint;
    pending_seconds: number;
    overdue_seconds: number;
    given_up: bigint;
    audit_months_ahead: number;
    audit_fallback_rows: number;
    batches: ReadonlyMap<string, BatchFacts>;
    approvals: ApprovalFacts | undefined;
    audits: AuditFacts | undefined;
  };
  const { gauge } = askedWhenScraped(registry, 'database', async () => {
    const [facts] = await queryOnce<Omit<Facts, 'batches' | 'approvals' | 'audits'>>(
      relay,
      'SELECT * FROM relay_facts()',
    );
    const batches = await queryOnce<BatchFacts>(relay, 'SELECT * FROM batch_facts()');
    const [approvals] = await queryOnce<ApprovalFacts>(relay, 'SELECT * FROM approval_facts()');
    const [audits] = await queryOnce<AuditFacts>(relay, 'SELECT * FROM audit_run_facts()');
    return facts && { ...facts, approvals, audits, batches: new Map(batches.map((row) => [row.state, row])) };
  });
  gauge(
    'outbox_events',
    'Events by state: not_taken (not yet processed by the relay), pending (webhook call due), given_up',
    'state',
    {
      not_taken: ({ not_taken }) => Number(not_taken),
      pending: ({ pending }) => Number(pending),
      given_up: ({ given_up }) => Number(given_up),
    },
  );
  gauge('outbox_oldest_seconds', 'Age of the oldest event in that state', 'state', {
    not_taken: ({ not_taken_seconds }) => not_taken_seconds,
    pending: ({ pending_seconds }) => pending_seconds,
  });
  gauge('outbox_lag_seconds', 'Age of the oldest event that the relay has not processed yet', undefined, {
    all: ({ not_taken_seconds }) => not_taken_seconds,
  });
  gauge('outbox_overdue_seconds', 'How long the most overdue webhook call has been due', undefined, {
    all: ({ overdue_seconds }) => overdue_seconds,
  });
  gauge('audit_partitions_ahead', 'Months after the current one for which the audit log has a partition', undefined, {
    all: ({ audit_months_ahead }) => audit_months_ahead,
  });
  gauge(
    'audit_fallback_rows',
    'Audit rows in the DEFAULT partition, for lack of a partition for their month; counted up to 1,000',
    undefined,
    {
      all: ({ audit_fallback_rows }) => audit_fallback_rows,
    },
  );
  const perState = (read: (facts: BatchFacts) => number) =>
    Object.fromEntries(
      UNFINISHED.map((state) => {
        const of = ({ batches }: Facts) => {
          const facts = batches.get(state);
          return facts === undefined ? 0 : read(facts);
        };
        return [state, of];
      }),
    );
  gauge(
    'batches_unfinished',
    'Batches whose file is stored and that are not over, by state: queued, running, paused',
    'state',
    perState(({ batches }) => Number(batches)),
  );
  gauge(
    'batch_oldest_seconds',
    'Time since the oldest batch in that state was queued',
    'state',
    perState(({ oldest_seconds }) => oldest_seconds),
  );
  gauge(
    'batch_silent_seconds',
    'The longest time without progress of a batch that is running, or whose turn it is',
    undefined,
    { all: ({ batches }) => Math.max(0, ...[...batches.values()].map(({ silent_seconds }) => silent_seconds)) },
  );
  gauge('approvals_waiting', 'Writes that wait for their approval', undefined, {
    all: ({ approvals }) => Number(approvals?.waiting ?? 0),
  });
  gauge(
    'approval_overdue_seconds',
    'For how long a write has had enough approvals, or its time has been over, without its outcome',
    undefined,
    { all: ({ approvals }) => approvals?.overdue_seconds ?? 0 },
  );
  gauge('auditor_findings', 'Findings of the last scheduled audit of the recent writes, and of all', 'scope', {
    recent: ({ audits }) => Number(audits?.recent_findings ?? 0),
    all: ({ audits }) => Number(audits?.all_findings ?? 0),
  });
  gauge('auditor_not_asked', 'What the last scheduled audit could not ask', undefined, {
    all: ({ audits }) => audits?.not_asked ?? 0,
  });
  gauge('auditor_silent_seconds', 'Time since a scheduled audit has ended', undefined, {
    all: ({ audits }) => audits?.silent_seconds ?? 0,
  });
}

type AuditFacts = {
  /** Null where no run of that scope has ended. */
  readonly recent_findings: bigint | null;
  readonly all_findings: bigint | null;
  readonly not_asked: number | null;
  readonly silent_seconds: number;
};

type ApprovalFacts = { readonly waiting: bigint; readonly overdue_seconds: number };

const UNFINISHED = ['queued', 'running', 'paused'] as const;

type BatchFacts = {
  readonly state: (typeof UNFINISHED)[number];
  readonly batches: bigint;
  readonly oldest_seconds: number;
  readonly silent_seconds: number;
};

/** How far the seal is behind the log, which only the sealer's role may read. */
export function observeSeal(registry: Registry, sealer: Pool): void {
  lagGauge(registry, {
    name: 'seal_lag_seconds',
    help: 'Age of the oldest audit row that is not sealed yet; during a sweep, the time since it began',
    ask: () => sealLagSeconds(sealer),
  });
}

/** Since when no head of a log has got a time stamp. */
export function observeTimeStamps(registry: Registry, sealer: Pool): void {
  lagGauge(registry, {
    name: 'seal_timestamp_lag_seconds',
    help: 'Age of the oldest head of the seal that has no time stamp, and none behind it',
    ask: onceAMinute(() => evidenceLagSeconds(sealer, 'time-stamp')),
  });
}

/**
 * For a question of which a minute more or less says nothing. An answer is told for its minute, and for another one while the next
 * has not come: an alert that waits for some minutes begins anew where a value is missing. No answer is asked for again at once.
 */
export function onceAMinute<T>(ask: () => Promise<T | undefined>, now = () => performance.now()) {
  let last: { readonly atMs: number; readonly answer: T } | undefined;
  let asking: Promise<T | undefined> | undefined;
  async function askAgain(): Promise<T | undefined> {
    const answer = await ask();
    if (answer !== undefined) last = { atMs: now(), answer };
    return answer;
  }
  return async (): Promise<T | undefined> => {
    const ageMs = last === undefined ? Number.POSITIVE_INFINITY : now() - last.atMs;
    if (ageMs >= MINUTE_MS) {
      asking ??= askAgain().finally(() => {
        asking = undefined;
      });
    }
    return ageMs < 2 * MINUTE_MS ? last?.answer : asking;
  };
}

/** Asked at each scrape, and without a value where there is no answer. */
function lagGauge(
  registry: Registry,
  { ask, ...names }: { readonly name: string; readonly help: string; ask(): Promise<number | undefined> },
): void {
  new Gauge({
    ...names,
    registers: [registry],
    async collect() {
      const lag = await Promise.race([ask(), sleep(ASK_LIMIT_MS, undefined, { ref: false })]);
      if (lag === undefined) this.reset();
      else this.set(lag);
    },
  });
}

/** The age of the oldest open run of a write, from Temporal's visibility. */
export function observeOpenRuns(registry: Registry, ask: () => Promise<OpenRuns>): void {
  const { gauge } = askedWhenScraped(registry, 'temporal', ask);
  gauge('write_oldest_run_seconds', 'Age of the oldest open run of a write or a group', undefined, {
    all: ({ oldestSeconds }) => oldestSeconds,
  });
  gauge('write_stuck_runs', 'Runs of writes and groups that have been open for more than a minute', undefined, {
    all: ({ overAMinute }) => overAMinute,
  });
}

/** Since the identity provider has answered with its keys. */
export function observeKeySet(registry: Registry, keySet: { readonly ageSeconds: number }): void {
  new Gauge({
    name: 'authentication_keys_age_seconds',
    help: 'Time since the identity provider last answered with its keys, or since the start if it never has',
    registers: [registry],
    collect() {
      this.set(keySet.ageSeconds);
    },
  });
}

/** Whether this process may write to its database. */
export function observeTrust(registry: Registry, fence: { readonly state: TrustState }): void {
  new Gauge({
    name: 'database_trust',
    help: 'Whether the database is verified: 1 for its state (trusted, verifying, replaced), 0 for the others',
    labelNames: ['state'] as const,
    registers: [registry],
    collect() {
      for (const state of TRUST_STATES) this.set({ state }, fence.state === state ? 1 : 0);
    },
  });
}

/** The submissions in progress in an API process. */
export function observeSubmit(
  registry: Registry,
  submit: { readonly inFlight: number; readonly startsQueued: number; readonly oldestSubmissionSeconds: number },
): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  gauge('write_flights', 'Submissions of this process without an outcome yet', () => submit.inFlight);
  gauge(
    'write_starts_queued',
    'Submissions whose workflow start is still queued in this process',
    () => submit.startsQueued,
  );
  gauge(
    'write_oldest_flight_seconds',
    'Age of the oldest submission of this process that has no outcome yet',
    () => submit.oldestSubmissionSeconds,
  );
}

/** The uploads of batches in progress in an API process. */
export function observeUploads(registry: Registry, uploads: { readonly open: number }): void {
  new Gauge({
    name: 'batch_uploads_open',
    help: 'Uploads of files in progress in this process',
    registers: [registry],
    collect() {
      this.set(uploads.open);
    },
  });
}

/** One query per scrape, shared by all gauges that read its result, and one more gauge that says whether it succeeded. */
function askedWhenScraped<Facts>(
  registry: Registry,
  source: 'database' | 'temporal',
  ask: () => Promise<Facts | undefined>,
) {
  const registers = [registry];
  let asking: Promise<Facts | undefined> | undefined;
  const answer = async () => {
    asking ??= ask()
      .catch(() => undefined)
      .finally(() => {
        asking = undefined;
      });
    return Promise.race([asking, sleep(ASK_LIMIT_MS, undefined, { ref: false })]);
  };
  new Gauge({
    name: `${source}_facts_known`,
    help: `Whether ${source === 'database' ? 'the database' : 'Temporal'} answered the query of this scrape`,
    registers,
    async collect() {
      this.set((await answer()) === undefined ? 0 : 1);
    },
  });
  return {
    gauge(
      name: string,
      help: string,
      label: 'state' | 'scope' | undefined,
      read: Readonly<Record<string, (facts: Facts) => number>>,
    ): void {
      new Gauge({
        name,
        help,
        labelNames: label === undefined ? [] : [label],
        registers,
        async collect() {
          const facts = await answer();
          for (const [value, of] of Object.entries(read)) {
            const labels: Record<string, string> = label === undefined ? {} : { [label]: value };
            if (facts === undefined) this.remove(labels);
            else this.set(labels, of(facts));
          }
        },
      });
    },
  };
}
