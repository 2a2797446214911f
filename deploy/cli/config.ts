import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { processConfig, readConfig } from '../../worker/config.ts';
import { refuseProduction } from './local-config.ts';
import { jwtSecretFile, type LocalSystem, localJsonFile, readLocalJson } from './local-json.ts';

const operatorSchema = z.object({
  DATABASE_URL: processConfig.DATABASE_URL.optional(),
  MIGRATION_DATABASE_URL: processConfig.DATABASE_URL.optional(),
  TEMPORAL_ADDRESS: processConfig.TEMPORAL_ADDRESS.optional(),
  TEMPORAL_NAMESPACE: processConfig.TEMPORAL_NAMESPACE,
  TEMPORAL_API_KEY: processConfig.TEMPORAL_API_KEY,
  TEMPORAL_TLS_CERT: processConfig.TEMPORAL_TLS_CERT,
  TEMPORAL_TLS_KEY: processConfig.TEMPORAL_TLS_KEY,
  TEMPORAL_TLS_SERVER_CA: processConfig.TEMPORAL_TLS_SERVER_CA,
  TEMPORAL_TLS_SERVER_NAME: processConfig.TEMPORAL_TLS_SERVER_NAME,
  WORKER_DEPLOYMENT_NAME: processConfig.WORKER_DEPLOYMENT_NAME,
  TEMPORAL_TASK_QUEUE: processConfig.TEMPORAL_TASK_QUEUE,
  TEMPORAL_UI_URL: z.string().optional(),
  AUDIT_ARCHIVE_DIR: z.string().optional(),
  JWT_ISSUER: z.string().optional(),
  JWT_AUDIENCE: z.string().optional(),
  NODE_ENV: z.string().optional(),
});

const WAYS =
  'Set MIGRATION_DATABASE_URL or DATABASE_URL to a login that owns the database, or start the local system ("npm start")';

export type TemporalTarget = Omit<z.output<typeof operatorSchema>, 'TEMPORAL_ADDRESS'> & { TEMPORAL_ADDRESS: string };

/** The database to work on: the one given, else the running local system's. */
export function ownerDatabaseUrl(): string {
  const config = readConfig(operatorSchema, process.env);
  const url = config.MIGRATION_DATABASE_URL ?? config.DATABASE_URL ?? localSystem()?.databaseUrl;
  if (url === undefined) throw new Error(`No database is known. ${WAYS}.`);
  return url;
}

/** The database as the processes log in to it. */
export function processDatabaseUrl(): string {
  const url = readConfig(operatorSchema, process.env).DATABASE_URL ?? localSystem()?.appDatabaseUrl;
  if (url === undefined) throw new Error('No database is known. Set DATABASE_URL to the login of API and worker.');
  return url;
}

/** The same, and never the local system's: for what is meant for production. */
export function givenOwnerDatabaseUrl(): string {
  const { MIGRATION_DATABASE_URL, DATABASE_URL } = readConfig(operatorSchema, process.env);
  const url = MIGRATION_DATABASE_URL ?? DATABASE_URL;
  if (url === undefined) throw new Error('Set MIGRATION_DATABASE_URL to a login that owns the database.');
  return url;
}

export function temporalTarget(known?: string): TemporalTarget {
  const config = readConfig(operatorSchema, process.env);
  const address = known ?? config.TEMPORAL_ADDRESS ?? localSystem()?.temporalAddress;
  if (address !== undefined) return { ...config, TEMPORAL_ADDRESS: address };
  throw new Error('No Temporal is known. Set TEMPORAL_ADDRESS, or start the local system ("npm start").');
}

/** Where people may open a workflow, if that is known. */
export function temporalUiUrl(): string | undefined {
  return readConfig(operatorSchema, process.env).TEMPORAL_UI_URL ?? localSystem()?.temporalUiUrl ?? undefined;
}

/** Where archived months of the audit log are, if that is known. */
export function archiveFolder(): string | undefined {
  return readConfig(operatorSchema, process.env).AUDIT_ARCHIVE_DIR;
}

/** How to sign tokens that the local system accepts; undefined where none runs, or where it works on another database. */
export function localSigning():
  | { databaseUrl: string; secret: string; issuer?: string; audience?: string }
  | undefined {
  const config = readConfig(operatorSchema, process.env);
  const databaseUrl = localSystem()?.databaseUrl;
  const given = config.MIGRATION_DATABASE_URL ?? config.DATABASE_URL;
  if (databaseUrl === undefined || !existsSync(jwtSecretFile()) || (given ?? databaseUrl) !== databaseUrl)
    return undefined;
  return { databaseUrl, ...signingWith(jwtSecretFile()) };
}

/** How to sign tokens with the secret in that file, for the issuer and audience that are set. */
export function signingWith(secretFile: string): { secret: string; issuer?: string; audience?: string } {
  const config = readConfig(operatorSchema, process.env);
  return {
    secret: readFileSync(secretFile, 'utf8').trim(),
    ...(config.JWT_ISSUER === undefined ? {} : { issuer: config.JWT_ISSUER }),
    ...(config.JWT_AUDIENCE === undefined ? {} : { audience: config.JWT_AUDIENCE }),
  };
}

/** For what works only on the local system. */
export function requireLocalSigning() {
  refuseProduction();
  const signing = localSigning();
  if (signing !== undefined) return signing;
  throw new Error(
    `${localJsonFile()} is not there, or DATABASE_URL names another database than it does. Tokens can be made only for a ` +
      'local system that is ready: start it with "npm start" (and the same DATA_DIR). Elsewhere your identity provider makes them.',
  );
}

function localSystem(): LocalSystem | undefined {
  return readConfig(operatorSchema, process.env).NODE_ENV === 'production' ? undefined : readLocalJson();
}
