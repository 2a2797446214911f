/** `node deploy/operator/wait-for-schema.js`: waits until the database has all migrations of this release. */

import { setTimeout as sleep } from 'node:timers/promises';
import { DAY_S } from '../../activities/durations.ts';
import { missingMigrations } from '../../migrations/migrate.ts';
import { countArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { processDatabaseUrl } from '../cli/config.ts';

/** An operator migrates within minutes; after that Kubernetes restarts the container. */
const DEFAULT_TIMEOUT_S = 600;
const MAX_TIMEOUT_S = DAY_S;
const POLL_MS = 1_000;

await run(
  command('wait-for-schema', 'Waits until the database has all migrations of this release; applies none itself.')
    .option('--timeout-seconds <n>', 'how long to wait', countArgument(MAX_TIMEOUT_S), DEFAULT_TIMEOUT_S)
    .addHelpText('after', '\nUses DATABASE_URL, the login of the processes.')
    .action(({ timeoutSeconds }: { timeoutSeconds: number }) => waitForSchema(timeoutSeconds * 1_000)),
);

async function waitForSchema(timeoutMs: number): Promise<void> {
  const url = processDatabaseUrl();
  const deadline = performance.now() + timeoutMs;
  for (let reported = ''; ; ) {
    const state = await describeMissing(url);
    if (state === undefined) return;
    if (performance.now() >= deadline) throw new Error(`Gave up after ${timeoutMs / 1_000} s: ${state}`);
    if (state !== reported) console.error(`Waiting: ${state}`);
    reported = state;
    await sleep(POLL_MS);
  }
}

async function describeMissing(url: string): Promise<string | undefined> {
  try {
    const missing = await missingMigrations(url);
    return missing.length === 0 ? undefined : `${missing.join(', ')} of this release not yet applied`;
  } catch (error) {
    // Unreachable, or empty: the first migration creates the table of migrations.
    return `the database cannot be queried (${error instanceof Error ? error.message : String(error)})`;
  }
}
