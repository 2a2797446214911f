import { proxyLocalActivities } from '@temporalio/workflow';
import type { DueReminder, EventActivities, Trigger } from './event-messages.ts';
import { writeStep } from './trigger-writes.ts';

/** Enough to finish soon, few enough not to slow down the company's other writes. */
const CONCURRENT_WRITES = 10;

/**
 * Records a reminder for each overdue invoice whose next step is due; the event of each write notifies the sender of
 * letters. A rejected reminder (invoice paid meanwhile, step recorded by another run) does not stop the others, and neither does
 * one that waits for its approval: it is recorded once it is approved, whether this workflow is still there or not.
 */
export type SentReminders = {
  readonly recorded: number;
  readonly refused: number;
  /** They wait for their approval. */
  readonly pendingApproval?: number;
};

export async function sendInvoiceReminders(trigger: Trigger): Promise<SentReminders> {
  const { readTrigger, findDueReminders } = proxyLocalActivities<
    Pick<EventActivities, 'readTrigger' | 'findDueReminders'>
  >({ startToCloseTimeout: '30 seconds', scheduleToCloseTimeout: '24 hours' });
  const { userId, payload } = await readTrigger(trigger);
  const asOf = typeof payload['asOf'] === 'string' ? payload['asOf'] : null;
  const due = await findDueReminders(trigger, asOf);
  let recorded = 0;
  let pendingApproval = 0;
  for (let first = 0; first < due.length; first += CONCURRENT_WRITES) {
    const outcomes = await Promise.all(
      due.slice(first, first + CONCURRENT_WRITES).map((reminder) => record(trigger, userId, reminder)),
    );
    recorded += outcomes.filter((outcome) => outcome === 'succeeded').length;
    pendingApproval += outcomes.filter((outcome) => outcome === 'pending_approval').length;
  }
  const refused = due.length - recorded - pendingApproval;
  return { recorded, refused, ...(pendingApproval === 0 ? {} : { pendingApproval }) };
}

async function record(trigger: Trigger, userId: string, { invoiceId, step }: DueReminder): Promise<string> {
  const write = {
    operation: 'recordInvoiceReminder',
    params: { invoiceId },
    body: { step },
    step: `${invoiceId}:${step}`,
  };
  const { outcome } = await writeStep(trigger, userId, write, async () => 'leave');
  return outcome;
}
