import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../support/held-invoice.ts';
import { type OutboxRows, outboxRows } from '../support/outbox.ts';
import { startReceiver } from '../support/receiver.ts';
import { startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

const SILENT = 120;
/** Each of them is called again as soon as its call is given up, so nearly all hold one at any time. */
const HALF = SILENT / 2;
const AT_ONCE = { delaysMs: Array.from({ length: 1_000 }, () => 10), giveUpAfterMs: 3_600_000 };

let system: System;
let relay: Awaited<ReturnType<typeof startRelay>>;
let rows: OutboxRows;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
const held = new Set<ServerResponse>();
beforeAll(async () => {
  [system, receiver] = [await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } }), await startReceiver()];
  rows = await outboxRows(system.owner);
  relay = await startRelay(system, AT_ONCE);
});
afterAll(async () => {
  // So that none is called again while all of it ends.
  await system.owner.query('UPDATE companies SET webhook_url = NULL');
  for (const response of held) response.writeHead(410).end();
  await receiver.close();
  await relay.close();
  await system.stop();
});

test('120 receivers that take every call and answer none leave a way for the others', async () => {
  receiver.answer(({ json }, response) => {
    if (json.data.name === 'good') {
      response.writeHead(204).end();
      return;
    }
    held.add(response);
    response.on('close', () => held.delete(response));
  });
  const silent = await Promise.all(Array.from({ length: SILENT }, () => rows.company(receiver.url)));
  for (const company of silent) await rows.event(company);
  await until('half of them to hold a call at once', async () => held.size >= HALF);
  const event = await rows.event(await rows.company(receiver.url), { payload: '\'{"name": "good"}\'' });
  await until('the good one to be called', async () => (await rows.read(event)).delivery_state === 'delivered');
  expect(await rows.read(event)).toMatchObject({ attempts: 1, last_error: null });
});
