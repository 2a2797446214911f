/** `npm run --silent db:migrate`: migrates the database to this release and prints what was applied. */
import { migrate } from '../../migrations/migrate.ts';
import { command, run, withDatabase } from '../cli/command.ts';
import { ownerDatabaseUrl } from '../cli/config.ts';
import { recordCommand, sqlOf } from '../cli/operator-log.ts';

await run(
  command('db:migrate', 'Applies the pending migrations and prints {applied}.')
    .addHelpText('after', '\nUses MIGRATION_DATABASE_URL, else DATABASE_URL, else the running local system.')
    .action(async () => {
      const connectionString = ownerDatabaseUrl();
      const { applied } = await migrate({ connectionString, log: (line) => console.error(line) });
      // Afterwards: the log itself may be among what was applied.
      const details = { applied: applied.length };
      await withDatabase(connectionString, (client) => recordCommand(sqlOf(client), { name: 'db:migrate', details }));
      console.log(JSON.stringify({ applied }));
    }),
);
