import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type pg from 'pg';
import { GROUP_WORKFLOW_TYPE, groupWorkflowId } from '../../../workflows/messages.ts';
import { until } from '../held-invoice.ts';

/** A process that starts groups, as the database knows it: up to which of them each write has its row. */
export type LaneState = { readonly version: string; readonly lane: number; readonly settled: number };

/** The lanes of the version that holds at the moment. */
export async function readLanes(owner: pg.Pool): Promise<LaneState[]> {
  const { rows } = await owner.query(
    'SELECT version::text, lane, settled FROM lanes JOIN verification USING (version) ORDER BY lane',
  );
  return rows;
}

/** Until the database knows of every group that made a row under this version that it is settled. */
export async function untilSettled(owner: pg.Pool): Promise<LaneState> {
  let lanes: LaneState[] = [];
  await until('all groups to be settled', async () => {
    lanes = await readLanes(owner);
    const { rows } = await owner.query(
      "SELECT DISTINCT workflow_id AS id FROM idempotent_writes JOIN verification v ON workflow_id LIKE 'group:' || v.version || ':%'",
    );
    const groups = rows.map(({ id }) => id.split(':').slice(2).map(Number));
    const settled = new Map(lanes.map((each) => [each.lane, each.settled]));
    return groups.length > 0 && groups.every(([lane, number]) => number <= (settled.get(lane) ?? 0));
  });
  const lane = lanes.find(({ settled }) => settled > 0);
  if (lane === undefined) throw new Error('Bug! No group is settled');
  return lane;
}

/** The type of the run by that name; undefined when Temporal has none. */
export async function typeOf({ workflow }: Client, workflowId: string): Promise<string | undefined> {
  try {
    return (await workflow.getHandle(workflowId).describe()).type;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** A group behind the last one of the lane, which only the holder of another key can read. */
export async function startUnreadableGroup(client: Client, { version, lane, settled }: LaneState): Promise<void> {
  let number = settled + 1;
  while ((await typeOf(client, groupWorkflowId(version, lane, number))) !== undefined) number += 1;
  await client.workflowService.startWorkflowExecution({
    namespace: client.options.namespace,
    workflowId: groupWorkflowId(version, lane, number),
    workflowType: { name: GROUP_WORKFLOW_TYPE },
    taskQueue: { name: 'nobody-polls-this' },
    requestId: `unreadable-${number}`,
    input: { payloads: [{ metadata: { encoding: Buffer.from('binary/encrypted') }, data: Buffer.from('?') }] },
  });
}
