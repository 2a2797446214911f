import { type Database, openDatabase } from '../activities/database.ts';
import type { ProcessConfig } from './config.ts';
import { checkLogin } from './login.ts';

/** Opens the database that a process's configuration names. Throws where its login could bypass tenant isolation. */
export async function openProcessDatabase(config: ProcessConfig, applicationName: string): Promise<Database> {
  const database = openDatabase({
    connectionString: config.DATABASE_URL,
    writePoolMax: config.DATABASE_POOL_MAX,
    readPoolMax: config.DATABASE_LOOKUP_POOL_MAX,
    statementTimeoutMs: config.STATEMENT_TIMEOUT_MS,
    applicationName,
  });
  await checkLogin(database.reads, config.ALLOW_OWNER_LOGIN === '1');
  return database;
}
