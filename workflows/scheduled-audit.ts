import { proxyActivities } from '@temporalio/workflow';
import type { AuditOrder, AuditRunFacts, ScheduledAuditActivities } from './scheduled-audit-messages.ts';

/** Runs once a day. An attempt whose worker has gone begins again on another; when none succeeds, `AuditorSilent` tells. */
export async function scheduledAudit(order: AuditOrder): Promise<AuditRunFacts> {
  const { auditBooks } = proxyActivities<ScheduledAuditActivities>({
    startToCloseTimeout: '12 hours',
    scheduleToCloseTimeout: '20 hours',
    heartbeatTimeout: '1 minute',
    retry: { initialInterval: '1 minute', maximumInterval: '30 minutes' },
  });
  return auditBooks(order);
}
