import type pg from 'pg';
import type { Ask, AuditCheck, Explained, Range } from '../../activities/auditor/check.ts';
import { DATABASE_CHECKS } from '../../activities/auditor/checks.ts';
import type { Finding } from '../../activities/auditor/finding.ts';
import { createMemoryJournal, type Tally } from '../../activities/auditor/journal.ts';
import { companiesOf, type Journal, runAudit } from '../../activities/auditor/run-audit.ts';
import { StorageError } from '../../activities/database.ts';
import { inRolledBackTransaction } from './tampering.ts';

type Options = {
  readonly range?: Range;
  readonly checks?: readonly AuditCheck[];
  readonly company?: string;
  readonly journal?: Journal;
  /** It is interrupted behind so many statements. */
  readonly stopAfter?: number;
};

/** Has everything asked on one connection, in the transaction that is open on it: it sees what is not committed. */
export async function auditIn(
  client: pg.ClientBase,
  { range = { from: null, to: null }, checks = DATABASE_CHECKS, company, journal, stopAfter }: Options = {},
): Promise<Tally & { readonly named: readonly Finding[]; readonly explained: readonly Explained[] }> {
  await client.query("SELECT set_config('TimeZone', 'UTC', true)");
  const interrupted = new AbortController();
  let asked = 0;
  const ask: Ask = async <Row>(sql: string, values: readonly unknown[] = []) => {
    if (asked++ === stopAfter) interrupted.abort(new Error('Stopped by the test'));
    interrupted.signal.throwIfAborted();
    await client.query('SAVEPOINT question');
    try {
      return (await client.query(sql, [...values])).rows as Row[];
    } catch (error) {
      await client.query('ROLLBACK TO question');
      throw new StorageError(error, 'statement');
    }
  };
  const inMemory = createMemoryJournal(1_000);
  const companies = await companiesOf(ask, company);
  await runAudit({
    ...{ ask, checks, companies, range, journal: journal ?? inMemory, parallel: 1 },
    signal: interrupted.signal,
  });
  return { ...inMemory.tally, named: inMemory.findings, explained: inMemory.explained };
}

/** With the database as `work` leaves it, past all triggers; nothing of that stays. */
export async function auditTampered(
  owner: pg.Pool,
  options: Options,
  work?: (client: pg.ClientBase) => Promise<unknown>,
): ReturnType<typeof auditIn> {
  let found: Awaited<ReturnType<typeof auditIn>> | undefined;
  await inRolledBackTransaction(owner, async (client) => {
    await work?.(client);
    found = await auditIn(client, options);
  });
  if (found === undefined) throw new Error('Nothing was asked');
  return found;
}

/** The kinds, each once. */
export function kindsOf(findings: readonly Finding[]): readonly string[] {
  return [...new Set(findings.map(({ kind }) => kind))].toSorted();
}
