import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client';
import { ROW_OUTCOMES } from '../activities/batches/batch-row.ts';
import type { Database, Pool } from '../activities/database.ts';
import { type Operation, WORKFLOW_TRIGGERED } from '../activities/operation.ts';
import { SEALED_LOGS } from '../activities/seal/content.ts';
import { WITNESS_FAULTS } from '../activities/seal/witness.ts';
import {
  createPoolMetrics,
  observeKeySet,
  observeOpenRuns,
  observeRelay,
  observeSeal,
  observeSubmit,
  observeTimeStamps,
  observeTrust,
  observeUploads,
} from './gauges.ts';
import type { OpenRuns } from './open-runs.ts';

export type Metrics = ReturnType<typeof createMetrics>;

export type MetricsOptions = {
  readonly database: Pick<Database, 'writes' | 'reads'>;
  /** Their names and types, and `unknown`, are the only values of the labels `operation` and `type`. */
  readonly operations: readonly Operation[];
  /** `false` counts nothing, so that a benchmark can measure what counting costs. */
  readonly instrumentation?: boolean;
};

/**
 * The metrics of one process. Each label has a closed set of values: operations, their types, and constants; never a
 * company, a user or a key. The names are published (contract.md).
 */
export function createMetrics({ database, operations, instrumentation = true }: MetricsOptions) {
  const registry = new Registry();
  const instruments = createInstruments(registry);
  if (!instrumentation) {
    const silent = Object.keys(instruments).map((name) => [name, SILENT]);
    return { registry: new Registry(), ...(Object.fromEntries(silent) as typeof instruments), ...UNOBSERVED };
  }
  collectDefaultMetrics({ register: registry });
  initializeToZero(instruments, operations);
  const pools = createPoolMetrics(registry);
  pools.observe('writes', database.writes);
  // The published name of the pool for reads.
  pools.observe('lookups', database.reads);
  return {
    registry,
    ...instruments,
    /** The relay's connections, and facts across companies that are read with the relay's role at each scrape. */
    observeRelay(relay: Pool): void {
      pools.observe('relay', relay);
      observeRelay(registry, relay);
    },
    /** How far the seal is behind, read with the sealer's role at each scrape. */
    observeSeal(sealer: Pool): void {
      pools.observe('sealer', sealer);
      observeSeal(registry, sealer);
    },
    /** For how long heads wait for their time stamps, read with the sealer's role at each scrape. */
    observeTimeStamps: (sealer: Pool): void => observeTimeStamps(registry, sealer),
    /** The age of the oldest open run, queried from Temporal at each scrape. */
    observeOpenRuns: (ask: () => Promise<OpenRuns>): void => observeOpenRuns(registry, ask),
    /** The submissions in progress in this process. */
    observeSubmit: (submit: Parameters<typeof observeSubmit>[1]): void => observeSubmit(registry, submit),
    /** The uploads of batches in progress in this process. */
    observeUploads: (uploads: Parameters<typeof observeUploads>[1]): void => observeUploads(registry, uploads),
    /** How old the identity provider's keys are. */
    observeKeySet: (keySet: Parameters<typeof observeKeySet>[1]): void => observeKeySet(registry, keySet),
    /** Whether this process may write to its database. */
    observeTrust: (fence: Parameters<typeof observeTrust>[1]): void => observeTrust(registry, fence),
  };
}

const SILENT = { inc() {}, observe() {} };
const UNOBSERVED = {
  observeRelay() {},
  observeSeal() {},
  observeTimeStamps() {},
  observeOpenRuns() {},
  observeSubmit() {},
  observeUploads() {},
  observeKeySet() {},
  observeTrust() {},
};

