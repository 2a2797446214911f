import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type {
  PendingResult,
  RollbackProof,
  RunFacts,
  RunResult,
  WriteActivities,
  WriteArguments,
} from '../../workflows/messages.ts';
import { recordAuditRows } from '../audit/record-rows.ts';
import { crashPoint } from '../crash-points.ts';
import { isNotTrusted, TransientFailure } from '../failures.ts';
import { writeId } from '../identity.ts';
import { auditRowOf } from './audit-row.ts';
import { isOfEarlierEpoch, requireTrust } from './fence.ts';
import { attemptAfterLoss } from './lose-write.ts';
import { refusing, requireOwnRun } from './own-run.ts';
import { runAlone } from './run-alone.ts';
import { createGroupActivity } from './run-group.ts';
import { type AttemptFacts, hasEnded } from './run-operation.ts';
import type { WriteActivityDependencies } from './write-dependencies.ts';

/**
 * The failure types with which a run can end. With the first two, the last attempt is known to have left nothing, and a
 * {@link RollbackProof} says so; after the third, only the row shows whether it committed.
 */
const FAILURE_TYPES = { bug: 'Bug', rolledBack: 'RolledBack', commitUnknown: 'CommitUnknown' } as const;

/** The activities of the write and group workflows: run the transaction and translate its errors into Temporal failures. */
export function createWriteActivities(dependencies: WriteActivityDependencies): WriteActivities {
  return {
    runGroup: createGroupActivity(dependencies),
    async wakeUp() {
      // biome-ignore lint/plugin: the attempts that follow are compared with it by the same clock.
      return { stamp: await dependencies.fence.readTrust(), at: new Date().toISOString() };
    },
    async runOperation(args: WriteArguments, facts: RunFacts): Promise<RunResult | PendingResult> {
      const { info } = Context.current();
      // Always set here; the type also covers standalone activities.
      const workflowId = info.workflowExecution?.workflowId ?? '';
      refusing(dependencies, workflowId, () => requireOwnRun(args, workflowId));
      const id = writeId(args.companyId, args.operation, args.key);
      const attempt = { ...facts, writeId: id, workflowId, attempt: info.attempt, canWait: true };
      try {
        const trust = requireTrust(dependencies.fence);
        const attempted = isOfEarlierEpoch(args.stamp, trust)
          ? await attemptAfterLoss(dependencies, args, attempt, trust, info.workflowExecution?.runId ?? '')
          : await runAlone(dependencies, args, { ...attempt, trust }, () => dependencies.onLockWait(args), true);
        if (hasEnded(attempted)) dependencies.onOutcome(args, attempted.row, attempted.made);
        else dependencies.onPending(args, attempted.approval, attempted.made);
        crashPoint('outcome: handed over');
        if (!hasEnded(attempted) && attempted.result.outcome === 'mismatch') throw new OtherRequestWaits();
        return attempted.result;
      } catch (error) {
        if (error instanceof OtherRequestWaits) throw otherRequestWaits();
        throw await toApplicationFailure(dependencies, args, attempt, error);
      }
    },
  };
}

/**
 * A run that completes under a key whose other request waits would be the last one: none could be started any more for the request
 * that waits. So it fails, as one that has left nothing.
 */
class OtherRequestWaits extends Error {}

function otherRequestWaits(): ApplicationFailure {
  const proof: RollbackProof = { rolledBackRunId: Context.current().info.workflowExecution?.runId ?? '' };
  return ApplicationFailure.create({
    type: FAILURE_TYPES.rolledBack,
    nonRetryable: true,
    details: [proof],
    message: 'Another request waits for its approval under this key',
  });
}

async function toApplicationFailure(
  dependencies: WriteActivityDependencies,
  args: WriteArguments,
  attempt: AttemptFacts,
  error: unknown,
): Promise<ApplicationFailure> {
  const transient = error instanceof TransientFailure;
  if (isNotTrusted(error)) dependencies.fence.notice();
  const willRetry = transient && !isLastAttempt(args, attempt);
  const { workflowId, writeId } = attempt;
  const proof: RollbackProof = { rolledBackRunId: Context.current().info.workflowExecution?.runId ?? '' };
  const left =
    transient && error.mayHaveCommitted
      ? { type: FAILURE_TYPES.commitUnknown }
      : { type: FAILURE_TYPES.rolledBack, details: [proof] };
  dependencies.onFailedAttempt(args, error, { willRetry, workflowId, writeId });
  if (!willRetry) {
    try {
      await recordFailedRun(dependencies, args, attempt, error);
    } catch {
      // A failed run must have its audit row: while that cannot be written, keep retrying.
      return ApplicationFailure.create({
        ...left,
        message: 'The attempt failed, and its audit row could not be written',
      });
    }
  }
  // Keep messages and causes in the log: Temporal shows a failure's text to everyone with access to the namespace.
  if (!transient) {
    return ApplicationFailure.create({
      ...left,
      type: FAILURE_TYPES.bug,
      nonRetryable: true,
      message: `${args.operation} failed with an error that a retry cannot fix`,
    });
  }
  return ApplicationFailure.create({ ...left, message: error.message });
}

/** True near the end of the retry period: a further attempt might start too late. */
function isLastAttempt({ policy }: WriteArguments, attempt: AttemptFacts): boolean {
  return elapsedMs(attempt) > policy.scheduleToCloseMs - policy.maximumIntervalMs;
}

/** Since the start of the run, or the end of its wait for an approval. That is by Temporal's clock, which may be ahead of ours: never below zero. */
function elapsedMs({ requestedAt, attemptsSince = requestedAt }: AttemptFacts): number {
  // biome-ignore lint/plugin: it is compared with a point in time that Temporal tells.
  return Math.max(0, Date.now() - Date.parse(attemptsSince));
}

async function recordFailedRun(
  { database, operations }: WriteActivityDependencies,
  args: WriteArguments,
  attempt: AttemptFacts,
  error: unknown,
): Promise<void> {
  const type = operations.find(({ name }) => name === args.operation)?.type ?? 'unknown';
  await recordAuditRows(database.reads, [
    auditRowOf(
      args,
      { type, writeId: attempt.writeId },
      {
        status: 'failed',
        error_code: 'write_failed',
        error_message: error instanceof Error ? error.name : 'not an error',
        execution_duration_ms: elapsedMs(attempt),
      },
    ),
  ]);
}
