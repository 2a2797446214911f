/** `npm run --silent company:create -- --name N --owner-email E`: prints one line of JSON for each new company. */
import type pg from 'pg';
import { countArgument, currencyArgument, emailArgument, nameArgument } from '../cli/arguments.ts';
import { command, run, withDatabase } from '../cli/command.ts';
import { localSigning, ownerDatabaseUrl } from '../cli/config.ts';
import { recordCommand, sqlOf } from '../cli/operator-log.ts';
import { mintToken } from '../cli/token.ts';

type Options = { name: string; ownerEmail: string; currency: string; count: number };

const MAX_COUNT = 10_000;

await run(
  command(
    'company:create',
    'Creates a company with its owner and its chart of accounts, and prints {companyId, userId}.',
  )
    .requiredOption('--name <name>', 'its name', nameArgument)
    .requiredOption('--owner-email <address>', 'its owner; created if there is no such user', emailArgument)
    .option('--currency <code>', 'its base currency', currencyArgument, 'USD')
    .option('--count <n>', 'how many to create, with numbered names and e-mail addresses', countArgument(MAX_COUNT), 1)
    .addHelpText('after', '\nOn the local system each line also has a token for the owner.')
    .action(createCompanies),
);

async function createCompanies(options: Options): Promise<void> {
  const signing = localSigning();
  await withDatabase(ownerDatabaseUrl(), async (client) => {
    for (let number = 1; number <= options.count; number += 1) {
      const { name, ownerEmail } = options.count === 1 ? options : numbered(options, number);
      const { companyId, userId } = await createCompany(client, name, ownerEmail, options.currency);
      const token = signing && (await mintToken({ ...signing, subject: await subjectOf(client, userId), companyId }));
      console.log(JSON.stringify({ companyId, userId, ...(token === undefined ? {} : { token }) }));
    }
  });
}

/** With its first row in the security log, in one transaction. */
async function createCompany(client: pg.Client, ...settings: [name: string, ownerEmail: string, currency: string]) {
  await client.query('BEGIN');
  const { rows } = await client.query<{ companyId: string; userId: string }>(
    'SELECT company_id AS "companyId", user_id AS "userId" FROM create_company($1, $2, $3)',
    settings,
  );
  const [made] = rows;
  if (made === undefined) throw new Error('Bug! create_company returned no row');
  const details = { userId: made.userId };
  await recordCommand(sqlOf(client), { name: 'company:create', company: made.companyId, details });
  await client.query('COMMIT');
  return made;
}

/** A separate statement, because the one that creates a user does not see them yet. */
async function subjectOf(client: pg.Client, userId: string): Promise<string> {
  const { rows } = await client.query<{ subject: string }>('SELECT token_subject AS subject FROM users WHERE id = $1', [
    userId,
  ]);
  return rows[0]?.subject ?? userId;
}

function numbered({ name, ownerEmail }: Options, number: number): Pick<Options, 'name' | 'ownerEmail'> {
  return { name: `${name} ${number}`, ownerEmail: ownerEmail.replace('@', `+${number}@`) };
}
