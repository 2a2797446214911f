import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifyWebhook } from '../../deploy/client/src/webhook.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { type Call, startReceiver } from '../support/receiver.ts';
import { startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let relay: Awaited<ReturnType<typeof startRelay>>;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
beforeAll(async () => {
  system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } });
  relay = await startRelay(system);
  [company, receiver] = [await system.company(), await startReceiver()];
  await set({ expectedVersion: 1, webhookUrl: receiver.url });
});
afterAll(async () => {
  await relay.close();
  await receiver.close();
  await system.stop();
});

const set = (body: object) => company.api.created('/api/company/settings', body, { method: 'PATCH' });
const secret = async () => (await company.api.get('/api/company/webhook-secret')).json;

/** The call for the next event, of a customer. */
async function nextCall(): Promise<{ call: Call; writeId: string }> {
  const { id: writeId } = await company.api.created('/api/customers', { name: 'Grüße, 料金' });
  const found = () => receiver.calls.find(({ json }) => json.data.writeId === writeId);
  await until('the call', async () => found() !== undefined);
  return { call: found() as Call, writeId };
}

const verified = ({ headers, text }: Call, given: string | readonly string[]) =>
  verifyWebhook({ secret: given, headers, body: text });

describe('a call that a worker has really made', () => {
  test('is verified with the company’s secret, and with no other', async () => {
    const { call, writeId } = await nextCall();
    const { secret: mine } = await secret();
    const found = await verified(call, mine);
    expect(found).toEqual(call.json);
    const eventId = call.headers['webhook-id'];
    expect(found).toMatchObject({ type: 'customer.created', data: { companyId: company.id, writeId, eventId } });
    const stranger = (await (await system.company()).api.get('/api/company/webhook-secret')).json.secret;
    await expect(verified(call, stranger)).rejects.toMatchObject({ reason: 'no_matching_signature' });
    const tomorrow = new Date(Date.now() + 86_400_000);
    await expect(
      verifyWebhook({ secret: mine, headers: call.headers, body: call.text, now: tomorrow }),
    ).rejects.toMatchObject({ reason: 'timestamp_too_old' });
  });

  test('is verified as a test call', async () => {
    const before = receiver.calls.length;
    expect((await company.api.post('/api/company/webhook-test', undefined)).json).toMatchObject({ delivered: true });
    const call = receiver.calls.slice(before).find(({ json }) => json.type === 'webhook.test') as Call;
    expect(await verified(call, (await secret()).secret)).toMatchObject({ data: { companyId: company.id } });
  });

  test('is verified after a rotation with the old and with the new secret, and afterwards with the new one alone', async () => {
    const { secret: old } = await secret();
    await set({ expectedVersion: 2, webhookSecretVersion: 2 });
    const { secret: current, previous } = await secret();
    expect(previous.secret).toBe(old);
    const { call } = await nextCall();
    for (const given of [old, current, [old, current]]) {
      expect(await verified(call, given)).toEqual(call.json);
    }
    await system.owner.query('ALTER TABLE companies DISABLE TRIGGER USER');
    await system.owner.query(
      "UPDATE companies SET webhook_secret_rotated_at = now() - interval '24 hours 1 second' WHERE id = $1",
      [company.id],
    );
    await system.owner.query('ALTER TABLE companies ENABLE TRIGGER USER');
    const { call: later } = await nextCall();
    await expect(verified(later, old)).rejects.toMatchObject({ reason: 'no_matching_signature' });
    expect(await verified(later, [old, current])).toEqual(later.json);
  });
});
