import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { certificatesIn } from '../activities/seal/certificates.ts';
import { signingKey } from '../activities/seal/signing-key.ts';
import { DEFAULT_TASK_QUEUE } from '../workflows/messages.ts';
import { PAYLOAD_ENCRYPTION } from './payloads/encryption.ts';
import { payloadKeys } from './payloads/keys.ts';
import { isDatabaseProtected, isTemporalProtected } from './transport.ts';

/** The variables that every process reads; the API adds its own. The names are published (contract.md, Configuration). */
export const processConfig = {
  DATABASE_URL: z.string().regex(/^postgres(ql)?:\/\//, 'must be a postgres:// URL'),
  DATABASE_POOL_MAX: positiveInteger(16),
  DATABASE_LOOKUP_POOL_MAX: positiveInteger(16),
  STATEMENT_TIMEOUT_MS: positiveInteger(10_000),
  ALLOW_OWNER_LOGIN: z.enum(['0', '1']).default('0'),
  TEMPORAL_ADDRESS: z.string().regex(/^[^\s/]+:\d+$/, 'must be host:port'),
  TEMPORAL_NAMESPACE: z.string().min(1).default('default'),
  TEMPORAL_TASK_QUEUE: z.string().min(1).default(DEFAULT_TASK_QUEUE),
  TEMPORAL_API_KEY: z.string().min(1).optional(),
  TEMPORAL_TLS_CERT: z.string().min(1).optional(),
  TEMPORAL_TLS_KEY: z.string().min(1).optional(),
  TEMPORAL_TLS_SERVER_CA: z.string().min(1).optional(),
  TEMPORAL_TLS_SERVER_NAME: z.string().min(1).optional(),
  PAYLOAD_KEYS: payloadKeys().optional(),
  PAYLOAD_ENCRYPTION: z.enum(PAYLOAD_ENCRYPTION).default('require'),
  WORKFLOW_BUNDLE: z.string().min(1).optional(),
  WORKER_DEPLOYMENT_NAME: versionPart().optional(),
  WORKER_BUILD_ID: versionPart().optional(),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  METRICS_TOKEN: z.string().min(16).optional(),
  HOST: z.string().min(1).default('127.0.0.1'),
  WEBHOOK_MASTER_KEY: masterKey().optional(),
  /** Signs as well, for replacing WEBHOOK_MASTER_KEY; no secret that is shown is derived from it. */
  WEBHOOK_MASTER_KEY_SECONDARY: masterKey().optional(),
  WEBHOOK_ALLOW_PRIVATE: z.enum(['0', '1']).default('0'),
  /** Hosts to which production may connect without TLS: a sidecar, or containers of the same machine. */
  PLAINTEXT_HOSTS: z
    .string()
    .regex(/^[^\s,/:]+(,[^\s,/:]+)*$/, 'must be host names with commas between them')
    .transform((hosts) => hosts.split(','))
    .optional(),
  NODE_ENV: z.string().optional(),
};

/** For `superRefine`: refuses in production what is meant for local use only, and connections that are not encrypted. */
export function refuseLocalSettings(
  value: { readonly [Name in keyof typeof processConfig | (typeof DATABASE_URLS)[number]]?: unknown },
  context: z.RefinementCtx,
): void {
  if (value.NODE_ENV !== 'production') return;
  const fault = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
  if (value.PAYLOAD_KEYS === undefined) fault('PAYLOAD_KEYS', 'must be set in production');
  for (const name of ['WEBHOOK_ALLOW_PRIVATE', 'ALLOW_OWNER_LOGIN'] as const) {
    if (value[name] === '1') fault(name, 'is for local use only');
  }
  const plaintextHosts = new Set(Array.isArray(value.PLAINTEXT_HOSTS) ? value.PLAINTEXT_HOSTS : []);
  for (const name of DATABASE_URLS) {
    const url = value[name];
    if (typeof url === 'string' && !isDatabaseProtected(url, plaintextHosts)) fault(name, DATABASE_IN_PLAINTEXT);
  }
  if (!isTemporalProtected(value as Partial<TemporalConfig>, plaintextHosts))
    fault('TEMPORAL_ADDRESS', TEMPORAL_IN_PLAINTEXT);
}

const DATABASE_URLS = [
  'DATABASE_URL',
  'RELAY_DATABASE_URL',
  'MAINTENANCE_DATABASE_URL',
  'SEALER_DATABASE_URL',
  'AUDITOR_DATABASE_URL',
] as const;
const DATABASE_IN_PLAINTEXT =
  'in production add sslmode=verify-full to the URL, and sslrootcert=/path/to/ca.pem for a CA of your own, or name its ' +
  'host in PLAINTEXT_HOSTS (docs/operating.md, Connections)';
const TEMPORAL_IN_PLAINTEXT =
  'in production set TEMPORAL_TLS_SERVER_CA, TEMPORAL_TLS_SERVER_NAME or TEMPORAL_API_KEY, or name its host in ' +
  'PLAINTEXT_HOSTS (docs/operating.md, Connections)';
/** For `superRefine`: a secret that is being replaced has a second one beside it, which is another. */
export function requireOtherSecondary<Name extends 'JWT_SECRET' | 'WEBHOOK_MASTER_KEY'>(
  value: { readonly [Key in Name | `${Name}_SECONDARY`]?: string | undefined },
  name: Name,
  context: z.RefinementCtx,
): void {
  const secondary = `${name}_SECONDARY` as const;
  const [first, second] = [value[name], value[secondary]];
  if (second === undefined) return;
  if (first !== undefined && first !== second) return;
  const message = first === undefined ? `must be set with ${name}` : `must differ from ${name}`;
  context.addIssue({ code: 'custom', path: [secondary], message });
}

/** For `superRefine`: a release is named by both variables or by neither. */
export function requireWholeVersion(
  value: { readonly WORKER_DEPLOYMENT_NAME?: string | undefined; readonly WORKER_BUILD_ID?: string | undefined },
  context: z.RefinementCtx,
): void {
  if ((value.WORKER_DEPLOYMENT_NAME === undefined) === (value.WORKER_BUILD_ID === undefined)) return;
  const path = value.WORKER_BUILD_ID === undefined ? 'WORKER_BUILD_ID' : 'WORKER_DEPLOYMENT_NAME';
  context.addIssue({ code: 'custom', path: [path], message: 'set both WORKER_DEPLOYMENT_NAME and WORKER_BUILD_ID' });
}

const workerConfig = z
  .object({
    ...processConfig,
    METRICS_PORT: port(9464),
    /** The login of the outbox relay; required, but for local use with the owner's login. */
    RELAY_DATABASE_URL: processConfig.DATABASE_URL.optional(),
    /** The login of the audit log's maintenance; without it this worker maintains nothing. */
    MAINTENANCE_DATABASE_URL: processConfig.DATABASE_URL.optional(),
    /** The login of the sealer; without it this worker seals nothing. */
    SEALER_DATABASE_URL: processConfig.DATABASE_URL.optional(),
    /** Signs the heads of the seal; without it none are published. */
    SEAL_SIGNING_KEY: signingKey().optional(),
    /** The folder for the published heads of the seal, beside the log and the webhooks. */
    SEAL_HEADS_DIR: z.string().min(1).optional(),
    /** The time-stamp authority (RFC 3161) for the published heads; without it they have no time stamps. */
    SEAL_TIMESTAMP_URL: timeStampUrl().optional(),
    /** The roots that its certificate has to lead to, in PEM; without it anybody's stamp counts. */
    SEAL_TIMESTAMP_CA: certificates().optional(),
    /** For how long one stamp is waited for. */
    SEAL_TIMESTAMP_TIMEOUT_MS: positiveInteger(10_000),
    /** A login of the auditor, for its scheduled runs; without it this worker runs none. */
    AUDITOR_DATABASE_URL: processConfig.DATABASE_URL.optional(),
    /** The folder for the archive of old audit months; without it they stay in the database. */
    AUDIT_ARCHIVE_DIR: z.string().min(1).optional(),
    /** For how long the bytes of a file are kept after the end of its batch; the results stay. */
    BATCH_UPLOADS_KEPT_HOURS: positiveInteger(168),
  })
  // `when`: also check when another key is invalid, so that all problems are reported at once.
  .superRefine(refuseLocalSettings, { when: () => true })
  .superRefine(requireWholeVersion, { when: () => true })
  .superRefine((value, context) => requireOtherSecondary(value, 'WEBHOOK_MASTER_KEY', context), { when: () => true });

/** The names of the variables that the worker reads. */
export const WORKER_SETTINGS: readonly string[] = Object.keys(workerConfig.shape);

/** How long the worker process may drain: longer than the limits of its Temporal workers. */
export const WORKER_DRAIN_LIMIT_MS = 30_000;

export type ProcessConfig = z.output<z.ZodObject<typeof processConfig>>;
/** How to connect to a Temporal server. */
export type TemporalConfig = Omit<
  Pick<ProcessConfig, Extract<keyof ProcessConfig, `TEMPORAL_${string}`>>,
  'TEMPORAL_TASK_QUEUE'
>;
/** Whose namespace it is, and how what it keeps is encrypted. */
export type PayloadConfig = Pick<ProcessConfig, 'TEMPORAL_NAMESPACE' | 'PAYLOAD_KEYS' | 'PAYLOAD_ENCRYPTION'>;
export type WorkerConfig = z.output<typeof workerConfig>;

export function readWorkerConfig(environment: NodeJS.ProcessEnv = process.env): WorkerConfig {
  return readConfig(workerConfig, environment);
}

/** Each of these may be given as a file, `NAME_FILE`, because orchestrators mount secrets as files. */
export const SECRETS = [
  'DATABASE_URL',
  'MIGRATION_DATABASE_URL',
  'RELAY_DATABASE_URL',
  'MAINTENANCE_DATABASE_URL',
  'SEALER_DATABASE_URL',
  'AUDITOR_DATABASE_URL',
  'SEAL_SIGNING_KEY',
  'SEAL_TIMESTAMP_URL',
  'SEAL_TIMESTAMP_CA',
  'JWT_SECRET',
  'PAYLOAD_KEYS',
  'JWT_SECRET_SECONDARY',
  'TEMPORAL_API_KEY',
  'TEMPORAL_TLS_CERT',
  'TEMPORAL_TLS_KEY',
  'TEMPORAL_TLS_SERVER_CA',
  'METRICS_TOKEN',
  'WEBHOOK_MASTER_KEY',
  'WEBHOOK_MASTER_KEY_SECONDARY',
] as const;

/**
 * Reads a process's configuration. Throws one {@link ConfigError} that lists every bad key and never a value. An empty
 * variable counts as not set, as in a shell's `NAME= command`.
 */
export function readConfig<Shape extends z.ZodType>(schema: Shape, environment: NodeJS.ProcessEnv): z.output<Shape> {
  const problems: string[] = [];
  const values: Record<string, string> = {};
  for (const [key, value] of Object.entries(environment)) {
    if (value !== undefined && value !== '') values[key] = value;
  }
  for (const key of SECRETS) {
    const file = values[`${key}_FILE`];
    if (file === undefined) continue;
    if (values[key] !== undefined) problems.push(`${key}: set it or ${key}_FILE, not both`);
    try {
      values[key] = readFileSync(file, 'utf8').trim();
    } catch {
      problems.push(`${key}_FILE: the file cannot be read`);
    }
  }
  const parsed = schema.safeParse(values);
  if (parsed.success && problems.length === 0) return parsed.data;
  const invalid = parsed.error?.issues.map((issue) => {
    const key = String(issue.path[0] ?? 'configuration');
    return `${key}: ${values[key] === undefined && issue.code === 'invalid_type' ? 'must be set' : issue.message}`;
  });
  throw new ConfigError([...problems, ...(invalid ?? [])]);
}

export class ConfigError extends Error {
  /** One for each bad key, which it begins with. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The configuration cannot be used:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

export function positiveInteger(defaultValue: number) {
  return z
    .string()
    .regex(/^[1-9]\d{0,8}$/, 'must be a positive integer')
    .transform(Number)
    .default(defaultValue);
}

function timeStampUrl() {
  const isUrl = (text: string) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
  return z.string().refine(isUrl, 'must be an http or https URL');
}

function certificates() {
  return z.string().refine(areCertificates, 'must be certificates in PEM');
}

function areCertificates(pem: string): boolean {
  try {
    return certificatesIn(pem).length > 0;
  } catch {
    return false;
  }
}

function masterKey() {
  return z.string().refine((key) => Buffer.byteLength(key) >= 32, 'must have at least 32 bytes');
}

/** Also valid as a Kubernetes label, so that pods carry their release. Without colons: Temporal joins the two parts by one. */
function versionPart() {
  return z
    .string()
    .regex(
      /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/,
      'must be 1 to 63 letters, digits, dots, dashes or underscores',
    );
}

/** 0 lets the system choose a free port; tests use it. */
export function port(defaultValue: number) {
  return z
    .string()
    .regex(/^\d{1,5}$/, 'must be a port number')
    .transform(Number)
    .refine((value) => value <= 65_535, 'must be a port number')
    .default(defaultValue);
}
