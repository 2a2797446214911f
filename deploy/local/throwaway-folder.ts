import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A temporary folder, and the promise that neither it nor a server in it outlives this process, `kill -9` included. */
export type ThrowawayFolder = {
  readonly path: string;
  /** Wraps a server's binary so that its process is known from its first moment, not only once it is ready. */
  recordingPid(binary: string): string;
  /** To be called when the servers have been stopped. */
  remove(): void;
};

/** Below `parent`, by default where the system has its temporary files. */
export function openThrowawayFolder(parent = tmpdir()): ThrowawayFolder {
  const path = mkdtempSync(join(parent, 'accubooks-'));
  const watcher = watchOver(path);
  return {
    path,
    recordingPid(binary) {
      const wrapper = join(path, 'recording-pid.sh');
      // `exec` keeps the process, and so the pid that was just written.
      writeFileSync(wrapper, `#!/bin/sh\necho $$ > "${join(path, 'server.pid')}"\nexec "${binary}" "$@"\n`);
      chmodSync(wrapper, 0o755);
      return wrapper;
    },
    remove() {
      watcher.kill('SIGKILL'); // first, or it would take a pid file for a server that is still to be ended
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/**
 * Reads from a pipe that ends when this process does, however that happens; then ends the servers and removes the
 * folder. It waits a second before it looks, for a server that is just starting. PostgreSQL gets SIGQUIT, on which the
 * postmaster ends its backends as well.
 */
const WATCHER = `
while read -r _; do :; done
sleep 1
server=$(head -n 1 "$1/server.pid" 2>/dev/null)
postmaster=$(head -n 1 "$1/postgres/postmaster.pid" 2>/dev/null)
# Of an \`npm start\` over this folder; the launcher first, or it would start the others again.
launcher=$(head -n 1 "$1/launcher.pid" 2>/dev/null)
temporal=$(sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p' "$1/temporal/temporal.db.pid" 2>/dev/null)
for pid in $launcher $server $temporal; do kill -KILL "$pid"; done
[ -n "$postmaster" ] && kill -QUIT "$postmaster"
for _ in 1 2 3 4 5 6 7 8 9 10; do
  kill -0 $server $temporal $postmaster 2>/dev/null || break
  sleep 0.5
done
rm -rf "$1"
`;

function watchOver(path: string): ChildProcess {
  // Detached: Ctrl-C goes to the whole group of the terminal, and must not end the one that cleans up after it.
  const watcher = spawn('sh', ['-c', WATCHER, 'sh', path], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  watcher.unref();
  (watcher.stdin as Socket).unref();
  return watcher;
}
