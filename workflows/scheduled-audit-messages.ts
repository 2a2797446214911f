/** The messages between the auditor's schedules, their workflow and its activity. */

export const SCHEDULED_AUDIT_WORKFLOW_TYPE = 'scheduledAudit';

/** Separate from the other queues: only workers with a login of the auditor poll it. */
export function auditorTaskQueue(writeTaskQueue: string): string {
  return `${writeTaskQueue}-auditor`;
}

/** `recent`: the writes of the last days, one by one. `all`: all of them. The books as a whole are asked in both. */
export const AUDIT_SCOPES = ['recent', 'all'] as const;
export type AuditScope = (typeof AUDIT_SCOPES)[number];

/** What a schedule gives to each run: sealed for it, it shows that this system has ordered the run. */
export type AuditOrder = { readonly schedule: string; readonly scope: AuditScope };

/** What the run of the workflow tells; the table `audit_runs` has what was found. */
export type AuditRunFacts = {
  readonly scope: AuditScope;
  readonly writes: number;
  readonly findings: number;
  readonly couldNotAsk: number;
};

export type ScheduledAuditActivities = {
  /** Compares all records of the writes, and records what it has found. Refuses a run that nobody has ordered. */
  auditBooks(order: AuditOrder): Promise<AuditRunFacts>;
};
