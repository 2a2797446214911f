import { join } from 'node:path';

/** Embedded servers keep their secrets in a folder and run on one machine: fine on a desk, wrong where money is real. */
export function refuseProduction(): void {
  if (process.env['NODE_ENV'] !== 'production') return;
  throw new Error(
    'The embedded servers refuse NODE_ENV=production. In production give DATABASE_URL and TEMPORAL_ADDRESS and run ' +
      '"npm run start:api" and "npm run start:worker".',
  );
}

export const projectFolder = join(import.meta.dirname, '..', '..');

/** Where a Temporal CLI may be, or may be put. */
export function temporalBinaryConfig() {
  return {
    cliPath: process.env['TEMPORAL_CLI_PATH'] || undefined,
    searchPath: process.env['PATH'] ?? '',
    cacheFolder: process.env['ACCUBOOKS_CACHE_DIR'] || join(projectFolder, '.cache'),
  };
}
