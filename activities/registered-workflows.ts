import { z } from 'zod';
import { date } from './fields.ts';
import type { Role } from './roles.ts';

/** A business workflow that a member can trigger. Its writes run as that member, whose roles are checked at each write. */
export type RegisteredWorkflow = {
  /** The workflow's type, as workflows/ exports it. */
  readonly name: string;
  readonly roles: readonly Role[];
  /** Strict: a misspelt member would be a request other than the one that was meant. Each member has a description. */
  readonly payload: z.ZodObject;
};

/** The workflows that `triggerWorkflow` accepts. */
export const REGISTERED_WORKFLOWS: readonly RegisteredWorkflow[] = [
  {
    name: 'sendInvoiceReminders',
    roles: ['owner', 'admin', 'manager'],
    payload: z.strictObject({
      asOf: date().optional().meta({ description: 'overdue as of that day; today when left out' }),
    }),
  },
  {
    name: 'closeMonth',
    roles: ['owner', 'admin'],
    payload: z.strictObject({
      through: date()
        .optional()
        .meta({ description: 'the last day to close; the last day of the month before this one when left out' }),
    }),
  },
];

/** What each workflow takes, in words, for the documents. */
export function payloadsInWords(): string {
  const workflows = REGISTERED_WORKFLOWS.map(({ name, payload }) => {
    const members = Object.entries(payload.shape).map(([member, schema]) => `\`${member}\` (${describe(schema)})`);
    return `\`${name}\` takes ${members.join(', ')}`;
  });
  return `At most 16000 characters of JSON. ${workflows.join('. ')}. Other members are refused (workflow_payload_invalid)`;
}

function describe(schema: z.core.$ZodType): string {
  return z.globalRegistry.get(schema)?.description ?? '';
}
