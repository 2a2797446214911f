import { randomBytes } from 'node:crypto';
import { freeLoopbackPort } from '../../../../worker/free-port.ts';
import { withDatabase } from '../../../cli/command.ts';
import { createAppDatabase } from '../../../local/database.ts';
import { keptPasswords } from '../../../local/servers.ts';
import { startApiProcess } from '../../benchmark/api-process.ts';
import { createBenchmarkCompany } from '../../benchmark/company.ts';
import { prepareThrough, writeBundle } from '../../benchmark/session.ts';
import { keepApp } from './app-process.ts';
import type { RunningContender, Stage } from './contender.ts';
import { onCluster } from './peer.ts';
import { OUR_ROWS, readRows } from './rows.ts';
import { startTemporalServer } from './temporal-server.ts';
import { ourCommit } from './versions.ts';

const DATABASE = 'accubooks';

/** Our own API process with our schema, as `npm run benchmark` starts it; the invoices are created through it. */
export async function startOurs(stage: Stage, folder: string): Promise<RunningContender> {
  const { signal } = stage;
  const temporal = await startTemporalServer(stage, folder);
  const stops: (() => Promise<unknown>)[] = [() => temporal.stop()];
  const stop = async () => {
    for (const stopOne of stops.reverse()) await stopOne();
  };
  try {
    stops.push(() => onCluster(stage, [`DROP DATABASE IF EXISTS ${DATABASE} WITH (FORCE)`]));
    const database = await createAppDatabase({
      superuserUrl: stage.postgres.superuserUrl,
      database: DATABASE,
      passwords: keptPasswords(stage.folder),
    });
    const { databaseUrl } = database;
    const secret = randomBytes(32).toString('hex');
    const company = await withDatabase(databaseUrl, (owner) => createBenchmarkCompany(owner, secret));
    const servers = { folder: stage.folder, database, temporalAddress: temporal.address };
    const bundle = await writeBundle(folder);
    const port = await freeLoopbackPort();
    const app = await keepApp(() => startApiProcess({ servers, bundle, secret, grouping: 'on', signal, port }));
    stops.push(() => app.stop());
    const url = `http://127.0.0.1:${port}`;
    const commit = ourCommit();
    return {
      version: `${commit === undefined ? '' : `commit ${commit}, `}Temporal CLI ${temporal.version}`,
      url,
      token: company.token,
      invoiceIds: await prepareThrough({ url }, company, stage.invoices, signal),
      pids: () => ({ app: app.pid(), engine: temporal.pid, postgres: stage.postgres.pid }),
      crash: () => app.crash(),
      readRows: (keys) => withDatabase(databaseUrl, (owner) => readRows(owner, OUR_ROWS, company.companyId, keys)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
