import type { Approval } from '../../activities/approvals/approval.ts';
import { isStorageUnavailable } from '../../activities/failures.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import { TemporalUnavailable } from '../../worker/temporal-unavailable.ts';
import { deferred } from '../../worker/timeouts.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import { followStart, isOpenRunOf, justStarted, readAfterGroup, starterOf } from './follow-run.ts';
import type { Control, OpenRun, Submission, SubmissionDependencies, SubmissionEnd } from './submission.ts';
import type { Run } from './write-runs.ts';

/** Each round starts or finds one more run. Runs that fail as soon as they start must not keep the process busy for ever. */
const MAX_ROUNDS = 8;

/**
 * Starts to run a submission. `handOver` ends it at once with the row that this process has just read or committed, and
 * `handPending` with the approval for which the write waits. `giveUp` says that this process will hand no row over, since the run is about to fail.
 */
export function runSubmission(args: WriteArguments, dependencies: SubmissionDependencies) {
  const handed = deferred<WriteRow>();
  const pending = deferred<Approval>();
  const givenUp = deferred<void>();
  const opened = deferred<void>();
  const lockWait = deferred<void>();
  const left = deferred<void>();
  let wanted = new AbortController();
  const control: Control = {
    handed: undefined,
    isPending: false,
    handOverIsDue: Promise.race([handed.promise, pending.promise, givenUp.promise]),
    lockWait: lockWait.promise,
    get unwanted() {
      return wanted.signal;
    },
    queueAgain() {
      if (submission.stage === 'forgotten') return;
      // A start past the queue may still be on its way.
      submission.stage = startedAlone ? 'starting' : 'queued';
    },
    markOpen(by, run) {
      if (submission.stage === 'forgotten') return;
      submission.stage = 'open';
      submission.openedBy = by;
      submission.run = toRun(run, args);
      opened.resolve();
      if (submission.waiters === 0) submission.forget();
    },
  };
  let startedAlone = false;
  const submission: Submission = {
    args,
    stage: 'queued',
    openedBy: undefined,
    run: undefined,
    waiters: 0,
    opened: opened.promise,
    startAlone() {
      if (startedAlone) return;
      startedAlone = true;
      void startAlone(submission, control, dependencies).then((hasBegun) => {
        startedAlone = hasBegun;
      });
    },
    forget() {
      wanted.abort();
      // For those who join what goes on.
      wanted = new AbortController();
      if (submission.stage !== 'open' && submission.stage !== 'behind') return;
      submission.stage = 'forgotten';
      left.resolve();
    },
    // Deferred by one turn of the event loop, so that the first request is counted as a waiter before that.
    end: Promise.resolve().then(() =>
      Promise.race([
        handed.promise.then((row) => ({ kind: 'row', row }) as const),
        pending.promise.then((approval) => ({ kind: 'approval', approval }) as const),
        runToEnd(submission, control, dependencies),
        // Nobody is answered with it.
        left.promise.then(() => ({ kind: 'problem', code: 'outcome_unknown' }) as const),
      ]),
    ),
  };
  return {
    submission,
    handOver(row: WriteRow) {
      control.handed = row;
      handed.resolve(row);
    },
    handPending(approval: Approval) {
      control.isPending = true;
      pending.resolve(approval);
    },
    noteLockWait: () => lockWait.resolve(),
    giveUp: () => givenUp.resolve(),
  };
}

async function runToEnd(
  submission: Submission,
  control: Control,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd> {
  try {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const end = await runOnce(submission, control, dependencies);
      if (end !== 'again') return end;
      control.queueAgain();
    }
    return { kind: 'problem', code: 'outcome_unknown' };
  } catch (error) {
    if (error instanceof TemporalUnavailable) return { kind: 'problem', code: 'orchestrator_unavailable' };
    if (isStorageUnavailable(error)) return { kind: 'problem', code: 'storage_unavailable' };
    dependencies.onUnexpected(error, submission.args);
    return { kind: 'problem', code: 'internal_error' };
  }
}

/** Steps 5 to 7 of the write path, once: start or find a run, wait for its end, and read the row. */
async function runOnce(
  submission: Submission,
  control: Control,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  const { args } = submission;
  const forget = (): SubmissionEnd => {
    submission.stage = 'forgotten';
    return { kind: 'problem', code: 'overloaded' };
  };
  if (submission.waiters === 0) return forget();
  const dispatched = await dependencies.dispatch.send(
    {
      args,
      ended: submission.end,
      waitsForLock: control.lockWait,
      onStarting(lane) {
        // Started alone meanwhile, it stays open: its transaction then waits for the other at the unique key.
        if (submission.stage !== 'open') submission.stage = lane === 'key' ? 'starting' : 'grouped';
      },
      onForgotten: forget,
    },
    control.unwanted,
  );
  if (dispatched === 'forgotten') return forget();
  if (dispatched.lane === 'key') return followStart(submission, control, dispatched.started, dependencies);

  const group = await dispatched.end;
  if (control.handed !== undefined) return { kind: 'row', row: control.handed };
  const ungrouped = group === 'unproven' ? undefined : group.left.find(({ index }) => index === dispatched.index);
  if (ungrouped === undefined) return readAfterGroup(submission, control, dependencies);
  // An ungrouped item is a child workflow and no eager start: any worker may run it.
  return followStart(
    submission,
    control,
    ungrouped.runId === null ? 'exists' : { runId: ungrouped.runId, eager: false },
    dependencies,
  );
}

/**
 * Marks the submission open once Temporal has a run of this very request. Every other end comes from {@link runToEnd}. False
 * when it was forgotten before its turn.
 */
async function startAlone(
  submission: Submission,
  control: Control,
  { dispatch, runs }: SubmissionDependencies,
): Promise<boolean> {
  const { args } = submission;
  const onStarting = () => {
    if (submission.stage !== 'open') submission.stage = 'starting';
  };
  try {
    const started = await dispatch.startAlone(args, onStarting, control.unwanted);
    if (started === undefined) return false;
    if (started !== 'exists') {
      control.markOpen('this submission', justStarted(started.runId));
      return true;
    }
    const newest = await runs.describe(args.companyId, args.key);
    if (isOpenRunOf(args, newest)) control.markOpen(starterOf(args, newest), newest);
  } catch {
    // Not started: at its deadline, the request is answered according to the stage.
  }
  return true;
}

/** A run that another request started is described by its memo. */
function toRun({ runId, startedAt, memo }: OpenRun, { actor, request }: WriteArguments): Run {
  const { userId, requestId } = memo ?? { userId: actor.userId, requestId: request.id };
  return { runId, startedAt: startedAt.toISOString(), userId, requestId };
}
