/** `npm run audit:archive -- list|run|verify|restore|drop`: manages the archive of the audit log. */
import { InvalidArgumentError } from 'commander';
import { archiveMonth, asMaintenance } from '../../../activities/audit/archive-month.ts';
import { readKeys } from '../../../activities/audit/archived-heads.ts';
import { findMonths, keepPartitions } from '../../../activities/audit/maintenance.ts';
import { openPool, type Pool } from '../../../activities/database.ts';
import { countArgument } from '../../cli/arguments.ts';
import { command, run } from '../../cli/command.ts';
import { archiveFolder, auditorDatabaseUrl, maintenanceDatabaseUrl } from '../../cli/config.ts';
import { confirm } from '../../cli/confirm.ts';
import { recordCommand, recordLook } from '../../cli/operator-log.ts';
import { textTable } from '../../cli/table.ts';
import { headsOfParts } from './heads-of-parts.ts';
import { listArchives } from './list.ts';
import { asAuditor, dropMonth, restoreMonth, verifyFiles, verifyMonth } from './restore.ts';

type Options = { month: string; dir?: string; json?: true };
type Outside = { offline?: true; keys?: string; heads?: string };

const STATEMENT_TIMEOUT_MS = 30 * 60 * 1000;
const DEFAULT_RESTORE_DAYS = 30;
const MAX_RESTORE_DAYS = 366;

const program = command(
  'audit:archive',
  'Lists, creates, verifies, restores and drops archived months of the audit log.',
).addHelpText(
  'after',
  '\nUses the login of MAINTENANCE_DATABASE_URL, and for verify that of AUDITOR_DATABASE_URL; if not set, that of\nMIGRATION_DATABASE_URL or DATABASE_URL, else those of the running local system. A month is dropped only after another\nlogin has verified it. The archive folder is AUDIT_ARCHIVE_DIR unless --dir is given.',
);
program
  .command('list')
  .description('list the months that are archived, restored or dropped')
  .option('--json', 'print JSON')
  .action(({ json }: { json?: true }) => withPool('list', {}, (pool) => list(pool, json)));
program
  .command('run')
  .description(
    'do what the schedule does once a day: create partitions for the months ahead and archive each month that is due',
  )
  .option('--dir <folder>', 'the archive folder')
  .action(({ dir }: { dir?: string }) => withPool('run', {}, (pool) => maintain(pool, dir ?? archiveFolder())));
withMonth(
  'verify',
  'read the files of a month, compare them with what was archived and sealed, and record who did so: within a week, another login may drop it',
)
  .option('--offline', 'without a database: the files by themselves; nothing is recorded')
  .option('--keys <file>', 'the public keys of the seal as you have kept them (a JWK set)')
  .option(
    '--heads <file>',
    'heads of the seal that you have collected, one JSON object a line: there has to be one of this month, and each must agree',
  )
  .action(async ({ month, dir, json, offline, keys, heads }: Options & Outside) => {
    const given = {
      keys: keys === undefined ? undefined : await readKeys(keys),
      outside: heads === undefined ? undefined : await headsOfParts(heads, folderOf(dir), month),
    };
    if (offline) return print(await verifyFiles(folderOf(dir), month, given), json);
    return withPool(
      'verify',
      { month },
      async (pool) => print(await verifyMonth(pool, folderOf(dir), month, given), json),
      { connectionString: auditorDatabaseUrl(), as: asAuditor },
    );
  });
withMonth('restore', 'put a month back into the audit log for some days')
  .option('--days <n>', 'how long it stays in the log', countArgument(MAX_RESTORE_DAYS), DEFAULT_RESTORE_DAYS)
  .action(({ month, dir, json, days }: Options & { days: number }) =>
    withPool('restore', { month }, async (pool) => print(await restoreMonth(pool, folderOf(dir), month, days), json)),
  );
withMonth('drop', 'drop the detached table of a month that another login has verified')
  .option('--yes', 'do not ask for confirmation')
  .action(({ month, dir, json, yes }: Options & { yes?: true }) =>
    withPool('drop', { month }, async (pool) => {
      if (!yes)
        await confirm(`The archive file will then be the only copy of ${month}. Is it backed up?`, month, '--yes');
      print(await dropMonth(pool, folderOf(dir), month), json);
    }),
  );
await run(program);

function withMonth(name: string, description: string) {
  return program
    .command(name)
    .description(description)
    .requiredOption('--month <month>', 'the month, such as 2026-08', monthArgument)
    .option('--dir <folder>', 'the archive folder')
    .option('--json', 'print JSON');
}

async function list(pool: Pool, json: true | undefined): Promise<void> {
  const archives = await listArchives(pool);
  if (json) console.log(JSON.stringify(archives));
  else if (archives.length === 0) console.log('No month has been archived.');
  else {
    const head = ['month', 'rows', 'file', 'archived', 'where'];
    console.log(
      textTable(
        head,
        archives.map((row) => [row.month, String(row.rows), row.file, row.archivedAt, row.where]),
      ),
    );
  }
}

async function maintain(pool: Pool, folder: string | undefined): Promise<void> {
  const kept = await keepPartitions(pool);
  const archived = [];
  if (folder === undefined) console.error('Neither AUDIT_ARCHIVE_DIR nor --dir is set: no month is archived.');
  for (const month of folder === undefined ? [] : await findMonths(pool)) {
    console.error(`archiving ${month}`);
    archived.push(await archiveMonth(pool, folder as string, month));
  }
  console.log(JSON.stringify({ ...kept, archived }));
}

function print(result: object & { readonly text: string }, json: true | undefined): void {
  console.log(json ? JSON.stringify(result) : result.text);
}

/** Records the command, then does its work; by the login of the maintenance, if no other is given. */
async function withPool(
  name: string,
  details: { month?: string },
  work: (pool: Pool) => Promise<void>,
  { connectionString, as } = { connectionString: maintenanceDatabaseUrl(), as: asMaintenance },
): Promise<void> {
  const pool = openPool({
    connectionString,
    max: 2,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-operator',
  });
  try {
    const record = name === 'list' || name === 'verify' ? recordLook : recordCommand;
    const sql = (text: string, values: readonly unknown[]) => as(pool, (tx) => tx.query(text, values));
    await record(sql, { name: `audit:archive ${name}`, details });
    await work(pool);
  } finally {
    await pool.close();
  }
}

function folderOf(given: string | undefined): string {
  const folder = given ?? archiveFolder();
  if (folder === undefined) throw new Error('No archive folder is configured: set AUDIT_ARCHIVE_DIR or give --dir.');
  return folder;
}

function monthArgument(text: string): string {
  if (/^\d{4}-(0[1-9]|1[0-2])$/.test(text)) return text;
  throw new InvalidArgumentError('It must be a month such as 2026-08.');
}
