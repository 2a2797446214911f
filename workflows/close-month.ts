import { patched, proxyLocalActivities, upsertSearchAttributes } from '@temporalio/workflow';
import type { ClosingResult, EventActivities, FailedControl, Trigger } from './event-messages.ts';
import type { RunResult } from './messages.ts';
import { keyword } from './search-attributes.ts';
import { writeStep } from './trigger-writes.ts';

/** How often to try when the settings were changed, or a step was left undone, between the check and the closing. */
const ATTEMPTS = 3;
/** Runs of before have no result. */
const RESULT_IS_KEPT = 'closeMonth-result-is-kept';
/** The closing write of runs of before asked nothing, and what was in the way of the last one was not looked for. */
const CLOSING_LOOKS_AGAIN = 'closeMonth-closing-looks-again';
/** Another version of the settings, or a step that is left. */
const CONFLICT = 409;
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
    const { outcome, statusCode } = await writeStep(trigger, userId, {
      operation: 'updateCompanySettings',
      params: {},
      // What was left undone since the check is seen by the write: it is refused, and the next check names it.
      body: looksAgain ? { ...closing, requireFinished: true } : closing,
      step,
    });
    if (outcome === 'succeeded') return { result: { closed: true, through }, faults: [] };
    refused = notChanged({ trigger, through, step, ...why(outcome, statusCode) });
    if (outcome === 'lost' || (attempt === ATTEMPTS && !looksAgain)) return refused;
  }
}

/** What a worker of a release before has checked: it told only sentences for operators, so what they are about is not known. */
function notTold(fault: string): FailedControl {
  return { ...NO_AMOUNT, control: 'not-told', detail: `${fault}.`, resources: [] };
}

type Reason = { readonly fault: string; readonly todo: string };

function why(outcome: RunResult['outcome'], statusCode: number): Reason {
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
}: Reason & { readonly trigger: Trigger; readonly through: string; readonly step: string }): Closing {
  const failed: FailedControl = {
    ...NO_AMOUNT,
    control: 'settings-changed',
    detail: `${fault}: ${todo}.`,
    resources: [`/api/writes/trigger:${triggerId}:${step}`],
  };
  return { result: { closed: false, through, failed: [failed] }, faults: [fault] };
}
