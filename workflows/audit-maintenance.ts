import { ActivityFailure, ApplicationFailure, proxyActivities } from '@temporalio/workflow';
import type {
  ArchivedMonthFacts,
  AuditMaintenanceActivities,
  AuditMaintenanceResult,
  MaintenanceOrder,
} from './maintenance-messages.ts';

/**
 * Runs once a day: creates partitions of the audit log for the months ahead and archives old ones. A month that cannot be
 * archived does not stop the others; the run then fails at its end, and the next day's run tries again.
 */
export async function auditMaintenance(order?: MaintenanceOrder): Promise<AuditMaintenanceResult> {
  const { keepPartitions, findMonthsToArchive } = proxyActivities<AuditMaintenanceActivities>({
    startToCloseTimeout: '5 minutes',
    scheduleToCloseTimeout: '1 hour',
    // It needs a short lock on the log, and gives way to writes: a later attempt may get the lock.
    retry: { initialInterval: '5 seconds', maximumInterval: '1 minute' },
  });
  const { archiveMonth } = proxyActivities<AuditMaintenanceActivities>({
    startToCloseTimeout: '4 hours',
    scheduleToCloseTimeout: '6 hours',
    heartbeatTimeout: '1 minute',
    retry: { initialInterval: '5 seconds', maximumInterval: '5 minutes' },
  });
  const { moved, made } = await keepPartitions(order);
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
