import { proxyLocalActivities } from '@temporalio/workflow';
import type { Command, Written } from './payment.ts';

type Activities = { pay(command: Command): Promise<Written> };

export async function createPayment(command: Command): Promise<Written> {
  const { pay } = proxyLocalActivities<Activities>({ startToCloseTimeout: '15 seconds' });
  return pay(command);
}
