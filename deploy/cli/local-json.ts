import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { dataFolder } from './local-config.ts';
import { writePrivately } from './secrets.ts';

/** What scripts may know of a running local system. The file is there while the system is ready, and only then. */
const localSchema = z.object({
  apiUrl: z.string(),
  /** Logs in as the owner. */
  databaseUrl: z.string(),
  /** Logs in as API and worker do. */
  appDatabaseUrl: z.string(),
  temporalAddress: z.string(),
  temporalNamespace: z.string(),
  temporalUiUrl: z.string().nullable(),
  metricsUrls: z.object({ api: z.string(), worker: z.string() }),
  /** Null where the server was provided, not started. */
  pids: z.object({
    launcher: z.number(),
    api: z.number(),
    worker: z.number(),
    postgres: z.number().nullable(),
    temporal: z.number().nullable(),
  }),
  /** The owner's of Demo Ltd. */
  token: z.string(),
});

export type LocalSystem = z.infer<typeof localSchema>;

export function writeLocalJson(system: LocalSystem): void {
  writePrivately(localJsonFile(), `${JSON.stringify(system, null, 2)}\n`);
}

export function removeLocalJson(): void {
  rmSync(localJsonFile(), { force: true });
}

/** Undefined when no local system is ready. */
export function readLocalJson(): LocalSystem | undefined {
  const file = localJsonFile();
  return existsSync(file) ? localSchema.parse(JSON.parse(readFileSync(file, 'utf8'))) : undefined;
}

export function localJsonFile(): string {
  return join(dataFolder(), 'local.json');
}

/** The secret that the tokens of the local system are signed with, a given JWT_SECRET included. */
export function jwtSecretFile(): string {
  return join(dataFolder(), 'jwt-secret');
}
