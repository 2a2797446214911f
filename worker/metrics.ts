import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client';
import type { Database, Pool } from '../activities/database.ts';
import { type Operation, WORKFLOW_TRIGGERED } from '../activities/operation.ts';
import { createPoolMetrics, observeOpenRuns, observeRelay, observeSubmit } from './gauges.ts';
import type { OpenRuns } from './open-runs.ts';

export type Metrics = ReturnType<typeof createMetrics>;

export type MetricsOptions = {
  readonly database: Pick<Database, 'writes' | 'reads'>;
  /** Their names and types are label values, and the only ones of these labels beside `unknown`. */
  readonly operations: readonly Operation[];
  /** False: nothing is counted, so that a benchmark can tell what counting costs. */
  readonly instrumentation?: boolean;
};

/**
 * The metrics of one process. Each label has a closed set of values: operations, their types, and words of ours; never a
 * company, a user or a key. Names are contract.md's.
 */
export function createMetrics({ database, operations, instrumentation = true }: MetricsOptions) {
  const registry = new Registry();
  const instruments = createInstruments(registry);
  if (!instrumentation) {
    const silent = Object.keys(instruments).map((name) => [name, SILENT]);
    return { registry: new Registry(), ...(Object.fromEntries(silent) as typeof instruments), ...UNOBSERVED };
  }
  collectDefaultMetrics({ register: registry });
  beginAtZero(instruments, operations);
  const pools = createPoolMetrics(registry);
  pools.observe('writes', database.writes);
  // The published name of the pool for reads.
  pools.observe('lookups', database.reads);
  return {
    registry,
    ...instruments,
    /** The relay's connections, and facts across companies, which are asked as the relay when scraped. */
    observeRelay(relay: Pool): void {
      pools.observe('relay', relay);
      observeRelay(registry, relay);
    },
    /** How old the oldest open run is, asked of Temporal when scraped. */
    observeOpenRuns: (ask: () => Promise<OpenRuns>): void => observeOpenRuns(registry, ask),
    /** What this process carries right now. */
    observeSubmit: (submit: Parameters<typeof observeSubmit>[1]): void => observeSubmit(registry, submit),
  };
}

const SILENT = { inc() {}, observe() {} };
const UNOBSERVED = { observeRelay() {}, observeOpenRuns() {}, observeSubmit() {} };

/** In milliseconds: fine where an idle process answers, and up to the longest wait that a client can ask for. */
const ANSWER_BUCKETS_MS = [2, 5, 10, 20, 35, 50, 75, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
const WAIT_BUCKETS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

function createInstruments(registry: Registry) {
  const registers = [registry];
  return {
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
      buckets: ANSWER_BUCKETS_MS,
      registers,
    }),
    requestWait: new Histogram({
      name: 'write_wait_ms',
      help: 'How long requests waited for an outcome, by how they came to it: opened, joined (here), attached (elsewhere)',
      labelNames: ['by', 'end'] as const,
      buckets: ANSWER_BUCKETS_MS,
      registers,
    }),
    submissionsJoined: new Counter({
      name: 'write_flights_joined_total',
      help: 'Requests that joined the submission of an identical one in this process',
      labelNames: ['operation', 'type'] as const,
      registers,
    }),
    startWait: new Histogram({
      name: 'write_start_wait_ms',
      help: 'How long writes waited in this process for their start to be sent, by the lane that they then took',
      labelNames: ['lane'] as const,
      buckets: WAIT_BUCKETS_MS,
      registers,
    }),
    groupSize: new Histogram({
      name: 'write_group_size',
      help: 'Writes that travelled together in one workflow',
      buckets: [2, 3, 5, 10, 20, 50, 100, 200],
      registers,
    }),
    ungroupedItems: new Counter({
      name: 'write_group_leavers_total',
      help: 'Writes that got no outcome in their group and went on in a workflow of their own',
      labelNames: ['operation', 'type'] as const,
      registers,
    }),
    recordMissing: new Counter({
      name: 'write_record_missing_total',
      help: 'Runs that Temporal says are done and of which the database has no row: always an alert',
      registers,
    }),
    problems: new Counter({
      name: 'http_problems_total',
      help: 'Requests of any kind that were answered with an error, by its code; stored rejections are not among them',
      labelNames: ['code'] as const,
      registers,
    }),
    auditRows: new Histogram({
      name: 'audit_flush_rows',
      help: 'Audit rows of replays and conflicts that were written together',
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500],
      registers,
    }),
    auditMs: new Histogram({
      name: 'audit_flush_ms',
      help: 'How long such a statement took; the answers wait for it',
      buckets: WAIT_BUCKETS_MS,
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
    eventStartsFailed: new Counter({
      name: 'outbox_starts_failed_total',
      help: 'Starts that Temporal did not take; the relay tries each again',
      registers,
    }),
    webhookAttempts: new Counter({
      name: 'webhook_attempts_total',
      help: 'Calls of webhooks, by outcome: delivered, failed (comes again), given_up',
      labelNames: ['outcome'] as const,
      registers,
    }),
  };
}

/** A counter that is not there before its first event hides that event from `increase()`. */
function beginAtZero(metrics: ReturnType<typeof createInstruments>, operations: readonly Operation[]): void {
  for (const { name: operation, type, event } of operations) {
    const labels = { operation, type };
    for (const status of ['new', 'replayed', 'failed']) metrics.writes.inc({ ...labels, status }, 0);
    for (const error_type of ['rejected', 'mismatch', 'run_failed', 'unavailable']) {
      metrics.failed.inc({ ...labels, error_type }, 0);
    }
    for (const counter of [metrics.replayed, metrics.submissionsJoined, metrics.ungroupedItems]) counter.inc(labels, 0);
    if (event === WORKFLOW_TRIGGERED) metrics.workflowsTriggered.inc(labels, 0);
  }
  for (const outcome of ['delivered', 'failed', 'given_up']) metrics.webhookAttempts.inc({ outcome }, 0);
  for (const what of ['workflow', 'webhooks']) metrics.eventStarts.inc({ what }, 0);
}
