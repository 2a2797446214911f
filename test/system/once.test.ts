import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { keyWorkflow } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

describe('one key is one write', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterAll(() => system.stop());

  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });

  test('a first answer has no marker, and a second request gets the same bytes with it', async () => {
    const body = paymentBody(await company.invoice());
    const first = await company.api.post('/api/payments', body, { key: 'first' });
    expect(first.status).toBe(201);
    expect(first.replayed).toBe(false);
    expect(first.headers.get('location')).toBe(`/api/payments/${first.json.id}`);
    expect(first.headers.get('idempotency-key')).toBe('first');
    expect(await effects('first')).toMatchObject({ writes: 1, rows: 1, entries: 1, newAudit: 1, events: 1 });

    // Temporal returned its first workflow task with the answer to the start, to the worker of that process.
    const { events } = await keyWorkflow(system.temporal, company, 'first').fetchHistory();
    expect(events?.[0]?.workflowExecutionStartedEventAttributes?.eagerExecutionAccepted).toBe(true);

    const second = await company.api.post('/api/payments', body, { key: 'first' });
    expect(second.status).toBe(201);
    expect(second.text).toBe(first.text);
    expect(second.headers.get('location')).toBe(first.headers.get('location'));
    expect(second.replayed).toBe(true);
    expect(await effects('first')).toEqual({
      writes: 1,
      rows: 1,
      entries: 1,
      newAudit: 1,
      replayedAudit: 1,
      failedAudit: 0,
      events: 1,
    });
  });

  test('two keys with the same body are two writes', async () => {
    const body = paymentBody(await company.invoice());
    const [one, two] = [
      await company.api.created('/api/payments', body, { key: 'one' }),
      await company.api.created('/api/payments', body, { key: 'two' }),
    ];
    expect(one.id).not.toBe(two.id);
  });
});
