import type { Database } from '../../activities/database.ts';
import { isStorageUnavailable } from '../../activities/failures.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import type { ProblemCode } from '../http/problems.ts';
import { TemporalUnavailable } from '../http/temporal-unavailable.ts';
import { deferred, withTimeout } from '../http/timeouts.ts';
import { awaitRunClose } from './await-run-close.ts';
import type { Dispatch } from './dispatch.ts';
import { lookUpRow } from './lookup.ts';
import type { Run, RunDescription, Started, WriteRuns } from './write-runs.ts';

/**
 * One request to make a write, on its way to the outcome. All requests of this process with the same key and the same
 * fingerprint share it. It ends with the outcome, or with the problem that is answered instead; never with a request.
 *
 * Its stage decides what a request is answered at its deadline:
 * - `queued`: it waits for its start.
 * - `starting`: its start has been sent, and Temporal has not confirmed it.
 * - `grouped`: it is an item of a group, and a group gives only final answers.
 * - `open`: Temporal has an open run of this very request, which finishes without any client.
 * - `reading`: the run that was there before has closed, and its row is being looked up.
 * - `behind`: the open run was started by another version of the schema, and its outcome decides first.
 */
export type Submission = {
  readonly args: WriteArguments;
  stage: 'queued' | 'starting' | 'grouped' | 'reading' | 'open' | 'behind';
  /** Who started the open run. */
  openedBy: 'this submission' | 'another' | undefined;
  run: Run | undefined;
  /** How many requests wait for the end. A submission that is queued and has no waiters left is not started. */
  waiters: number;
  readonly opened: Promise<void>;
  readonly end: Promise<SubmissionEnd>;
  /** Starts it at once as its own per-key workflow, which a 202 requires. Only the first call has an effect. */
  startAlone(): void;
};

export type SubmissionEnd =
  /** The write has its outcome. The reader compares whether it is the outcome of this request. */
  | { readonly kind: 'row'; readonly row: WriteRow }
  /** Another request with this key has an open run, and there is no row. */
  | { readonly kind: 'mismatch'; readonly other: WriteArguments | undefined }
  | { readonly kind: 'problem'; readonly code: ProblemCode };

export type SubmissionDependencies = {
  readonly database: Database;
  readonly runs: WriteRuns;
  readonly dispatch: Dispatch;
  readonly onUnexpected: (error: unknown, args: WriteArguments) => void;
};

/** Each round starts or finds one more run. Runs that fail as soon as they start must not keep the process busy for ever. */
const MAX_ROUNDS = 8;
/**
 * An eager start runs in this very process, which hands the outcome over at its COMMIT. Temporal is asked for the end of
 * the run only after this time: the question costs as much as a start, and its answer nearly always comes too late.
 */
const HAND_OVER_FIRST_MS = 1_000;

/**
 * Begins a submission. `handOver` ends it at once with the row that this process has just read or committed. `giveUp` says
 * that this process will hand no row over, since the run is about to fail.
 */
export function beginSubmission(args: WriteArguments, dependencies: SubmissionDependencies) {
  const handed = deferred<WriteRow>();
  const givenUp = deferred<void>();
  const opened = deferred<void>();
  const control: Control = {
    handed: undefined,
    handOverIsDue: Promise.race([handed.promise, givenUp.promise]),
    markOpen(by, run) {
      submission.stage = 'open';
      submission.openedBy = by;
      submission.run = run;
      opened.resolve();
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
      void startAlone(submission, control, dependencies);
    },
    // Deferred by one turn of the event loop, so that the first request is counted as a waiter before the queue looks.
    end: Promise.resolve().then(() =>
      Promise.race([
        handed.promise.then((row) => ({ kind: 'row', row }) as const),
        run(() => submission, control, dependencies),
      ]),
    ),
  };
  return {
    submission,
    handOver(row: WriteRow) {
      control.handed = row;
      handed.resolve(row);
    },
    giveUp: () => givenUp.resolve(),
  };
}

type Control = {
  handed: WriteRow | undefined;
  /** Resolves with the hand-over, or when there will be none. */
  readonly handOverIsDue: Promise<unknown>;
  markOpen(by: 'this submission' | 'another', run: Run): void;
};

