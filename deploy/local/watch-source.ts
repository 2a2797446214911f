import { watch } from 'node:fs';
import { join } from 'node:path';
import { projectFolder } from '../cli/local-config.ts';

/** What API and worker are made of. */
const FOLDERS = ['workflows', 'activities', 'worker', 'api'];
/** An editor writes a file in several steps, and a change of branches writes many. */
const SETTLED_MS = 300;

/** Reloads when a source file has changed and nothing more has for a moment; one reload at a time. */
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
    // What changes meanwhile is looked at afterwards.
    if (busy) return;
    busy = true;
    while (changed !== undefined) {
      log(`${changed} changed: API and worker start anew`);
      changed = undefined;
      await reload().then(
        () => log('Started'),
        (error: Error) => log(`${error.message}\n  Mend it, and it is tried again.`),
      );
    }
    busy = false;
  }
}
