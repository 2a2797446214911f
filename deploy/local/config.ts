import { join } from 'node:path';
import { z } from 'zod';
import { readApiConfig } from '../../api/config.ts';
import { ConfigError, port, processConfig, readConfig, readWorkerConfig } from '../../worker/config.ts';
import { PAYLOAD_ENCRYPTION } from '../../worker/payloads/encryption.ts';
import { isLoopback, projectFolder } from '../cli/local-config.ts';

/** The variables that the launcher itself reads. The rest of its environment is for API and worker. */
const launcherSchema = z.object({
  PORT: port(3000),
  HOST: processConfig.HOST,
  METRICS_PORT: z.string().transform(Number).optional(),
  DATABASE_URL: processConfig.DATABASE_URL.optional(),
  MIGRATION_DATABASE_URL: processConfig.DATABASE_URL.optional(),
  RELAY_DATABASE_URL: processConfig.DATABASE_URL.optional(),
  MAINTENANCE_DATABASE_URL: processConfig.DATABASE_URL.optional(),
  SEAL_SIGNING_KEY: z.string().optional(),
  SEALER_DATABASE_URL: processConfig.DATABASE_URL.optional(),
  WEBHOOK_MASTER_KEY: processConfig.WEBHOOK_MASTER_KEY,
  WEBHOOK_ALLOW_PRIVATE: z.string().optional(),
  TEMPORAL_ADDRESS: z.string().optional(),
  TEMPORAL_NAMESPACE: processConfig.TEMPORAL_NAMESPACE,
  TEMPORAL_UI_URL: z.string().optional(),
  WORKFLOW_BUNDLE: z.string().optional(),
  CONSOLE_FOLDER: z.string().optional(),
  PAYLOAD_KEYS: z.string().optional(),
  PAYLOAD_ENCRYPTION: z.enum(PAYLOAD_ENCRYPTION).optional(),
  JWT_SECRET: z.string().optional(),
  JWT_JWKS_URL: z.undefined('npm start signs the demo tokens itself: unset it, or use npm run start:api').optional(),
  JWT_ISSUER: z.string().optional(),
  JWT_AUDIENCE: z.string().optional(),
  OPERATOR_AUDIENCE: z.string().optional(),
  CONSOLE_METRICS_URLS: z.string().optional(),
});

export type LauncherConfig = z.output<typeof launcherSchema>;

/** Throws one error that names every invalid key, including those of API and worker, which would otherwise exit later. */
export function launcherConfig(environment: NodeJS.ProcessEnv = process.env): LauncherConfig {
  const decided = {
    DATABASE_URL: 'postgres://decided-later',
    TEMPORAL_ADDRESS: 'decided-later:7233',
    JWT_SECRET: 'decided-later-by-the-launcher-itself',
  };
  const missing = Object.entries(decided).filter(([key]) => !environment[key] && !environment[`${key}_FILE`]);
  const asChild = { ...environment, ...Object.fromEntries(missing) };
  const [config, ...rest] = [
    settled(() => readConfig(launcherSchema, environment)),
    settled(() => readApiConfig(asChild)),
    settled(() => readWorkerConfig(asChild)),
  ];
  const problems = [config, ...rest].flatMap((part) => ('problems' in part ? part.problems : []));
  if ('value' in config && problems.length === 0) return config.value;
  throw new ConfigError([...new Set(problems)]);
}

/**
 * Without another choice, webhooks may go to receivers on this machine while only this machine reaches the API: whoever can
 * set a webhook can then call those receivers without it.
 */
export function allowPrivateWebhooks({ WEBHOOK_ALLOW_PRIVATE, HOST }: LauncherConfig): string {
  return WEBHOOK_ALLOW_PRIVATE ?? (isLoopback(HOST) ? '1' : '0');
}

/** Where to look for a Temporal CLI, and where to cache it. */
export function temporalBinaryConfig() {
  return {
    cliPath: process.env['TEMPORAL_CLI_PATH'] || undefined,
    searchPath: process.env['PATH'] ?? '',
    cacheFolder: process.env['ACCUBOOKS_CACHE_DIR'] || join(projectFolder, '.cache'),
  };
}

function settled<T>(read: () => T): { value: T } | { problems: readonly string[] } {
  try {
    return { value: read() };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { problems: error.problems };
  }
}
