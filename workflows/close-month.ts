import { patched, proxyLocalActivities, upsertSearchAttributes } from '@temporalio/workflow';
import type { ClosingResult, EventActivities, FailedControl, Trigger } from './event-messages.ts';
import { keyword } from './search-attributes.ts';
import { type StepEnd, writeStep } from './trigger-writes.ts';

/** How often to try when the settings were changed, or a step was left undone, between the check and the closing. */
const ATTEMPTS = 3;
/** Runs of before have no result. */
const RESULT_IS_KEPT = 'closeMonth-result-is-kept';
/** The closing write of runs of before asked nothing, and what was in the way of the last one was not looked for. */
const CLOSING_LOOKS_AGAIN = 'closeMonth-closing-looks-again';
/** Another version of the settings, or a step that is left. */
const CONFLICT = 409;
/** What people have decided, and not the settings; by the code of the write's answer. */
const DECIDED = {
  approval_rejected: 'Closing the books was not approved',
  approval_expired: 'Closing the books was not approved in time',
  write_cancelled: 'Closing the books was cancelled',
} as const;
const NO_AMOUNT = { accountCode: null, currency: null, expected: null, found: null } as const;

export type ClosedMonth = { readonly through: string; readonly closed: boolean; readonly faults: readonly string[] };

type Activities = Pick<EventActivities, 'readTrigger' | 'checkMonth' | 'keepResult'>;

const { readTrigger, checkMonth, keepResult } = proxyLocalActivities<Activities>({
  startToCloseTimeout: '60 seconds',
  scheduleToCloseTimeout: '24 hours',
});

/**
 * Closes the books through a day if the check of that period finds no fault. Closing is an ordinary write to the settings,
 * made as the member who triggered the workflow; it is rejected if that member has lost the role since. The result is kept in
 * the database, where the company reads it; operators see that of the workflow.
 */
export async function closeMonth(trigger: Trigger): Promise<ClosedMonth> {
  const { result, faults } = await checkAndClose(trigger);
  // Operators find it with the rejected writes.
  if (!result.closed) upsertSearchAttributes([keyword('Outcome', 'rejected')]);
  if (patched(RESULT_IS_KEPT)) await keepResult(trigger, result);
  return { through: result.through, closed: result.closed, faults };
}

type Closing = { readonly result: ClosingResult; readonly faults: readonly string[] };

async function checkAndClose(trigger: Trigger): Promise<Closing> {
  // Asked once: a run of before goes on as it began.
  const looksAgain = patched(CLOSING_LOOKS_AGAIN);
  const { userId, payload } = await readTrigger(trigger);
  const wanted = typeof payload['through'] === 'string' ? payload['through'] : null;
  let refused: Closing | undefined;
  for (let attempt = 1; ; attempt += 1) {
    const check = await checkMonth(trigger, wanted);
    const { through, settingsVersion, alreadyClosed, faults, failed = faults.map(notTold) } = check;
    if (alreadyClosed) return { result: { closed: true, through }, faults: [] };
    if (faults.length > 0) return { result: { closed: false, through, failed }, faults };
    if (refused !== undefined && attempt > ATTEMPTS) return refused;
    const step = `close-${attempt}`;
    const closing = { expectedVersion: settingsVersion, booksClosedThrough: through };
    const write = {
      operation: 'updateCompanySettings',
      params: {},
      // What was left undone since the check is seen by the write: it is refused, and the next check names it.
      body: looksAgain ? { ...closing, requireFinished: true } : closing,
      step,
    };
    const { outcome, statusCode, code } = await writeStep(trigger, userId, write, async () => {
      await keepResult(trigger, notYet(trigger, through, step));
      return 'wait';
    });
    if (outcome === 'succeeded') return { result: { closed: true, through }, faults: [] };
    refused = notChanged({ trigger, through, step, ...why({ outcome, statusCode, code }) });
    // People have decided: asking them again is for whoever triggers the workflow again.
    if (isDecided(code)) return refused;
    if (outcome === 'lost' || (attempt === ATTEMPTS && !looksAgain)) return refused;
  }
}

/** What a worker of a release before has checked: it told only sentences for operators, so what they are about is not known. */
function notTold(fault: string): FailedControl {
  return { ...NO_AMOUNT, control: 'not-told', detail: `${fault}.`, resources: [] };
}

type Reason = { readonly fault: string; readonly todo: string; readonly control?: string };

/** What the company reads while people have to approve the closing. */
function notYet({ triggerId }: Trigger, through: string, step: string): ClosingResult {
  const failed: FailedControl = {
    ...NO_AMOUNT,
    control: 'approval-pending',
    detail: 'Closing the books waits for its approval: approve or reject this write.',
    resources: [`/api/writes/trigger:${triggerId}:${step}`],
  };
  return { closed: false, through, failed: [failed] };
}

function isDecided(code: StepEnd['code']): code is keyof typeof DECIDED {
  return code !== null && code in DECIDED;
}

function why({ outcome, statusCode, code }: Pick<StepEnd, 'outcome' | 'statusCode' | 'code'>): Reason {
  if (isDecided(code)) {
    return {
      fault: DECIDED[code],
      todo: 'see why in this write, and trigger the workflow again',
      control: 'not-approved',
    };
  }
  if (outcome === 'lost') return { fault: 'The record of this change was lost', todo: 'ask the operators' };
  if (outcome === 'rejected' && statusCode === CONFLICT) {
    return {
      fault: `During each of ${ATTEMPTS} attempts, others changed the settings or left a step of closing undone`,
      todo: 'trigger the workflow again',
    };
  }
  return { fault: 'The settings could not be changed', todo: 'see why in this write, and trigger the workflow again' };
}

function notChanged({
  trigger: { triggerId },
  through,
  step,
  fault,
  todo,
  control = 'settings-changed',
}: Reason & { readonly trigger: Trigger; readonly through: string; readonly step: string }): Closing {
  const failed: FailedControl = {
    ...NO_AMOUNT,
    control,
    detail: `${fault}: ${todo}.`,
    resources: [`/api/writes/trigger:${triggerId}:${step}`],
  };
  return { result: { closed: false, through, failed: [failed] }, faults: [fault] };
}
