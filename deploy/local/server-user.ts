import { spawnSync } from 'node:child_process';
import { chownSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

type Ids = { uid: number; gid: number };

/** How to run PostgreSQL's programs (`prefix` before the command, `ids` for spawn) and who owns its files. */
export type ServerUser = { prefix: readonly string[]; ids: Ids | Record<string, never>; owner: Ids | undefined };

const ROOT: Ids = { uid: 0, gid: 0 };

/**
 * PostgreSQL refuses to run as root, so for root it runs as `postgres`, else as `nobody`; a cluster created by an ordinary
 * user runs as that user. For an ordinary user it runs as that user.
 *
 * That user may not be able to traverse the folders above (a project under /root, a `mktemp -d`). Then PostgreSQL runs in a
 * user namespace that maps root to that user's ID. This opens no folder to anyone; the server can read root's files, as the
 * caller can anyway. If the system forbids user namespaces, this throws an error that says what to do.
 */
export function serverUser(clusterFolder: string, mustReach: readonly string[]): ServerUser {
  if (process.getuid?.() !== 0) return { prefix: [], ids: {}, owner: undefined };
  const { name, ids } = unprivilegedUser(clusterFolder);
  const closed = mustReach.map((path) => closedFolder(path, ids)).find((folder) => folder !== undefined);
  if (closed === undefined) return { prefix: [], ids, owner: ids };

  const prefix = ['unshare', '--user', `--map-user=${ids.uid}`, `--map-group=${ids.gid}`, '--'];
  const [command = '', ...args] = prefix;
  const reached = spawnSync(command, [...args, 'test', '-x', closed], { cwd: '/' });
  if (reached.status === 0) return { prefix, ids: {}, owner: ROOT };
  throw new Error(
    `PostgreSQL refuses to run as root, and ${name} cannot traverse ${closed}. Either run ` +
      `"chmod o+x ${closed}", or put the project and DATA_DIR elsewhere (for example DATA_DIR=/var/tmp/accubooks), ` +
      'or run as an ordinary user.',
  );
}

/** Changes the owner of a folder that an earlier run created for another user. */
export function ownTree(path: string, { owner }: ServerUser): void {
  if (owner === undefined || statSync(path).uid === owner.uid) return;
  for (const entry of readdirSync(path, { recursive: true, encoding: 'utf8' })) {
    chownSync(join(path, entry), owner.uid, owner.gid);
  }
  chownSync(path, owner.uid, owner.gid);
}

function unprivilegedUser(clusterFolder: string): { name: string; ids: Ids } {
  const cluster = statSync(clusterFolder, { throwIfNoEntry: false });
  if (cluster && cluster.uid !== 0) return { name: `uid ${cluster.uid}`, ids: { uid: cluster.uid, gid: cluster.gid } };
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = [idOf('-u', name), idOf('-g', name)];
    if (uid !== undefined && gid !== undefined) return { name: `"${name}"`, ids: { uid, gid } };
  }
  throw new Error('PostgreSQL does not run as root, and there is no user "postgres" or "nobody". Run as another user.');
}

/** The topmost parent folder of `path` that a process with these IDs cannot traverse. */
function closedFolder(path: string, ids: Ids): string | undefined {
  const parents: string[] = [];
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) parents.unshift(folder);
  return parents.find((folder) => spawnSync('test', ['-x', folder], { ...ids, cwd: '/' }).status !== 0);
}

function idOf(flag: '-u' | '-g', name: string): number | undefined {
  const { status, stdout } = spawnSync('id', [flag, name], { encoding: 'utf8' });
  return status === 0 ? Number(stdout) : undefined;
}
