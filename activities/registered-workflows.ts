import { z } from 'zod';
import { date } from './fields.ts';
import type { Role } from './roles.ts';

/** A business workflow that a member can trigger. Its writes run as that member, whose roles are checked at each write. */
export type RegisteredWorkflow = {
  /** The workflow's type, as workflows/ exports it. */
  readonly name: string;
  readonly roles: readonly Role[];
  /** Unknown members are dropped. */
  readonly payload: z.ZodObject;
};

/** The workflows that `triggerWorkflow` accepts. */
export const REGISTERED_WORKFLOWS: readonly RegisteredWorkflow[] = [
  {
    name: 'sendInvoiceReminders',
    roles: ['owner', 'admin', 'manager'],
    // `asOf`: overdue as of that day; today when left out.
    payload: z.object({ asOf: date().optional() }),
  },
  {
    name: 'closeMonth',
    roles: ['owner', 'admin'],
    // `through`: the last day to close; the end of last month when left out.
    payload: z.object({ through: date().optional() }),
  },
];
