import type { Approval } from '../../activities/approvals/approval.ts';
import type { Fence } from '../../activities/write/fence.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import type { GroupRuns } from '../../worker/lanes/group-runs.ts';
import type { Lane } from '../../worker/lanes/lane.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import type { ProblemCode } from '../http/problems.ts';
import { createDispatch } from './dispatch.ts';
import type { Lookups } from './lookups.ts';
import { runSubmission } from './run-submission.ts';
import { createSlots } from './slots.ts';
import type { Submission, SubmissionDependencies, SubmissionEnd } from './submission.ts';
import type { WriteRuns } from './write-runs.ts';

/**
 * Submits a write and waits for its outcome. This is the only way to make a write, and callers need not know its lane.
 *
 * Requests of this process with the same key *and fingerprint* share one submission; each waits with its own deadline.
 */
export type Submit = {
  /** The submission that such a request joins, if there is one. Joining is not limited. */
  find(companyId: string, idempotencyKey: string, fingerprint: string): Submission | undefined;
  /** Begins a new submission. Undefined when this process, or this company in it, already has as many as it may have. */
  open(args: WriteArguments): Submission | undefined;
  /** Waits as the client prefers. `opener`: this request opened the submission, so the first answer may be its own. */
  wait(submission: Submission, deadline: Deadline, opener: boolean): Promise<Waited>;
  /** Hands over an outcome that this process has just committed, so that its waiters need not ask Temporal. */
  handOver(args: WriteArguments, row: WriteRow): void;
  /** Hands over that the write waits for its approval, or that another request under its key does. */
  handPending(args: WriteArguments, approval: Approval): void;
  /** Says that the write waits for a lock in this process: the next group does not wait for its outcome. */
  noteLockWait(args: WriteArguments): void;
  /** Says that the run that this process executes is about to fail: there will be no outcome to hand over. */
  giveUp(args: WriteArguments): void;
  readonly inFlight: number;
  readonly startsQueued: number;
  /** 0 without a submission. */
  readonly oldestSubmissionSeconds: number;
};

/** By the clock of `performance.now()`. */
export type Deadline = {
  /** The end of the client's wait. */
  readonly waitUntilMs: number;
  /** When the answer goes out at the latest. */
  readonly answerByMs: number;
  /** No waiting at all (`wait=0`): a duplicate of a running write is answered 409. */
  readonly strict: boolean;
  /** The client has asked to wait. Without that, nobody waits for people to approve. */
  readonly asksToWait: boolean;
};

type Waited =
  | { readonly kind: 'end'; readonly end: SubmissionEnd }
  /** Temporal has the run, which finishes without the client. */
  | { readonly kind: 'accepted' }
  | { readonly kind: 'in progress' }
  | { readonly kind: 'problem'; readonly code: ProblemCode };

