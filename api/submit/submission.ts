import type { Approval } from '../../activities/approvals/approval.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import type { ProblemCode } from '../http/problems.ts';
import type { Dispatch } from './dispatch.ts';
import type { Lookups } from './lookups.ts';
import type { Run, RunDescription, WriteRuns } from './write-runs.ts';

/**
 * One request to make a write, on its way to the outcome. All requests of this process with the same key and the same
 * fingerprint share it. It ends with the outcome, or with the problem that is answered instead. It does not end
 * with a request; but once Temporal has its run, it ends when the last request has left it.
 *
 * Its stage decides what a request is answered at its deadline:
 * - `queued`: it waits for its start.
 * - `starting`: its start has been sent, and Temporal has not confirmed it.
 * - `grouped`: it is an item of a group, and a group gives only final answers.
 * - `open`: Temporal has an open run of this very request, which finishes without any client.
 * - `reading`: the run that was there before has closed, and its row is being looked up.
 * - `behind`: the open run was started by another version of the schema, and its outcome decides first.
 * - `forgotten`: nobody waited for it, and this process has left it. No request joins it.
 */
export type Submission = {
  readonly args: WriteArguments;
  stage: 'queued' | 'starting' | 'grouped' | 'reading' | 'open' | 'behind' | 'forgotten';
  /** Who started the open run. */
  openedBy: 'this submission' | 'another' | undefined;
  run: Run | undefined;
  /** How many requests wait for the end. */
  waiters: number;
  readonly opened: Promise<void>;
  readonly end: Promise<SubmissionEnd>;
  /** Starts it at once as its own per-key workflow, which a 202 requires. A further call has no effect. */
  startAlone(): void;
  /**
   * Nobody waits for it any more. It leaves the queues at once, so that what has not been sent never will be. Once Temporal has
   * its run, or that of another which decides first, this process no longer follows it: the run finishes by itself, and the
   * next request finds it there.
   */
  forget(): void;
};

export type SubmissionEnd =
  /** The write has its outcome. The reader compares whether it is the outcome of this request. */
  | { readonly kind: 'row'; readonly row: WriteRow }
  /** It waits for its approval, or another request under its key does. */
  | { readonly kind: 'approval'; readonly approval: Approval }
  /** Another request with this key has an open run, and there is no row. */
  | { readonly kind: 'mismatch'; readonly other: WriteArguments | undefined }
  | { readonly kind: 'problem'; readonly code: ProblemCode };

export type SubmissionDependencies = {
  readonly lookups: Lookups;
  readonly runs: WriteRuns;
  readonly dispatch: Dispatch;
  /** Has the run look at the rows. */
  readonly wake: (args: WriteArguments) => void;
  readonly onUnexpected: (error: unknown, args: WriteArguments) => void;
};

/** A run that this process has just started has no memo to be described by. */
export type OpenRun = Pick<RunDescription, 'runId' | 'startedAt' | 'memo'>;

/** What the process tells a running submission. */
export type Control = {
  handed: WriteRow | undefined;
  /** This process has told that the write waits for its approval. */
  isPending: boolean;
  /** Resolves with the hand-over, or when there will be none. */
  readonly handOverIsDue: Promise<unknown>;
  /** Resolves when its transaction has met a lock. */
  readonly lockWait: Promise<unknown>;
  /** Aborted when nobody waits any more. */
  readonly unwanted: AbortSignal;
  markOpen(by: 'this submission' | 'another', run: OpenRun): void;
  /** The run that was there has ended without an outcome: it waits for its start once more. */
  queueAgain(): void;
};
