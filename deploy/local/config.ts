import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { z } from 'zod';

export const projectFolder = join(import.meta.dirname, '..', '..');

const port = z.coerce.number().int().min(1).max(65_535);

/** What `npm start` itself reads; all else in the environment goes to API and worker as it is. */
const launcherSchema = z.object({
  PORT: port.default(3000),
  HOST: z.string().default('127.0.0.1'),
  METRICS_PORT: port.optional(),
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  MIGRATION_DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  TEMPORAL_ADDRESS: z.string().optional(),
  TEMPORAL_NAMESPACE: z.string().default('default'),
  TEMPORAL_UI_URL: z.url({ protocol: /^https?$/ }).optional(),
  JWT_SECRET: z.string().refine(hasEnoughBytes, 'has less than 32 bytes').optional(),
  JWT_JWKS_URL: z
    .undefined('npm start signs the tokens of its demo itself: unset it, or use npm run start:api')
    .optional(),
  JWT_ISSUER: z.string().optional(),
  JWT_AUDIENCE: z.string().optional(),
  LOG_LEVEL: z.string().default('info'),
});

export type LauncherConfig = z.infer<typeof launcherSchema>;

/** Each may stand in a file instead, named by the key and `_FILE`. */
const SECRET_KEYS = ['DATABASE_URL', 'MIGRATION_DATABASE_URL', 'JWT_SECRET'] as const;

/** Throws one error that names every bad key; no value is repeated in it. */
export function launcherConfig(): LauncherConfig {
  const { values, problems } = withSecretFiles(process.env);
  const parsed = launcherSchema.safeParse(values);
  if (!parsed.success)
    problems.push(...parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`));
  if (parsed.success && problems.length === 0) return parsed.data;
  throw new Error(`The configuration is wrong:\n${problems.map((problem) => `- ${problem}`).join('\n')}`);
}

/**
 * The environment for API and worker: the user's own, less what the launcher decides for them (a DATABASE_URL of the
 * user's is the owner's, and the two must not get that), plus what it decided.
 */
export function childEnvironment(decided: Readonly<Record<string, string>>): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [key, value] of Object.entries(process.env)) {
    if (value === undefined || value === '') continue;
    if (key in launcherSchema.shape || key === 'ALLOW_OWNER_LOGIN') continue;
    if (SECRET_KEYS.some((secret) => key === `${secret}_FILE`)) continue;
    environment[key] = value;
  }
  return { ...environment, ...decided };
}

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

/** Where a Temporal CLI may be, or may be put. */
export function temporalBinaryConfig() {
  return {
    cliPath: process.env['TEMPORAL_CLI_PATH'] || undefined,
    searchPath: process.env['PATH'] ?? '',
    cacheFolder: process.env['ACCUBOOKS_CACHE_DIR'] || join(projectFolder, '.cache'),
  };
}

function withSecretFiles(environment: NodeJS.ProcessEnv) {
  // An empty variable is how shells and compose files unset one.
  const values = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const problems: string[] = [];
  for (const key of SECRET_KEYS) {
    const file = values[`${key}_FILE`];
    if (file === undefined || values[key] !== undefined) continue;
    try {
      values[key] = readFileSync(file, 'utf8').trim();
    } catch (error) {
      problems.push(`${key}_FILE: ${(error as Error).message}`);
    }
  }
  return { values, problems };
}

function hasEnoughBytes(secret: string): boolean {
  return Buffer.byteLength(secret) >= 32;
}
