import { asAuditor } from '../../cli/auditor.ts';
import { withDatabase } from '../../cli/command.ts';
import { recordLook, sqlOf } from '../../cli/operator-log.ts';
import { printed } from '../../cli/printed.ts';
import { createProgress, shown } from '../../cli/progress.ts';
import { exportBundle, findCompanies } from './export-bundle.ts';
import type { ExportedCompany } from './exported.ts';

/** Writes a bundle for `npm run audit:verify -- --export DIR`, and says how to verify it. Throws where the folder is not empty. */
export async function exportBooks(
  url: string,
  { dir, company, ...days }: { dir: string; company: string | undefined; from: string | null; to: string | null },
): Promise<void> {
  const { from, to } = days;
  const [only] = company === undefined ? [] : await asAuditor(url, (auditor) => findCompanies(auditor, company));
  const details = { ...(from === null ? {} : { from }), ...(to === null ? {} : { to }) };
  await withDatabase(url, (client) =>
    recordLook(sqlOf(client), { name: 'audit:verify --export', company: only?.id, details }),
  );
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
