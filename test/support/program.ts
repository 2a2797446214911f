import { execFile } from 'node:child_process';
import { cpSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where `compileProgram` has put our code as plain JavaScript. */
    readonly programFolder: string;
  }
}

const PROJECT_FOLDER = join(import.meta.dirname, '../..');
const SOURCES = ['workflows', 'activities', 'worker', 'api', 'migrations', 'deploy'];
const COMPILER = 'node_modules/.bin/tsc';

/**
 * Our code as plain JavaScript, as the image has it, in that folder. The tests start some two hundred processes, and with
 * tsx each of them would spend a second of CPU on its own compilation.
 */
export async function compileProgram(folder: string): Promise<void> {
  // What our code reads lies beside it.
  for (const source of SOURCES) cpSync(join(PROJECT_FOLDER, source), join(folder, source), { recursive: true });
  cpSync(join(PROJECT_FOLDER, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(PROJECT_FOLDER, 'node_modules'), join(folder, 'node_modules'));
  const project = {
    extends: join(PROJECT_FOLDER, 'deploy/tsconfig.image.json'),
    compilerOptions: { rootDir: '.', outDir: '.' },
    include: SOURCES,
    exclude: ['node_modules'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(project));
  await promisify(execFile)(join(PROJECT_FOLDER, COMPILER), ['--project', folder]);
}

/** The file to give to Node for a script of the project, for example `api/main.ts`. */
export function compiled(script: string): string {
  return join(inject('programFolder'), script.replace(/\.ts$/, '.js'));
}
