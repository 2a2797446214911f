/** `npm run --silent company:create -- --name N --owner-email E`: one line of JSON on stdout for each company made. */
import type pg from 'pg';
import { countArgument, currencyArgument, emailArgument, nameArgument } from '../cli/arguments.ts';
import { command, run, withDatabase } from '../cli/command.ts';
import { localSigning, ownerDatabaseUrl } from '../cli/config.ts';
import { mintToken } from '../cli/token.ts';

type Options = { name: string; ownerEmail: string; currency: string; count: number };

const MAX_COUNT = 10_000;

await run(
  command('company:create', 'Makes a company with its owner and the chart of accounts, and prints {companyId, userId}.')
    .requiredOption('--name <name>', 'its name', nameArgument)
    .requiredOption('--owner-email <address>', 'its owner; made if there is no such user', emailArgument)
    .option('--currency <code>', 'its base currency', currencyArgument, 'USD')
    .option('--count <n>', 'make so many, with numbered names and e-mail addresses', countArgument(MAX_COUNT), 1)
    .addHelpText('after', '\nOn a local system each line also has a token of the owner.')
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

async function createCompany(client: pg.Client, ...settings: [name: string, ownerEmail: string, currency: string]) {
  const { rows } = await client.query<{ companyId: string; userId: string }>(
    'SELECT company_id AS "companyId", user_id AS "userId" FROM create_company($1, $2, $3)',
    settings,
  );
  const [made] = rows;
  if (made === undefined) throw new Error('Bug! A company was made but not returned');
  return made;
}

/** A statement apart: the one that makes a user does not see them yet. */
async function subjectOf(client: pg.Client, userId: string): Promise<string> {
  const { rows } = await client.query<{ subject: string }>('SELECT token_subject AS subject FROM users WHERE id = $1', [
    userId,
  ]);
  return rows[0]?.subject ?? userId;
}

function numbered({ name, ownerEmail }: Options, number: number): Pick<Options, 'name' | 'ownerEmail'> {
  return { name: `${name} ${number}`, ownerEmail: ownerEmail.replace('@', `+${number}@`) };
}
