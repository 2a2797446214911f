import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { processConfig, readConfig } from '../../worker/config.ts';
import { LOCAL_OPERATOR_AUDIENCE, refuseProduction } from './local-config.ts';
import { jwtSecretFile, type LocalSystem, localJsonFile, payloadKeysFile, readLocalJson } from './local-json.ts';

const operatorSchema = z.object({
  DATABASE_URL: processConfig.DATABASE_URL.optional(),
  MIGRATION_DATABASE_URL: processConfig.DATABASE_URL.optional(),
  MAINTENANCE_DATABASE_URL: processConfig.DATABASE_URL.optional(),
  AUDITOR_DATABASE_URL: processConfig.DATABASE_URL.optional(),
  ERASER_DATABASE_URL: processConfig.DATABASE_URL.optional(),
  TEMPORAL_ADDRESS: processConfig.TEMPORAL_ADDRESS.optional(),
  TEMPORAL_NAMESPACE: processConfig.TEMPORAL_NAMESPACE,
  TEMPORAL_API_KEY: processConfig.TEMPORAL_API_KEY,
  TEMPORAL_TLS_CERT: processConfig.TEMPORAL_TLS_CERT,
  TEMPORAL_TLS_KEY: processConfig.TEMPORAL_TLS_KEY,
  TEMPORAL_TLS_SERVER_CA: processConfig.TEMPORAL_TLS_SERVER_CA,
  TEMPORAL_TLS_SERVER_NAME: processConfig.TEMPORAL_TLS_SERVER_NAME,
  PAYLOAD_KEYS: processConfig.PAYLOAD_KEYS,
  PAYLOAD_ENCRYPTION: processConfig.PAYLOAD_ENCRYPTION,
  WORKER_DEPLOYMENT_NAME: processConfig.WORKER_DEPLOYMENT_NAME,
  TEMPORAL_TASK_QUEUE: processConfig.TEMPORAL_TASK_QUEUE,
  TEMPORAL_UI_URL: z.string().optional(),
  AUDIT_ARCHIVE_DIR: z.string().optional(),
  SUDO_USER: z.string().optional(),
  JWT_ISSUER: z.string().optional(),
  JWT_AUDIENCE: z.string().optional(),
  OPERATOR_AUDIENCE: z.string().optional(),
  NODE_ENV: z.string().optional(),
});

const HOW_TO_NAME_A_DATABASE =
  'Set MIGRATION_DATABASE_URL or DATABASE_URL to a login that owns the database, or start the local system ("npm start")';

export type TemporalTarget = Omit<z.output<typeof operatorSchema>, 'TEMPORAL_ADDRESS'> & { TEMPORAL_ADDRESS: string };

/** The owner's URL of the configured database, else of the running local system's. */
export function ownerDatabaseUrl(): string {
  const config = readConfig(operatorSchema, process.env);
  const url = config.MIGRATION_DATABASE_URL ?? config.DATABASE_URL ?? localSystem()?.databaseUrl;
  if (url === undefined) throw new Error(`No database is configured. ${HOW_TO_NAME_A_DATABASE}.`);
  return url;
}

/** With a login for the archive of the audit log: maintenance's own, else the owner's, which may act as maintenance. */
export function maintenanceDatabaseUrl(): string {
  return urlOfTask('MAINTENANCE_DATABASE_URL', 'maintenanceDatabaseUrl');
}

/** With a login that reads all companies: the auditor's own, else the owner's, which may act as the auditor. */
export function auditorDatabaseUrl(): string {
  return urlOfTask('AUDITOR_DATABASE_URL', 'auditorDatabaseUrl');
}

/**
 * With a login of whoever erases: the eraser's own, which needs another person's confirmation; else, outside production, that of
 * the owner, who needs none.
 */
export function eraserDatabaseUrl(): string {
  const { ERASER_DATABASE_URL, NODE_ENV } = readConfig(operatorSchema, process.env);
  if (ERASER_DATABASE_URL !== undefined) return ERASER_DATABASE_URL;
  if (NODE_ENV === 'production') {
    throw new Error('Set ERASER_DATABASE_URL to a login of your own that is a member of accubooks_eraser.');
  }
  return ownerDatabaseUrl();
}

function urlOfTask(
  setting: 'MAINTENANCE_DATABASE_URL' | 'AUDITOR_DATABASE_URL',
  local: 'maintenanceDatabaseUrl' | 'auditorDatabaseUrl',
): string {
  const config = readConfig(operatorSchema, process.env);
  const given = config[setting] ?? config.MIGRATION_DATABASE_URL ?? config.DATABASE_URL ?? localSystem()?.[local];
  if (given === undefined) throw new Error(`No database is configured. Set ${setting}, or start the local system.`);
  return given;
}

