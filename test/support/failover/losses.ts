import { createRestorePoint, recoverTo, startPlainly, takeBaseBackup } from './base-backup.ts';
import type { Cluster } from './cluster.ts';
import { restoreDump, takeDump } from './dump.ts';
import type { FailoverServers } from './servers.ts';
import { startStandby } from './standby.ts';

/**
 * A way in which PostgreSQL comes back without its latest writes. Called before the writes that are going to be lost; what
 * it answers ends the server that has them and brings the other one.
 */
export type Loss = (servers: FailoverServers) => Promise<() => Promise<Cluster>>;

export const toBaseBackup: Loss = async ({ clusters, primary }) => {
  const backup = await takeBaseBackup(clusters, primary);
  return async () => {
    await primary.kill();
    return startPlainly(clusters, backup);
  };
};

export const toPointInTime: Loss = async ({ clusters, primary }) => {
  const backup = await takeBaseBackup(clusters, primary);
  await createRestorePoint(primary, 'before');
  return async () => {
    await primary.kill();
    return recoverTo(clusters, backup, primary, 'before');
  };
};

export const toDump: Loss = async ({ primary, createEmpty }) => {
  const dump = await takeDump(primary);
  return async () => {
    await primary.kill();
    const cluster = await createEmpty();
    await restoreDump(cluster, dump);
    return cluster;
  };
};

export const toLaggingStandby: Loss = async ({ clusters, primary }) => {
  const standby = await startStandby(clusters, await takeBaseBackup(clusters, primary), primary);
  await standby.caughtUp();
  standby.lag();
  return async () => {
    await primary.kill();
    await standby.promote();
    return standby;
  };
};
