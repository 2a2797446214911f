import type { WorkflowStartOptions } from '@temporalio/client';

/** The limit of one request to Temporal. The deadline of a client is often shorter; `submit.wait` keeps that one. */
export const REQUEST_TIMEOUT_MS = 10_000;
/** Longer than any request waits. Keep-alive detects a dead connection earlier. */
export const LONG_POLL_TIMEOUT_MS = 60_000;

/** The workers that take the runs: those of a task queue and, if this release has a name, of this release only. */
export type RunTarget = Pick<WorkflowStartOptions, 'taskQueue' | 'versioningOverride'>;

export type RunState = 'running' | 'completed' | 'unsuccessful';

export function stateOf(status: string): RunState {
  if (status === 'RUNNING' || status === 'CONTINUED_AS_NEW' || status === 'PAUSED') return 'running';
  return status === 'COMPLETED' ? 'completed' : 'unsuccessful';
}
