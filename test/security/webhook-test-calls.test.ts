import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { startReceiver } from '../support/receiver.ts';
import { type System, startSystem } from '../support/system.ts';

describe('a test call of a webhook', () => {
  let system: System;
  let receiver: Awaited<ReturnType<typeof startReceiver>>;
  beforeAll(async () => {
    system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } });
    receiver = await startReceiver();
  });
  afterAll(async () => {
    await receiver.close();
    await system.stop();
  });

  async function listening(url = receiver.url): Promise<Company> {
    const company = await system.company();
    await company.api.created('/api/company/settings', { expectedVersion: 1, webhookUrl: url }, { method: 'PATCH' });
    receiver.calls.length = 0;
    return company;
  }
  const callAs = (company: Company, headers = {}, url = system.url) =>
    company.as('owner', url).post('/api/company/webhook-test', undefined, { headers });

  test('signs nothing that the client chose', async () => {
    const company = await listening();
    // With the ID and the rest of another message in it, the signed text would be that message's.
    const chosen = 'evt_1.1700000000.{"type":"payment.created"}';
    expect((await callAs(company, { 'x-request-id': chosen, 'idempotency-key': 'chosen' })).json.delivered).toBe(true);
    const [call] = receiver.calls.filter(({ json }) => json.type === 'webhook.test');
    expect(call?.headers['webhook-id']).toMatch(/^test_[0-9a-f-]{36}$/);
    expect(JSON.stringify([call?.headers, call?.text])).not.toMatch(/evt_1|payment\.created|chosen/);
  });

  test('is made five times at once, and then has to wait; writes and other companies do not', async () => {
    const [company, other] = [await listening(), await listening()];
    const answers = [];
    for (let sent = 0; sent < 7; sent += 1) answers.push(await callAs(company));
    expect(answers.slice(0, 5).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(answers[6]).toMatchObject({ status: 429, json: { code: 'rate_limited', retryable: true } });
    expect(answers[6]?.headers.get('retry-after')).not.toBeNull();
    expect((await company.api.post('/api/customers', { name: 'Written' })).status).toBe(201);
    expect((await callAs(other)).status).toBe(200);
  });

  test('says the same of a name that is private as of one that does not exist', async () => {
    const { url } = await system.another({ environment: { WEBHOOK_ALLOW_PRIVATE: '0' } });
    const errors = [];
    for (const name of ['localhost', 'internal.localhost', 'does-not-exist.invalid']) {
      const company = await listening(`https://${name}/`);
      const { delivered, status, error } = (await callAs(company, {}, url)).json;
      expect([delivered, status]).toEqual([false, null]);
      errors.push(error);
    }
    expect(new Set(errors)).toEqual(new Set(['The host name does not exist, or not all of its addresses are public']));
  });

  test('is signed with both master keys while one is being replaced, and the secret shown is that of the first', async () => {
    const [first, second] = ['the-new-master-key-of-thirty-two-bytes', system.environment['WEBHOOK_MASTER_KEY'] ?? ''];
    const company = await listening();
    const old = (await company.api.get('/api/company/webhook-secret')).json.secret;
    const { url } = await system.another({
      environment: { WEBHOOK_MASTER_KEY: first, WEBHOOK_MASTER_KEY_SECONDARY: second },
    });
    const shown = (await company.as('owner', url).get('/api/company/webhook-secret')).json.secret;
    expect(shown).not.toBe(old);
    expect((await callAs(company, {}, url)).json.delivered).toBe(true);
    const [call] = receiver.calls.filter(({ json }) => json.type === 'webhook.test');
    const signatureBy = (secret: string) =>
      `v1,${createHmac('sha256', Buffer.from(secret.replace(/^whsec_/, ''), 'base64'))
        .update([call?.headers['webhook-id'], call?.headers['webhook-timestamp'], call?.text].join('.'))
        .digest('base64')}`;
    expect(String(call?.headers['webhook-signature']).split(' ')).toEqual([signatureBy(shown), signatureBy(old)]);
  });
});
