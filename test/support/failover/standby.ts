import { startProxy } from '../proxy.ts';
import { addFile, type BaseBackup, configure, untilPrimary } from './base-backup.ts';
import type { Cluster, Clusters } from './cluster.ts';

/** A hot standby that receives the WAL of its primary as it is written, until it lags. */
export type Standby = Cluster & {
  /** Resolves when it has replayed all that the primary has written. */
  caughtUp(): Promise<void>;
  /** From now on it receives nothing. */
  lag(): void;
  /** Ends its recovery, with what it has received. */
  promote(): Promise<void>;
};

export async function startStandby(clusters: Clusters, backup: BaseBackup, primary: Cluster): Promise<Standby> {
  const link = await startProxy({ host: '127.0.0.1', port: primary.port });
  const [, port] = link.address.split(':');
  const { username, password } = new URL(primary.superuserUrl);
  const standby = await clusters.startCopy(backup.files, (files) => {
    configure(files, {
      primary_conninfo: `host=127.0.0.1 port=${port} user=${username} password=${password}`,
      // As the primary that it may become, it does not wait long for the old one.
      wal_receiver_timeout: '5s',
      // A promotion leaves the buffers dirty: the next checkpoint is far away.
      checkpoint_completion_target: '0.99',
      checkpoint_timeout: '1h',
    });
    addFile(files, 'standby.signal', '');
  });
  return {
    ...standby,
    async caughtUp() {
      const written = await primary.session((superuser) => superuser.query('SELECT pg_current_wal_flush_lsn() AS lsn'));
      await standby.session(async (superuser) => {
        const isReplayed = 'SELECT 1 WHERE pg_last_wal_replay_lsn() >= $1::pg_lsn';
        while ((await superuser.query(isReplayed, [written.rows[0].lsn])).rowCount === 0) {
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
    },
    lag: () => link.freeze(),
    async promote() {
      await standby.session((superuser) => superuser.query('SELECT pg_promote()'));
      await untilPrimary(standby);
      await link.close();
    },
    async kill() {
      await standby.kill();
      await link.close();
    },
  };
}
