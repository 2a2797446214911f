import type { Dashboard, Panel, Query } from './panels.ts';

/** The Grafana dashboards: writes, events with the audit log, and processes. */
export const DASHBOARDS: readonly Dashboard[] = [
  {
    uid: 'accubooks-writes',
    title: 'AccuBooks: writes',
    rows: [
      {
        title: 'Now',
        panels: [
          number('Writes', 'reqps', 'New writes per second', 'sum(rate(idempotent_writes_total{status="new"}[5m]))'),
          number(
            'Replays',
            'percentunit',
            'Share of all answers. Above one half for ten minutes: WritesMostlyReplayed',
            'sum(rate(idempotent_writes_replayed_total[5m])) / sum(rate(idempotent_writes_total[5m]))',
          ),
          number(
            'Failed on our side',
            'percentunit',
            'Share of failed runs and 503s in all requests. Above one tenth: WritesFailing',
            'sum(rate(idempotent_writes_failed_total{error_type=~"run_failed|unavailable"}[5m])) / (sum(rate(idempotent_writes_total[5m])) + sum(rate(idempotent_writes_failed_total{error_type="unavailable"}[5m])))',
          ),
          number(
            'Oldest open run',
            's',
            'Of runs that have been open for more than a minute. Above five minutes: WritesStuck',
            'max(write_oldest_run_seconds)',
          ),
          number(
            'Records missing',
            'short',
            'Writes within the last hour that are completed in Temporal but have no row in the database. Above zero: WriteRecordMissing',
            'sum(increase(write_record_missing_total[1h]))',
          ),
          number('Alerts', 'short', 'Firing now', 'count(ALERTS{alertstate="firing"}) or vector(0)'),
        ],
      },
      {
        title: 'Answers',
        panels: [
          graph('Answers by status', 'reqps', 'new, replayed, failed', [
            { expr: 'sum by (status) (rate(idempotent_writes_total[5m]))', legend: '{{status}}' },
          ]),
          graph(
            'Failures by type',
            'reqps',
            'rejected and mismatch are caused by clients; run_failed and unavailable are failures on our side',
            [{ expr: 'sum by (error_type) (rate(idempotent_writes_failed_total[5m]))', legend: '{{error_type}}' }],
          ),
          graph('Errors by code', 'reqps', 'On all routes, without stored rejections', [
            { expr: 'sum by (code) (rate(http_problems_total[5m]))', legend: '{{code}}' },
          ]),
        ],
      },
      {
        title: 'Latency',
        panels: [
          graph(
            'First answers',
            'ms',
            'Time from the request to its final answer',
            quantiles('idempotent_write_duration_ms', 'answer="first"'),
          ),
          graph(
            'Replays',
            'ms',
            'Stored answers, and answers of requests that attached',
            quantiles('idempotent_write_duration_ms', 'answer="replay"'),
          ),
          graph(
            'Waits, p95',
            'ms',
            'Waits of requests that opened a submission, joined one in the process, or attached to one elsewhere; including 202s',
            [{ expr: 'histogram_quantile(0.95, sum by (le, by) (rate(write_wait_ms_bucket[5m])))', legend: '{{by}}' }],
          ),
        ],
      },
      {
        title: 'By operation',
        panels: [
          graph('New writes', 'reqps', 'The ten most frequent', [
            {
              expr: 'topk(10, sum by (operation) (rate(idempotent_writes_total{status="new"}[5m])))',
              legend: '{{operation}}',
            },
          ]),
          graph('p95 of first answers', 'ms', 'The ten slowest', [
            {
              expr: 'topk(10, histogram_quantile(0.95, sum by (le, operation) (rate(idempotent_write_duration_ms_bucket{answer="first"}[5m]))))',
              legend: '{{operation}}',
            },
          ]),
          graph('Failures and rejections', 'reqps', 'The ten most frequent', [
            {
              expr: 'topk(10, sum by (operation) (rate(idempotent_writes_failed_total[5m])))',
              legend: '{{operation}}',
            },
          ]),
        ],
      },
      {
        title: 'In progress',
        panels: [
          graph(
            'In flight',
            'short',
            'Submissions without an outcome, and those whose workflow start is still queued',
            [
              { expr: 'sum(write_flights)', legend: 'in flight' },
              { expr: 'sum(write_starts_queued)', legend: 'start queued' },
            ],
          ),
          graph('Joined duplicates', 'reqps', 'Requests that share the submission of an identical one', [
            { expr: 'sum(rate(write_flights_joined_total[5m]))', legend: 'joined' },
          ]),
          graph(
            'Writes by lane',
            'reqps',
            'In a workflow of their own (key) or in a group; some leave their group and continue in their own workflow',
            [
              { expr: 'sum by (lane) (rate(write_start_wait_ms_count[5m]))', legend: '{{lane}}' },
              { expr: 'sum(rate(write_group_leavers_total[5m]))', legend: 'left their group' },
            ],
          ),
          graph('Group size', 'short', 'Average', [
            {
              expr: 'sum(rate(write_group_size_sum[5m])) / sum(rate(write_group_size_count[5m]))',
              legend: 'writes per group',
            },
          ]),
        ],
      },
      {
        title: 'Batches',
        panels: [
          graph('Batches by state', 'short', 'Files that are stored and not over: queued, running, paused', [
            { expr: 'max by (state) (batches_unfinished)', legend: '{{state}}' },
            { expr: 'sum(batch_uploads_open)', legend: 'being uploaded' },
          ]),
          graph('Oldest batch', 's', 'Since it was queued; without progress for five minutes: BatchStuck', [
            { expr: 'max by (state) (batch_oldest_seconds)', legend: '{{state}}' },
            { expr: 'max(batch_silent_seconds)', legend: 'without progress' },
          ]),
          graph(
            'Approvals',
            'short',
            'Writes that wait for people; decided and without an outcome for five minutes: ApprovalStuck',
            [
              { expr: 'max(approvals_waiting)', legend: 'waiting' },
              { expr: 'max(approval_overdue_seconds)', legend: 'seconds overdue' },
            ],
          ),
          graph('Rows', 'reqps', 'By outcome; above one in a hundred failed: BatchFailing', [
            { expr: 'sum by (outcome) (rate(batch_rows_total[5m]))', legend: '{{outcome}}' },
            { expr: 'sum(rate(batch_rows_uploaded_total[5m]))', legend: 'uploaded' },
          ]),
          graph('Chunks', 'ms', 'From the claim until it is recorded', [
            ...[0.5, 0.95].map((quantile) => ({
              expr: `histogram_quantile(${quantile}, sum by (le) (rate(batch_chunk_ms_bucket[5m])))`,
              legend: `p${quantile * 100}`,
            })),
          ]),
          graph('Uploads and failed chunks', 'reqps', 'Uploads by their end; attempts at chunks that are made again', [
            { expr: 'sum by (end) (rate(batch_uploads_total[5m]))', legend: 'upload {{end}}' },
            { expr: 'sum(rate(batch_chunks_failed_total[5m]))', legend: 'failed attempts' },
          ]),
        ],
      },
    ],
  },
  {
    uid: 'accubooks-events',
    title: 'AccuBooks: events and audit log',
    rows: [
      {
        title: 'Events',
        panels: [
          graph('Oldest event', 's', 'Not processed for a minute, or overdue by half an hour: OutboxLagging', [
            { expr: 'max(outbox_lag_seconds)', legend: 'not processed' },
            { expr: 'max(outbox_oldest_seconds{state="pending"})', legend: 'not delivered' },
            { expr: 'max(outbox_overdue_seconds)', legend: 'overdue' },
          ]),
          graph('Events by state', 'short', 'Given-up events keep that state until they are redelivered', [
            { expr: 'max by (state) (outbox_events)', legend: '{{state}}' },
          ]),
          graph('Processed', 'reqps', 'Events that the relay has processed, and the workflows that it started', [
            { expr: 'sum(rate(outbox_events_numbered_total[5m]))', legend: 'events' },
            { expr: 'sum by (what) (rate(outbox_starts_total[5m]))', legend: 'started: {{what}}' },
            { expr: 'sum(rate(outbox_starts_failed_total[5m]))', legend: 'failed starts' },
          ]),
          graph('Webhook calls', 'reqps', 'By outcome', [
            { expr: 'sum by (outcome) (rate(webhook_attempts_total[5m]))', legend: '{{outcome}}' },
          ]),
        ],
      },
      {
        title: 'Audit log',
        panels: [
          graph('Not sealed', 's', 'Age of the oldest audit row that is not sealed; above a minute: SealBehind', [
            { expr: 'max(seal_lag_seconds)', legend: 'behind' },
          ]),
          graph('Sealed', 'reqps', 'Rows that were sealed, by log', [
            { expr: 'sum by (log) (rate(sealed_rows_total[5m]))', legend: '{{log}}' },
          ]),
          graph(
            'Not time-stamped',
            's',
            'Age of the oldest last head without a time stamp; above two hours: TimeStampsMissing',
            [
              { expr: 'max(seal_timestamp_lag_seconds)', legend: 'without a stamp' },
              { expr: 'sum by (kind) (increase(seal_timestamp_failures_total[5m]))', legend: 'failures: {{kind}}' },
            ],
          ),
          number(
            'Months ahead',
            'short',
            'Months ahead with a partition. Below three: AuditPartitionsMissing',
            'min(audit_partitions_ahead)',
          ),
          number(
            'Rows in the DEFAULT partition',
            'short',
            'Rows of months without a partition',
            'max(audit_fallback_rows)',
          ),
          number(
            'Findings of the auditor',
            'short',
            'Of the last scheduled audits. Above zero: BooksDisagree',
            'max(auditor_findings)',
          ),
          number(
            'Since the last audit',
            's',
            'Above two days: AuditorSilent. What it could not ask: auditor_not_asked',
            'max(auditor_silent_seconds)',
          ),
          graph('Audit inserts', 'ms', 'p95 of the INSERTs for replays and conflicts', [
            { expr: 'histogram_quantile(0.95, sum by (le) (rate(audit_flush_ms_bucket[5m])))', legend: 'p95' },
          ]),
          graph('Rows per audit insert', 'short', 'Average', [
            { expr: 'sum(rate(audit_flush_rows_sum[5m])) / sum(rate(audit_flush_rows_count[5m]))', legend: 'rows' },
          ]),
        ],
      },
    ],
  },
  {
    uid: 'accubooks-processes',
    title: 'AccuBooks: processes',
    rows: [
      {
        title: 'Processes',
        panels: [
          graph('Up', 'short', 'A process that does not answer for two minutes: ProcessDown', [
            { expr: 'up{job=~".*accubooks.*"}', legend: '{{job}} {{instance}}' },
          ]),
          graph('CPU', 'short', 'Cores in use', [
            { expr: 'rate(process_cpu_seconds_total[5m])', legend: '{{job}} {{instance}}' },
          ]),
          graph('Memory', 'bytes', 'Resident set size', [
            { expr: 'process_resident_memory_bytes', legend: '{{job}} {{instance}}' },
          ]),
          graph('Event loop lag, p99', 's', 'A blocked event loop answers no requests', [
            { expr: 'nodejs_eventloop_lag_p99_seconds', legend: '{{job}} {{instance}}' },
          ]),
        ],
      },
      {
        title: 'Database',
        panels: [
          graph('Connections in use', 'percentunit', 'Average share. Above four fifths: DatabasePoolNearlyFull', [
            {
              expr: 'sum by (job, instance, pool) (rate(database_pool_busy_seconds_total[5m])) / sum by (job, instance, pool) (database_pool_connections{state="max"})',
              legend: '{{pool}} {{instance}}',
            },
          ]),
          graph('Wait for a connection, p95', 'ms', 'By pool', [
            {
              expr: 'histogram_quantile(0.95, sum by (le, pool) (rate(database_pool_wait_ms_bucket[5m])))',
              legend: '{{pool}}',
            },
          ]),
          graph('Requests waiting for a connection', 'short', 'At the moment of the scrape', [
            { expr: 'sum by (pool) (database_pool_connections{state="wanted"})', legend: '{{pool}}' },
          ]),
        ],
      },
      {
        title: 'Temporal',
        panels: [
          graph('Requests, p95', 'ms', 'Measured in our processes', [
            {
              expr: 'histogram_quantile(0.95, sum by (le, operation) (rate(temporal_request_latency_bucket[5m])))',
              legend: '{{operation}}',
            },
          ]),
          graph('Workflow tasks: schedule to start, p95', 'ms', 'Rises when there are too few workers', [
            {
              expr: 'histogram_quantile(0.95, sum by (le, task_queue) (rate(temporal_workflow_task_schedule_to_start_latency_bucket[5m])))',
              legend: '{{task_queue}}',
            },
          ]),
          graph('Completed workflows', 'reqps', 'By type', [
            {
              expr: 'sum by (workflow_type) (rate(temporal_workflow_completed_total[5m]))',
              legend: '{{workflow_type}}',
            },
          ]),
          graph('Failed workflow tasks', 'reqps', 'Repeated failures: WorkflowTasksFailing', [
            {
              expr: 'sum by (workflow_type) (rate(temporal_workflow_task_execution_failed_total[5m])) or vector(0)',
              legend: '{{workflow_type}}',
            },
          ]),
          graph('Free task slots', 'short', 'Without free slots, tasks wait', [
            {
              expr: 'min by (job, worker_type) (temporal_worker_task_slots_available)',
              legend: '{{job}} {{worker_type}}',
            },
          ]),
        ],
      },
    ],
  },
];

function graph(title: string, unit: Panel['unit'], description: string, queries: readonly Query[]): Panel {
  return { kind: 'graph', title, unit, description, queries };
}

function number(title: string, unit: Panel['unit'], description: string, expr: string): Panel {
  return { kind: 'number', title, unit, description, queries: [{ expr, legend: title }] };
}

function quantiles(histogram: string, labels: string): readonly Query[] {
  return [0.5, 0.95, 0.99].map((quantile) => ({
    expr: `histogram_quantile(${quantile}, sum by (le) (rate(${histogram}_bucket{${labels}}[5m])))`,
    legend: `p${quantile * 100}`,
  }));
}
