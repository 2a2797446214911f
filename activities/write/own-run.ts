import { ApplicationFailure } from '@temporalio/common';
import type { ChunkOptions, GroupItem, WriteArguments } from '../../workflows/messages.ts';
import { RUN_REFUSED } from '../../workflows/refused.ts';
import { fingerprint, workflowIdOf } from '../identity.ts';

/**
 * Refuses a run that this system cannot have started: its workflow ID is not that of its company and key, or its fingerprint
 * is not that of its request. Throws a failure that ends the run, before anything is done.
 */
export function requireOwnRun(args: WriteArguments, workflowId: string): void {
  if (workflowId !== workflowIdOf(args.companyId, args.key)) {
    throw refusal('Its workflow ID is not that of its company and key');
  }
  if (args.fingerprint !== fingerprint(args.operation, args.input)) {
    throw refusal('Its fingerprint is not that of its request');
  }
}

/** Of each item of a group: it may have to go on in a run of its own. */
export function requireOwnItems(items: readonly GroupItem[]): void {
  for (const { args, workflowId } of items) requireOwnRun(args, workflowId);
}

/** Of a chunk: the size of its sets is a number of items. */
export function requireSetSize({ setSize }: ChunkOptions): void {
  if (!Number.isSafeInteger(setSize) || setSize < 1) throw refusal('The size of its sets is no whole number from 1');
}

/** Reports a refusal, and throws it. */
export function refusing(
  { onRefused }: { onRefused(error: unknown, workflowId: string): void },
  workflowId: string,
  check: () => void,
): void {
  try {
    check();
  } catch (error) {
    onRefused(error, workflowId);
    throw error;
  }
}

function refusal(reason: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(`The run was refused. ${reason}.`, RUN_REFUSED);
}
