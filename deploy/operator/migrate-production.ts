/** `npm run --silent migrate:production`: tells what would be applied; applies it once the database is named. */
import { migrate, planMigration } from '../../migrations/migrate.ts';
import { command, run } from '../cli/command.ts';
import { givenOwnerDatabaseUrl } from '../cli/config.ts';
import { confirm } from '../cli/confirm.ts';
import { textTable } from '../cli/table.ts';

type Options = { dryRun?: true; confirm?: string; json?: true };

await run(
  command(
    'migrate:production',
    'Lists the migrations that the database has not seen, and applies them when told which database it is.',
  )
    .option('--dry-run', 'lists them and never asks')
    .option('--confirm <name>', "applies them, if that is the database's name")
    .option('--json', 'prints the result as JSON')
    .addHelpText(
      'after',
      '\nReads MIGRATION_DATABASE_URL, else DATABASE_URL, and never the local system.\nOn a terminal it asks for the name; elsewhere, without --confirm, it lists only.',
    )
    .action(migrateProduction),
);

async function migrateProduction(options: Options): Promise<void> {
  const connectionString = givenOwnerDatabaseUrl();
  const plan = await planMigration({ connectionString });
  const { host } = new URL(connectionString);
  if (!options.json) {
    console.log(`${plan.database} at ${host}: ${plan.known} applied, ${plan.pending.length} pending`);
    if (plan.pending.length > 0)
      console.log(
        textTable(
          ['migration', 'SHA-256'],
          plan.pending.map(({ name, sha256 }) => [name, sha256]),
        ),
      );
  }
  const applied = (await mayApply(options, plan)) ? await apply(connectionString) : [];
  if (options.json) console.log(JSON.stringify({ ...plan, applied }));
  else if (applied.length === 0 && plan.pending.length > 0) console.log('Nothing was applied.');
}

async function mayApply(options: Options, plan: { database: string; pending: readonly unknown[] }): Promise<boolean> {
  if (options.dryRun) return false;
  if (options.confirm !== undefined) {
    if (options.confirm === plan.database) return true;
    throw new Error(`--confirm names ${options.confirm}, and the database is ${plan.database}. Nothing was applied.`);
  }
  if (plan.pending.length === 0 || !process.stdin.isTTY) return false;
  await confirm(
    'They cannot be taken back. Is there a backup, and has the release before this one been rolled out?',
    plan.database,
    '--confirm',
  );
  return true;
}

async function apply(connectionString: string): Promise<string[]> {
  const { applied } = await migrate({ connectionString, log: (line) => console.error(line) });
  return applied;
}
