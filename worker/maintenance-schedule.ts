import { type Client, ScheduleAlreadyRunning } from '@temporalio/client';
import { AUDIT_MAINTENANCE_WORKFLOW_TYPE, maintenanceTaskQueue } from '../workflows/maintenance-messages.ts';
import { DEFAULT_TASK_QUEUE } from '../workflows/messages.ts';

/** In the small hours of most places, and not at a full hour, when everything else starts. UTC. */
const EACH_DAY_AT = { hour: 3, minute: 17 };

/** One schedule a system: another one in the same namespace has another task queue. */
export function maintenanceScheduleId(writeTaskQueue: string): string {
  return writeTaskQueue === DEFAULT_TASK_QUEUE
    ? AUDIT_MAINTENANCE_WORKFLOW_TYPE
    : `${AUDIT_MAINTENANCE_WORKFLOW_TYPE}:${writeTaskQueue}`;
}

/** Makes the schedule where it is missing. One that is there stays as an operator has left it, paused for instance. */
export async function ensureMaintenanceSchedule(
  { schedule }: Client,
  writeTaskQueue: string,
): Promise<'made' | 'exists'> {
  const scheduleId = maintenanceScheduleId(writeTaskQueue);
  try {
    await schedule.create({
      scheduleId,
      spec: { calendars: [EACH_DAY_AT] },
      action: {
        type: 'startWorkflow',
        workflowType: AUDIT_MAINTENANCE_WORKFLOW_TYPE,
        workflowId: scheduleId,
        taskQueue: maintenanceTaskQueue(writeTaskQueue),
        staticSummary: 'Audit log: partitions ahead, archive behind',
      },
      // A long one is not overtaken by the next day's.
      policies: { overlap: 'SKIP', catchupWindow: '1 day' },
    });
    return 'made';
  } catch (error) {
    if (error instanceof ScheduleAlreadyRunning) return 'exists';
    throw error;
  }
}
