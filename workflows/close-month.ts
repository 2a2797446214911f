import { proxyLocalActivities, upsertSearchAttributes } from '@temporalio/workflow';
import type { EventActivities, Trigger } from './event-messages.ts';
import { keyword } from './search-attributes.ts';
import { writeStep } from './trigger-writes.ts';

/** Settings that are changed while we look are looked at again, so many times. */
const ATTEMPTS = 3;

export type ClosedMonth = { readonly through: string; readonly closed: boolean; readonly faults: readonly string[] };

/**
 * Closes the books through a day, when nothing is left to be done up to it. The closing itself is a change of the settings
 * like any other: by the member who triggered this, who may have lost the role since.
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
    if (attempt === ATTEMPTS) return refused(through, ['The settings could not be changed']);
  }
}

/** Found by operators as what was refused by a rule, like a write. */
function refused(through: string, faults: readonly string[]): ClosedMonth {
  upsertSearchAttributes([keyword('Outcome', 'rejected')]);
  return { through, closed: false, faults };
}
