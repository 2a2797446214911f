import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dataFolder } from '../cli/local-config.ts';
import { commandLine, isAlive } from './processes.ts';

/** Two launchers over one DATA_DIR would run two servers over the same files. Throws when another one lives. */
export function claimDataFolder(): { release(): void } {
  const folder = dataFolder();
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'launcher.pid');
  const mine = `${file}.${process.pid}`;
  try {
    writeFileSync(mine, String(process.pid));
  } catch (cause) {
    throw new Error(
      `${folder} cannot be written to (${(cause as Error).message}): it may be another user's. Give this one a folder of ` +
        'its own: DATA_DIR=.data2 npm start',
      { cause },
    );
  }
  for (;;) {
    try {
      linkSync(mine, file); // Appears with its content, and only where there is none.
      rmSync(mine);
      return { release: () => rmSync(file, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const pid = Number(readFileSync(file, 'utf8'));
    if (pid > 0 && isAlive(pid) && /deploy\/local\/(main|dev)\.ts/.test(commandLine(pid))) {
      rmSync(mine);
      throw new Error(
        `Another "npm start" (process ${pid}) runs over ${folder}. Stop it first, or give this one a folder and a ` +
          'port of its own: DATA_DIR=.data2 PORT=3001 npm start',
      );
    }
    rmSync(file, { force: true }); // Of a killed run.
  }
}
