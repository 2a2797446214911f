import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
export const PROJECT_FOLDER = join(import.meta.dirname, '../..');

/** The client as `npm run build:client` and `npm pack` make it. */
export type Packed = {
  readonly tarball: string;
  /** Paths within the package. */
  readonly files: readonly string[];
  readonly unpackedBytes: number;
  /** Of the tarball: two with the same one have the same bytes. */
  readonly integrity: string;
};

/** @param folder where the package and its tarball are made; new or empty */
export async function packClient(folder: string): Promise<Packed> {
  const built = join(folder, 'package');
  await npm(PROJECT_FOLDER, 'run', '--silent', 'build:client', '--', '--out', built);
  const [packed] = JSON.parse(await npm(built, 'pack', '--json', '--pack-destination', folder)) as [
    { filename: string; files: { path: string }[]; unpackedSize: number; integrity: string },
  ];
  return {
    tarball: join(folder, packed.filename),
    files: packed.files.map(({ path }) => path),
    unpackedBytes: packed.unpackedSize,
    integrity: packed.integrity,
  };
}

/** A new project in that folder, with nothing but the package; it is installed without a network. */
export async function installInto(folder: string, { tarball }: Packed): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  await npm(folder, 'install', '--offline', '--no-audit', '--no-fund', tarball);
}

/** Each block of the package's README in that language, as it stands there. */
export function readmeBlocks(language: string): string[] {
  const readme = readFileSync(join(PROJECT_FOLDER, 'deploy/client/README.md'), 'utf8');
  return [...readme.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, named, text = '']) =>
    named === language ? [text] : [],
  );
}

/** Without the variables by which one npm, or this very run of the tests, tells another process of itself. */
async function npm(cwd: string, ...args: string[]): Promise<string> {
  const { PATH, HOME } = process.env;
  const { stdout } = await run('npm', args, { cwd, env: { PATH, HOME }, maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}
