import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { executedPayRun, stockedItem } from '../support/payroll.ts';
import { publishHeads, type SealKey, sealAll, sealKey } from '../support/seal.ts';
import { type System, startSystem } from '../support/system.ts';
import { inRolledBackTransaction } from '../support/tampering.ts';

let system: System;
let company: Company;
let key: SealKey;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company('Proven');
  key = sealKey('test-key');
});
afterAll(() => system.stop());

const proofOf = (of: string, { as = company.api } = {}) => as.get(`/api/writes/${of}/proof`);

async function sealAndPublish(): Promise<void> {
  await sealAll(system);
  await publishHeads(system.owner, company.id, key);
}

describe('the proof of a write', () => {
  test('is there once its rows are sealed and a published head covers them, and until then says what is awaited', async () => {
    const invoiceId = await company.invoice();
    await company.api.created('/api/payments', paymentBody(invoiceId), { key: 'paid' });
    const unsealed = await proofOf('paid');
    expect(unsealed).toMatchObject({
      status: 409,
      json: { code: 'proof_not_ready', retryable: true, nextAction: 'wait', writeUrl: '/api/writes/paid' },
    });
    expect(unsealed.json.detail).toMatch(/^The entry of the write is not sealed yet/);
    expect(unsealed.headers.get('retry-after')).toBe('2');
    await sealAll(system);
    const unpublished = await proofOf('paid');
    expect(unpublished.json.detail).toMatch(/no published head covers it yet/);
    expect(unpublished.headers.get('retry-after')).toBe('60');
    await sealAndPublish();
    const { status, json } = await proofOf('paid');
    expect(status).toBe(200);
    console.log(JSON.stringify(json, null, 1));
  });
});
