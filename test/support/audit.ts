import type pg from 'pg';
import type { Ask, AuditCheck, Range } from '../../activities/auditor/check.ts';
import { DATABASE_CHECKS } from '../../activities/auditor/checks.ts';
import type { Finding } from '../../activities/auditor/finding.ts';
import { createMemoryJournal, type Tally } from '../../activities/auditor/journal.ts';
import { companiesOf, runAudit } from '../../activities/auditor/run-audit.ts';
import { StorageError } from '../../activities/database.ts';

type Options = { readonly range?: Range; readonly checks?: readonly AuditCheck[]; readonly company?: string };

/** Has everything asked on one connection, in the transaction that is open on it: it sees what is not committed. */
export async function auditIn(
  client: pg.ClientBase,
  { range = { from: null, to: null }, checks = DATABASE_CHECKS, company }: Options = {},
): Promise<Tally & { readonly named: readonly Finding[] }> {
  await client.query("SELECT set_config('TimeZone', 'UTC', true)");
  const ask: Ask = async <Row>(sql: string, values: readonly unknown[] = []) => {
    await client.query('SAVEPOINT question');
    try {
      return (await client.query(sql, [...values])).rows as Row[];
    } catch (error) {
      await client.query('ROLLBACK TO question');
      throw new StorageError(error, 'statement');
    }
  };
  const journal = createMemoryJournal(1_000);
  const companies = await companiesOf(ask, company);
  await runAudit({
    ...{ ask, checks, companies, range, journal, parallel: 1 },
    signal: new AbortController().signal,
  });
  return { ...journal.tally, named: journal.findings };
}

/** The kinds, each once. */
export function kindsOf(findings: readonly Finding[]): readonly string[] {
  return [...new Set(findings.map(({ kind }) => kind))].toSorted();
}
