import { proxyLocalActivities, sleep } from '@temporalio/workflow';
import type { EventActivities, WebhookBatch } from './event-messages.ts';

/**
 * Calls a company's webhook for up to a hundred events, in their order: the next one only when the one before was
 * delivered or given up. What has become of each stands in Postgres; here is only the waiting between attempts.
 */
export async function webhooks(batch: WebhookBatch): Promise<void> {
  const { deliverWebhooks } = proxyLocalActivities<Pick<EventActivities, 'deliverWebhooks'>>({
    startToCloseTimeout: '30 seconds',
    // A database that is away; should it stay so, the relay starts the batch again.
    scheduleToCloseTimeout: '1 hour',
    retry: { initialInterval: '1 second', maximumInterval: '30 seconds' },
  });
  for (;;) {
    const { waitMs } = await deliverWebhooks(batch);
    if (waitMs === null) return;
    if (waitMs > 0) await sleep(waitMs);
  }
}
