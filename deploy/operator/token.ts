/** `npm run --silent token -- --email E` or `--operator NAME`: prints a token for the local system, and nothing else. */
import { Option } from 'commander';
import type pg from 'pg';
import { emailArgument, idArgument, nameArgument, ttlArgument } from '../cli/arguments.ts';
import { asAuditor } from '../cli/auditor.ts';
import { command, run, withDatabase } from '../cli/command.ts';
import { operatorAudience, requireLocalSigning } from '../cli/config.ts';
import { recordCommand, sqlOf } from '../cli/operator-log.ts';
import { DEFAULT_TTL_SECONDS, mintToken } from '../cli/token.ts';

type Options = { email?: string; operator?: string; company?: string; ttl: number };

await run(
  command('token', 'Prints a token (JWT) for a user of the running local system, or for an operator of it.')
    .option('--email <address>', 'the user', emailArgument)
    .addOption(
      new Option('--operator <name>', 'instead of a user: an operator, by the name that the security log is to have')
        .argParser(nameArgument)
        .conflicts(['email', 'company']),
    )
    .option('--company <id>', 'the company; may be omitted if the user belongs to only one', idArgument)
    .addOption(
      new Option('--ttl <time>', 'how long it is valid: 90s, 30m, 12h; at most 24h')
        .argParser(ttlArgument)
        .default(DEFAULT_TTL_SECONDS, '12h'),
    )
    .action(printToken),
);

async function printToken({ email, operator, company, ttl }: Options): Promise<void> {
  if (operator !== undefined) return printOperatorToken(operator, ttl);
  if (email === undefined) throw new Error('Name a user with --email ADDRESS, or an operator with --operator NAME.');
  const { databaseUrl, ...signing } = requireLocalSigning();
  const { subject, companies } = await asAuditor(databaseUrl, (auditor) => findUser(auditor, email));
  const companyId = company ?? onlyCompany(email, companies);
  if (!companies.some(({ id }) => id === companyId)) {
    console.error(
      `Note: ${email} is not a member of ${companyId}; every request with this token is answered not_a_member.`,
    );
  }
  await withDatabase(databaseUrl, (client) =>
    recordCommand(sqlOf(client), { name: 'token', company: companyId, details: { subject } }),
  );
  console.log(await mintToken({ ...signing, subject, companyId, ttlSeconds: ttl }));
}

async function printOperatorToken(subject: string, ttlSeconds: number): Promise<void> {
  const { databaseUrl, ...signing } = requireLocalSigning();
  await withDatabase(databaseUrl, (client) =>
    recordCommand(sqlOf(client), { name: 'token', details: { operator: subject } }),
  );
  console.log(await mintToken({ ...signing, audience: operatorAudience(), subject, ttlSeconds }));
}

type Company = { id: string; name: string };

async function findUser(auditor: pg.Client, email: string): Promise<{ subject: string; companies: Company[] }> {
  const { rows } = await auditor.query<{ subject: string; companies: Company[] }>(
    `SELECT u.token_subject AS subject,
       coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'name', c.name) ORDER BY c.name)
         FILTER (WHERE c.id IS NOT NULL), '[]') AS companies
     FROM users u LEFT JOIN memberships m ON m.user_id = u.id LEFT JOIN companies c ON c.id = m.company_id
     WHERE u.email = $1 GROUP BY u.id`,
    [email],
  );
  const [user] = rows;
  if (user === undefined) {
    throw new Error(`There is no user ${email}. Create one: npm run user:create -- --email ${email}`);
  }
  return user;
}

function onlyCompany(email: string, companies: readonly Company[]): string {
  const [first, ...others] = companies;
  if (first !== undefined && others.length === 0) return first.id;
  if (first === undefined) throw new Error(`${email} belongs to no company: name one with --company ID.`);
  const lines = companies.map(({ id, name }) => `  --company ${id}   ${name}`);
  throw new Error(`${email} belongs to several companies; name one:\n${lines.join('\n')}`);
}
