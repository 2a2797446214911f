import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPool, type Pool } from '../../activities/database.ts';
import { SEALED_LOGS } from '../../activities/seal/content.ts';
import { sealPage } from '../../activities/seal/seal.ts';
import { type SealFinding, verifyLog } from '../../activities/seal/verify-log.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let sealer: Pool;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company('Sealed');
  sealer = openPool({
    connectionString: system.environment['SEALER_DATABASE_URL'] as string,
    max: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'test-sealer',
  });
});
afterAll(async () => {
  await sealer.close();
  await system.stop();
});

/** Seals all that is there. */
async function sealAll(rowsAPage?: number): Promise<void> {
  while ((await sealPage(sealer, rowsAPage)).isFull);
}

async function verify(database: Pick<pg.ClientBase, 'query'> = system.owner): Promise<SealFinding[]> {
  const findings: SealFinding[] = [];
  for (const log of SEALED_LOGS) {
    await verifyLog(database, { companyId: company.id, log }, { finding: (one) => findings.push(one) });
  }
  return findings;
}

describe('the seal', () => {
  test('has each entry and each audit row once, in numbers without gaps, whatever was there before the sealer', async () => {
    await company.invoice();
    await sealAll(3);
    await company.invoice();
    await company.customer();
    await sealAll(3);
    const { rows } = await system.owner.query(
      `SELECT (SELECT array_agg(number::int ORDER BY number) FROM sealed_entries WHERE company_id = $1) AS entries,
         (SELECT array_agg(number::int ORDER BY number) FROM sealed_audit_rows WHERE company_id = $1) AS audit,
         (SELECT count(*)::int FROM journal_entries WHERE company_id = $1) AS made,
         (SELECT count(*)::int FROM idempotent_write_audit_log WHERE company_id = $1) AS told`,
      [company.id],
    );
    const { entries, audit, made, told } = rows[0];
    const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
    expect(made).toBeGreaterThan(1);
    expect(entries).toEqual(upTo(made));
    expect(audit).toEqual(upTo(told));
    expect(await verify()).toEqual([]);
  });

  test('gives an entry its number in reads and exports, and none before it is sealed', async () => {
    const { id, entryNumber } = await company.api.created('/api/ledger/entries', {
      date: '2026-02-01',
      description: 'Capital',
      currency: 'USD',
      lines: [
        { accountCode: '1000', amount: 5_000 },
        { accountCode: '3000', amount: -5_000 },
      ],
    });
    expect(entryNumber).toBeNull();
    const read = async () => (await company.api.get(`/api/ledger/entries/${id}`)).json.entryNumber;
    expect(await read()).toBeNull();
    await sealAll();
    const { rows } = await system.owner.query('SELECT count(*)::int FROM journal_entries WHERE company_id = $1', [
      company.id,
    ]);
    expect(await read()).toBe(rows[0].count);
  });
});
