import { setTimeout as sleep } from 'node:timers/promises';
import type { Approval } from '../../activities/approvals/approval.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import type { WriteArguments, WriteMemo } from '../../workflows/messages.ts';
import { awaitRunClose } from './await-run-close.ts';
import type { Control, OpenRun, Submission, SubmissionDependencies, SubmissionEnd } from './submission.ts';
import type { RunDescription, Started } from './write-runs.ts';

/**
 * An eager start runs in this very process, which hands the outcome over at its COMMIT. Temporal is asked for the end of
 * the run only after this time: the question costs as much as a start, and its answer nearly always comes too late.
 */
const HAND_OVER_FIRST_MS = 1_000;

/** Step 6 of the write path: waits for the run that was started, or for the run that already existed. */
export async function followStart(
  submission: Submission,
  control: Control,
  started: Started,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  const { args } = submission;
  if (started !== 'exists') {
    control.markOpen('this submission', justStarted(started.runId));
    if (started.eager) await withTimeout(control.handOverIsDue, HAND_OVER_FIRST_MS);
    return waitForRun(submission, control, started.runId, dependencies);
  }
  const newest = await dependencies.runs.describe(args.companyId, args.key);
  return newest?.state === 'running'
    ? followOpenRun(submission, control, newest, dependencies)
    : readAfterClosedRun(submission, newest, dependencies);
}

/** As it is told to clients, until Temporal describes it. */
export function justStarted(runId: string): OpenRun {
  // biome-ignore lint/plugin: clients are told a point in time.
  return { runId, startedAt: new Date(), memo: undefined };
}

/** The group has closed and this item was not ungrouped: its row is there, unless an operator ended the group. */
export async function readAfterGroup(
  submission: Submission,
  control: Control,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  const { args } = submission;
  const row = await dependencies.lookups.findRow(args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  const newest = await dependencies.runs.describe(args.companyId, args.key);
  return isOpenRunOf(args, newest)
    ? attach(submission, control, newest, dependencies)
    : { kind: 'problem', code: 'outcome_unknown' };
}

async function readAfterClosedRun(
  submission: Submission,
  newest: RunDescription | undefined,
  { lookups }: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  const { args } = submission;
  submission.stage = 'reading';
  const row = await lookups.findRow(args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  // The run has completed and there is no row. Temporal says done, the database says no: never answer success.
  if (newest?.state !== 'completed') return 'again';
  // Of one that we have not started, nothing is known: anyone who reaches Temporal may have completed it.
  return { kind: 'problem', code: newest.memo === undefined ? 'outcome_unknown' : 'write_record_missing' };
}

/** Attaches to an open run of this very request. Behind one of another request, only the row can tell the two apart. */
async function followOpenRun(
  submission: Submission,
  control: Control,
  open: RunDescription,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  const { args } = submission;
  if (isOpenRunOf(args, open)) return attach(submission, control, open, dependencies);
  const otherVersion = open.memo?.schemaVersion !== args.schemaVersion;
  if (open.memo === undefined || (open.memo.operation === args.operation && otherVersion)) {
    // Another release may have recorded the same request in another form: only the row of the outcome can tell.
    submission.stage = 'behind';
    if (submission.waiters === 0) submission.forget();
    return waitForRun(submission, control, open.runId, dependencies);
  }
  submission.stage = 'reading';
  const row = await dependencies.lookups.findRow(args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  const other = await dependencies.runs.readArguments(args.companyId, args.key, open.runId).catch(() => undefined);
  return { kind: 'mismatch', other };
}

/** Whether the run is open, and was started for this very request. */
export function isOpenRunOf(
  { fingerprint }: WriteArguments,
  run: RunDescription | undefined,
): run is RunDescription & { readonly memo: WriteMemo } {
  return run?.state === 'running' && run.memo?.fingerprint === fingerprint;
}

/**
 * A submission may meet its own start: it was started alone while it waited in the queue, or Temporal's answer to the start
 * was lost.
 */
export function starterOf(
  { submissionId }: WriteArguments,
  { memo }: Pick<RunDescription, 'memo'>,
): 'this submission' | 'another' {
  return memo?.submissionId === submissionId ? 'this submission' : 'another';
}

function attach(
  submission: Submission,
  control: Control,
  run: RunDescription,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  control.markOpen(starterOf(submission.args, run), run);
  // The look-up of this request has found nothing that waits: a failover has taken the request for approval. The run asks again.
  if (run.waits) dependencies.wake(submission.args);
  return waitForRun(submission, control, run.runId, dependencies);
}

/** Waits for the run to close, then looks the row up: the row is the truth, whatever the run says. Or until it waits for an approval. */
async function waitForRun(
  submission: Submission,
  control: Control,
  runId: string,
  dependencies: SubmissionDependencies,
): Promise<SubmissionEnd | 'again'> {
  const { args } = submission;
  const { lookups, runs } = dependencies;
  const isMoot = () => control.handed !== undefined || control.isPending || submission.stage === 'forgotten';
  const closing = awaitRunClose(() => runs.waitUntilClosed(args.companyId, args.key, runId), isMoot);
  const end = await Promise.race([closing, untilPending(submission, closing, isMoot, dependencies)]);
  if (end !== undefined && 'approval' in end) return end;
  if (control.handed !== undefined) return { kind: 'row', row: control.handed };
  if (end === undefined) return { kind: 'problem', code: 'outcome_unknown' };
  const { row, approval } = await lookups.findOutcome(args.companyId, args.key);
  if (row !== undefined) return { kind: 'row', row };
  if (approval !== undefined) return { kind: 'approval', approval };
  if (end.kind === 'result') return { kind: 'problem', code: 'write_record_missing' };
  const newest = await runs.describe(args.companyId, args.key);
  if (isOpenRunOf(args, newest) && newest.runId !== runId) return attach(submission, control, newest, dependencies);
  // It waited behind another request's run and has not been started itself yet.
  if (submission.stage === 'behind') return 'again';
  return { kind: 'problem', code: end.kind === 'rolledBack' ? 'write_failed' : 'outcome_unknown' };
}

/** The first look comes after this time: the process in which a run is attempted tells of it at once. */
const FIRST_LOOK_MS = 250;
const LONGEST_PAUSE_MS = 8_000;

/**
 * A run that waits for an approval stays open, perhaps in another process: looks ever more rarely whether this one does. Ends
 * as `closing` otherwise.
 */
async function untilPending<End>(
  { args }: Submission,
  closing: Promise<End>,
  isMoot: () => boolean,
  { lookups }: SubmissionDependencies,
): Promise<End | { readonly kind: 'approval'; readonly approval: Approval }> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  closing.then(over, over);
  for (let pauseMs = FIRST_LOOK_MS; !isOver && !isMoot(); pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    await sleep(pauseMs, undefined, { ref: false });
    if (isOver || isMoot()) break;
    const { approval } = await lookups.findOutcome(args.companyId, args.key).catch(() => ({ approval: undefined }));
    if (approval !== undefined) return { kind: 'approval', approval };
  }
  return closing;
}
