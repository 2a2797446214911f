/**
 * `npm run build:temporal-server`: Temporal as it is run in production, from its Go module, for tests of the real
 * topology. Needs Go and some minutes, once; the tests that want it use the dev server where it is missing, and say so.
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { temporalBinaryConfig } from '../../deploy/local/config.ts';

const run = promisify(execFile);

const MODULE = 'go.temporal.io/server';
const VERSION = 'v1.32.1';
const COMMANDS = ['cmd/server', 'cmd/tools/sql'];

export type TemporalServerBinaries = { readonly server: string; readonly sqlTool: string; readonly schema: string };

/** What was built, if it was. */
export function temporalServerBinaries(): TemporalServerBinaries | undefined {
  const folder = cacheFolder();
  return existsSync(folder)
    ? { server: join(folder, 'server'), sqlTool: join(folder, 'sql'), schema: join(folder, 'schema') }
    : undefined;
}

async function build(): Promise<void> {
  if (existsSync(cacheFolder())) return;
  const parent = temporalBinaryConfig().cacheFolder;
  mkdirSync(parent, { recursive: true });
  const work = mkdtempSync(join(parent, 'building-'));
  const go = (...words: string[]) =>
    run('go', words, { cwd: work, env: { ...process.env, GOFLAGS: '-mod=mod' }, maxBuffer: 64 * 1024 * 1024 });
  try {
    writeFileSync(join(work, 'go.mod'), 'module accubooks/temporal-server\n');
    await go('get', ...COMMANDS.map((command) => `${MODULE}/${command}@${VERSION}`));
    const out = join(work, 'out');
    for (const command of COMMANDS) {
      console.log(`building ${command}`);
      await go('build', '-o', join(out, command.split('/').at(-1) ?? ''), `${MODULE}/${command}`);
    }
    const { stdout } = await go('list', '-m', '-f', '{{.Dir}}', MODULE);
    cpSync(join(stdout.trim(), 'schema/postgresql/v12'), join(out, 'schema'), { recursive: true });
    renameSync(out, cacheFolder());
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function cacheFolder(): string {
  return join(temporalBinaryConfig().cacheFolder, `temporal-server-${VERSION}-${process.platform}-${process.arch}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await build();
  console.log(cacheFolder());
}
