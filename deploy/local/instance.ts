import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dataFolder } from '../cli/local-config.ts';
import { commandLine, isAlive } from './processes.ts';

/** Locks DATA_DIR, because two launchers would run two servers on the same files. Throws if another launcher is running. */
export function claimDataFolder(): { release(): void } {
  const folder = dataFolder();
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'launcher.pid');
  const mine = `${file}.${process.pid}`;
  try {
    writeFileSync(mine, String(process.pid));
  } catch (cause) {
    throw new Error(
      `${folder} is not writable (${(cause as Error).message}): it may belong to another user. Use another folder: ` +
        'DATA_DIR=.data2 npm start',
      { cause },
    );
  }
  for (;;) {
    try {
      linkSync(mine, file); // Atomic, with its content, and fails if the file exists.
      rmSync(mine);
      return { release: () => rmSync(file, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const pid = Number(readFileSync(file, 'utf8'));
    if (pid > 0 && isAlive(pid) && /deploy\/local\/(main|dev)\.ts/.test(commandLine(pid))) {
      rmSync(mine);
      throw new Error(
        `Another "npm start" (process ${pid}) uses ${folder}. Stop it first, or use another folder and port: ` +
          'DATA_DIR=.data2 PORT=3001 npm start',
      );
    }
    rmSync(file, { force: true }); // Left over from a killed run.
  }
}