async function run(
  get: () => Submission,
  control: Control,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd> {
  const submission = get();
  try {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const end = await runOnce(submission, control, dependencies);
      if (end !== 'again') return end;
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
  const dispatched = await dependencies.dispatch.send({
    args: submission.args,
    ended: submission.end,
    isAbandoned: () => submission.stage === 'queued' && submission.waiters === 0,
    onStarting(lane) {
      // Started alone meanwhile, it stays open: the transaction of this start meets the other's at the key row.
      if (submission.stage !== 'open') submission.stage = lane === 'key' ? 'starting' : 'grouped';
    },
  });
  if (dispatched === 'abandoned') return { kind: 'problem', code: 'overloaded' };
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

/** Step 6 of the write path: waits for the run that was started, or for the run that already existed. */
async function followStart(
  submission: Submission,
  control: Control,
  started: Started,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  const { args } = submission;
  if (started !== 'exists') {
    control.markOpen('this submission', toRun({ runId: started.runId, startedAt: new Date(), memo: undefined }, args));
    if (started.eager) await withTimeout(control.handOverIsDue, HAND_OVER_FIRST_MS);
    if (control.handed !== undefined) return { kind: 'row', row: control.handed };
    return waitForRun(submission, control, started.runId, dependencies);
  }
  const met = await dependencies.runs.describe(args.companyId, args.key);
  return met?.state === 'running'
    ? meetRunning(submission, control, met, dependencies)
    : meetClosed(submission, met, dependencies);
}

/** The group has closed and this item was not ungrouped: its row is there, unless an operator ended the group. */
async function readAfterGroup(
  submission: Submission,
  control: Control,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  const { args } = submission;
  const row = await lookUpRow(dependencies.database, args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  const newest = await dependencies.runs.describe(args.companyId, args.key);
  if (newest?.state === 'running' && newest.memo?.fingerprint === args.fingerprint) {
    control.markOpen('another', toRun(newest, args));
    return waitForRun(submission, control, newest.runId, dependencies);
  }
  return { kind: 'problem', code: 'outcome_unknown' };
}

/** Marks the submission open once Temporal has a run of this very request. Every other end comes from {@link run}. */
async function startAlone(
  submission: Submission,
  control: Control,
  { dispatch, runs }: SubmissionDependencies,
): Promise<void> {
  const { args } = submission;
  try {
    const started = await dispatch.startAlone(args, () => {
      if (submission.stage !== 'open') submission.stage = 'starting';
    });
    if (started !== 'exists') {
      control.markOpen(
        'this submission',
        toRun({ runId: started.runId, startedAt: new Date(), memo: undefined }, args),
      );
      return;
    }
    const met = await runs.describe(args.companyId, args.key);
    if (met?.state === 'running' && met.memo?.fingerprint === args.fingerprint)
      control.markOpen('another', toRun(met, args));
  } catch {
    // Not started: at its deadline, the request is answered according to the stage.
  }
}

async function meetClosed(
  submission: Submission,
  met: RunDescription | undefined,
  { database }: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  const { args } = submission;
  submission.stage = 'reading';
  const row = await lookUpRow(database, args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  // The run has completed and there is no row. Temporal says done, the database says no: never answer success.
  return met?.state === 'completed' ? { kind: 'problem', code: 'write_record_missing' } : 'again';
}

async function meetRunning(
  submission: Submission,
  control: Control,
  met: RunDescription,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  const { args } = submission;
  if (met.memo?.fingerprint === args.fingerprint) {
    control.markOpen('another', toRun(met, args));
    return waitForRun(submission, control, met.runId, dependencies);
  }
  const otherVersion = met.memo?.schemaVersion !== args.schemaVersion;
  if (met.memo === undefined || (met.memo.operation === args.operation && otherVersion)) {
    // Another release may have recorded the same request in another form: only the row of the outcome can tell.
    submission.stage = 'behind';
    return waitForRun(submission, control, met.runId, dependencies);
  }
  submission.stage = 'reading';
  const row = await lookUpRow(dependencies.database, args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  const other = await dependencies.runs.readArguments(args.companyId, args.key, met.runId).catch(() => undefined);
  return { kind: 'mismatch', other };
}

/** Waits for the run to close, then looks the row up: the row is the truth, whatever the run says. */
async function waitForRun(
  submission: Submission,
  control: Control,
  runId: string,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  const { args } = submission;
  const { database, runs } = dependencies;
  const end = await awaitRunClose(
    () => runs.waitUntilClosed(args.companyId, args.key, runId),
    () => control.handed !== undefined,
  );
  if (control.handed !== undefined) return { kind: 'row', row: control.handed };
  const row = await lookUpRow(database, args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  if (end.kind === 'result') return { kind: 'problem', code: 'write_record_missing' };
  const newest = await runs.describe(args.companyId, args.key);
  if (newest?.state === 'running' && newest.runId !== runId && newest.memo?.fingerprint === args.fingerprint) {
    control.markOpen('another', toRun(newest, args));
    return waitForRun(submission, control, newest.runId, dependencies);
  }
  // It waited behind another request's run and has not been started itself yet.
  if (submission.stage === 'behind') return 'again';
  return { kind: 'problem', code: end.kind === 'rolledBack' ? 'write_failed' : 'outcome_unknown' };
}

/** A run that another request started is described by its memo. */
function toRun(
  { runId, startedAt, memo }: Pick<RunDescription, 'runId' | 'startedAt' | 'memo'>,
  { actor, request }: WriteArguments,
): Run {
  const { userId, requestId } = memo ?? { userId: actor.userId, requestId: request.id };
  return { runId, startedAt: startedAt.toISOString(), userId, requestId };
}
