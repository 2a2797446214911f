import { proxyLocalActivities } from '@temporalio/workflow';
import type { BaselineActivities, PaymentOrder } from './messages.ts';

/** The minimum for a durable payment with Temporal: one local activity and its result. */
export async function pay(order: PaymentOrder): Promise<string> {
  const activities = proxyLocalActivities<BaselineActivities>({
    startToCloseTimeout: '15 seconds',
    scheduleToCloseTimeout: '1 day',
  });
  return activities.pay(order);
}
