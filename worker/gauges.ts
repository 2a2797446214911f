import { setTimeout as sleep } from 'node:timers/promises';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type Pool, queryOnce } from '../activities/database.ts';
import type { OpenRuns } from './open-runs.ts';

/** What is read when a process is scraped. What cannot be learnt then has no value at all: an old one would be a lie. */

/** A scraper waits ten seconds; one server that does not answer must not keep it from all else. */
const ASK_LIMIT_MS = 2_000;

/** In milliseconds: an idle connection is there at once, and at most so long is waited for one (activities/database.ts). */
const CONNECTION_BUCKETS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/** The pools of a process: what their connections do, how long one is waited for, and how much of the time they work. */
export function createPoolMetrics(registry: Registry) {
  const registers = [registry];
  const pools = new Map<string, { readonly pool: Pool; account(change: number): void }>();
  const wait = new Histogram({
    name: 'database_pool_wait_ms',
    help: 'How long was waited for a connection',
    labelNames: ['pool'] as const,
    buckets: CONNECTION_BUCKETS_MS,
    registers,
  });
  // A group uses all connections for some milliseconds, so what a scrape happens to see says little of how busy they are.
  const busy = new Counter({
    name: 'database_pool_busy_seconds_total',
    help: 'Time for which connections were in use, added up: its rate is how many are, on average',
    labelNames: ['pool'] as const,
    registers,
    collect() {
      for (const { account } of pools.values()) account(0);
    },
  });
  new Gauge({
    name: 'database_pool_connections',
    help: 'Connections by state: busy, idle; how many there may be (max), and requests that wait for one (wanted)',
    labelNames: ['pool', 'state'] as const,
    registers,
    collect() {
      for (const [name, { pool }] of pools) {
        const { totalCount, idleCount, waitingCount, options } = pool.connections;
        const states = { busy: totalCount - idleCount, idle: idleCount, max: options.max, wanted: waitingCount };
        for (const [state, count] of Object.entries(states)) this.set({ pool: name, state }, count);
      }
    },
  });
  return {
    observe(name: 'writes' | 'lookups' | 'relay', pool: Pool): void {
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

/** Facts across companies that only the relay may ask for. */
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
  };
  const { gauge } = askedWhenScraped(registry, 'database', async () => {
    const [facts] = await queryOnce<Facts>(relay, 'SELECT * FROM relay_facts()');
    return facts;
  });
  gauge('outbox_events', 'Events by state: not_taken by the relay yet; webhook call pending; given_up', 'state', {
    not_taken: ({ not_taken }) => Number(not_taken),
    pending: ({ pending }) => Number(pending),
    given_up: ({ given_up }) => Number(given_up),
  });
  gauge('outbox_oldest_seconds', 'Age of the oldest event in that state', 'state', {
    not_taken: ({ not_taken_seconds }) => not_taken_seconds,
    pending: ({ pending_seconds }) => pending_seconds,
  });
  gauge('outbox_lag_seconds', 'Age of the oldest event that the relay has not taken yet', undefined, {
    all: ({ not_taken_seconds }) => not_taken_seconds,
  });
  gauge('outbox_overdue_seconds', 'For how long a webhook call has been due that no one has made', undefined, {
    all: ({ overdue_seconds }) => overdue_seconds,
  });
  gauge('audit_partitions_ahead', 'Months after this one for which the audit log has a partition', undefined, {
    all: ({ audit_months_ahead }) => audit_months_ahead,
  });
  gauge('audit_fallback_rows', 'Rows of months without a partition; counted up to 1,000', undefined, {
    all: ({ audit_fallback_rows }) => audit_fallback_rows,
  });
}

/** How old the oldest open run of a write is, as Temporal lists it. */
export function observeOpenRuns(registry: Registry, ask: () => Promise<OpenRuns>): void {
  const { gauge } = askedWhenScraped(registry, 'temporal', ask);
  gauge('write_oldest_run_seconds', 'Age of the oldest run of a write, or of a group, that is open', undefined, {
    all: ({ oldestSeconds }) => oldestSeconds,
  });
  gauge('write_stuck_runs', 'Runs of writes and groups that have been open for over a minute', undefined, {
    all: ({ overAMinute }) => overAMinute,
  });
}

/** What an API process carries. */
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
  gauge('write_flights', 'Submissions of this process that have no outcome yet', () => submit.inFlight);
  gauge('write_starts_queued', 'Submissions that wait for their start to be sent', () => submit.startsQueued);
  gauge('write_oldest_flight_seconds', 'Age of the oldest of them', () => submit.oldestSubmissionSeconds);
}

/** One question a scrape, however many gauges tell of its answer; and one more gauge that tells whether there was one. */
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
    help: `Whether what is to be asked of ${source === 'database' ? 'the database' : 'Temporal'} was answered for this scrape`,
    registers,
    async collect() {
      this.set((await answer()) === undefined ? 0 : 1);
    },
  });
  return {
    gauge(
      name: string,
      help: string,
      label: 'state' | undefined,
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
