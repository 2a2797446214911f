import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type Database, queryOnce } from '../activities/database.ts';

export type Metrics = ReturnType<typeof createMetrics>;

/**
 * The metrics of one process. Labels are operation, type and a closed set of words; never a company, a user or a key.
 * Names are contract.md's.
 */
export function createMetrics(database: Database) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const [pool, connections] of [
    ['writes', database.writes],
    ['lookups', database.lookups],
  ] as const) {
    poolGauges(registry, pool, connections);
  }
  const registers = [registry];
  return {
    registry,
    writes: new Counter({
      name: 'idempotent_writes_total',
      help: 'Answers and outcomes of writes, by status: new, replayed, failed',
      labelNames: ['operation', 'type', 'status'] as const,
      registers,
    }),
    replayed: new Counter({
      name: 'idempotent_writes_replayed_total',
      help: 'Replays answered (also in idempotent_writes_total)',
      labelNames: ['operation', 'type'] as const,
      registers,
    }),
    failed: new Counter({
      name: 'idempotent_writes_failed_total',
      help: 'Failures, by what they were: rejected, mismatch, cancelled, run_failed, unavailable',
      labelNames: ['operation', 'type', 'error_type'] as const,
      registers,
    }),
    workflowsTriggered: new Counter({
      name: 'idempotent_writes_workflows_triggered_total',
      help: 'Business workflows that writes asked for',
      labelNames: ['operation', 'type'] as const,
      registers,
    }),
    duration: new Histogram({
      name: 'idempotent_write_duration_ms',
      help: 'From the request to its final answer, first executions and replays apart',
      labelNames: ['operation', 'type', 'answer'] as const,
      buckets: [2, 5, 10, 20, 35, 50, 75, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000],
      registers,
    }),
    groupSize: new Histogram({
      name: 'write_group_size',
      help: 'Writes that travelled together in one workflow',
      buckets: [2, 3, 5, 10, 20, 50, 100, 200],
      registers,
    }),
    groupLeavers: new Counter({
      name: 'write_group_leavers_total',
      help: 'Writes that got no outcome in their group and went on in a workflow of their own',
      labelNames: ['operation', 'type'] as const,
      registers,
    }),
    startWait: new Histogram({
      name: 'write_start_wait_ms',
      help: 'How long writes waited in this process for their start to be sent, by the lane that they then took',
      labelNames: ['lane'] as const,
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000],
      registers,
    }),
    flightsJoined: new Counter({
      name: 'write_flights_joined_total',
      help: 'Requests that joined the submission of an identical one in this process',
      labelNames: ['operation', 'type'] as const,
      registers,
    }),
    recordMissing: new Counter({
      name: 'write_record_missing_total',
      help: 'Runs that Temporal says are done and of which the database has no row: always an alert',
      registers,
    }),
    eventsNumbered: new Counter({
      name: 'outbox_events_numbered_total',
      help: 'Events that the relay has taken from the outbox',
      registers,
    }),
    eventStarts: new Counter({
      name: 'outbox_starts_total',
      help: 'Workflows that the relay has started, by what for: workflow (one that was triggered), webhooks (a batch)',
      labelNames: ['what'] as const,
      registers,
    }),
    webhookAttempts: new Counter({
      name: 'webhook_attempts_total',
      help: 'Calls of webhooks, by outcome: delivered, failed (comes again), given_up',
      labelNames: ['outcome'] as const,
      registers,
    }),
    /** Gauges of the relay, asked of the database when scraped. */
    observeOutbox(relayDatabase: Database) {
      outboxGauges(registry, relayDatabase);
    },
    /** Gauges of an API process, read from its submissions when scraped. */
    observeSubmit(submit: { readonly inFlight: number; readonly startsQueued: number }) {
      const gauge = (name: string, help: string, read: () => number) =>
        new Gauge({
          name,
          help,
          registers,
          collect() {
            this.set(read());
          },
        });
      gauge('write_flights', 'Submissions of this process that have no outcome yet', () => submit.inFlight);
      gauge('write_starts_queued', 'Submissions that wait for their start to be sent', () => submit.startsQueued);
    },
  };
}

function outboxGauges(registry: Registry, relayDatabase: Database): void {
  type Lag = { not_numbered: bigint; oldest_seconds: number; pending: bigint; given_up: bigint };
  let asking: Promise<Lag | undefined> | undefined;
  /** Asked once a scrape. What cannot be asked stays as it was told last: a scrape tells of all else. */
  const lag = () => {
    asking ??= queryOnce<Lag>(relayDatabase.lookups, 'SELECT * FROM outbox_lag()')
      .then(
        ([row]) => row,
        () => undefined,
      )
      .finally(() => {
        asking = undefined;
      });
    return asking;
  };
  const registers = [registry];
  new Gauge({
    name: 'outbox_lag_seconds',
    help: 'Age of the oldest event that the relay has not taken yet',
    registers,
    async collect() {
      const now = await lag();
      if (now !== undefined) this.set(now.oldest_seconds);
    },
  });
  new Gauge({
    name: 'outbox_events',
    help: 'Events by state: not_taken by the relay yet; webhook call pending; webhook call given_up',
    labelNames: ['state'] as const,
    registers,
    async collect() {
      const now = await lag();
      if (now === undefined) return;
      this.set({ state: 'not_taken' }, Number(now.not_numbered));
      this.set({ state: 'pending' }, Number(now.pending));
      this.set({ state: 'given_up' }, Number(now.given_up));
    },
  });
}

function poolGauges(registry: Registry, pool: string, connections: Database['writes']): void {
  new Gauge({
    name: `database_pool_${pool}_connections`,
    help: `Connections of the pool for ${pool}, by state`,
    labelNames: ['state'] as const,
    registers: [registry],
    collect() {
      this.set({ state: 'open' }, connections.totalCount);
      this.set({ state: 'idle' }, connections.idleCount);
      this.set({ state: 'waiting_for_one' }, connections.waitingCount);
      this.set({ state: 'max' }, connections.options.max);
    },
  });
}
