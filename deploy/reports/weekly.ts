/** `npm run reports:weekly:staging`: reports on a week of the audit log, over all companies. */

import { renameSync, writeFileSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { DAY_MS } from '../../activities/durations.ts';
import { command, run } from '../cli/command.ts';
import { auditorDatabaseUrl } from '../cli/config.ts';
import { readFigures } from './figures.ts';
import { reportMarkdown } from './markdown.ts';

type Options = { databaseUrl?: string; from?: string; to?: string; json?: true; out?: string };

await run(
  command(
    'reports:weekly:staging',
    'Reports on the writes of all companies in the last seven days, or in another period.',
  )
    .option('--database-url <url>', 'a login that is a member of accubooks_auditor')
    .option('--from <date>', 'the first day, YYYY-MM-DD in UTC', dateArgument)
    .option('--to <date>', 'the last day, inclusive', dateArgument)
    .option('--json', 'print JSON instead of Markdown')
    .option('--out <file>', 'write to this file instead of stdout')
    .addHelpText(
      'after',
      '\nWithout --database-url it uses AUDITOR_DATABASE_URL, MIGRATION_DATABASE_URL, DATABASE_URL or the running local system.',
    )
    .action(report),
);

async function report({ databaseUrl, from, to, json, out }: Options): Promise<void> {
  if (from !== undefined && to !== undefined && from > to) throw new Error('--from is after --to.');
  const figures = await readFigures(databaseUrl ?? auditorDatabaseUrl(), {
    from: from ?? (to === undefined ? null : new Date(Date.parse(to) - 6 * DAY_MS).toISOString()),
    to: to === undefined ? null : new Date(Date.parse(to) + DAY_MS).toISOString(),
  });
  const text = json ? `${JSON.stringify(figures, null, 2)}\n` : reportMarkdown(figures);
  if (out === undefined) {
    process.stdout.write(text);
    return;
  }
  // Atomic, so that a reader never finds half a report.
  writeFileSync(`${out}.${process.pid}`, text);
  renameSync(`${out}.${process.pid}`, out);
  console.error(`wrote ${out}`);
}

function dateArgument(text: string): string {
  const day = new Date(`${text}T00:00:00Z`);
  if (/^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text)) return text;
  throw new InvalidArgumentError('It must be a date, YYYY-MM-DD.');
}
