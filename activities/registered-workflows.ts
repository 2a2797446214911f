import { z } from 'zod';
import { date } from './fields.ts';
import type { Role } from './roles.ts';

/** A business workflow that a member can have started. Its writes run as that member, whose roles are asked again. */
export type RegisteredWorkflow = {
  /** The workflow's type, as workflows/ exports it. */
  readonly name: string;
  readonly roles: readonly Role[];
  /** Members that it does not know are left out. */
  readonly payload: z.ZodObject;
};

/** `triggerWorkflow` starts these and no others. */
export const REGISTERED_WORKFLOWS: readonly RegisteredWorkflow[] = [
  {
    name: 'sendInvoiceReminders',
    roles: ['owner', 'admin', 'manager'],
    // Overdue as of that day; today when left out.
    payload: z.object({ asOf: date().optional() }),
  },
  {
    name: 'closeMonth',
    roles: ['owner', 'admin'],
    // The last day to close; that of the month before this one when left out.
    payload: z.object({ through: date().optional() }),
  },
];
