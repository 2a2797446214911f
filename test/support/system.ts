import type { Client as TemporalClient } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import type pg from 'pg';
import { pino } from 'pino';
import { inject } from 'vitest';
import type { Operation } from '../../activities/operation.ts';
import { type RunningApi, startApi } from '../../api/app.ts';
import type { UploadLimits } from '../../api/batches/limits.ts';
import { readApiConfig } from '../../api/config.ts';
import { createClient } from '../../worker/client.ts';
import { type Company, companyMaker, type Prepare } from './companies.ts';
import { cloneDatabase } from './database.ts';
import { PAYLOAD_KEYS } from './payload-keys.ts';
import { openPreparation } from './prepare.ts';
import { JWT_SECRET } from './tokens.ts';

/**
 * The real system for one test file: a database of its own (a clone of the migrated template), a task queue of its own on
 * the shared Temporal server, and one API with its worker in this process, reached over HTTP.
 */
export type System = {
  readonly url: string;
  /** Logs in as the owner, who sees all companies: for counting effects and for breaking things. */
  readonly owner: pg.Pool;
  readonly temporal: TemporalClient;
  /** What a further process of this system needs in its environment (see processes.ts). */
  readonly environment: Readonly<Record<string, string>>;
  /** A new company with its owner and one user a role. */
  company(name?: string): Promise<Company>;
  readonly prepare: Prepare;
  /** One more API of the same system in this process. */
  another(overrides?: Overrides): Promise<RunningApi>;
  stop(): Promise<void>;
};

export type Overrides = {
  /** Environment variables on top of the system's. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly operations?: readonly Operation[];
  readonly uploadLimits?: Partial<UploadLimits>;
};

export async function startSystem(overrides: Overrides = {}): Promise<System> {
  const database = await cloneDatabase();
  const environment = {
    DATABASE_URL: database.appUrl,
    TEMPORAL_ADDRESS: inject('temporalAddress'),
    TEMPORAL_TASK_QUEUE: database.name,
    WORKFLOW_BUNDLE: inject('bundlePath'),
    RELAY_DATABASE_URL: database.relayUrl,
    MAINTENANCE_DATABASE_URL: database.maintenanceUrl,
    SEALER_DATABASE_URL: database.sealerUrl,
    AUDITOR_DATABASE_URL: database.auditorUrl,
    ERASER_DATABASE_URL: database.eraserUrl,
    WEBHOOK_MASTER_KEY: 'the-master-key-of-the-tests-32-bytes',
    JWT_SECRET,
    PAYLOAD_KEYS,
    PORT: '0',
    LOG_LEVEL: 'silent',
    ...overrides.environment,
  };
  const { owner } = database;
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const apis: RunningApi[] = [];
  const start = async (more: Overrides) => {
    const config = readApiConfig({ ...environment, ...more.environment });
    const operations = more.operations ?? overrides.operations;
    const uploadLimits = more.uploadLimits ?? overrides.uploadLimits;
    const api = await startApi(config, {
      logger: pino({ level: config.LOG_LEVEL }),
      ...(operations === undefined ? {} : { operations }),
      ...(uploadLimits === undefined ? {} : { uploadLimits }),
    });
    let closed: Promise<void> | undefined;
    const closedOnce = { ...api, close: () => (closed ??= api.close()) };
    apis.push(closedOnce);
    return closedOnce;
  };
  const { url } = await start({});
  const preparation = openPreparation(database.appUrl);
  return {
    url,
    owner,
    temporal: createClient(connection, readApiConfig(environment)),
    environment,
    company: companyMaker(owner, url, preparation.prepare),
    prepare: preparation.prepare,
    another: (more = {}) => start(more),
    async stop() {
      await Promise.all(apis.map((api) => api.close()));
      await connection.close();
      await preparation.close();
      await database.drop();
    },
  };
}
