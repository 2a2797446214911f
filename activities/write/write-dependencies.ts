import type { WriteArguments } from '../../workflows/messages.ts';
import type { Approval } from '../approvals/approval.ts';
import type { Fence } from './fence.ts';
import type { RunDependencies } from './run-operation.ts';
import type { WriteRow } from './write-row.ts';

/** What the activities of writes are given by the process that runs them. */
export type WriteActivityDependencies = RunDependencies & {
  readonly fence: Fence;
  /** Called with the write's row right after the COMMIT; `made`: this transaction wrote it. */
  onOutcome(args: WriteArguments, row: WriteRow, made: boolean): void;
  /** Called for a write that waits for its approval, or is in the way of another request; `made`: it begins to wait. */
  onPending(args: WriteArguments, approval: Approval, made: boolean): void;
  onFailedAttempt(args: WriteArguments, error: unknown, attempt: FailedAttempt): void;
  /** Called for a committed set, with the number of its writes. */
  onSet(items: number): void;
  /** Called for a set that was rolled back, or whose COMMIT is unknown; its items go on one by one. */
  onFailedSet(operation: string, items: number, error: unknown): void;
  /** Called for a write that met a lock and now waits for it: it may be long until its outcome. */
  onLockWait(args: WriteArguments): void;
  /** Called for a run that this system has not started; nothing of it is done. */
  onRefused(error: unknown, workflowId: string): void;
  /** Called for an item that leaves the group and continues in its own run; an item of a chunk does not. */
  onUngrouped(args: WriteArguments): void;
};

type FailedAttempt = { readonly willRetry: boolean; readonly workflowId: string; readonly writeId: string };
