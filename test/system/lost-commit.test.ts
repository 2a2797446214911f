import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningApi } from '../../api/app.ts';
import { type CommitProxy, type CommitTrouble, startCommitProxy } from '../support/commit-proxy.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { expectOneStory } from '../support/one-story.ts';
import { countRuns } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

const patient = { prefer: 'wait=60' };

describe('a connection lost at COMMIT', () => {
  let system: System;
  let company: Company;
  let proxy: CommitProxy;
  let api: RunningApi;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    proxy = await startCommitProxy(system.environment['DATABASE_URL'] ?? '');
    api = await system.another({ environment: { DATABASE_URL: proxy.url } });
  });
  afterAll(async () => {
    await system.stop();
    await proxy.close();
  });

  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });

  test.each<[string, CommitTrouble]>([
    ['after the server committed: the next attempt finds the row', 'cut the answer'],
    ['before the server heard of it: the next attempt makes the row', 'cut the commit'],
  ])('%s', async (_what, trouble) => {
    const body = paymentBody(await company.invoice());
    const key = trouble.replaceAll(' ', '-');
    // By its key: the process commits other things, too.
    const cut = proxy.atNextCommit(trouble, key);
    const first = company.as('owner', api.url).post('/api/payments', body, { key, headers: patient });
    await cut;
    // It is this request's own submission that made the outcome, whichever attempt tells of it.
    expectOneStory([await first, await company.api.post('/api/payments', body, { key })], { firsts: 1 });
    expect((await first).replayed).toBe(false);
    expect(await effects(key)).toEqual({
      writes: 1,
      rows: 1,
      entries: 1,
      newAudit: 1,
      replayedAudit: 1,
      failedAudit: 0,
      events: 1,
    });
    const { rows } = await system.owner.query('SELECT attempt FROM idempotent_writes WHERE idempotency_key = $1', [
      key,
    ]);
    expect(rows[0].attempt).toBe(trouble === 'cut the answer' ? 1 : 2);
    expect(await countRuns(system.temporal, { company, key })).toBe(1);
  });

  test('of a rejection: it stays that rejection', async () => {
    const body = paymentBody(await company.invoice({ total: 50 }), 100);
    const cut = proxy.atNextCommit('cut the answer', 'rejected');
    const first = company.as('owner', api.url).post('/api/payments', body, { key: 'rejected', headers: patient });
    await cut;
    const answers = [await first, await company.api.post('/api/payments', body, { key: 'rejected' })];
    expectOneStory(answers, { status: 422, firsts: 1 });
    expect(answers[0]?.json.code).toBe('payment_exceeds_outstanding');
    expect(await effects('rejected')).toMatchObject({ writes: 0, rows: 0, entries: 0, failedAudit: 1, events: 0 });
  });

  test('of a process that is cut off with its transaction open: its locks are given up after the idle time-out', async () => {
    const body = paymentBody(await company.invoice());
    const cutOff = await system.another({ environment: { DATABASE_URL: proxy.url, STATEMENT_TIMEOUT_MS: '3000' } });
    const held = proxy.atNextCommit('hold the commit', 'createPayment');
    const paying = company.as('owner', cutOff.url).post('/api/payments', body, { key: 'cut-off', headers: patient });
    await held;
    const settings = '/api/company/settings';
    const change = { expectedVersion: (await company.api.get(settings)).json.version, name: 'Changed Ltd' };
    const changed = await company.api.post(settings, change, { method: 'PATCH', key: 'settings', headers: patient });
    expect(changed.status).toBe(200);
    expectOneStory([await paying, await company.api.post('/api/payments', body, { key: 'cut-off' })], { firsts: 1 });
  });
});
