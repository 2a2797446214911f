import type { Logger } from 'pino';
import type { Approval } from '../activities/approvals/approval.ts';
import type { Database } from '../activities/database.ts';
import { classify } from '../activities/failures.ts';
import { workflowIdOf } from '../activities/identity.ts';
import { type Operation, WORKFLOW_TRIGGERED } from '../activities/operation.ts';
import type { WriteActivityDependencies } from '../activities/write/write-dependencies.ts';
import type { WriteRow } from '../activities/write/write-row.ts';
import type { WriteArguments } from '../workflows/messages.ts';
import type { ProcessConfig } from './config.ts';
import type { ProcessFence } from './fence.ts';
import type { Metrics } from './metrics.ts';

/** What the activities of writes work with, and whom they tell what has become of each. */
export type WriteReports = {
  readonly config: ProcessConfig;
  readonly database: Database;
  readonly operations: readonly Operation[];
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly fence: ProcessFence;
  /** Of the line that each outcome gets; `info` by default. */
  readonly outcomeLevel?: 'info' | 'debug';
  /** Called right after the COMMIT of each outcome that this process produced or found. */
  onOutcome?(args: WriteArguments, row: WriteRow): void;
  /** Called for a write that waits for its approval, or that meets one of another request under its key. */
  onPending?(args: WriteArguments, approval: Approval): void;
  /** Called for a write that waits for a lock. */
  onLockWait?(args: WriteArguments): void;
  /** Called when the last attempt of a run has failed, and with it the run. */
  onFailedRun?(args: WriteArguments): void;
};

/** Counts and logs what the activities report, and lets the fence and the process know. */
export function writeDependencies(options: WriteReports): WriteActivityDependencies {
  const { config, metrics, logger, outcomeLevel = 'info' } = options;
  return {
    database: options.database,
    operations: options.operations,
    fence: options.fence,
    allowPrivateWebhooks: config.WEBHOOK_ALLOW_PRIVATE === '1',
    onOutcome(args, row, made) {
      if (options.fence.isAwake) options.fence.witnesses.note(row);
      options.onOutcome?.(args, row);
      if (!made) return;
      countOutcome(metrics, row, options.operations);
      const fields = logFields(args, row.write_id, row.workflow_id);
      logger[outcomeLevel]({ ...fields, outcome: row.outcome, status: row.status_code }, 'committed');
    },
    onPending(args, approval, made) {
      options.onPending?.(args, approval);
      if (!made) return;
      const { expiresAt, writeId } = approval;
      const fields = logFields(args, writeId, workflowIdOf(args.companyId, args.key));
      logger.info({ ...fields, expiresAt }, 'waits for its approval');
    },
    onFailedAttempt(args, error, { willRetry, workflowId, writeId }) {
      const fields = logFields(args, writeId, workflowId);
      const failed = { ...fields, failure: classify(error), err: error };
      logger[willRetry ? 'warn' : 'error'](failed, 'An attempt at a write failed');
      if (willRetry) return;
      options.onFailedRun?.(args);
      const labels = labelsOf(options.operations, args.operation);
      metrics.writes.inc({ ...labels, status: 'failed' });
      metrics.failed.inc({ ...labels, error_type: 'run_failed' });
    },
    onSet: (items) => metrics.setSize.observe(items),
    onFailedSet(operation, items, error) {
      logger.info(
        { operation, items, failure: classify(error), err: error },
        'A set failed; its writes go on one by one',
      );
      metrics.failedSets.inc(labelsOf(options.operations, operation));
    },
    onRefused(error, workflowId) {
      metrics.temporalRefused.inc();
      logger.error({ err: error, workflowId }, 'A run that this system has not started was refused');
    },
    onLockWait: (args) => options.onLockWait?.(args),
    onUngrouped: (args) => metrics.ungroupedItems.inc(labelsOf(options.operations, args.operation)),
  };
}

/** The IDs that lead from a log line to the request, the row and the run in Temporal's UI. */
function logFields(
  { operation, key, request }: WriteArguments,
  writeId: WriteRow['write_id'],
  workflowId: WriteRow['workflow_id'],
) {
  return { requestId: request.id, writeId, workflowId, operation, key };
}

/** Counts an outcome once, in the process that committed it. The API counts replays where it answers them. */
function countOutcome(metrics: Metrics, row: WriteRow, operations: readonly Operation[]): void {
  // Most of them no process marks, but an operator's command.
  if (row.outcome === 'lost') return;
  const labels = { operation: row.operation ?? 'unknown', type: row.type ?? 'unknown' };
  metrics.writes.inc({ ...labels, status: row.outcome === 'succeeded' ? 'new' : 'failed' });
  if (row.outcome === 'rejected') metrics.failed.inc({ ...labels, error_type: 'rejected' });
  const { event } = operations.find(({ name }) => name === row.operation) ?? {};
  if (row.outcome === 'succeeded' && event === WORKFLOW_TRIGGERED) metrics.workflowsTriggered.inc(labels);
}

function labelsOf(operations: readonly Operation[], name: string) {
  return { operation: name, type: operations.find((operation) => operation.name === name)?.type ?? 'unknown' };
}
