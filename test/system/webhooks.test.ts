import { createHmac } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROLES } from '../../activities/roles.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { type Call, startReceiver } from '../support/receiver.ts';
import { QUICK_RETRY, startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

type Receiver = Awaited<ReturnType<typeof startReceiver>>;

let system: System;
let relay: Awaited<ReturnType<typeof startRelay>>;
const receivers: Receiver[] = [];
beforeAll(async () => {
  system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } });
  relay = await startRelay(system);
});
afterAll(async () => {
  await relay.close();
  await Promise.all(receivers.map((receiver) => receiver.close()));
  await system.stop();
});

const SETTINGS = '/api/company/settings';

/** A company whose webhook is a receiver of its own. The event of that change goes there first. */
async function listening(): Promise<{ company: Company; receiver: Receiver }> {
  const [company, receiver] = [await system.company(), await startReceiver()];
  receivers.push(receiver);
  const body = { expectedVersion: 1, webhookUrl: receiver.url };
  await company.api.created(SETTINGS, body, { method: 'PATCH' });
  await soon(() => receiver.calls.length === 1);
  receiver.calls.length = 0;
  return { company, receiver };
}

const soon = (isSo: () => boolean | Promise<boolean>) =>
  until('what the receiver or the event has to show', async () => isSo());

async function newest(company: Company) {
  return (await company.api.get('/api/events')).json.items[0];
}

/** As Standard Webhooks says it, computed here once more. */
function signatureOf({ headers, text }: Call, secret: string): string {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const signed = [headers['webhook-id'], headers['webhook-timestamp'], text].join('.');
  return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
}

async function secretOf(company: Company) {
  return (await company.api.get('/api/company/webhook-secret')).json;
}

describe('a webhook', () => {
  test('is called for each event, in order, signed with the company’s secret', async () => {
    const { company, receiver } = await listening();
    const names = Array.from({ length: 25 }, (_, index) => `customer-${index}`);
    for (const name of names) await company.api.created('/api/customers', { name }, { key: name });
    await soon(() => receiver.calls.length >= names.length);
    const { items } = (await company.api.get('/api/events?kind=customer.created')).json;
    expect(receiver.calls.map(({ json }) => json.data.eventId)).toEqual(
      items.map(({ id }: { id: string }) => id).toReversed(),
    );
    const { secret } = await secretOf(company);
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    for (const call of receiver.calls) {
      expect(call.headers['webhook-signature']).toBe(signatureOf(call, secret));
      expect(Math.abs(Number(call.headers['webhook-timestamp']) - Date.now() / 1000)).toBeLessThan(60);
      const { eventId, writeId } = call.json.data;
      expect(call.headers['webhook-id']).toBe(eventId);
      expect(call.json).toMatchObject({
        type: 'customer.created',
        data: { companyId: company.id, resource: { type: 'customer', id: writeId, url: `/api/customers/${writeId}` } },
      });
    }
    await soon(async () => (await newest(company)).delivery.state === 'delivered');
    expect((await newest(company)).delivery).toMatchObject({ attempts: 1, lastError: null });
    const { timeline } = (await company.api.get('/api/writes/customer-24')).json;
    expect(timeline.at(-1)).toMatchObject({ kind: 'event_delivered', detail: 'customer.created' });
  });

  test('is not called for a replay, nor for a rejection', async () => {
    const { company, receiver } = await listening();
    const body = { name: 'Once', externalReference: 'once' };
    for (let sent = 0; sent < 5; sent += 1) await company.api.post('/api/customers', body, { key: 'once' });
    expect((await company.api.post('/api/customers', body, { key: 'refused' })).status).toBe(409);
    await company.api.created('/api/customers', { name: 'Last' });
    await soon(() => receiver.calls.length >= 2);
    await sleep(100);
    expect(receiver.calls).toHaveLength(2);
  });

  test('is called again after a failure, with the same ID, and later events keep their turn', async () => {
    const { company, receiver } = await listening();
    let failures = 2;
    receiver.answer((_call, response) => {
      failures -= 1;
      response.writeHead(failures >= 0 ? 503 : 200).end();
    });
    const [first, second] = [
      await company.api.created('/api/customers', { name: 'First' }),
      await company.api.created('/api/customers', { name: 'Second' }),
    ];
    await soon(() => receiver.calls.length === 4);
    expect(receiver.calls.map(({ json }) => json.data.writeId)).toEqual([first.id, first.id, first.id, second.id]);
    const ids = receiver.calls.map(({ headers }) => headers['webhook-id']);
    expect(new Set(ids).size).toBe(2);
    await soon(async () => (await newest(company)).delivery.state === 'delivered');
  });

  test('is given up in sight after its last attempt, and is called for the next event', async () => {
    const { company, receiver } = await listening();
    receiver.answer(({ json }, response) =>
      response.writeHead(json.data.resource.url.includes(lost) ? 500 : 200).end(),
    );
    const { id: lost } = await company.api.created('/api/customers', { name: 'Lost' }, { key: 'lost' });
    await soon(() => receiver.calls.length === 1 + QUICK_RETRY.delaysMs.length);
    await soon(async () => (await newest(company)).delivery.state === 'given_up');
    expect((await newest(company)).delivery).toEqual({
      state: 'given_up',
      attempts: 3,
      lastError: 'Answered 500',
      deliveredAt: null,
    });
    const { timeline } = (await company.api.get('/api/writes/lost')).json;
    expect(timeline.at(-1)).toMatchObject({
      kind: 'event_recorded',
      detail: 'customer.created, given up after 3 calls of the webhook',
    });
    const page = await relay.metrics.registry.metrics();
    expect(page).toMatch(/webhook_attempts_total\{outcome="given_up"\} [1-9]/);
    expect(page).toMatch(/outbox_events\{state="given_up"\} [1-9]/);

    await company.api.created('/api/customers', { name: 'Next' });
    await soon(async () => (await newest(company)).delivery.state === 'delivered');
    const [, given] = (await company.api.get('/api/events')).json.items;
    receiver.answer((_call, response) => response.writeHead(200).end());
    const again = await company.as('admin').post(`/api/events/${given.id}/redeliver`, undefined);
    expect(again.json).toMatchObject({ id: given.id, delivery: { state: 'pending', attempts: 0 } });
    await soon(async () => (await company.api.get(`/api/events/${given.id}`)).json.delivery.state === 'delivered');
  });

  test('is not called again when it says that it is gone', async () => {
    const { company, receiver } = await listening();
    receiver.answer((_call, response) => response.writeHead(410).end());
    await company.api.created('/api/customers', { name: 'Gone' });
    await soon(async () => (await newest(company)).delivery.state === 'given_up');
    expect(receiver.calls).toHaveLength(1);
  });

  test('that is ended is owed nothing any more', async () => {
    const { company, receiver } = await listening();
    const version = (await company.api.get(SETTINGS)).json.version;
    receiver.answer((_call, response) => response.writeHead(500).end());
    await company.api.created(SETTINGS, { expectedVersion: version, webhookUrl: null }, { method: 'PATCH' });
    await company.api.created('/api/customers', { name: 'Unheard' });
    await soon(async () => (await newest(company))?.kind === 'customer.created');
    expect((await newest(company)).delivery.state).toBe('none');
    expect((await company.api.post('/api/company/webhook-test', undefined)).json.code).toBe('webhook_not_available');
  });
});

