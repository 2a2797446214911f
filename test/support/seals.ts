import type pg from 'pg';
import { openPool, type Pool } from '../../activities/database.ts';
import { SEALED_LOGS } from '../../activities/seal/content.ts';
import { sealLagSeconds, sealPage } from '../../activities/seal/seal.ts';
import { type SealFinding, verifyLog } from '../../activities/seal/verify-log.ts';
import { until } from './held-invoice.ts';
import type { System } from './system.ts';

/** Connections of the sealer, as the worker has them. */
export function openSealer(system: System): Pool {
  return openPool({
    connectionString: system.environment['SEALER_DATABASE_URL'] as string,
    max: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'test-sealer',
  });
}

/** Seals what may be sealed at this moment: behind an open transaction, in whichever database of the server, nothing is. */
export async function sealNow(sealer: Pool, rowsAPage?: number): Promise<void> {
  while ((await sealPage(sealer, rowsAPage)).isFull);
}

/** Seals all that is there, however long the tests of other files have transactions open. */
export async function sealAll(sealer: Pool, rowsAPage?: number): Promise<void> {
  await until('all rows to be sealed', async () => {
    await sealNow(sealer, rowsAPage);
    return (await sealLagSeconds(sealer)) === 0;
  });
}

/** What does not agree with the seal of a company, log by log. */
export async function findingsOf(
  database: Pick<pg.ClientBase, 'query'>,
  companyId: string,
): Promise<readonly SealFinding[]> {
  const findings: SealFinding[] = [];
  for (const log of SEALED_LOGS) {
    for await (const page of verifyLog(database, { companyId, log })) findings.push(...page.findings);
  }
  return findings;
}
