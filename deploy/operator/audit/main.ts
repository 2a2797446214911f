/** `npm run audit:archive -- list|run|verify|restore|drop`: the archive of the audit log, by hand. */
import { InvalidArgumentError } from 'commander';
import { archiveMonth } from '../../../activities/audit/archive-month.ts';
import { findMonths, keepPartitions } from '../../../activities/audit/maintenance.ts';
import { openPool, type Pool } from '../../../activities/database.ts';
import { countArgument } from '../../cli/arguments.ts';
import { command, run } from '../../cli/command.ts';
import { archiveFolder, ownerDatabaseUrl } from '../../cli/config.ts';
import { confirm } from '../../cli/confirm.ts';
import { textTable } from '../../cli/table.ts';
import { listArchives } from './list.ts';
import { dropMonth, restoreMonth, verifyMonth } from './restore.ts';

type Options = { month: string; dir?: string; json?: true };

const STATEMENT_TIMEOUT_MS = 30 * 60 * 1000;
const DEFAULT_RESTORE_DAYS = 30;
const MAX_RESTORE_DAYS = 366;

const program = command(
  'audit:archive',
  'Lists, makes, checks and brings back archived months of the audit log.',
).addHelpText(
  'after',
  '\nLogs in by MIGRATION_DATABASE_URL or DATABASE_URL, else at the running local system, and acts as accubooks_maintenance.\nThe folder is AUDIT_ARCHIVE_DIR, unless --dir names another.',
);
program
  .command('list')
  .description('tells which months are archived, restored or dropped')
  .option('--json', 'prints JSON')
  .action(({ json }: { json?: true }) => withPool((pool) => list(pool, json)));
program
  .command('run')
  .description(
    'does what the schedule does once a day: partitions ahead, and an archive of each month that is no longer hot',
  )
  .option('--dir <folder>', 'where the files go')
  .action(({ dir }: { dir?: string }) => withPool((pool) => maintain(pool, dir ?? archiveFolder())));
withMonth('verify', 'reads a month’s file and compares it with what was archived').action(
  ({ month, dir, json }: Options) =>
    withPool(async (pool) => tell(await verifyMonth(pool, folderOf(dir), month), json)),
);
withMonth('restore', 'puts a month back into the audit log for some days')
  .option('--days <n>', 'for how long', countArgument(MAX_RESTORE_DAYS), DEFAULT_RESTORE_DAYS)
  .action(({ month, dir, json, days }: Options & { days: number }) =>
    withPool(async (pool) => tell(await restoreMonth(pool, folderOf(dir), month, days), json)),
  );
withMonth('drop', 'drops the detached table of a month, after its file was read back once more')
  .option('--yes', 'does not ask')
  .action(({ month, dir, json, yes }: Options & { yes?: true }) =>
    withPool(async (pool) => {
      if (!yes) await confirm(`From then on the file of ${month} is the only copy. Is it in a backup?`, month, '--yes');
      tell(await dropMonth(pool, folderOf(dir), month), json);
    }),
  );
await run(program);

function withMonth(name: string, description: string) {
  return program
    .command(name)
    .description(description)
    .requiredOption('--month <month>', 'such as 2026-08', monthArgument)
    .option('--dir <folder>', 'where the files are')
    .option('--json', 'prints JSON');
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
  if (folder === undefined) console.error('No AUDIT_ARCHIVE_DIR and no --dir: no month is archived.');
  for (const month of folder === undefined ? [] : await findMonths(pool)) {
    console.error(`archiving ${month}`);
    archived.push(await archiveMonth(pool, folder as string, month));
  }
  console.log(JSON.stringify({ ...kept, archived }));
}

function tell(result: object & { readonly text: string }, json: true | undefined): void {
  console.log(json ? JSON.stringify(result) : result.text);
}

async function withPool(work: (pool: Pool) => Promise<void>): Promise<void> {
  const pool = openPool({
    connectionString: ownerDatabaseUrl(),
    max: 2,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-operator',
  });
  try {
    await work(pool);
  } finally {
    await pool.close();
  }
}

function folderOf(given: string | undefined): string {
  const folder = given ?? archiveFolder();
  if (folder === undefined) throw new Error('No folder is known: set AUDIT_ARCHIVE_DIR, or give --dir.');
  return folder;
}

function monthArgument(text: string): string {
  if (/^\d{4}-(0[1-9]|1[0-2])$/.test(text)) return text;
  throw new InvalidArgumentError('It must be a month such as 2026-08.');
}
