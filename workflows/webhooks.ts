import { proxyLocalActivities, sleep } from '@temporalio/workflow';
import type { EventActivities, WebhookBatch } from './event-messages.ts';

/**
 * Calls a company's webhook for up to a hundred events in order, each after the one before was delivered or given up.
 * Postgres holds the state of each delivery; this workflow only waits between attempts.
 */
export async function webhooks(batch: WebhookBatch): Promise<void> {
  const { deliverWebhooks } = proxyLocalActivities<Pick<EventActivities, 'deliverWebhooks'>>({
    startToCloseTimeout: '30 seconds',
    // For an unreachable database. If the batch fails in the end, the relay starts it again.
    scheduleToCloseTimeout: '1 hour',
    retry: { initialInterval: '1 second', maximumInterval: '30 seconds' },
  });
  for (;;) {
    const { waitMs } = await deliverWebhooks(batch);
    if (waitMs === null) return;
    if (waitMs > 0) await sleep(waitMs);
  }
}
