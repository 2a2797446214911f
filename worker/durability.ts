import type { Logger } from 'pino';
import { type Pool, queryOnce } from '../activities/database.ts';

/**
 * What may be lost while one of these is off. They are read in a session of the process, because a role, a database or the
 * URL itself can set `synchronous_commit` otherwise than the server does.
 */
const LOST_WITHOUT: Readonly<Record<string, string>> = {
  fsync: 'a crash of its machine can lose or damage everything',
  full_page_writes: 'a crash of its machine can damage pages',
  synchronous_commit: 'a crash of the server can lose writes that were already answered',
};

/**
 * Throws in production when a setting of PostgreSQL allows it to lose what it has committed: an answered write would be gone.
 * Locally it logs one warning, since a database that can be made again may be fast instead.
 */
export async function checkDurability(
  pool: Pool,
  { production, logger, setting }: { readonly production: boolean; readonly logger: Logger; readonly setting: string },
): Promise<void> {
  const off = await queryOnce<{ name: string; source: string }>(
    pool,
    "SELECT name, source FROM pg_settings WHERE name = ANY ($1) AND setting = 'off' ORDER BY name",
    [Object.keys(LOST_WITHOUT)],
  );
  if (off.length === 0) return;
  const faults = off.map(({ name, source }) => `${name} is off (source: ${source}): ${LOST_WITHOUT[name]}`);
  const names = off.map(({ name }) => name).join(', ');
  const message = `${setting}: ${faults.join('; ')}. Turn ${names} on (docs/operating.md, PostgreSQL)`;
  if (production) throw new Error(message);
  logger.warn(message);
}
