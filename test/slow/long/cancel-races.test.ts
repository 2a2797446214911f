import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { patiently } from '../../support/client.ts';
import type { Company } from '../../support/companies.ts';
import { countEffects, paymentBody } from '../../support/effects.ts';
import { type System, startSystem } from '../../support/system.ts';

/** The two ends of a pair: what the write was answered, what the cancel, what the status says, and what is there. */
const PAID = {
  written: [201, false, undefined],
  cancelled: [409, 'too_late'],
  state: 'succeeded',
  effects: { writes: 1, rows: 1, entries: 1, newAudit: 1, replayedAudit: 1, failedAudit: 0, events: 1 },
};
const CANCELLED = {
  written: [409, true, 'write_cancelled'],
  cancelled: [200, undefined],
  state: 'cancelled',
  effects: { writes: 0, rows: 0, entries: 0, newAudit: 0, replayedAudit: 2, failedAudit: 1, events: 0 },
};

const PAIRS = 50;

describe.each(['off', 'on'])('cancels that race as many writes of the same keys, grouping %s,', (grouping) => {
  let system: System;
  let company: Company;
  let otherUrl: string;

  beforeAll(async () => {
    system = await startSystem({ environment: { WRITE_GROUPING: grouping } });
    company = await system.company();
    otherUrl = (await system.another()).url;
  });
  afterAll(() => system.stop());

  test.each([
    ['through one process', () => system.url],
    ['through two processes', () => otherUrl],
  ])('%s: each pair ends in exactly one of the two, and all agree', async (name, urlOfCancels) => {
    const invoiceId = await company.invoice();
    const keys = Array.from({ length: PAIRS }, (_, index) => `${name.replaceAll(' ', '-')}-${index}`);
    const ends = await Promise.all(
      keys.map(async (key, index) => {
        const write = () =>
          company.api.post('/api/payments', paymentBody(invoiceId, 1), { key, headers: { prefer: 'wait=60' } });
        const cancel = () =>
          patiently(() => company.as('owner', urlOfCancels()).send('POST', `/api/writes/${key}/cancel`));
        // Half of the cancels come a little later, so that both orders are seen.
        const [written, cancelled] = await Promise.all([
          write(),
          new Promise((resolve) => setTimeout(resolve, (index % 10) * 15)).then(cancel),
        ]);
        const [again, status] = await Promise.all([write(), patiently(() => company.api.get(`/api/writes/${key}`))]);
        const effects = await countEffects(system.owner, { companyId: company.id, table: 'payments', key });
        expect([PAID, CANCELLED]).toContainEqual({
          written: [written.status, written.replayed, written.json.code],
          cancelled: [cancelled.status, cancelled.json.code],
          state: status.json.state,
          effects,
        });
        expect([again.status, again.text]).toEqual([written.status, written.text]);
        return status.json.state;
      }),
    );
    const paid = ends.filter((state) => state === 'succeeded').length;
    expect((await company.api.get(`/api/invoices/${invoiceId}`)).json.amountPaid).toBe(paid);
  });

  test('many cancels of one key at once make one', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        patiently(() =>
          company.as('owner', index % 2 === 0 ? system.url : otherUrl).send('POST', '/api/writes/one/cancel'),
        ),
      ),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    const { failedAudit } = await countEffects(system.owner, { companyId: company.id, table: 'payments', key: 'one' });
    expect(failedAudit).toBe(1);
  });
});
