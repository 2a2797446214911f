import { setTimeout as sleep } from 'node:timers/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { Company } from '../support/companies.ts';
import { openExamples, sendAs } from '../support/examples.ts';
import { type Document, fetchDocument } from '../support/openapi.ts';
import { type Call, startReceiver } from '../support/receiver.ts';
import { startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

describe('the document and what a webhook is sent', () => {
  let system: System;
  let document: Document;
  let company: Company;
  let receiver: Awaited<ReturnType<typeof startReceiver>>;
  let relay: Awaited<ReturnType<typeof startRelay>>;
  beforeAll(async () => {
    system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } });
    document = await fetchDocument(system.url);
    relay = await startRelay(system);
    receiver = await startReceiver();
    company = await system.company();
    const settings = { expectedVersion: 1, webhookUrl: receiver.url };
    await company.api.created('/api/company/settings', settings, { method: 'PATCH' });
  });
  afterAll(async () => {
    await relay.close();
    await receiver.close();
    await system.stop();
  });

  /** What is wrong with a call by the document, in its body and its headers. */
  function faultsOf(webhook: string, { json, headers }: Pick<Call, 'json' | 'headers'>): unknown[] {
    const { parameters, requestBody } = document.webhooks[webhook]?.post ?? { parameters: [] };
    const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
    const faults = (schema: object | undefined, value: unknown) => {
      const validate = ajv.compile({ ...schema, components: document.components });
      return validate(value) ? [] : (validate.errors ?? []);
    };
    return [
      ...faults(requestBody?.content['application/json'].schema, json),
      ...parameters.flatMap(({ name, schema }) => faults({ ...schema, type: 'string' }, headers[name])),
    ];
  }

  test('agree on the call for an event of each kind', async () => {
    const examples = await openExamples(system);
    for (const operation of OPERATIONS) {
      const write = await examples.make(operation, company);
      expect([operation.name, (await sendAs(company, 'owner', write)).status]).toEqual([
        operation.name,
        operation.successStatus,
      ]);
    }
    await examples.close();
    await delivered(system, company);

    const kinds = new Set<string>(receiver.calls.map(({ json }) => json.type));
    expect(kinds).toEqual(new Set(OPERATIONS.map(({ event }) => event)));
    for (const call of receiver.calls) expect([call.json.type, faultsOf('event', call)]).toEqual([call.json.type, []]);
    const payment = receiver.calls.find(({ json }) => json.type === 'payment.created');
    expect(payment?.json.data.number).toMatch(/\d{6}$/);
    const trigger = receiver.calls.find(({ json }) => json.type === 'workflow.triggered');
    expect(trigger?.json.data.workflowName).toBe('sendInvoiceReminders');
  });

  test('agree on the call for a test, which is not an event', async () => {
    receiver.calls.length = 0;
    const { json } = await company.api.post('/api/company/webhook-test', undefined);
    expect(json).toMatchObject({ delivered: true });
    const [call] = receiver.calls as [Call];
    expect(faultsOf('test', call)).toEqual([]);
    expect(faultsOf('event', call)).not.toEqual([]);
  });

  test('would not agree without a member or a header that the document names', () => {
    const [call] = receiver.calls as [Call];
    expect(faultsOf('test', { ...call, json: { ...call.json, timestamp: undefined } })).not.toEqual([]);
    expect(faultsOf('test', { ...call, headers: { ...call.headers, 'webhook-signature': 'v1,' } })).not.toEqual([]);
    expect(faultsOf('test', { ...call, headers: { ...call.headers, 'webhook-id': undefined } })).not.toEqual([]);
  });
});

/** Waits until the webhook has received each event of the company since it was set. */
async function delivered({ owner }: System, { id }: Company): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const { rows } = await owner.query(
      `SELECT count(*) AS left FROM outbox
       WHERE company_id = $1 AND (sequence IS NULL OR delivery_state NOT IN ('delivered', 'none'))`,
      [id],
    );
    if (Number(rows[0].left) === 0) return;
    await sleep(100);
  }
  throw new Error('Not all events were delivered within a minute');
}
