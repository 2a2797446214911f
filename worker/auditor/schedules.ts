import { type CalendarSpec, type Client, ScheduleAlreadyRunning } from '@temporalio/client';
import { DEFAULT_TASK_QUEUE } from '../../workflows/messages.ts';
import {
  AUDIT_SCOPES,
  type AuditOrder,
  type AuditScope,
  auditorTaskQueue,
  SCHEDULED_AUDIT_WORKFLOW_TYPE,
} from '../../workflows/scheduled-audit-messages.ts';

/** UTC, behind the maintenance of the audit log. On Sundays all writes are compared, on the other days those of the last days. */
const AT = { hour: 4, minute: 7 };
const WHEN: Readonly<Record<AuditScope, CalendarSpec>> = {
  recent: { ...AT, dayOfWeek: [{ start: 'MONDAY', end: 'SATURDAY' }] },
  all: { ...AT, dayOfWeek: 'SUNDAY' },
};

/** One of each scope per system: another system in the same namespace has another task queue. */
export function auditScheduleId(scope: AuditScope, writeTaskQueue: string): string {
  const id = `${SCHEDULED_AUDIT_WORKFLOW_TYPE}:${scope}`;
  return writeTaskQueue === DEFAULT_TASK_QUEUE ? id : `${id}:${writeTaskQueue}`;
}

/** Creates the schedules that are missing. Existing ones keep what an operator has changed, and get their order anew. */
export async function ensureAuditSchedules({ schedule }: Client, writeTaskQueue: string): Promise<void> {
  for (const scope of AUDIT_SCOPES) {
    const scheduleId = auditScheduleId(scope, writeTaskQueue);
    const action = {
      type: 'startWorkflow',
      workflowType: SCHEDULED_AUDIT_WORKFLOW_TYPE,
      workflowId: scheduleId,
      taskQueue: auditorTaskQueue(writeTaskQueue),
      args: [{ schedule: scheduleId, scope } satisfies AuditOrder],
      staticSummary: `Auditor: ${scope === 'all' ? 'all writes' : 'the writes of the last days'}`,
    } as const;
    try {
      const policies = { overlap: 'SKIP', catchupWindow: '1 day' } as const;
      await schedule.create({ scheduleId, spec: { calendars: [WHEN[scope]] }, action, policies });
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      await schedule.getHandle(scheduleId).update((previous) => ({ ...previous, action }));
    }
  }
}
