import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { dataFolder } from './local-config.ts';
import { writePrivately } from './secrets.ts';

/** Describes a running local system for scripts. The file exists exactly while the system is ready. */
const localSchema = z.object({
  apiUrl: z.string(),
  /** With the owner's login. */
  databaseUrl: z.string(),
  /** With the login of API and worker. */
  appDatabaseUrl: z.string(),
  /** With the logins of whoever archives the audit log, and of whoever verifies what was archived and reports. */
  maintenanceDatabaseUrl: z.string(),
  auditorDatabaseUrl: z.string(),
  temporalAddress: z.string(),
  temporalNamespace: z.string(),
  temporalUiUrl: z.string().nullable(),
  metricsUrls: z.object({ api: z.string(), worker: z.string() }),
  /** Null for a server that was provided instead of started. */
  pids: z.object({
    launcher: z.number(),
    api: z.number(),
    worker: z.number(),
    postgres: z.number().nullable(),
    temporal: z.number().nullable(),
  }),
  /** Of the owner of Demo Ltd. */
  token: z.string(),
  /** Of an operator. */
  operatorToken: z.string(),
});

export type LocalSystem = z.infer<typeof localSchema>;

export function writeLocalJson(system: LocalSystem): void {
  writePrivately(localJsonFile(), `${JSON.stringify(system, null, 2)}\n`);
}

export function removeLocalJson(): void {
  rmSync(localJsonFile(), { force: true });
}

/** Undefined when no local system is ready. */
export function readLocalJson(file = localJsonFile()): LocalSystem | undefined {
  return existsSync(file) ? localSchema.parse(JSON.parse(readFileSync(file, 'utf8'))) : undefined;
}

export function localJsonFile(): string {
  return join(dataFolder(), 'local.json');
}

/** The file with the keys of Temporal's payloads, also when PAYLOAD_KEYS is given. */
export function payloadKeysFile(): string {
  return join(dataFolder(), 'payload-keys');
}

/** The file with the secret that signs the local system's tokens, also when JWT_SECRET is given. */
export function jwtSecretFile(): string {
  return join(dataFolder(), 'jwt-secret');
}
