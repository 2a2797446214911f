/** `npm run books:check`: asks every control of the books and prints what violates it. */

import type pg from 'pg';
import { type Checked, CONTROLS, checkControls } from '../../activities/controls/controls.ts';
import { HASH_JOINS } from '../../activities/hash-joins.ts';
import { asAuditor } from '../cli/auditor.ts';
import { command, run } from '../cli/command.ts';
import { auditorDatabaseUrl } from '../cli/config.ts';
import { textTable } from '../cli/table.ts';

type Options = { databaseUrl?: string; company?: string; json?: true };
type Row = {
  control: string;
  sentence: string;
  /** Rows that it looked at; null if it was not asked, because audit rows that it needs are archived. */
  of: number | null;
  violations: number;
  broken: readonly Readonly<Record<string, unknown>>[];
};

/** Of one control, printed; JSON has all of them. */
const SHOWN = 20;

await run(
  command('books:check', 'Asks every control of the books, of all companies or of one, and prints what violates it.')
    .option('--database-url <url>', 'a login that is a member of accubooks_auditor')
    .option('--company <id or name>', 'only this company')
    .option('--json', 'print JSON, with every row')
    .addHelpText(
      'after',
      '\nWithout --database-url it uses AUDITOR_DATABASE_URL, MIGRATION_DATABASE_URL, DATABASE_URL or the running local system.' +
        '\nExit code 1: a control does not hold.',
    )
    .action(check),
);

async function check({ databaseUrl, company, json }: Options): Promise<void> {
  const rows = await asAuditor(databaseUrl ?? auditorDatabaseUrl(), (auditor) => checkBooks(auditor, company));
  console.log(json ? JSON.stringify(rows) : textOf(rows));
  if (rows.some(({ violations }) => violations > 0)) process.exitCode = 1;
}

/** Each control is one statement with a snapshot of its own: none holds back VACUUM for longer than it takes. */
async function checkBooks(auditor: pg.Client, company: string | undefined): Promise<readonly Row[]> {
  await auditor.query(
    `SELECT set_config('TimeZone', 'UTC', true), set_config('statement_timeout', '0', true), ${HASH_JOINS}`,
  );
  const companyIds = await findCompanies(auditor, company);
  const { rows } = await auditor.query<{ archived: boolean }>(
    `SELECT EXISTS (
       SELECT FROM archived_audit_months() WHERE restored_until IS NULL OR restored_until <= now()) AS archived`,
  );
  const asked = CONTROLS.filter(({ needsAuditRows }) => !(needsAuditRows && rows[0]?.archived));
  const checked = await checkControls(auditor, companyIds, asked);
  return CONTROLS.map(({ name, sentence }) => summary(name, sentence, checked));
}

function summary(name: string, sentence: string, checked: readonly Checked[]): Row {
  const own = checked.filter(({ control }) => control.name === name);
  const broken = own.flatMap((one) => one.broken);
  const of = own.length === 0 ? null : own.reduce((sum, one) => sum + one.of, 0);
  return { control: name, sentence, of, violations: broken.length, broken };
}

async function findCompanies(auditor: pg.Client, company: string | undefined): Promise<readonly string[]> {
  const { rows } = await auditor.query<{ id: string }>(
    'SELECT id FROM companies WHERE $1::text IS NULL OR id::text = lower($1) OR name = $1 ORDER BY id',
    [company ?? null],
  );
  if (company !== undefined && rows.length === 0) throw new Error(`There is no company ${company}.`);
  if (company !== undefined && rows.length > 1) throw new Error(`Several companies are named ${company}: give the ID.`);
  return rows.map(({ id }) => id);
}

function textOf(rows: readonly Row[]): string {
  const table = textTable(
    ['control', 'rows', 'violations'],
    rows.map(({ control, of, violations }) => [control, String(of ?? 'not asked'), String(violations)]),
  );
  const details = rows.flatMap(({ control, sentence, broken }) =>
    broken.length === 0
      ? []
      : [
          '',
          `${control}: ${sentence}`,
          ...broken.slice(0, SHOWN).map((row) => `  ${JSON.stringify(row)}`),
          ...(broken.length > SHOWN ? [`  and ${broken.length - SHOWN} more: --json shows them`] : []),
        ],
  );
  return [table, ...details].join('\n');
}
