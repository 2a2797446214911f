import { proxyLocalActivities, sleep } from '@temporalio/workflow';
import type { HeadsToAnnounce, SealActivities, SealedCall } from './seal-messages.ts';

/**
 * Tells the webhooks of companies the heads of the seal that were published. The run's memo has the heads, and stays readable
 * for as long as Temporal retains the run: whoever restores or replaces the database cannot take them back.
 */
export async function announceHeads({ calls, delaysMs }: HeadsToAnnounce): Promise<void> {
  const { callSealed } = proxyLocalActivities<SealActivities>({
    startToCloseTimeout: '30 seconds',
    // For an unreachable database.
    scheduleToCloseTimeout: '1 hour',
    retry: { initialInterval: '1 second', maximumInterval: '30 seconds' },
  });
  const announce = async (call: SealedCall) => {
    for (const delayMs of [0, ...delaysMs]) {
      if (delayMs > 0) await sleep(delayMs);
      if (await callSealed(call)) return;
    }
  };
  await Promise.all(calls.map(announce));
}
