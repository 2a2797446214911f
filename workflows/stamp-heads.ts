import { proxyActivities } from '@temporalio/workflow';
import type { StampActivities, StampOrder } from './seal-messages.ts';

/**
 * Has the heads of the seal that have no evidence yet time-stamped, for as long as it takes: one run at a time, whose attempts
 * each begin with what is still missing. Nothing waits for it. When it is given up, the sealer starts another.
 */
export async function stampHeads({ retry }: StampOrder): Promise<number> {
  const { stampHeads: stamp } = proxyActivities<StampActivities>({
    startToCloseTimeout: '1 hour',
    scheduleToCloseTimeout: '12 hours',
    heartbeatTimeout: '1 minute',
    retry: { initialInterval: retry.firstMs, maximumInterval: retry.mostMs },
  });
  return stamp();
}
