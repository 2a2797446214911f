import { withDatabase } from '../../../cli/command.ts';

// Those of partitioned tables themselves ('I') hold nothing.
const INDEXES = `
  SELECT sum(pg_prewarm(c.oid, 'read') * current_setting('block_size')::bigint)::float8 AS bytes
  FROM pg_class c WHERE c.relnamespace IN ('public'::regnamespace, 'audit_partitions'::regnamespace) AND c.relkind = 'i'`;

/**
 * Reads every index once into the operating system's cache, as a server has them that has run for a while: a server that
 * has just been filled has evicted them, and each write would wait for the disk some twenty times. Answers the bytes read.
 */
export async function warmIndexes(superuserUrl: string): Promise<number> {
  return withDatabase(superuserUrl, async (superuser) => {
    await superuser.query('CREATE EXTENSION IF NOT EXISTS pg_prewarm');
    const { rows } = await superuser.query<{ bytes: number }>(INDEXES);
    return rows[0]?.bytes ?? 0;
  });
}
