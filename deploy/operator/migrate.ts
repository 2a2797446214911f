/** `npm run --silent db:migrate`: migrates the database to this release and prints what was applied. */
import { migrate } from '../../migrations/migrate.ts';
import { command, run } from '../cli/command.ts';
import { ownerDatabaseUrl } from '../cli/config.ts';

await run(
  command('db:migrate', 'Applies the pending migrations and prints {applied}.')
    .addHelpText('after', '\nUses MIGRATION_DATABASE_URL, else DATABASE_URL, else the running local system.')
    .action(async () => {
      const { applied } = await migrate({ connectionString: ownerDatabaseUrl(), log: (line) => console.error(line) });
      console.log(JSON.stringify({ applied }));
    }),
);
