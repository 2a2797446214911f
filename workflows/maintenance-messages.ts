/** The messages between the audit log's maintenance schedule, its workflow and its activities. */

export const AUDIT_MAINTENANCE_WORKFLOW_TYPE = 'auditMaintenance';

/** Separate from the write queue: only workers whose login is a member of accubooks_maintenance poll it. */
export function maintenanceTaskQueue(writeTaskQueue: string): string {
  return `${writeTaskQueue}-maintenance`;
}

/** What the schedule gives to each run: sealed for it, it shows that this system has ordered the run. Earlier ones gave nothing. */
export type MaintenanceOrder = { readonly schedule: string };

export type AuditMaintenanceActivities = {
  /**
   * Creates partitions for the months ahead, after moving rows out of the DEFAULT partition into their months' own. Refuses a
   * run that nobody has ordered.
   */
  keepPartitions(order: MaintenanceOrder | undefined): Promise<{ readonly moved: number; readonly made: number }>;
  /** The months (`2026-08`) that are due for archiving, oldest first; empty when no archive is configured. */
  findMonthsToArchive(): Promise<readonly string[]>;
  archiveMonth(month: string): Promise<ArchivedMonthFacts>;
};

export type ArchivedMonthFacts = { readonly month: string; readonly rows: number; readonly file: string };

export type AuditMaintenanceResult = {
  readonly moved: number;
  readonly made: number;
  readonly archived: readonly ArchivedMonthFacts[];
};