export function createSubmit(options: {
  readonly lookups: Lookups;
  readonly runs: WriteRuns;
  readonly groups: Pick<GroupRuns, 'waitUntilClosed'>;
  readonly fence: Pick<Fence, 'trust'>;
  readonly lane: Pick<Lane, 'isOpen' | 'start' | 'noteRow'>;
  readonly maxInFlight: number;
  readonly grouping: boolean;
  isBacklogged(companyId: string): boolean;
  summarize(args: WriteArguments): string;
  wake(args: WriteArguments): void;
  observeStart(lane: 'key' | 'group', waitedMs: readonly number[]): void;
  onUnexpected(error: unknown, args: WriteArguments): void;
}): Submit {
  const submissions = new Map<string, ReturnType<typeof runSubmission> & { readonly sinceMs: number }>();
  const slots = createSlots(options.maxInFlight);
  const dispatch = createDispatch(options);
  const dependencies: SubmissionDependencies = { ...options, dispatch };

  return {
    get inFlight() {
      return slots.taken;
    },
    get startsQueued() {
      return dispatch.queued;
    },
    get oldestSubmissionSeconds() {
      // A Map iterates in insertion order.
      for (const { sinceMs } of submissions.values()) return (performance.now() - sinceMs) / 1_000;
      return 0;
    },
    find(companyId, idempotencyKey, fingerprint) {
      const found = submissions.get(requestIdentity(companyId, idempotencyKey, fingerprint))?.submission;
      return found?.stage === 'forgotten' ? undefined : found;
    },
    open(args) {
      const giveSlotBack = slots.take(args.companyId);
      if (giveSlotBack === undefined) return undefined;
      const id = requestIdentity(args.companyId, args.key, args.fingerprint);
      const running = { ...runSubmission(args, dependencies), sinceMs: performance.now() };
      const { submission } = running;
      submissions.set(id, running);
      void submission.end.then(() => {
        // Another may have taken the place of one that was forgotten.
        if (submissions.get(id) === running) submissions.delete(id);
        giveSlotBack();
      });
      return submission;
    },
    async wait(submission, deadline, opener) {
      submission.waiters += 1;
      try {
        return await waitFor(submission, deadline, opener, options.grouping);
      } finally {
        submission.waiters -= 1;
        if (submission.waiters === 0) submission.forget();
      }
    },
    handOver(args, row) {
      options.lane.noteRow(args);
      submissions.get(requestIdentity(args.companyId, args.key, args.fingerprint))?.handOver(row);
    },
    handPending(args, approval) {
      submissions.get(requestIdentity(args.companyId, args.key, args.fingerprint))?.handPending(approval);
    },
    noteLockWait(args) {
      submissions.get(requestIdentity(args.companyId, args.key, args.fingerprint))?.noteLockWait();
    },
    giveUp(args) {
      submissions.get(requestIdentity(args.companyId, args.key, args.fingerprint))?.giveUp();
    },
  };
}

async function waitFor(
  submission: Submission,
  { waitUntilMs, answerByMs, strict }: Deadline,
  opener: boolean,
  grouping: boolean,
): Promise<Waited> {
  // Even without a wait: the submission may have ended while this request looked up its key.
  const end = await withTimeout(submission.end, waitUntilMs - performance.now());
  if (end !== undefined) return { kind: 'end', end };
  if (strict && !opener) return { kind: 'in progress' };
  // The wait is over. The stage decides the answer, and the submission has the grace period to become open.
  if (submission.stage !== 'open') {
    // A group gives only final answers, and a queued submission is not accepted yet.
    if (grouping && (submission.stage === 'queued' || submission.stage === 'grouped')) submission.startAlone();
    const ended = await withTimeout(
      Promise.race([submission.end, submission.opened.then(() => 'opened' as const)]),
      answerByMs - performance.now(),
    );
    if (ended !== undefined && ended !== 'opened') return { kind: 'end', end: ended };
  }
  switch (submission.stage) {
    case 'open':
      return strict && submission.openedBy === 'another' ? { kind: 'in progress' } : { kind: 'accepted' };
    case 'behind':
      return { kind: 'in progress' };
    case 'starting':
      return { kind: 'problem', code: 'orchestrator_unavailable' };
    case 'reading':
      return { kind: 'problem', code: 'storage_unavailable' };
    case 'grouped':
      return { kind: 'problem', code: 'outcome_unknown' };
    case 'queued':
    case 'forgotten':
      // Others wait longer, and what they wait for may be started yet.
      if (submission.waiters > 1) return { kind: 'problem', code: 'outcome_unknown' };
      // Within this turn of the event loop, so that it cannot be sent between the decision and the answer.
      submission.forget();
      return { kind: 'problem', code: 'overloaded' };
  }
}

/** What makes two requests the same. Never the key alone: another body must not be answered with this outcome. */
function requestIdentity(companyId: string, idempotencyKey: string, fingerprint: string): string {
  return `${companyId}/${fingerprint}/${idempotencyKey}`;
}
