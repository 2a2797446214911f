import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { openPool, queryOnce } from '../../activities/database.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { holdInvoice, until } from '../support/held-invoice.ts';
import { untilFinal } from '../support/persistent.ts';
import { type SystemProcess, startApiProcess } from '../support/processes.ts';
import { type System, startSystem } from '../support/system.ts';

/** What the locks of a frozen process may delay the others: the idle time-out (10 s), and the next attempt. */
const LIMIT_MS = 15_000;

describe('a process that is frozen, or whose machine is gone,', () => {
  let system: System;
  let company: Company;
  let process: SystemProcess;
  let superuser: pg.Pool;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    process = await startApiProcess(system.environment);
    superuser = new pg.Pool({ connectionString: inject('superuserUrl'), max: 1 });
  });
  afterAll(async () => {
    process.thaw();
    await process.kill();
    await superuser.end();
    await system.stop();
  });

  test('inside the transaction that holds the company’s row does not keep others from changing it', async () => {
    const body = paymentBody(await company.invoice());
    const { release } = await holdInvoice(system.owner, body.invoiceId);
    const paying = company.as('owner', process.url).post('/api/payments', body, { key: 'frozen' });
    paying.catch(() => undefined); // its process is killed at the end
    // The brief attempt has given up the lock, and the patient one waits for it.
    await until('the payment to wait', async () => (await sessions("wait_event_type = 'Lock'", 300)) === 1);
    process.freeze();
    await release();
    await until('its idle transaction', async () => (await sessions("state = 'idle in transaction'")) === 1);

    const settings = '/api/company/settings';
    const change = { expectedVersion: (await company.api.get(settings)).json.version, name: 'Changed Ltd' };
    const sinceMs = performance.now();
    const changed = await company.api.post(settings, change, {
      method: 'PATCH',
      key: 'settings',
      headers: { prefer: 'wait=60' },
    });
    const tookMs = performance.now() - sinceMs;
    expect([changed.status, changed.json.name]).toEqual([200, 'Changed Ltd']);
    expect(tookMs).toBeGreaterThan(1_000);
    expect(tookMs).toBeLessThan(LIMIT_MS);

    const { final } = await untilFinal(() => company.api.post('/api/payments', body, { key: 'frozen' }));
    expect(final.status).toBe(201);
    expect(await countEffects(system.owner, { companyId: company.id, table: 'payments', key: 'frozen' })).toMatchObject(
      {
        writes: 1,
        rows: 1,
        entries: 1,
      },
    );
  });

  test('is noticed by the server: it ends a session whose peer does not acknowledge what it sends', async () => {
    const pool = openPool({
      connectionString: system.environment['DATABASE_URL'] ?? '',
      max: 1,
      statementTimeoutMs: 5_000,
      applicationName: 'watched',
    });
    try {
      expect(
        await queryOnce(
          pool,
          `SELECT current_setting('tcp_user_timeout') AS unacknowledged, current_setting('tcp_keepalives_idle') AS idle,
             current_setting('tcp_keepalives_interval') AS interval, current_setting('tcp_keepalives_count') AS count`,
        ),
      ).toEqual([{ unacknowledged: '10000', idle: '10', interval: '5', count: '3' }]);
    } finally {
      await pool.close();
    }
  });

  /** Sessions of the frozen process's application in this database that are so, for so long. */
  async function sessions(what: string, forMs = 0): Promise<number> {
    const { rows } = await superuser.query(
      `SELECT count(*)::int AS n FROM pg_stat_activity
       WHERE datname = $1 AND application_name = 'accubooks-api' AND ${what}
         AND query_start < clock_timestamp() - make_interval(secs => $2)`,
      [new URL(system.environment['DATABASE_URL'] ?? '').pathname.slice(1), forMs / 1_000],
    );
    return rows[0].n;
  }
});
