import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * PostgreSQL refuses to run as root, so for root it runs as `postgres`, or else `nobody`. An ordinary user runs it
 * as himself.
 */
export type ServerUser = { name: string; uid: number; gid: number } | 'self';

export function serverUser(clusterFolder: string): ServerUser {
  if (process.getuid?.() !== 0) return 'self';
  const owner = statSync(clusterFolder, { throwIfNoEntry: false });
  // A cluster that an ordinary user made stays his.
  if (owner && owner.uid !== 0) return { name: `uid ${owner.uid}`, uid: owner.uid, gid: owner.gid };
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = [idOf('-u', name), idOf('-g', name)];
    if (uid !== undefined && gid !== undefined) return { name, uid, gid };
  }
  throw new Error('PostgreSQL does not run as root, and there is no user "postgres" or "nobody". Run as another user.');
}

/**
 * A command line as that user. The folders above may be closed to him (a project under /root, a `mktemp -d`): then
 * `setpriv` lets him pass through folders, and nothing else is opened up.
 */
export function asServerUser(user: ServerUser, mustReach: readonly string[]) {
  if (user === 'self') return { prefix: [] as string[], ids: {} };
  const ids = { uid: user.uid, gid: user.gid };
  const closed = mustReach.map((path) => closedFolder(path, ids)).find((folder) => folder !== undefined);
  if (closed === undefined) return { prefix: [] as string[], ids };

  const passThrough = 'dac_read_search';
  const prefix = ['setpriv', `--reuid=${ids.uid}`, `--regid=${ids.gid}`, '--clear-groups'];
  prefix.push(`--inh-caps=+${passThrough}`, `--ambient-caps=+${passThrough}`, '--');
  const [command = '', ...args] = prefix;
  const reached = spawnSync(command, [...args, 'test', '-x', closed], { cwd: '/' });
  if (reached.status === 0) return { prefix, ids: {} };
  throw new Error(
    `PostgreSQL runs as ${user.name} (it refuses root), and ${user.name} cannot pass through ${closed}. Either ` +
      `"chmod o+x ${closed}", or put the project and DATA_DIR elsewhere (for example DATA_DIR=/var/tmp/accubooks), ` +
      'or run as an ordinary user.',
  );
}

/** The topmost folder on the way to `path` that these ids cannot pass through. */
function closedFolder(path: string, ids: { uid: number; gid: number }): string | undefined {
  const way: string[] = [];
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) way.unshift(folder);
  return way.find((folder) => spawnSync('test', ['-x', folder], { ...ids, cwd: '/' }).status !== 0);
}

function idOf(flag: '-u' | '-g', name: string): number | undefined {
  const { status, stdout } = spawnSync('id', [flag, name], { encoding: 'utf8' });
  return status === 0 ? Number(stdout) : undefined;
}
