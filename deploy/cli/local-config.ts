import { isAbsolute, join } from 'node:path';

export const projectFolder = join(import.meta.dirname, '..', '..');

/** DATA_DIR, where everything local lies. A relative one is meant from the project, wherever the command runs. */
export function dataFolder(): string {
  const folder = process.env['DATA_DIR'] || '.data';
  return isAbsolute(folder) ? folder : join(projectFolder, folder);
}

/** Embedded servers keep their secrets in a folder and run on one machine: fine on a desk, wrong where money is real. */
export function refuseProduction(): void {
  if (process.env['NODE_ENV'] !== 'production') return;
  throw new Error(
    'The embedded servers refuse NODE_ENV=production. In production give DATABASE_URL and TEMPORAL_ADDRESS and run ' +
      '"npm run start:api" and "npm run start:worker".',
  );
}

/**
 * These the launcher decides for API and worker; nothing that the user set under these names reaches them. (A
 * DATABASE_URL of the user's is the owner's, and the two are given another login.)
 */
const DECIDED = new Set([
  ...['PORT', 'METRICS_PORT', 'DATABASE_URL', 'MIGRATION_DATABASE_URL', 'ALLOW_OWNER_LOGIN'],
  ...['RELAY_DATABASE_URL', 'WEBHOOK_MASTER_KEY'],
  ...['TEMPORAL_ADDRESS', 'TEMPORAL_UI_URL', 'JWT_SECRET'],
]);

/** The environment of API or worker: the user's own, and what the launcher decided for it. */
export function childEnvironment(decided: Readonly<Record<string, string>>): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [key, value] of Object.entries(process.env)) {
    if (value !== undefined && !DECIDED.has(key.replace(/_FILE$/, ''))) environment[key] = value;
  }
  return { ...environment, ...decided };
}
