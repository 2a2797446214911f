import { ApplicationFailure, proxyActivities, workflowInfo } from '@temporalio/workflow';

/** What a worker of someone else makes of a run: it completes it. */
export async function write(): Promise<object> {
  return { outcome: 'succeeded', statusCode: 201, writeId: null, first: true };
}

/** Fails like a run whose last attempt left nothing; `runId`: of the run that it says so of, by default its own. */
export async function fail(runId?: string | null): Promise<never> {
  throw ApplicationFailure.create({
    type: 'RolledBack',
    nonRetryable: true,
    message: 'forged',
    details: [{ rolledBackRunId: runId ?? workflowInfo().runId }],
  });
}

/** Has an activity done by whoever polls that task queue. */
export async function schedule(taskQueue: string, type: string, argument: unknown): Promise<unknown> {
  const activities = proxyActivities<Record<string, (argument: unknown) => Promise<unknown>>>({
    taskQueue,
    startToCloseTimeout: '10 seconds',
    retry: { maximumAttempts: 1 },
  });
  return activities[type]?.(argument);
}