describe('the secret of a webhook', () => {
  test('is told to the owner alone, and the audit log knows it', async () => {
    const company = await system.company();
    for (const role of ROLES) {
      const { status } = await company.as(role).get('/api/company/webhook-secret');
      expect([role, status]).toEqual([role, role === 'owner' ? 200 : 403]);
    }
    const { rows } = await system.owner.query(
      "SELECT user_id FROM idempotent_write_audit_log WHERE company_id = $1 AND operation_name = 'readWebhookSecret'",
      [company.id],
    );
    expect(rows).toEqual([{ user_id: company.users.owner.id }]);
    expect((await secretOf(await system.company())).secret).not.toBe((await secretOf(company)).secret);
  });

  test('signs beside its successor for a day', async () => {
    const { company, receiver } = await listening();
    const before = (await secretOf(company)).secret;
    const version = (await company.api.get(SETTINGS)).json.version;
    await company.api.created(SETTINGS, { expectedVersion: version, webhookSecretVersion: 2 }, { method: 'PATCH' });
    const { secret, previous } = await secretOf(company);
    expect(previous).toMatchObject({ version: 1, secret: before });
    await soon(() => receiver.calls.length === 1);
    const [call] = receiver.calls as [Call];
    expect(call.headers['webhook-signature']).toBe(`${signatureOf(call, secret)} ${signatureOf(call, before)}`);

    await system.owner.query('ALTER TABLE companies DISABLE TRIGGER USER');
    await system.owner.query(
      "UPDATE companies SET webhook_secret_rotated_at = now() - interval '24 hours 1 second' WHERE id = $1",
      [company.id],
    );
    await system.owner.query('ALTER TABLE companies ENABLE TRIGGER USER');
    expect((await secretOf(company)).previous).toBeNull();
    expect((await company.api.post('/api/company/webhook-test', {})).json).toEqual({
      delivered: true,
      status: 204,
      error: null,
    });
    const tested = receiver.calls.at(-1) as Call;
    expect(tested.json).toMatchObject({ type: 'webhook.test', data: { companyId: company.id } });
    expect(tested.headers['webhook-signature']).toBe(signatureOf(tested, secret));
  });
});

describe('who may call', () => {
  test('owner and admin, and nobody another company’s event', async () => {
    const { company } = await listening();
    const { id } = await newest(company);
    for (const role of ROLES) {
      const allowed = role === 'owner' || role === 'admin';
      const tested = await company.as(role).post('/api/company/webhook-test', {});
      const again = await company.as(role).post(`/api/events/${id}/redeliver`, {});
      expect([role, tested.status, again.status]).toEqual([role, allowed ? 200 : 403, allowed ? 200 : 403]);
    }
    const { company: other } = await listening();
    expect(await other.api.post(`/api/events/${id}/redeliver`, {})).toMatchObject({
      status: 404,
      json: { code: 'event_not_found' },
    });
    expect((await other.api.post('/api/events/1/redeliver', {})).status).toBe(422);
    expect((await other.api.post('/api/company/webhook-test', { url: 'x' })).json.code).toBe('validation_failed');
  });
});
