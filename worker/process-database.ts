import type { Logger } from 'pino';
import { type Database, openDatabase } from '../activities/database.ts';
import type { ProcessConfig } from './config.ts';
import { checkDurability } from './durability.ts';
import { checkLogin } from './login.ts';

/**
 * Opens the database that a process's configuration names. Throws where its login could bypass tenant isolation, and in
 * production where the server may lose what it has committed.
 */
export async function openProcessDatabase(
  config: ProcessConfig,
  applicationName: string,
  logger: Logger,
): Promise<Database> {
  const database = openDatabase({
    connectionString: config.DATABASE_URL,
    writePoolMax: config.DATABASE_POOL_MAX,
    readPoolMax: config.DATABASE_LOOKUP_POOL_MAX,
    statementTimeoutMs: config.STATEMENT_TIMEOUT_MS,
    applicationName,
  });
  await checkLogin(database.reads, config.ALLOW_OWNER_LOGIN === '1');
  const production = config.NODE_ENV === 'production';
  await checkDurability(database.reads, { production, logger, setting: 'DATABASE_URL' });
  return database;
}
