import { watch } from 'node:fs';
import { join } from 'node:path';
import { projectFolder } from '../cli/local-config.ts';

/** The source folders of API and worker. */
const FOLDERS = ['workflows', 'activities', 'worker', 'api'];
/** An editor saves a file in several steps, and switching branches changes many files. */
const SETTLED_MS = 300;

/** Reloads shortly after the last change of a source file; one reload at a time. */
export function watchSource({ reload, log }: { reload(): Promise<void>; log(line: string): void }): void {
  let settled: NodeJS.Timeout | undefined;
  let changed: string | undefined;
  let busy = false;
  for (const folder of FOLDERS) {
    watch(join(projectFolder, folder), { recursive: true }, (_, file) => {
      if (file?.endsWith('.ts')) noteChange(`${folder}/${file}`);
    });
  }
  log(`Watching ${FOLDERS.join(', ')}`);

  function noteChange(file: string): void {
    changed = file;
    clearTimeout(settled);
    settled = setTimeout(() => void run(), SETTLED_MS);
  }

  async function run(): Promise<void> {
    // Changes during a reload are handled after it.
    if (busy) return;
    busy = true;
    while (changed !== undefined) {
      log(`${changed} changed: restarting API and worker`);
      changed = undefined;
      await reload().then(
        () => log('Restarted'),
        (error: Error) => log(`${error.message}\n  Fix it to try again.`),
      );
    }
    busy = false;
  }
}
