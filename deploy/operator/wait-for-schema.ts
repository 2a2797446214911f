/** `node deploy/operator/wait-for-schema.js`: ends when the database has all migrations of this release. */
import { setTimeout as sleep } from 'node:timers/promises';
import { missingMigrations } from '../../migrations/migrate.ts';
import { countArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { processDatabaseUrl } from '../cli/config.ts';

/** An operator migrates within minutes, or Kubernetes begins anew. */
const DEFAULT_TIMEOUT_S = 600;
const MAX_TIMEOUT_S = 24 * 60 * 60;
const POLL_MS = 1_000;

await run(
  command('wait-for-schema', 'Waits until the database has all migrations of this release; it migrates nothing itself.')
    .option('--timeout-seconds <n>', 'how long to wait', countArgument(MAX_TIMEOUT_S), DEFAULT_TIMEOUT_S)
    .addHelpText('after', "\nReads DATABASE_URL, the processes' login.")
    .action(({ timeoutSeconds }: { timeoutSeconds: number }) => waitForSchema(timeoutSeconds * 1_000)),
);

async function waitForSchema(timeoutMs: number): Promise<void> {
  const url = processDatabaseUrl();
  const deadline = Date.now() + timeoutMs;
  for (let told = ''; ; ) {
    const state = await whatIsMissing(url);
    if (state === undefined) return;
    if (Date.now() >= deadline) throw new Error(`Not within ${timeoutMs / 1_000} s: ${state}`);
    if (state !== told) console.error(`Waiting: ${state}`);
    told = state;
    await sleep(POLL_MS);
  }
}

async function whatIsMissing(url: string): Promise<string | undefined> {
  try {
    const missing = await missingMigrations(url);
    return missing.length === 0 ? undefined : `${missing.join(', ')} of this release not applied yet`;
  } catch (error) {
    // Away, or not made yet: the table of migrations is there after the first of them.
    return `the database cannot be asked (${error instanceof Error ? error.message : String(error)})`;
  }
}
