import { type Client, ScheduleAlreadyRunning } from '@temporalio/client';
import {
  AUDIT_MAINTENANCE_WORKFLOW_TYPE,
  type MaintenanceOrder,
  maintenanceTaskQueue,
} from '../workflows/maintenance-messages.ts';
import { DEFAULT_TASK_QUEUE } from '../workflows/messages.ts';

/** UTC. Not on the hour, when most other scheduled jobs start. */
const EACH_DAY_AT = { hour: 3, minute: 17 };

/** One schedule per system: another system in the same namespace has another task queue. */
export function maintenanceScheduleId(writeTaskQueue: string): string {
  return writeTaskQueue === DEFAULT_TASK_QUEUE
    ? AUDIT_MAINTENANCE_WORKFLOW_TYPE
    : `${AUDIT_MAINTENANCE_WORKFLOW_TYPE}:${writeTaskQueue}`;
}

/**
 * Creates the schedule if it is missing. An existing one keeps the operator's changes, such as being paused, and gets its order
 * anew: one of an earlier release has none, and one under a payload key that will be removed could not be read any more.
 */
export async function ensureMaintenanceSchedule(
  { schedule }: Client,
  writeTaskQueue: string,
): Promise<'made' | 'exists'> {
  const scheduleId = maintenanceScheduleId(writeTaskQueue);
  const action = {
    type: 'startWorkflow',
    workflowType: AUDIT_MAINTENANCE_WORKFLOW_TYPE,
    workflowId: scheduleId,
    taskQueue: maintenanceTaskQueue(writeTaskQueue),
    args: [{ schedule: scheduleId } satisfies MaintenanceOrder],
    staticSummary: 'Audit log: partitions ahead, archive behind',
  } as const;
  try {
    await schedule.create({
      scheduleId,
      spec: { calendars: [EACH_DAY_AT] },
      action,
      // A run that lasts longer than a day must not overlap with the next one.
      policies: { overlap: 'SKIP', catchupWindow: '1 day' },
    });
    return 'made';
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    await schedule.getHandle(scheduleId).update((previous) => ({ ...previous, action }));
    return 'exists';
  }
}
