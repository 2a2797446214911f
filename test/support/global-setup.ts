import { randomBytes, randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { TestProject } from 'vitest/node';
import { createAppDatabase, passwordsBy } from '../../deploy/local/database.ts';
import { startPostgres } from '../../deploy/local/postgres.ts';
import { startTemporal } from '../../deploy/local/temporal.ts';
import { resolveTemporalBinary } from '../../deploy/local/temporal-binary.ts';
import type { ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { buildWorkflowBundle } from '../../worker/bundle.ts';
import { compileProgram } from './program.ts';
import { openServerFolder } from './server-folder.ts';

declare module 'vitest' {
  /** What tests get by `inject(name)`. */
  interface ProvidedContext {
    /** `CREATE DATABASE … TEMPLATE templateDatabase OWNER accubooks_owner` needs it. */
    superuserUrl: string;
    /** Migrated, empty, and closed to connections, since one that is connected to cannot be cloned. */
    templateDatabase: string;
    /** The logins of the owner, of API and worker, of the worker's relay, of its maintenance and its sealer, of the auditor, and of whoever erases; a test puts the name of its clone into the path. */
    ownerUrl: string;
    appUrl: string;
    relayUrl: string;
    maintenanceUrl: string;
    sealerUrl: string;
    auditorUrl: string;
    eraserUrl: string;
    temporalAddress: string;
    /** The workflow bundle, built once: building it takes longer than most tests. */
    bundlePath: string;
  }
}

const TEMPLATE_DATABASE = 'accubooks_template';

/** Below the range from which systems hand out ports to clients; the start probes upward from there. */
const FIRST_PORT = 20_000;
const LAST_PORT = 30_000;

/** A client that was just ended needs a moment until the server has noticed. */
const SESSIONS_END_WITHIN_MS = 3_000;

/** Starts what all tests share, side by side, and ends it after the last. */
export default async function setup({ vitest }: TestProject): Promise<(() => Promise<void>) | undefined> {
  // The setup is called once a project; all projects of a run share the servers.
  const project = vitest.getRootProject();
  if ('superuserUrl' in project.getProvidedContext()) return undefined;
  const folder = openServerFolder();
  const programFolder = join(folder.path, 'program');
  const [postgres, temporal, bundle, program] = await Promise.allSettled([
    startTemplate(folder),
    startTemporalServer(folder),
    writeBundle(folder),
    compileProgram(programFolder),
  ]);
  const stop = async () => {
    const servers = [postgres, temporal].flatMap((part) => (part.status === 'fulfilled' ? [part.value] : []));
    await Promise.all(servers.map((server) => server.stop()));
    folder.remove();
  };
  const parts = [postgres, temporal, bundle, program];
  const failures = parts.flatMap((part) => (part.status === 'rejected' ? [part.reason] : []));
  if (postgres.status === 'rejected' || temporal.status === 'rejected' || bundle.status === 'rejected' || failures[0]) {
    await stop();
    throw failures.length === 1 ? failures[0] : new AggregateError(failures, failures.map(String).join('\n'));
  }

  project.provide('superuserUrl', postgres.value.superuserUrl);
  project.provide('templateDatabase', TEMPLATE_DATABASE);
  project.provide('ownerUrl', postgres.value.ownerUrl);
  project.provide('appUrl', postgres.value.appUrl);
  project.provide('relayUrl', postgres.value.relayUrl);
  project.provide('maintenanceUrl', postgres.value.maintenanceUrl);
  project.provide('sealerUrl', postgres.value.sealerUrl);
  project.provide('auditorUrl', postgres.value.auditorUrl);
  project.provide('eraserUrl', postgres.value.eraserUrl);
  project.provide('temporalAddress', temporal.value.address);
  project.provide('bundlePath', bundle.value);
  project.provide('programFolder', programFolder);
  return async () => {
    try {
      await complainOfLeaks(postgres.value.superuserUrl);
    } finally {
      await stop();
    }
  };
}

async function startTemplate(folder: ThrowawayFolder) {
  const port = randomInt(FIRST_PORT, LAST_PORT);
  const server = await startPostgres({ dataDir: folder.path, port, durable: false, log: () => {} });
  try {
    const urls = await createAppDatabase({
      superuserUrl: server.superuserUrl,
      database: TEMPLATE_DATABASE,
      passwords: passwordsBy(() => randomBytes(16).toString('hex')),
    });
    await query(server.superuserUrl, `ALTER DATABASE ${TEMPLATE_DATABASE} ALLOW_CONNECTIONS false`);
    return {
      ...server,
      ownerUrl: urls.databaseUrl,
      appUrl: urls.appDatabaseUrl,
      relayUrl: urls.relayDatabaseUrl,
      maintenanceUrl: urls.maintenanceDatabaseUrl,
      sealerUrl: urls.sealerDatabaseUrl,
      auditorUrl: urls.auditorDatabaseUrl,
      eraserUrl: urls.eraserDatabaseUrl,
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function startTemporalServer(folder: ThrowawayFolder) {
  const binary = folder.recordingPid(await resolveTemporalBinary(console.log));
  const port = randomInt(FIRST_PORT, LAST_PORT);
  return startTemporal({ binary, port, logFile: join(folder.path, 'temporal.log') });
}

async function writeBundle(folder: ThrowawayFolder): Promise<string> {
  const bundlePath = join(folder.path, 'workflow-bundle.js');
  writeFileSync(bundlePath, (await buildWorkflowBundle()).code);
  return bundlePath;
}

/**
 * A test ends what it started. What is still connected now was left running by one, and a database that is still there
 * was not dropped. Vitest only prints what a teardown throws, so the exit code is set here.
 */
async function complainOfLeaks(superuserUrl: string): Promise<void> {
  const deadline = Date.now() + SESSIONS_END_WITHIN_MS;
  let sessions = await openSessions(superuserUrl);
  while (sessions.length > 0 && Date.now() < deadline) {
    await sleep(100);
    sessions = await openSessions(superuserUrl);
  }
  const databases = await query(
    superuserUrl,
    `SELECT datname AS what FROM pg_database WHERE NOT datistemplate AND datname NOT IN ('postgres', '${TEMPLATE_DATABASE}')`,
  );
  for (const session of sessions) console.error(`a test left a connection open: ${session}`);
  for (const database of databases) console.error(`a test left its database behind: ${database}`);
  if (sessions.length + databases.length > 0) process.exitCode = 1;
}

function openSessions(superuserUrl: string): Promise<string[]> {
  return query(
    superuserUrl,
    `SELECT format('database %s, user %s, application %s', datname, usename, application_name) AS what
     FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
  );
}

async function query(connectionString: string, sql: string): Promise<string[]> {
  const client = new Client({ connectionString });
  await client.connect();
  try {
    return (await client.query<{ what: string }>(sql)).rows.map((row) => row.what);
  } finally {
    await client.end();
  }
}
