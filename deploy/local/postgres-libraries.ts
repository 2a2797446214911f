import { lstatSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { z } from 'zod';

const linksSchema = z.array(z.object({ source: z.string(), target: z.string() }));

/**
 * Makes the links by which PostgreSQL finds its shared libraries, where they are missing. npm packages hold no links, so
 * the package makes its own with an installation script; scripts of dependencies do not run here (.npmrc).
 *
 * @param packageFolder that of the npm package with the binaries
 */
export function linkLibraries(packageFolder: string): void {
  for (const { source, target } of readLinks(packageFolder)) {
    const link = join(packageFolder, target);
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue;
    try {
      symlinkSync(relative(dirname(target), source), link);
    } catch (cause) {
      // Another start may have just made it.
      if ((cause as NodeJS.ErrnoException).code === 'EEXIST') continue;
      throw new Error(
        `The embedded PostgreSQL lacks ${link}, which cannot be made (${(cause as Error).message}). Run "npm start" ` +
          'once as the user who ran "npm ci", or set DATABASE_URL to a PostgreSQL of your own.',
        { cause },
      );
    }
  }
}

function readLinks(packageFolder: string): z.output<typeof linksSchema> {
  const file = join(packageFolder, 'native/pg-symlinks.json');
  // The packages of some platforms need no links, and have no such file.
  if (lstatSync(file, { throwIfNoEntry: false }) === undefined) return [];
  return linksSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
}