/** Fine where an idle process answers, and up to the longest wait that a client can request. */
const ANSWER_BUCKETS_MS = [2, 5, 10, 20, 35, 50, 75, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
const WAIT_BUCKETS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

function createInstruments(registry: Registry) {
  const registers = [registry];
  return {
    writes: new Counter({
      name: 'idempotent_writes_total',
      help: 'Outcomes and replays of writes, by status: new, replayed, failed',
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
      help: 'Failures by type: rejected, mismatch, cancelled, run_failed, unavailable',
      labelNames: ['operation', 'type', 'error_type'] as const,
      registers,
    }),
    workflowsTriggered: new Counter({
      name: 'idempotent_writes_workflows_triggered_total',
      help: 'Registered workflows that writes have triggered',
      labelNames: ['operation', 'type'] as const,
      registers,
    }),
    duration: new Histogram({
      name: 'idempotent_write_duration_ms',
      help: 'Time from the request to its final answer, for first executions and replays',
      labelNames: ['operation', 'type', 'answer'] as const,
      buckets: ANSWER_BUCKETS_MS,
      registers,
    }),
    requestWait: new Histogram({
      name: 'write_wait_ms',
      help: 'Time that requests waited for an outcome, by how: opened a submission, joined one here, attached to a run elsewhere',
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
      help: 'Time that writes waited in this process for their workflow start, by lane (key or group)',
      labelNames: ['lane'] as const,
      buckets: WAIT_BUCKETS_MS,
      registers,
    }),
    groupSize: new Histogram({
      name: 'write_group_size',
      help: 'Writes per group workflow',
      buckets: [2, 3, 5, 10, 20, 50, 100, 200],
      registers,
    }),
    ungroupedItems: new Counter({
      name: 'write_group_leavers_total',
      help: 'Writes that got no outcome in their group and continue in their own workflow',
      labelNames: ['operation', 'type'] as const,
      registers,
    }),
    setSize: new Histogram({
      name: 'write_set_size',
      help: 'Writes per set that was committed',
      buckets: [2, 3, 5, 10, 20, 50, 100],
      registers,
    }),
    failedSets: new Counter({
      name: 'write_sets_failed_total',
      help: 'Sets that came to nothing; their writes went on one by one',
      labelNames: ['operation', 'type'] as const,
      registers,
    }),
    batchUploads: new Counter({
      name: 'batch_uploads_total',
      help: 'Uploads of files by their end: stored, repeated, checked, refused, broken_off, failed',
      labelNames: ['end'] as const,
      registers,
    }),
    batchRowsUploaded: new Counter({
      name: 'batch_rows_uploaded_total',
      help: 'Rows stored by uploads, those of uploads that were broken off included',
      registers,
    }),
    batchRows: new Counter({
      name: 'batch_rows_total',
      help: 'Rows of batches by their outcome; operation is unknown where the row names none',
      labelNames: ['operation', 'outcome'] as const,
      registers,
    }),
    batchChunkMs: new Histogram({
      name: 'batch_chunk_ms',
      help: 'Duration of a chunk of a batch, from its claim until it is recorded',
      buckets: [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000],
      registers,
    }),
    batchChunksFailed: new Counter({
      name: 'batch_chunks_failed_total',
      help: 'Failed attempts at chunks of batches; each is made again',
      registers,
    }),
    recordMissing: new Counter({
      name: 'write_record_missing_total',
      help: 'Runs that are completed in Temporal but have no row in the database: always an alert',
      registers,
    }),
    problems: new Counter({
      name: 'http_problems_total',
      help: 'Requests answered with an error, by problem code; without stored rejections',
      labelNames: ['code'] as const,
      registers,
    }),
    temporalRefused: new Counter({
      name: 'temporal_refused_total',
      help: 'Payloads and runs that Temporal gave this process and that are not ours: always an alert',
      registers,
    }),
    connectionsRefused: new Counter({
      name: 'http_connections_refused_total',
      help: 'Connections closed at once because their address had too many open ones',
      registers,
    }),
    auditRows: new Histogram({
      name: 'audit_flush_rows',
      help: 'Audit rows of replays and conflicts per INSERT',
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500],
      registers,
    }),
    securityRows: new Counter({
      name: 'security_log_rows_total',
      help: 'Rows that the API wrote to the security log; without those of transactions and operators',
      registers,
    }),
    securityRowsDropped: new Counter({
      name: 'security_log_rows_dropped_total',
      help: 'Rows that the API could not write to the security log: an alert',
      registers,
    }),
    auditMs: new Histogram({
      name: 'audit_flush_ms',
      help: 'Duration of the INSERT of audit rows, for which the answers wait',
      buckets: WAIT_BUCKETS_MS,
      registers,
    }),
    sealedRows: new Counter({
      name: 'sealed_rows_total',
      help: 'Rows that this process has sealed, by log: journal, audit',
      labelNames: ['log'] as const,
      registers,
    }),
    timeStampFailures: new Counter({
      name: 'seal_timestamp_failures_total',
      help: 'Heads of the seal that got no time stamp, to be tried again, by kind: unreachable, refused, invalid',
      labelNames: ['kind'] as const,
      registers,
    }),
    eventsNumbered: new Counter({
      name: 'outbox_events_numbered_total',
      help: 'Events that the relay has processed',
      registers,
    }),
    eventStarts: new Counter({
      name: 'outbox_starts_total',
      help: 'Workflows that the relay has started: workflow (a triggered one) or webhooks (a batch)',
      labelNames: ['what'] as const,
      registers,
    }),
    eventStartsFailed: new Counter({
      name: 'outbox_starts_failed_total',
      help: 'Starts that failed; the relay retries each',
      registers,
    }),
    webhookAttempts: new Counter({
      name: 'webhook_attempts_total',
      help: 'Webhook calls by outcome: delivered, failed (will be retried), given_up',
      labelNames: ['outcome'] as const,
      registers,
    }),
  };
}

