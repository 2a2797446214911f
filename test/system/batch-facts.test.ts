import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimChunk } from '../../activities/batches/batch-store.ts';
import { openPool, type Pool } from '../../activities/database.ts';
import { batchClient, ndjson } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { parse, sum } from '../support/metrics-page.ts';
import { startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

/** Longer than any test takes. */
const LONG_S = 1_000_000;

describe('the gauges of batches', () => {
  let system: System;
  let relay: Awaited<ReturnType<typeof startRelay>>;
  let company: Company;
  let api: ReturnType<typeof batchClient>;
  let pool: Pool;
  beforeAll(async () => {
    system = await startSystem();
    relay = await startRelay(system);
    company = await system.company();
    api = batchClient(system, company);
    pool = openPool({
      connectionString: system.environment['DATABASE_URL'] as string,
      max: 1,
      statementTimeoutMs: 10_000,
      applicationName: 'test-batch-facts',
    });
  });
  afterAll(async () => {
    await pool.close();
    await relay.close();
    await system.stop();
  });

  const send = (key: string) => api.send(ndjson([{ body: { name: key } }]), { key, operation: 'createCustomer' });
  const makeOld = (...keys: string[]) =>
    system.owner.query(
      `UPDATE batches SET progress_at = progress_at - make_interval(secs => $2), queued_at = queued_at - make_interval(secs => $2)
       WHERE company_id = $1 AND batch_key = ANY ($3)`,
      [company.id, LONG_S, keys],
    );
  async function gauges() {
    const samples = parse(await relay.metrics.registry.metrics());
    const of = (name: string, state?: string) => sum(samples, name, state === undefined ? {} : { state });
    return {
      queued: of('batches_unfinished', 'queued'),
      running: of('batches_unfinished', 'running'),
      paused: of('batches_unfinished', 'paused'),
      isOldestOld: of('batch_oldest_seconds', 'queued') >= LONG_S,
      isSilent: of('batch_silent_seconds') >= LONG_S,
    };
  }
  async function claim(key: string) {
    const { rows } = await system.owner.query(
      'SELECT b.id, v.version FROM batches b, verification v WHERE b.company_id = $1 AND b.batch_key = $2',
      [company.id, key],
    );
    const name = { companyId: company.id, batchId: rows[0].id };
    return (await claimChunk(pool, name, { runId: 'run', loop: 1 }, rows[0].version)).kind;
  }

  test('say which is without progress: one in turn, or whose chunk is begun in vain; not one that waits or is paused', async () => {
    const none = { queued: 0, running: 0, paused: 0, isOldestOld: false, isSilent: false };
    expect(await gauges()).toEqual(none);
    await send('first');
    await send('second');
    expect(await gauges()).toEqual({ ...none, queued: 2 });
    await makeOld('first');
    expect(await gauges()).toEqual({ ...none, queued: 2, isOldestOld: true, isSilent: true });

    expect(await claim('first')).toBe('chunk');
    expect(await gauges()).toEqual({ ...none, queued: 1, running: 1 });
    // It waits for the first, which goes on.
    await makeOld('second');
    expect(await gauges()).toEqual({ ...none, queued: 1, running: 1, isOldestOld: true });
    await makeOld('first');
    // Another attempt at the same chunk.
    expect(await claim('first')).toBe('chunk');
    expect(await gauges()).toEqual({ ...none, queued: 1, running: 1, isOldestOld: true, isSilent: true });

    // Its turn comes now, however long it has waited.
    await api.control('first', 'pause');
    expect(await gauges()).toEqual({ ...none, queued: 1, paused: 1, isOldestOld: true });
    await makeOld('first', 'second');
    expect(await gauges()).toEqual({ ...none, queued: 1, paused: 1, isOldestOld: true, isSilent: true });
    await api.control('second', 'cancel');
    expect(await gauges()).toEqual({ ...none, paused: 1 });
    await api.control('first', 'resume');
    expect(await gauges()).toEqual({ ...none, queued: 1, isOldestOld: true });
  });
});
