import { companyMaker } from '../companies.ts';
import { startGroups } from '../groups.ts';
import { type SystemProcess, startApiProcess, startWorkerProcess } from '../processes.ts';
import type { Payer } from './acknowledged.ts';
import { type FailoverServers, startFailoverServers } from './servers.ts';

/** A system of real processes over servers of its own, with one company. */
export type FailoverSystem = Payer & {
  readonly servers: FailoverServers;
  readonly api: SystemProcess;
  /** One more, which ends with the system; `more` goes on top of the environment that the first API has. */
  another(kind: typeof startApiProcess, more?: Readonly<Record<string, string>>): Promise<SystemProcess>;
  /** SIGKILL of every process; the servers stay. */
  killAll(): Promise<void>;
  stop(): Promise<void>;
};

/** `worker`: whether there is a worker besides that of the API. */
export async function startFailoverSystem({ worker = true } = {}): Promise<FailoverSystem> {
  const servers = await startFailoverServers();
  const groups = await startGroups(servers.environment['TEMPORAL_ADDRESS']);
  const processes: SystemProcess[] = [];
  const another: FailoverSystem['another'] = async (kind, more = {}) => {
    const process = await kind({ ...servers.environment, ...groups.environment, ...more });
    processes.push(process);
    return process;
  };
  const killAll = async () => {
    await Promise.all(processes.map((process) => process.kill()));
  };
  const [api] = await Promise.all([another(startApiProcess), worker ? another(startWorkerProcess) : undefined]);
  return {
    servers,
    groups,
    api,
    another,
    owner: servers.owner,
    url: api.url,
    company: await companyMaker(servers.owner, api.url)(),
    killAll,
    async stop() {
      await killAll();
      await groups.close();
      await servers.stop();
    },
  };
}
