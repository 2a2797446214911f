import {
  ActivityCancellationType,
  CancellationScope,
  condition,
  defineSignal,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import {
  APPROVAL_DECIDED,
  type Awake,
  type PendingResult,
  type RunResult,
  type WriteActivities,
  type WriteArguments,
} from './messages.ts';
import { keyword } from './search-attributes.ts';

/**
 * One write of any operation: attempts the transaction until it has an outcome, then returns the outcome. A write that an
 * approval policy matches waits in between: for a decision, for its cancellation, or until it expires.
 *
 * Fails only because of a bug in the operation or after 24 hours of failed attempts. The same key may then be started again,
 * and the row in Postgres decides. Cancelling the run does not stop the transaction, nor the wait: a write is cancelled by its key.
 */
export async function write(args: WriteArguments): Promise<RunResult> {
  return CancellationScope.nonCancellable(async () => {
    const activities = activitiesOf(args);
    const facts = { requestedAt: workflowInfo().startTime.toISOString() };
    const first = await activities.runOperation(args, facts);
    const result =
      first.outcome === 'pending_approval'
        ? await whenApproved(
            first,
            // The time in which people decide is none of the time in which the transaction is retried.
            ({ stamp, at }) => activities.runOperation({ ...args, stamp }, { ...facts, attemptsSince: at }),
            activities,
          )
        : first;
    // Success is the normal case and sets no attribute, which saves one visibility record per write.
    if (result.outcome !== 'succeeded' || first.outcome === 'pending_approval') {
      upsertSearchAttributes([keyword('Outcome', result.outcome)]);
    }
    return result;
  });
}

type RunActivities = Pick<WriteActivities, 'runOperation' | 'wakeUp'>;

function activitiesOf({ policy }: WriteArguments): RunActivities {
  return proxyLocalActivities<RunActivities>({
    startToCloseTimeout: policy.startToCloseMs,
    scheduleToCloseTimeout: policy.scheduleToCloseMs,
    localRetryThreshold: policy.localRetryThresholdMs,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: {
      initialInterval: policy.initialIntervalMs,
      backoffCoefficient: policy.backoffCoefficient,
      maximumInterval: policy.maximumIntervalMs,
      ...(policy.maximumAttempts === undefined ? {} : { maximumAttempts: policy.maximumAttempts }),
    },
  });
}

/**
 * Waits for what decides about the write, and has the transaction look each time: the rows say whether it may be executed, is
 * rejected, cancelled or expired, or goes on waiting.
 *
 * An attempt carries the stamp of the moment in which the run woke up. Before that, none has been made since the run began to
 * wait: so one that woke up after the database had lost writes has not been answered from a row that is gone.
 */
async function whenApproved(
  pending: PendingResult,
  attempt: (awake: Awake) => Promise<RunResult | PendingResult>,
  { wakeUp }: RunActivities,
): Promise<RunResult> {
  let decisions = 0;
  let seen = 0;
  setHandler(defineSignal(APPROVAL_DECIDED), () => {
    decisions += 1;
  });
  upsertSearchAttributes([keyword('Outcome', pending.outcome)]);
  for (let waiting = pending; ; ) {
    setCurrentDetails(describe(waiting));
    await condition(() => decisions !== seen, waiting.expiresInMs, {
      summary: 'Expires without enough approvals',
    });
    seen = decisions;
    const awake = await wakeUp();
    // Ends the workflow task, and with it the stamp is in the history: a process that takes over goes on with the same one.
    await sleep(1);
    const result = await attempt(awake);
    if (result.outcome !== 'pending_approval') return result;
    waiting = result;
  }
}

/** For people: what is awaited. No names and no amounts. */
function describe({ demands, expiresAt }: PendingResult): string {
  return [
    `**Waiting for approval**, until ${expiresAt}:`,
    '',
    ...demands.map(({ roles, count, given }) => `- ${given} of ${count} given by ${roles.join(' or ')}`),
    '',
    'Nothing is posted before. Who holds one of these roles, and has not asked for the write, decides by ' +
      '`POST /api/writes/{key}/approve` or `/reject`.',
  ].join('\n');
}
