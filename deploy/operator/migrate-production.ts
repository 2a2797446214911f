/** `npm run --silent migrate:production`: lists pending migrations; applies them once the database is named. */
import { migrate, planMigration } from '../../migrations/migrate.ts';
import { command, run, withDatabase } from '../cli/command.ts';
import { givenOwnerDatabaseUrl } from '../cli/config.ts';
import { confirm } from '../cli/confirm.ts';
import { recordCommand, sqlOf } from '../cli/operator-log.ts';
import { textTable } from '../cli/table.ts';

type Options = { dryRun?: true; confirm?: string; json?: true };

await run(
  command(
    'migrate:production',
    'Lists the pending migrations, and applies them if the name of the database is confirmed.',
  )
    .option('--dry-run', 'only list them, without asking')
    .option('--confirm <name>', "apply them if this is the database's name")
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nUses MIGRATION_DATABASE_URL, else DATABASE_URL, and never the local system.\nOn a terminal it asks for the name; elsewhere it only lists unless --confirm is given.',
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
    throw new Error(`--confirm names ${options.confirm}, but the database is ${plan.database}. Nothing was applied.`);
  }
  if (plan.pending.length === 0 || !process.stdin.isTTY) return false;
  await confirm(
    'Migrations cannot be undone. Is there a backup, and is the previous release fully rolled out?',
    plan.database,
    '--confirm',
  );
  return true;
}

async function apply(connectionString: string): Promise<string[]> {
  const { applied } = await migrate({ connectionString, log: (line) => console.error(line) });
  const run = { name: 'migrate:production', details: { applied: applied.length } };
  await withDatabase(connectionString, (client) => recordCommand(sqlOf(client), run));
  return applied;
}
