import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freeLoopbackPort } from '../../../../worker/free-port.ts';
import { withDatabase } from '../../../cli/command.ts';
import { startServerProcess } from '../../benchmark/server-process.ts';
import { keepApp } from './app-process.ts';
import type { RunningContender, Stage } from './contender.ts';
import { PEER_ROWS, readRows } from './rows.ts';
import { PEERS_FOLDER } from './versions.ts';

/** The engine of a contender, which runs beside the process that answers. */
export type Engine = {
  readonly pid: number;
  stop(): Promise<void>;
};

const COMPANY = 'peers';
const DATABASE = 'peers';

/** Starts `apps/{script}.ts` on the tables of `schema.sql` in a new database. */
export async function startPeer(
  stage: Stage,
  options: {
    readonly script: string;
    readonly version: string;
    readonly engine?: Engine;
    readonly environment?: Readonly<Record<string, string>>;
    /** Further databases, for an engine that keeps its records in PostgreSQL: variable → name. */
    readonly databases?: Readonly<Record<string, string>>;
    /** Called once, after the first start. */
    afterStart?(): Promise<void>;
  },
): Promise<RunningContender> {
  const { script, engine, databases = {} } = options;
  const stops: (() => Promise<unknown>)[] = engine === undefined ? [] : [() => engine.stop()];
  const stop = async () => {
    for (const stopOne of stops.reverse()) await stopOne();
  };
  try {
    const names = [DATABASE, ...Object.values(databases)];
    for (const name of names) await onCluster(stage, [`DROP DATABASE IF EXISTS ${name}`, `CREATE DATABASE ${name}`]);
    stops.unshift(() =>
      onCluster(
        stage,
        names.map((name) => `DROP DATABASE ${name} WITH (FORCE)`),
      ),
    );
    const databaseUrl = urlOf(stage, DATABASE);
    const schema = readFileSync(join(PEERS_FOLDER, 'schema.sql'), 'utf8');
    await withDatabase(databaseUrl, (client) => client.query(schema));

    const port = await freeLoopbackPort();
    const url = `http://127.0.0.1:${port}`;
    const app = await keepApp(() =>
      startServerProcess({
        script: `deploy/load/peers/apps/${script}.ts`,
        environment: {
          PORT: String(port),
          DATABASE_URL: databaseUrl,
          ...Object.fromEntries(Object.entries(databases).map(([variable, name]) => [variable, urlOf(stage, name)])),
          ...options.environment,
        },
        readyUrl: `${url}/readyz`,
        folder: stage.folder,
        name: script,
        signal: stage.signal,
      }),
    );
    stops.push(() => app.stop());
    await options.afterStart?.();
    return {
      version: options.version,
      url,
      token: COMPANY,
      invoiceIds: Array.from({ length: stage.invoices }, () => randomUUID()),
      pids: () => ({
        app: app.pid(),
        ...(engine === undefined ? {} : { engine: engine.pid }),
        postgres: stage.postgres.pid,
      }),
      crash: () => app.crash(),
      readRows: (keys) => withDatabase(databaseUrl, (client) => readRows(client, PEER_ROWS, COMPANY, keys)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** One after another: a database is not created or dropped inside of a transaction. */
export async function onCluster({ postgres }: Stage, statements: readonly string[]): Promise<void> {
  await withDatabase(postgres.superuserUrl, async (superuser) => {
    for (const statement of statements) await superuser.query(statement);
  });
}

function urlOf({ postgres }: Stage, database: string): string {
  const url = new URL(postgres.superuserUrl);
  url.pathname = database;
  return url.href;
}
