/** `npm run audit:export -- --dir DIR`: writes sealed books into a folder, with a verifier that needs nothing else. */
import { InvalidArgumentError } from 'commander';
import { asAuditor } from '../../cli/auditor.ts';
import { command, run, withDatabase } from '../../cli/command.ts';
import { auditorDatabaseUrl } from '../../cli/config.ts';
import { recordLook, sqlOf } from '../../cli/operator-log.ts';
import { printed } from '../../cli/printed.ts';
import { createProgress, shown } from '../../cli/progress.ts';
import { exportBundle, findCompanies } from './export-bundle.ts';
import type { ExportedCompany } from './exported.ts';

type Options = { dir: string; company?: string; from?: string; to?: string; databaseUrl?: string };

await run(
  command(
    'audit:export',
    'Writes the sealed books into a folder, with what proves them and a verifier that runs on Node alone.',
  )
    .requiredOption('--dir <folder>', 'a folder that is new or empty')
    .option('--company <id or name>', 'only this company')
    .option('--from <day>', 'only what was written on or after this day (UTC), to whole heads', dayArgument)
    .option('--to <day>', 'only what was written on or before this day (UTC), to whole heads', dayArgument)
    .option('--database-url <url>', 'a login that is a member of accubooks_auditor')
    .addHelpText(
      'after',
      '\nReads only. Uses AUDITOR_DATABASE_URL, MIGRATION_DATABASE_URL, DATABASE_URL or the running local system.' +
        '\nThen: node DIR/verify.mjs',
    )
    .action(exportBooks),
);

async function exportBooks({ dir, company, databaseUrl, ...days }: Options): Promise<void> {
  const { from = null, to = null } = days;
  if (from !== null && to !== null && from > to) throw new Error('--from is after --to.');
  const url = databaseUrl ?? auditorDatabaseUrl();
  const [only] = company === undefined ? [] : await asAuditor(url, (auditor) => findCompanies(auditor, company));
  const details = { ...days };
  await withDatabase(url, (client) => recordLook(sqlOf(client), { name: 'audit:export', company: only?.id, details }));
  const progress = createProgress();
  const exported = await asAuditor(url, async (auditor) => {
    await auditor.query("SELECT set_config('TimeZone', 'UTC', true), set_config('statement_timeout', '0', true)");
    return exportBundle(auditor, {
      ...{ folder: dir, company, from, to },
      onProgress: (rows) => progress.update(`${shown(rows)} rows written`),
    });
  });
  progress.clear();
  console.log(printed(textOf(dir, exported)));
}

function textOf(dir: string, companies: readonly ExportedCompany[]): string {
  const lines = companies.map(
    ({ name, logs: { journal, audit } }) =>
      `  ${name}: ${shown(journal.rows)} entries, ${shown(audit.rows)} rows of the audit log`,
  );
  return [...lines, `Written to ${dir}. To verify it: node ${dir}/verify.mjs`].join('\n');
}

function dayArgument(text: string): string {
  const day = new Date(`${text}T00:00:00Z`);
  if (/^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text))
    return text;
  throw new InvalidArgumentError('It must be a day such as 2026-08-31.');
}