/**
 * How an upload ends: its file has become the batch's; it is that of the batch already; it was only checked; it was refused for
 * what it holds; it ended too early or was silent; or it failed on our side.
 */
export const UPLOAD_ENDS = ['stored', 'repeated', 'checked', 'refused', 'broken_off', 'failed'] as const;
export type UploadEnd = (typeof UPLOAD_ENDS)[number];

/** `increase()` does not see the first event of a counter that did not exist before it. */
function initializeToZero(metrics: ReturnType<typeof createInstruments>, operations: readonly Operation[]): void {
  for (const { name: operation, type, event, set } of operations) {
    const labels = { operation, type };
    for (const status of ['new', 'replayed', 'failed']) metrics.writes.inc({ ...labels, status }, 0);
    for (const error_type of ['rejected', 'mismatch', 'run_failed', 'unavailable']) {
      metrics.failed.inc({ ...labels, error_type }, 0);
    }
    for (const counter of [metrics.replayed, metrics.submissionsJoined, metrics.ungroupedItems]) counter.inc(labels, 0);
    if (set !== undefined) metrics.failedSets.inc(labels, 0);
    if (event === WORKFLOW_TRIGGERED) metrics.workflowsTriggered.inc(labels, 0);
  }
  for (const operation of [...operations.map(({ name }) => name), 'unknown']) {
    for (const outcome of Object.keys(ROW_OUTCOMES)) {
      if (outcome !== 'pending') metrics.batchRows.inc({ operation, outcome }, 0);
    }
  }
  for (const end of UPLOAD_ENDS) metrics.batchUploads.inc({ end }, 0);
  for (const outcome of ['delivered', 'failed', 'given_up']) metrics.webhookAttempts.inc({ outcome }, 0);
  // Those for whose first event there is an alert.
  for (const code of ['internal_error', 'authentication_unavailable']) metrics.problems.inc({ code }, 0);
  for (const what of ['workflow', 'webhooks']) metrics.eventStarts.inc({ what }, 0);
  for (const log of SEALED_LOGS) metrics.sealedRows.inc({ log }, 0);
  for (const kind of WITNESS_FAULTS) metrics.timeStampFailures.inc({ kind }, 0);
}
