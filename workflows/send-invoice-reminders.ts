import { proxyLocalActivities } from '@temporalio/workflow';
import type { DueReminder, EventActivities, Trigger } from './event-messages.ts';
import { writeStep } from './trigger-writes.ts';

/** So many writes are under way at once: enough to be done soon, too few to be in anyone's way. */
const AT_ONCE = 10;

/**
 * Records a reminder for each overdue invoice whose next step is due; whoever sends letters hears of it by the event. One
 * that is refused (paid meanwhile, recorded by another run) is no fault of the others.
 */
export async function sendInvoiceReminders(trigger: Trigger): Promise<{ recorded: number; refused: number }> {
  const { readTrigger, findDueReminders } = proxyLocalActivities<
    Pick<EventActivities, 'readTrigger' | 'findDueReminders'>
  >({ startToCloseTimeout: '30 seconds', scheduleToCloseTimeout: '24 hours' });
  const { userId, payload } = await readTrigger(trigger);
  const asOf = typeof payload['asOf'] === 'string' ? payload['asOf'] : null;
  const due = await findDueReminders(trigger, asOf);
  let recorded = 0;
  for (let first = 0; first < due.length; first += AT_ONCE) {
    const outcomes = await Promise.all(
      due.slice(first, first + AT_ONCE).map((reminder) => record(trigger, userId, reminder)),
    );
    recorded += outcomes.filter((outcome) => outcome === 'succeeded').length;
  }
  return { recorded, refused: due.length - recorded };
}

async function record(trigger: Trigger, userId: string, { invoiceId, step }: DueReminder): Promise<string> {
  const { outcome } = await writeStep(trigger, userId, {
    operation: 'recordInvoiceReminder',
    params: { invoiceId },
    body: { step },
    step: `${invoiceId}:${step}`,
  });
  return outcome;
}
