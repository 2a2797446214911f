import type { Client } from '@temporalio/client';
import type pg from 'pg';

/** How far a process's groups are known to have their rows. */
export type Lane = { readonly version: string; readonly lane: number; readonly settled: number };

/** The lanes of the version that holds at the moment. */
export async function readLanes(owner: pg.Pool): Promise<Lane[]> {
  const { rows } = await owner.query(
    `SELECT l.version::text, l.lane::int, l.settled::int FROM lanes l JOIN verification v ON v.version = l.version
     ORDER BY l.lane`,
  );
  return rows;
}

/** The workflow ID of the lane's group of that number. */
export function groupId({ version, lane }: Lane, number: number): string {
  return `group:${version}:${lane}:${number}`;
}

/** Of the workflow with that ID, whatever it is. Undefined when Temporal has none. */
export async function typeOf(temporal: Client, workflowId: string): Promise<string | undefined> {
  try {
    return (await temporal.workflow.getHandle(workflowId).describe()).type;
  } catch (error) {
    if ((error as Error).name === 'WorkflowNotFoundError') return undefined;
    throw error;
  }
}
