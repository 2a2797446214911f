import { z } from 'zod';
import type { ClosingResult } from '../../workflows/event-messages.ts';
import type { ResourceType } from '../operation.ts';
import { calendarDate, instant, moneySum, resourceId } from './members.ts';

/** The API's form of a workflow trigger and its columns. */
export const TRIGGER_COLUMNS = `id, workflow_name, workflow_id, payload, user_id, created_at,
  (SELECT r.result FROM workflow_results r
   WHERE r.company_id = workflow_triggers.company_id AND r.trigger_id = workflow_triggers.id) AS result`;

export type TriggerRow = {
  id: string;
  workflow_name: string;
  workflow_id: string;
  payload: Record<string, unknown>;
  user_id: string;
  created_at: string;
  /** Null while the workflow runs, for one that keeps none, and for one whose run ended before it had kept any. */
  result: ClosingResult | null;
};

export function toTrigger(row: TriggerRow): z.output<typeof triggerSchema> {
  return {
    id: row.id,
    workflowName: row.workflow_name,
    workflowId: row.workflow_id,
    payload: row.payload,
    userId: row.user_id,
    createdAt: row.created_at,
    result: row.result === null ? null : inOrder(row.result),
  };
}

/** In one order of members: `jsonb` has one of its own. */
function inOrder(result: ClosingResult): z.output<typeof resultSchema> {
  const { closed, through } = result;
  if (closed) return { closed, through };
  const failed = result.failed.map(({ control, accountCode, currency, expected, found, detail, resources }) => ({
    control,
    accountCode,
    currency,
    expected,
    found,
    detail,
    resources: [...resources],
  }));
  return { closed, through, failed };
}

/** A control that does not hold, or a step that is not done (`FailedControl`). */
export const failedSchema = z.object({
  control: z.string().meta({ description: 'The control that does not hold, or the step that is left (docs/books.md)' }),
  accountCode: z.string().nullable(),
  currency: z.string().nullable(),
  expected: moneySum('what the documents say').nullable(),
  found: moneySum('what the books say').nullable(),
  detail: z.string().meta({
    description:
      'The rule that does not hold and the day that it is about, or the step that is not done and what to do',
  }),
  resources: z.array(z.string()).meta({ description: 'URLs of what is in the way, at most the first 20' }),
});

const resultSchema = z.object({
  closed: z.boolean(),
  through: calendarDate(),
  failed: z.array(failedSchema).optional().meta({ description: 'What is in the way of closing; only when not closed' }),
});

const triggerSchema = z.object({
  id: resourceId(),
  workflowName: z.string(),
  workflowId: z.string().meta({ description: 'The workflow’s ID in Temporal' }),
  payload: z.record(z.string(), z.unknown()),
  userId: resourceId(),
  createdAt: instant(),
  result: resultSchema.nullable().meta({
    description:
      'What `closeMonth` has come to. Null while a workflow runs, for those that have no result, and for good where the run ' +
      'ended without one: failed, timed out, cancelled or terminated. The settings (`booksClosedThrough`) then say whether the ' +
      'books were closed, and `GET /api/writes/trigger:{id}:close-1` what became of the write; operators find the run in ' +
      'Temporal under `workflowId`',
  }),
});

export const triggerResource: ResourceType = {
  type: 'trigger',
  reads: '/api/workflows/triggers',
  schema: triggerSchema,
};
