import { patched, proxyLocalActivities, upsertSearchAttributes } from '@temporalio/workflow';
import type { ClosingResult, EventActivities, FailedControl, Trigger } from './event-messages.ts';
import { keyword } from './search-attributes.ts';
import { writeStep } from './trigger-writes.ts';

/** How often to check again when the settings were changed during the check. */
const ATTEMPTS = 3;
/** Runs of before have no result. */
const RESULT_IS_KEPT = 'closeMonth-result-is-kept';
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
  const { userId, payload } = await readTrigger(trigger);
  const wanted = typeof payload['through'] === 'string' ? payload['through'] : null;
  for (let attempt = 1; ; attempt += 1) {
    const check = await checkMonth(trigger, wanted);
    const { through, settingsVersion, alreadyClosed, faults, failed = faults.map(notTold) } = check;
    if (alreadyClosed) return { result: { closed: true, through }, faults: [] };
    if (faults.length > 0) return { result: { closed: false, through, failed }, faults };
    const { outcome } = await writeStep(trigger, userId, {
      operation: 'updateCompanySettings',
      params: {},
      body: { expectedVersion: settingsVersion, booksClosedThrough: through },
      step: `close-${attempt}`,
    });
    if (outcome === 'succeeded') return { result: { closed: true, through }, faults: [] };
    const notChanged = (fault: string, todo: string) => settingsNotChanged({ trigger, through, attempt, fault, todo });
    if (outcome === 'lost') return notChanged('The record of this change was lost', 'ask the operators');
    if (attempt === ATTEMPTS) {
      return notChanged('The settings could not be changed', 'see why in this write, and trigger the workflow again');
    }
  }
}

/** What a worker of a release before has checked: it told only sentences for operators, so what they are about is not known. */
function notTold(fault: string): FailedControl {
  return { ...NO_AMOUNT, control: 'not-told', detail: `${fault}.`, resources: [] };
}

function settingsNotChanged({
  trigger: { triggerId },
  through,
  attempt,
  fault,
  todo,
}: {
  readonly trigger: Trigger;
  readonly through: string;
  readonly attempt: number;
  readonly fault: string;
  readonly todo: string;
}): Closing {
  const failed: FailedControl = {
    ...NO_AMOUNT,
    control: 'settings-changed',
    detail: `${fault}: ${todo}.`,
    resources: [`/api/writes/trigger:${triggerId}:close-${attempt}`],
  };
  return { result: { closed: false, through, failed: [failed] }, faults: [fault] };
}
