import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemble, type Image, parseDockerfile } from './dockerfile.ts';

const PROJECT_FOLDER = join(import.meta.dirname, '../..');

export function readDockerfile() {
  return parseDockerfile(readFileSync(join(PROJECT_FOLDER, 'deploy/Dockerfile'), 'utf8'));
}

/** The tree of the release's image, made by the lines of the Dockerfile; only the packages come from here. */
export function assembleImage(): Image & { remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'accubooks-image-'));
  // The image's user is another one.
  chmodSync(folder, 0o755);
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const image = assemble(readDockerfile(), {
      context: PROJECT_FOLDER,
      folder,
      standIns: {
        'npm ci': (workdir) => symlinkSync(join(PROJECT_FOLDER, 'node_modules'), join(workdir, 'node_modules')),
        'npm ci --omit=dev --ignore-scripts': linkProductionPackages,
      },
    });
    return { ...image, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

type Lock = { readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean }>> };

/** What `npm ci --omit=dev` would install, as hard links where that can be: whatever else is imported is not found. */
function linkProductionPackages(workdir: string): void {
  const lock: Lock = JSON.parse(readFileSync(join(workdir, 'package-lock.json'), 'utf8'));
  const packages = Object.entries(lock.packages).filter(([path]) => path !== '');
  const isWanted = (flags: { dev?: boolean; devOptional?: boolean }) => !flags.dev && !flags.devOptional;
  const wanted = packages.filter(([, flags]) => isWanted(flags)).map(([path]) => path);
  const unwanted = packages.filter(([, flags]) => !isWanted(flags)).map(([path]) => path);
  const outermost = wanted.filter((path) => !wanted.some((other) => path.startsWith(`${other}/`)));
  // Optional packages of other platforms are not installed, and not missed.
  const paths = outermost.filter((path) => existsSync(join(PROJECT_FOLDER, path)));
  const copy = (how: string) =>
    execFileSync('cp', [how, '--parents', ...paths, workdir], {
      cwd: PROJECT_FOLDER,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  try {
    copy('-al');
  } catch {
    // Another file system, or files of another user.
    copy('-a');
  }
  for (const path of unwanted) rmSync(join(workdir, path), { recursive: true, force: true });
}
