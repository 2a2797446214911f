import { z } from 'zod';
import type { ResourceType } from '../operation.ts';
import { instant, resourceId } from './members.ts';

/** The API's form of a workflow trigger and its columns. */
export const TRIGGER_COLUMNS = 'id, workflow_name, workflow_id, payload, user_id, created_at';

export type TriggerRow = {
  id: string;
  workflow_name: string;
  workflow_id: string;
  payload: Record<string, unknown>;
  user_id: string;
  created_at: string;
};

export function toTrigger(row: TriggerRow): z.output<typeof triggerSchema> {
  return {
    id: row.id,
    workflowName: row.workflow_name,
    workflowId: row.workflow_id,
    payload: row.payload,
    userId: row.user_id,
    createdAt: row.created_at,
  };
}

const triggerSchema = z.object({
  id: resourceId(),
  workflowName: z.string(),
  workflowId: z.string().meta({ description: 'The workflow’s ID in Temporal' }),
  payload: z.record(z.string(), z.unknown()),
  userId: resourceId(),
  createdAt: instant(),
});

export const triggerResource: ResourceType = {
  type: 'trigger',
  reads: '/api/workflows/triggers',
  schema: triggerSchema,
};
