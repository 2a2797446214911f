import { isAbsolute, join } from 'node:path';

export const projectFolder = join(import.meta.dirname, '..', '..');

/** The audience of operators' tokens in a local system, unless it is given another one. */
export const LOCAL_OPERATOR_AUDIENCE = 'accubooks-operators';

/** DATA_DIR, the folder of the local system. A relative path starts at the project, whatever the current directory. */
export function dataFolder(): string {
  const folder = process.env['DATA_DIR'] || '.data';
  return isAbsolute(folder) ? folder : join(projectFolder, folder);
}

/** The embedded servers keep secrets in a local folder and have no redundancy, so they must not run in production. */
export function refuseProduction(): void {
  if (process.env['NODE_ENV'] !== 'production') return;
  throw new Error(
    'The embedded servers refuse NODE_ENV=production. In production set DATABASE_URL and TEMPORAL_ADDRESS and run ' +
      '"npm run start:api" and "npm run start:worker".',
  );
}

/** Whether only this machine reaches what listens on `host`. */
export function isLoopback(host: string): boolean {
  return /^(127\.|\[?::1\]?$|localhost$)/.test(host);
}

/**
 * The launcher sets these for API and worker, so the user's values are not passed on. (A DATABASE_URL of the user has the
 * owner's login; API and worker get others.)
 */
const DECIDED = new Set([
  ...['PORT', 'METRICS_PORT', 'DATABASE_URL', 'MIGRATION_DATABASE_URL', 'ALLOW_OWNER_LOGIN'],
  ...['RELAY_DATABASE_URL', 'MAINTENANCE_DATABASE_URL', 'SEALER_DATABASE_URL', 'AUDITOR_DATABASE_URL'],
  ...['ERASER_DATABASE_URL', 'SEAL_SIGNING_KEY', 'WEBHOOK_MASTER_KEY'],
  ...['TEMPORAL_ADDRESS', 'TEMPORAL_UI_URL', 'JWT_SECRET', 'PAYLOAD_KEYS', 'PAYLOAD_ENCRYPTION', 'CODEC_WITHOUT_TOKEN'],
]);

/** The environment of API or worker: the user's, with the variables that the launcher sets. */
export function childEnvironment(decided: Readonly<Record<string, string>>): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [key, value] of Object.entries(process.env)) {
    if (value !== undefined && !DECIDED.has(key.replace(/_FILE$/, ''))) environment[key] = value;
  }
  return { ...environment, ...decided };
}