/** The database URL with the login of the processes. */
export function processDatabaseUrl(): string {
  const url = readConfig(operatorSchema, process.env).DATABASE_URL ?? localSystem()?.appDatabaseUrl;
  if (url === undefined) throw new Error('No database is configured. Set DATABASE_URL to the login of API and worker.');
  return url;
}

/** Like `ownerDatabaseUrl`, but never the local system's: for commands meant for production. */
export function givenOwnerDatabaseUrl(): string {
  const { MIGRATION_DATABASE_URL, DATABASE_URL } = readConfig(operatorSchema, process.env);
  const url = MIGRATION_DATABASE_URL ?? DATABASE_URL;
  if (url === undefined) throw new Error('Set MIGRATION_DATABASE_URL to a login that owns the database.');
  return url;
}

/** With the payload keys of the running local system where it is the target and no others are given. */
export function temporalTarget(known?: string): TemporalTarget {
  const config = readConfig(operatorSchema, { ...localPayloadKeys(known), ...process.env });
  const address = known ?? config.TEMPORAL_ADDRESS ?? localSystem()?.temporalAddress;
  if (address !== undefined) return { ...config, TEMPORAL_ADDRESS: address };
  throw new Error('No Temporal server is configured. Set TEMPORAL_ADDRESS, or start the local system ("npm start").');
}

/** The address of the configured Temporal server; never the local system's: for commands that may have another system as their target. */
export function givenTemporalAddress(): string | undefined {
  return readConfig(operatorSchema, process.env).TEMPORAL_ADDRESS;
}

export function isProduction(): boolean {
  return readConfig(operatorSchema, process.env).NODE_ENV === 'production';
}

/** The URL of the Temporal UI, if configured. */
export function temporalUiUrl(): string | undefined {
  return readConfig(operatorSchema, process.env).TEMPORAL_UI_URL ?? localSystem()?.temporalUiUrl ?? undefined;
}

/** Who was there before `sudo`. */
export function sudoUser(): string | undefined {
  return readConfig(operatorSchema, process.env).SUDO_USER;
}

/** The folder of the audit log's archive, if configured. */
export function archiveFolder(): string | undefined {
  return readConfig(operatorSchema, process.env).AUDIT_ARCHIVE_DIR;
}

/** How to sign tokens that the local system accepts; undefined if none is running or if it uses another database. */
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

/** How to sign tokens with the secret in that file, for the configured issuer and audience. */
export function signingWith(secretFile: string): { secret: string; issuer?: string; audience?: string } {
  const config = readConfig(operatorSchema, process.env);
  return {
    secret: readFileSync(secretFile, 'utf8').trim(),
    ...(config.JWT_ISSUER === undefined ? {} : { issuer: config.JWT_ISSUER }),
    ...(config.JWT_AUDIENCE === undefined ? {} : { audience: config.JWT_AUDIENCE }),
  };
}

/** The audience of operators' tokens, for which the local system was started. */
export function operatorAudience(): string {
  return readConfig(operatorSchema, process.env).OPERATOR_AUDIENCE ?? LOCAL_OPERATOR_AUDIENCE;
}

/** Like `localSigning`, but throws where there is no local system. */
export function requireLocalSigning() {
  refuseProduction();
  const signing = localSigning();
  if (signing !== undefined) return signing;
  throw new Error(
    `${localJsonFile()} does not exist, or DATABASE_URL names another database than it does. Tokens can be made only for a ` +
      'running local system: start it with "npm start" (and the same DATA_DIR). Elsewhere your identity provider issues them.',
  );
}

function localSystem(): LocalSystem | undefined {
  return readConfig(operatorSchema, process.env).NODE_ENV === 'production' ? undefined : readLocalJson();
}

/** Those of the local system where it is the target and no others are given. */
function localPayloadKeys(known: string | undefined): { PAYLOAD_KEYS_FILE?: string } {
  const { NODE_ENV, TEMPORAL_ADDRESS, PAYLOAD_KEYS, PAYLOAD_KEYS_FILE } = process.env;
  if (NODE_ENV === 'production' || PAYLOAD_KEYS || PAYLOAD_KEYS_FILE || !existsSync(payloadKeysFile())) return {};
  const address = known ?? TEMPORAL_ADDRESS;
  const isLocal = known !== undefined || !address || address === readLocalJson()?.temporalAddress;
  return isLocal ? { PAYLOAD_KEYS_FILE: payloadKeysFile() } : {};
}
