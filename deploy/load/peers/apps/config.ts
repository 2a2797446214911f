import { z } from 'zod';
import { readConfig } from '../../../../worker/config.ts';

const schema = z.object({
  PORT: z.coerce.number(),
  DATABASE_URL: z.string(),
  /** DBOS keeps its own tables in a database of their own. */
  DBOS_DATABASE_URL: z.string().optional(),
  RESTATE_INGRESS_URL: z.string().optional(),
  RESTATE_HANDLER_PORT: z.coerce.number().optional(),
  TEMPORAL_ADDRESS: z.string().optional(),
  WORKFLOW_BUNDLE: z.string().optional(),
});

/** What a contender's process is given. */
export const config = readConfig(schema, process.env);

/** As many connections as our API has for writes and lookups together. */
export const POOL_SIZE = 32;

export function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('Bug! The contender was started without a variable that it needs');
  return value;
}
