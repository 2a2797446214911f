import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, countEverything, paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

describe('two companies', () => {
  let system: System;
  let acme: Company;
  let globex: Company;
  beforeAll(async () => {
    system = await startSystem();
    [acme, globex] = [await system.company('Acme'), await system.company('Globex')];
  });
  afterAll(() => system.stop());

  test('have a write each under the same key and body', async () => {
    const body = { name: 'Shared name', externalReference: 'shared' };
    const [one, two] = [
      await acme.api.post('/api/customers', body, { key: 'shared' }),
      await globex.api.post('/api/customers', body, { key: 'shared' }),
    ];
    expect([one.status, two.status]).toEqual([201, 201]);
    expect([one.replayed, two.replayed]).toEqual([false, false]);
    expect(two.json.id).not.toBe(one.json.id);
    for (const [company, first] of [
      [acme, one],
      [globex, two],
    ] as const) {
      const again = await company.api.post('/api/customers', body, { key: 'shared' });
      expect([again.replayed, again.text]).toEqual([true, first.text]);
      expect(await countEffects(system.owner, { companyId: company.id, table: 'customers', key: 'shared' })).toEqual({
        writes: 1,
        rows: 1,
        entries: 0,
        newAudit: 1,
        replayedAudit: 1,
        failedAudit: 0,
        events: 1,
      });
    }
  });

  test('cannot learn of each other’s keys by another body', async () => {
    await acme.api.created('/api/customers', { name: 'First' }, { key: 'probe' });
    const other = await globex.api.post('/api/customers', { name: 'Second' }, { key: 'probe' });
    expect([other.status, other.replayed, other.json.name]).toEqual([201, false, 'Second']);
  });

  test('cannot tell each other’s resources from such as do not exist', async () => {
    const invoiceId = await acme.invoice();
    const draftId = await acme.draftInvoice();
    const customerId = await acme.customer();
    const attempts = (id: { invoice: string; draft: string; customer: string }) => [
      { path: '/api/payments', body: paymentBody(id.invoice), id: id.invoice },
      { path: `/api/invoices/${id.draft}/finalize`, body: {}, id: id.draft },
      {
        path: '/api/invoices',
        body: {
          customerId: id.customer,
          currency: 'USD',
          dueDate: '2026-12-31',
          lines: [{ description: 'Work', quantity: '1', unitPrice: 1 }],
        },
        id: id.customer,
      },
    ];
    const theirs = attempts({ invoice: invoiceId, draft: draftId, customer: customerId });
    const nobodys = attempts({ invoice: randomUUID(), draft: randomUUID(), customer: randomUUID() });
    const before = await countEverything(system.owner, acme.id);
    for (const [index, { path, body, id }] of theirs.entries()) {
      const missing = nobodys[index];
      if (missing === undefined) throw new Error('one attempt on nobody’s for each on theirs');
      const answers = [
        await globex.api.post(path, body, { key: `theirs-${index}` }),
        await globex.api.post(missing.path, missing.body, { key: `nobodys-${index}` }),
      ];
      const shown = answers.map(({ status, text }, at) =>
        [status, text.replaceAll(at === 0 ? id : missing.id, 'ID').replace(/(theirs|nobodys)-/, '')].join(' '),
      );
      expect(shown[0]).toMatch(/^4(04|22) .*_not_found/);
      expect(shown[1]).toBe(shown[0]);
    }
    expect(await countEverything(system.owner, acme.id)).toEqual(before);
  });

  test('do not let in a user of the other, whatever the token says', async () => {
    const before = await countEverything(system.owner, globex.id);
    const strangers = await signToken({ userId: acme.users.owner.id, companyId: globex.id });
    const nobodys = await signToken({ userId: acme.users.owner.id, companyId: randomUUID() });
    await globex.api.created('/api/customers', { name: 'Theirs' }, { key: 'theirs' });
    for (const [token, key] of [
      [strangers, 'theirs'],
      [strangers, 'mine'],
      [nobodys, 'theirs'],
    ] as const) {
      const answer = await createApiClient(system.url, token).post('/api/customers', { name: 'Theirs' }, { key });
      expect([answer.status, answer.json.code, answer.json.nextAction]).toEqual([403, 'not_a_member', 'fix_request']);
      expect(answer.json.detail).not.toContain('Globex');
    }
    const { idempotent_writes: writes = 0, idempotent_write_audit_log: audit = 0 } = before;
    expect(await countEverything(system.owner, globex.id)).toMatchObject({
      idempotent_writes: writes + 1,
      idempotent_write_audit_log: audit + 1,
    });
  });
});
