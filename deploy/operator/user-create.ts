/** `npm run --silent user:create -- --email E`: creates a user who belongs to no company yet, if there is none. */
import { emailArgument } from '../cli/arguments.ts';
import { command, run, withDatabase } from '../cli/command.ts';
import { ownerDatabaseUrl } from '../cli/config.ts';
import { recordCommand, sqlOf } from '../cli/operator-log.ts';

await run(
  command('user:create', 'Creates a user, or finds the one with that e-mail address, and prints {userId}.')
    .requiredOption('--email <address>', 'the e-mail address', emailArgument)
    .action(createUser),
);

async function createUser({ email }: { email: string }): Promise<void> {
  await withDatabase(ownerDatabaseUrl(), async (client) => {
    await recordCommand(sqlOf(client), { name: 'user:create' });
    const { rows } = await client.query<{ userId: string }>('SELECT create_user($1) AS "userId"', [email]);
    console.log(JSON.stringify(rows[0]));
  });
}
