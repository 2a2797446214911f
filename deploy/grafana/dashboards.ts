import type { Dashboard, Panel, Query } from './panels.ts';

/** All that is to be seen in Grafana: the writes, what becomes of their events, and the processes that make them. */
export const DASHBOARDS: readonly Dashboard[] = [
  {
    uid: 'accubooks-writes',
    title: 'AccuBooks: writes',
    rows: [
      {
        title: 'Now',
        panels: [
          number('Writes', 'reqps', 'New writes a second', 'sum(rate(idempotent_writes_total{status="new"}[5m]))'),
          number(
            'Replays',
            'percentunit',
            'Of all answers. Above half for ten minutes: WritesMostlyReplayed',
            'sum(rate(idempotent_writes_replayed_total[5m])) / sum(rate(idempotent_writes_total[5m]))',
          ),
          number(
            'Failed by our fault',
            'percentunit',
            'Failed runs and 503s, of all requests. Above a tenth: WritesFailing',
            'sum(rate(idempotent_writes_failed_total{error_type=~"run_failed|unavailable"}[5m])) / (sum(rate(idempotent_writes_total[5m])) + sum(rate(idempotent_writes_failed_total{error_type="unavailable"}[5m])))',
          ),
          number(
            'Oldest open run',
            's',
            'Of those that are open for over a minute. Above five minutes: WritesStuck',
            'max(write_oldest_run_seconds)',
          ),
          number(
            'Records missing',
            'short',
            'Temporal says done and the database has no row: within the last hour; any is WriteRecordMissing',
            'sum(increase(write_record_missing_total[1h]))',
          ),
          number('Alerts', 'short', 'Firing now', 'count(ALERTS{alertstate="firing"}) or vector(0)'),
        ],
      },
      {
        title: 'What was answered',
        panels: [
          graph('Answers by status', 'reqps', 'new, replayed, failed', [
            { expr: 'sum by (status) (rate(idempotent_writes_total[5m]))', legend: '{{status}}' },
          ]),
          graph(
            'Failures by kind',
            'reqps',
            'rejected and mismatch are the client’s; run_failed and unavailable ours',
            [{ expr: 'sum by (error_type) (rate(idempotent_writes_failed_total[5m]))', legend: '{{error_type}}' }],
          ),
          graph('Errors by code', 'reqps', 'Of all routes; stored rejections are not among them', [
            { expr: 'sum by (code) (rate(http_problems_total[5m]))', legend: '{{code}}' },
          ]),
        ],
      },
      {
        title: 'How long it took',
        panels: [
          graph(
            'First answers',
            'ms',
            'From the request to its final answer',
            quantiles('idempotent_write_duration_ms', 'answer="first"'),
          ),
          graph(
            'Replays',
            'ms',
            'Stored answers, and those of requests that attached',
            quantiles('idempotent_write_duration_ms', 'answer="replay"'),
          ),
          graph(
            'Waits, p95',
            'ms',
            'Those who opened a submission, joined one in the process, or attached to one elsewhere; 202s too',
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
          graph('Failures and refusals', 'reqps', 'The ten most frequent', [
            {
              expr: 'topk(10, sum by (operation) (rate(idempotent_writes_failed_total[5m])))',
              legend: '{{operation}}',
            },
          ]),
        ],
      },
      {
        title: 'On their way',
        panels: [
          graph('In flight', 'short', 'Submissions without an outcome, and those whose start is not sent', [
            { expr: 'sum(write_flights)', legend: 'in flight' },
            { expr: 'sum(write_starts_queued)', legend: 'waiting for their start' },
          ]),
          graph('Duplicates that joined', 'reqps', 'Each shares the submission of an identical request', [
            { expr: 'sum(rate(write_flights_joined_total[5m]))', legend: 'joined' },
          ]),
          graph('Writes by lane', 'reqps', 'Alone in a workflow, or in a group; leavers went on alone', [
            { expr: 'sum by (lane) (rate(write_start_wait_ms_count[5m]))', legend: '{{lane}}' },
            { expr: 'sum(rate(write_group_leavers_total[5m]))', legend: 'left their group' },
          ]),
          graph('Size of groups', 'short', 'On average', [
            {
              expr: 'sum(rate(write_group_size_sum[5m])) / sum(rate(write_group_size_count[5m]))',
              legend: 'writes a group',
            },
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
          graph('Age of the oldest', 's', 'Not taken for a minute, or due for half an hour: OutboxLagging', [
            { expr: 'max(outbox_lag_seconds)', legend: 'not taken' },
            { expr: 'max(outbox_oldest_seconds{state="pending"})', legend: 'not delivered' },
            { expr: 'max(outbox_overdue_seconds)', legend: 'overdue' },
          ]),
          graph('Events by state', 'short', 'Those given up stay so until they are delivered again', [
            { expr: 'max by (state) (outbox_events)', legend: '{{state}}' },
          ]),
          graph('Taken', 'reqps', 'By the relay, and what it started for them', [
            { expr: 'sum(rate(outbox_events_numbered_total[5m]))', legend: 'events' },
            { expr: 'sum by (what) (rate(outbox_starts_total[5m]))', legend: 'started: {{what}}' },
            { expr: 'sum(rate(outbox_starts_failed_total[5m]))', legend: 'not started' },
          ]),
          graph('Webhook calls', 'reqps', 'By what became of them', [
            { expr: 'sum by (outcome) (rate(webhook_attempts_total[5m]))', legend: '{{outcome}}' },
          ]),
        ],
      },
      {
        title: 'Audit log',
        panels: [
          number(
            'Months ahead',
            'short',
            'With a partition; below three: AuditPartitionsMissing',
            'min(audit_partitions_ahead)',
          ),
          number('Rows in the fallback', 'short', 'Of months without a partition', 'max(audit_fallback_rows)'),
          graph('Flushes', 'ms', 'p95 of the statements that write replays and conflicts', [
            { expr: 'histogram_quantile(0.95, sum by (le) (rate(audit_flush_ms_bucket[5m])))', legend: 'p95' },
          ]),
          graph('Rows a flush', 'short', 'On average', [
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
          graph('Up', 'short', 'One that does not answer for two minutes: ProcessDown', [
            { expr: 'up{job=~".*accubooks.*"}', legend: '{{job}} {{instance}}' },
          ]),
          graph('CPU', 'short', 'Cores', [
            { expr: 'rate(process_cpu_seconds_total[5m])', legend: '{{job}} {{instance}}' },
          ]),
          graph('Memory', 'bytes', 'Resident', [
            { expr: 'process_resident_memory_bytes', legend: '{{job}} {{instance}}' },
          ]),
          graph('Event loop lag, p99', 's', 'A process that computes answers no one', [
            { expr: 'nodejs_eventloop_lag_p99_seconds', legend: '{{job}} {{instance}}' },
          ]),
        ],
      },
      {
        title: 'Database',
        panels: [
          graph('Connections in use', 'percentunit', 'On average; above four fifths: DatabasePoolNearlyFull', [
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
          graph('Requests that wait for one', 'short', 'At the moment of the scrape', [
            { expr: 'sum by (pool) (database_pool_connections{state="wanted"})', legend: '{{pool}}' },
          ]),
        ],
      },
      {
        title: 'Temporal',
        panels: [
          graph('Requests, p95', 'ms', 'As the processes see them', [
            {
              expr: 'histogram_quantile(0.95, sum by (le, operation) (rate(temporal_request_latency_bucket[5m])))',
              legend: '{{operation}}',
            },
          ]),
          graph('Tasks: from schedule to start, p95', 'ms', 'Rises where workers are too few', [
            {
              expr: 'histogram_quantile(0.95, sum by (le, task_queue) (rate(temporal_workflow_task_schedule_to_start_latency_bucket[5m])))',
              legend: '{{task_queue}}',
            },
          ]),
          graph('Workflows closed', 'reqps', 'By type', [
            {
              expr: 'sum by (workflow_type) (rate(temporal_workflow_completed_total[5m]))',
              legend: '{{workflow_type}}',
            },
          ]),
          graph('Failed tasks', 'reqps', 'Any that goes on: WorkflowTasksFailing', [
            {
              expr: 'sum by (workflow_type) (rate(temporal_workflow_task_execution_failed_total[5m])) or vector(0)',
              legend: '{{workflow_type}}',
            },
          ]),
          graph('Slots left', 'short', 'Where none is left, tasks wait', [
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
