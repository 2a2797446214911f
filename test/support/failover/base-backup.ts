import { appendFileSync, chownSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster, Clusters } from './cluster.ts';
import { copyFiles } from './files.ts';

/** The files of a cluster as they were at one moment, with the WAL that makes them consistent. */
export type BaseBackup = { readonly files: string };

/** Not part of a backup: the WAL is copied at its end, and the lock file is the running server's. */
const LEFT_OUT = ['pg_wal', 'postmaster.pid', 'postmaster.opts'];

/** Made while the cluster runs, by PostgreSQL's low-level interface: the embedded package has no pg_basebackup. */
export async function takeBaseBackup(clusters: Clusters, cluster: Cluster): Promise<BaseBackup> {
  const files = join(clusters.folder(), 'postgres');
  await cluster.session(async (superuser) => {
    await superuser.query("SELECT pg_backup_start('test', fast => true)");
    await copyFiles(cluster.files, files, LEFT_OUT);
    const { rows } = await superuser.query('SELECT labelfile FROM pg_backup_stop(wait_for_archive => false)');
    await copyFiles(join(cluster.files, 'pg_wal'), join(files, 'pg_wal'));
    addFile(files, 'backup_label', rows[0].labelfile);
  });
  return { files };
}

/** Without a recovery signal: the copy keeps system identifier and timeline, as if the server had been started again. */
export function startPlainly(clusters: Clusters, backup: BaseBackup): Promise<Cluster> {
  return clusters.startCopy(backup.files);
}

/** Up to a restore point of the cluster that the backup is of; that one has been killed, and its WAL is the archive. */
export async function recoverTo(
  clusters: Clusters,
  backup: BaseBackup,
  { files: archive }: Cluster,
  restorePoint: string,
): Promise<Cluster> {
  const cluster = await clusters.startCopy(backup.files, (files) => {
    configure(files, {
      restore_command: `cp "${join(archive, 'pg_wal')}/%f" "%p"`,
      recovery_target_name: restorePoint,
      recovery_target_action: 'promote',
    });
    addFile(files, 'recovery.signal', '');
  });
  await untilPrimary(cluster);
  return cluster;
}

export function createRestorePoint(cluster: Cluster, name: string): Promise<void> {
  return cluster.session(
    async (superuser) => void (await superuser.query('SELECT pg_create_restore_point($1)', [name])),
  );
}

/** Resolves when the server's recovery has ended. */
export async function untilPrimary(cluster: Cluster): Promise<void> {
  await cluster.session(async (superuser) => {
    const isOver = 'SELECT 1 WHERE NOT pg_is_in_recovery()';
    while ((await superuser.query(isOver)).rowCount === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  });
}

/** Settings that the copy has from its start. */
export function configure(files: string, settings: Readonly<Record<string, string>>): void {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
  appendFileSync(join(files, 'postgresql.auto.conf'), lines.join(''));
}

/** A file that the server's user owns. */
export function addFile(files: string, name: string, content: string): void {
  const { uid, gid } = statSync(files);
  writeFileSync(join(files, name), content, { mode: 0o600 });
  chownSync(join(files, name), uid, gid);
}
