import { proxyLocalActivities, upsertSearchAttributes } from '@temporalio/workflow';
import type { EventActivities, Trigger } from './event-messages.ts';
import { keyword } from './search-attributes.ts';
import { writeStep } from './trigger-writes.ts';

/** How often to check again when the settings were changed during the check. */
const ATTEMPTS = 3;

export type ClosedMonth = { readonly through: string; readonly closed: boolean; readonly faults: readonly string[] };

/**
 * Closes the books through a day if the check of that period finds no fault. Closing is an ordinary write to the settings,
 * made as the member who triggered the workflow; it is rejected if that member has lost the role since.
 */
export async function closeMonth(trigger: Trigger): Promise<ClosedMonth> {
  const { readTrigger, checkMonth } = proxyLocalActivities<Pick<EventActivities, 'readTrigger' | 'checkMonth'>>({
    startToCloseTimeout: '60 seconds',
    scheduleToCloseTimeout: '24 hours',
  });
  const { userId, payload } = await readTrigger(trigger);
  const wanted = typeof payload['through'] === 'string' ? payload['through'] : null;
  for (let attempt = 1; ; attempt += 1) {
    const { through, settingsVersion, alreadyClosed, faults } = await checkMonth(trigger, wanted);
    if (alreadyClosed) return { through, closed: true, faults: [] };
    if (faults.length > 0) return refused(through, faults);
    const { outcome } = await writeStep(trigger, userId, {
      operation: 'updateCompanySettings',
      params: {},
      body: { expectedVersion: settingsVersion, booksClosedThrough: through },
      step: `close-${attempt}`,
    });
    if (outcome === 'succeeded') return { through, closed: true, faults: [] };
    if (outcome === 'lost') return refused(through, ['The record of this change was lost: ask the operators']);
    if (attempt === ATTEMPTS) return refused(through, ['The settings could not be changed']);
  }
}

/** Sets `Outcome` as a rejected write does, so that operators find both with one query. */
function refused(through: string, faults: readonly string[]): ClosedMonth {
  upsertSearchAttributes([keyword('Outcome', 'rejected')]);
  return { through, closed: false, faults };
}
