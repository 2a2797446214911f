import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { condition, executeChild, patched, proxyLocalActivities, sleep, startChild } from '@temporalio/workflow';
import type { EventActivities, PreparedWrite, StepWrite, Trigger } from './event-messages.ts';
import { type PendingResult, type RunResult, WRITE_WORKFLOW_TYPE, type WriteArguments } from './messages.ts';
import { childWriteOptions } from './write-start.ts';

const RETRY = { initialInterval: '1 second', maximumInterval: '30 seconds' } as const;
/** Runs of before waited for the end of each write, whatever it waited for. */
const HEARS_OF_APPROVALS = 'trigger-writes-hear-of-approvals';
/** When to look whether a write without an outcome waits for people: ever more rarely, as it may be that the database is away. */
const FIRST_LOOK_MS = 1_000;
const LONGEST_PAUSE_MS = 60 * 60_000;
/** Of a wait of months, so that the history stays short. */
const LOOKS_OF_A_WAIT = 500;

type Activities = Pick<EventActivities, 'prepareWrite' | 'readOutcome' | 'findApproval' | 'readRejection'>;

const { prepareWrite, readOutcome, findApproval, readRejection } = proxyLocalActivities<Activities>({
  startToCloseTimeout: '15 seconds',
  scheduleToCloseTimeout: '24 hours',
  retry: RETRY,
});

/** What a step has come to; `pending_approval` where it was left to those who approve it. */
export type StepEnd = (RunResult | { readonly outcome: 'pending_approval'; readonly statusCode: 202 }) & {
  /** Of the answer, where it is a no; null where it is not known, as to runs of before. */
  readonly code: string | null;
};

/**
 * Makes one write of a registered workflow through the ordinary path: in its own workflow, under its own key, as the member
 * who triggered it. A repetition (a reset, a second worker) uses the same key and gets the same outcome.
 *
 * @param whenPending called once if the write waits for its approval: whether to wait for its end, or to leave it. What is left
 *   goes on by itself.
 */
export async function writeStep(
  trigger: Trigger,
  userId: string,
  write: StepWrite,
  whenPending: () => Promise<'wait' | 'leave'>,
): Promise<StepEnd> {
  const prepared = await prepareWrite(trigger, userId, write);
  if (!patched(HEARS_OF_APPROVALS)) return { ...(await endOfChild(trigger, prepared)), code: null };
  const end = await endOf(trigger, prepared, whenPending);
  if (end === 'left') return { outcome: 'pending_approval', statusCode: 202, code: null };
  if (end.outcome === 'cancelled') return { ...end, code: 'write_cancelled' };
  return { ...end, code: end.outcome === 'rejected' ? await readRejection(prepared.args) : null };
}

async function endOfChild(trigger: Trigger, prepared: PreparedWrite): Promise<RunResult> {
  try {
    return await executeChild(WRITE_WORKFLOW_TYPE, childOptions(trigger, prepared));
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    const found = await readOutcome(prepared.args);
    return found.outcome === 'pending_approval' ? untilSettled(prepared.args, found) : found;
  }
}

type WhenPending = () => Promise<'wait' | 'leave'>;

async function endOf(trigger: Trigger, prepared: PreparedWrite, whenPending: WhenPending): Promise<RunResult | 'left'> {
  const { args } = prepared;
  let child: { result(): Promise<RunResult> };
  try {
    child = await startChild(WRITE_WORKFLOW_TYPE, childOptions(trigger, prepared));
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    return endOfOther(args, whenPending);
  }
  let end: { readonly result: RunResult } | { readonly error: unknown } | undefined;
  const ended = child.result().then(
    (result) => {
      end = { result };
    },
    (error: unknown) => {
      end = { error };
    },
  );
  for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    if (await condition(() => end !== undefined, pauseMs)) break;
    if ((await findApproval(args)) !== 'waiting') continue;
    if ((await whenPending()) === 'leave') return 'left';
    await ended;
    break;
  }
  if (end !== undefined && 'result' in end) return end.result;
  // Somebody has ended its run while it waited: whoever decides about it starts another.
  if ((await findApproval(args)) !== 'none') return endOfOther(args, async () => 'wait');
  throw end?.error;
}

/** Of a write whose run is not a child of this one. */
async function endOfOther(args: WriteArguments, whenPending: WhenPending): Promise<RunResult | 'left'> {
  const found = await readOutcome(args);
  if (found.outcome !== 'pending_approval') return found;
  return (await whenPending()) === 'leave' ? 'left' : untilSettled(args, found);
}

async function untilSettled(args: WriteArguments, first: PendingResult): Promise<RunResult> {
  const rarest = Math.max(LONGEST_PAUSE_MS, first.expiresInMs / LOOKS_OF_A_WAIT);
  for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(2 * pauseMs, rarest)) {
    await sleep(pauseMs);
    const found = await readOutcome(args);
    if (found.outcome !== 'pending_approval') return found;
  }
}

function childOptions({ writeTaskQueue: taskQueue }: Trigger, prepared: PreparedWrite) {
  return { ...childWriteOptions(prepared), taskQueue };
}
