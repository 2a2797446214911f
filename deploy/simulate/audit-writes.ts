import type pg from 'pg';
import type { Ask } from '../../activities/auditor/check.ts';
import { RECORD_CHECKS } from '../../activities/auditor/checks.ts';
import { createMemoryJournal } from '../../activities/auditor/journal.ts';
import { runAudit } from '../../activities/auditor/run-audit.ts';
import type { Finding } from './check-answers.ts';

const MOST_TOLD = 1_000;

/** What the auditor compares write by write, and what no write accounts for. The controls are asked anyway. */
export async function auditWrites(auditor: pg.Client, companyIds: readonly string[]): Promise<Finding> {
  const ask: Ask = async <Row>(sql: string, values: readonly unknown[] = []) =>
    (await auditor.query(sql, [...values])).rows as Row[];
  const journal = createMemoryJournal(MOST_TOLD);
  await runAudit({
    ask,
    checks: RECORD_CHECKS,
    companies: companyIds.map((id) => ({ id, writes: 0 })),
    range: { from: null, to: null },
    journal,
    parallel: 1,
    signal: new AbortController().signal,
  });
  const { checked, couldNotAsk } = journal.tally;
  return {
    promise: 'The records of each write agree with each other, and nothing is there that no write has made',
    checked: checked.writes,
    wrong: [...journal.findings, ...couldNotAsk].map((one) => JSON.stringify(one)),
  };
}
