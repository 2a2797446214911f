/** `npm run privacy:erase -- --customer ID --company C --reason R`: erases what is known of a person, and keeps the books. */
import type pg from 'pg';
import { idArgument } from '../../cli/arguments.ts';
import { command, run, withDatabase } from '../../cli/command.ts';
import { eraserDatabaseUrl, isProduction } from '../../cli/config.ts';
import { confirm } from '../../cli/confirm.ts';
import { operatorName } from '../../cli/operator-log.ts';
import { printed, printedJson } from '../../cli/printed.ts';
import { type Copies, copiesInTemporal } from './copies.ts';
import { type Asked, askedText, type Erased, erasedText, type Kind } from './text.ts';

type Options = Partial<Record<Kind, string>> & {
  readonly company: readonly string[];
  readonly text: readonly string[];
  readonly reason?: string;
  readonly confirm?: string;
  readonly operator: string;
  readonly dryRun?: true;
  readonly yes?: true;
  readonly json?: true;
};

const KINDS = ['customer', 'employee', 'user'] as const satisfies readonly Kind[];
const collect = (text: string, before: readonly string[]) => [...before, text];

await run(
  command(
    'privacy:erase',
    'Erases names, addresses, references and notes of one person; amounts, entries, IDs and dates stay. It cannot be undone.',
  )
    .option('--customer <id>', 'a customer of the company', idArgument)
    .option('--employee <id>', 'an employee of the company', idArgument)
    .option('--user <id>', 'a user, who may be a member of no other companies than those that are named', idArgument)
    .option('--company <id or name>', 'the company; for a user once for each company', collect, [])
    .option(
      '--text <text>',
      'what else the person is called in notes and descriptions; as often as needed',
      collect,
      [],
    )
    .option('--reason <text>', 'why, for the record; without the name, since it stays')
    .option('--confirm <id>', 'does what another person has asked for')
    .option(
      '--operator <name>',
      'who you are, where the user of this machine does not say so, as in a container',
      operatorName(),
    )
    .option('--dry-run', 'prints what would change, and changes nothing')
    .option('--yes', 'do not ask for confirmation')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nUses the login of ERASER_DATABASE_URL, by which one person asks and another, by a login of their own, confirms.\n' +
        'Without it, and never in production, the login of the owner of the database, who needs no other person. The day by which\n' +
        "Temporal's copies are gone is told where TEMPORAL_ADDRESS is set. docs/privacy.md says what is kept where.",
    )
    .action(erase),
);

async function erase(options: Options): Promise<void> {
  const url = eraserDatabaseUrl();
  await withDatabase(
    url,
    async (client) => {
      client.on('notice', ({ message }) => console.error(printed(`${message ?? ''}.`)));
      await client.query(
        "SELECT set_config('role', 'accubooks_eraser', false), set_config('lock_timeout', '30s', false)",
      );
      if (options.confirm !== undefined) await confirmErasure(client, options.confirm, options);
      else await askOrErase(client, await requestOf(client, options), options);
    },
    'accubooks-eraser',
  );
}

type Request = { readonly kind: Kind; readonly person: string; readonly values: readonly unknown[] };

async function requestOf(client: pg.Client, options: Options): Promise<Request> {
  const [kind, another] = KINDS.filter((one) => options[one] !== undefined);
  if (kind === undefined || another !== undefined) {
    throw new Error('Give one of --customer, --employee and --user, or --confirm.');
  }
  if (options.reason === undefined || options.reason.trim() === '') throw new Error('Give a --reason, for the record.');
  const companies = await Promise.all(options.company.map((name) => companyOf(client, name)));
  if (kind !== 'user' && companies.length !== 1) throw new Error(`Give the --company whose ${kind} it is.`);
  const person = options[kind] ?? '';
  return { kind, person, values: [kind, companies, person, options.text, options.reason.trim(), options.operator] };
}

async function companyOf(client: pg.Client, nameOrId: string): Promise<string> {
  const { rows } = await client.query<{ id: string }>('SELECT erasable_companies($1) AS id', [nameOrId]);
  const [found, another] = rows;
  if (found === undefined) throw new Error(`There is no company ${nameOrId}.`);
  if (another !== undefined) throw new Error(`Several companies are called ${nameOrId}; name one by its ID.`);
  return found.id;
}

async function askOrErase(client: pg.Client, { kind, person, values }: Request, options: Options): Promise<void> {
  const call = async <T>(name: string) => {
    const { rows } = await client.query<{ result: T }>(`SELECT ${name}($1, $2, $3, $4, $5, $6) AS result`, [...values]);
    return rows[0]?.result as T;
  };
  if (options.dryRun) return print({ ...(await call<Erased>('preview_erasure')), dryRun: true }, options);
  const { rows } = await client.query<{ alone: boolean }>('SELECT owns_database() AS alone');
  if (rows[0]?.alone && !isProduction()) {
    if (!options.yes) await confirm(`${kind} ${person}: this cannot be undone.`, person, '--yes');
    return print(await call<Erased>('erase_alone'), options);
  }
  const erasure = await call<string>('ask_erasure');
  const next = `npm run --silent privacy:erase -- --confirm ${erasure}`;
  if (options.json) console.log(printedJson({ erasure, asked: true, next }));
  else console.log(`Asked for, as ${erasure}. Within a week another person, by another login, runs:\n\n  ${next}`);
}

async function confirmErasure(client: pg.Client, id: string, options: Options): Promise<void> {
  const erasure = idArgument(id);
  const { rows } = await client.query<{ asked: Asked | null }>('SELECT asked_erasure($1) AS asked', [erasure]);
  const asked = rows[0]?.asked;
  if (!asked) throw new Error(`Nobody has asked for the erasure ${erasure}.`);
  if (!options.yes) await confirm(printed(askedText(asked)), asked.person, '--yes');
  const done = await client.query<{ result: Erased }>('SELECT confirm_erasure($1, $2) AS result', [
    erasure,
    options.operator,
  ]);
  await print(done.rows[0]?.result as Erased, options);
}

async function print(erased: Erased, { json }: Options): Promise<void> {
  const copies: Copies = await copiesInTemporal();
  console.log(json ? printedJson({ ...erased, temporal: copies }) : printed(erasedText(erased, copies)));
}
