import { ActivityFailure, ApplicationFailure, proxyActivities } from '@temporalio/workflow';
import type { ArchivedMonthFacts, AuditMaintenanceActivities, AuditMaintenanceResult } from './maintenance-messages.ts';

/**
 * Once a day: partitions of the audit log for the months to come, and an archive for those that are over. A month that
 * cannot be archived keeps no other from it; then the run fails at its end, and tomorrow's tries again.
 */
export async function auditMaintenance(): Promise<AuditMaintenanceResult> {
  const { keepPartitions, findMonthsToArchive } = proxyActivities<AuditMaintenanceActivities>({
    startToCloseTimeout: '5 minutes',
    scheduleToCloseTimeout: '1 hour',
    // The log is locked for a moment: where that fails, writes have gone before, and a little later it may not.
    retry: { initialInterval: '5 seconds', maximumInterval: '1 minute' },
  });
  const { archiveMonth } = proxyActivities<AuditMaintenanceActivities>({
    startToCloseTimeout: '4 hours',
    scheduleToCloseTimeout: '6 hours',
    heartbeatTimeout: '1 minute',
    retry: { initialInterval: '5 seconds', maximumInterval: '5 minutes' },
  });
  const { moved, made } = await keepPartitions();
  const archived: ArchivedMonthFacts[] = [];
  const failed: string[] = [];
  for (const month of await findMonthsToArchive()) {
    try {
      archived.push(await archiveMonth(month));
    } catch (error) {
      if (!(error instanceof ActivityFailure)) throw error;
      failed.push(month);
    }
  }
  if (failed.length === 0) return { moved, made, archived };
  throw ApplicationFailure.create({
    type: 'NotArchived',
    message: `Not archived: ${failed.join(', ')}`,
    nonRetryable: true,
  });
}
