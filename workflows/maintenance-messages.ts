/** What travels between the schedule of the audit log's maintenance, its workflow and its activities. */

export const AUDIT_MAINTENANCE_WORKFLOW_TYPE = 'auditMaintenance';

/** Beside the queue of the writes: only workers that may act as accubooks_maintenance poll it. */
export function maintenanceTaskQueue(writeTaskQueue: string): string {
  return `${writeTaskQueue}-maintenance`;
}

export type AuditMaintenanceActivities = {
  /** Partitions for the months to come; rows that came without one are moved into theirs first. */
  keepPartitions(): Promise<{ readonly moved: number; readonly made: number }>;
  /** Months (`2026-08`) that are no longer hot, oldest first; none where there is no archive. */
  findMonthsToArchive(): Promise<readonly string[]>;
  archiveMonth(month: string): Promise<ArchivedMonthFacts>;
};

export type ArchivedMonthFacts = { readonly month: string; readonly rows: number; readonly file: string };

export type AuditMaintenanceResult = {
  readonly moved: number;
  readonly made: number;
  readonly archived: readonly ArchivedMonthFacts[];
};
