import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../support/held-invoice.ts';
import { type OutboxRows, outboxRows } from '../support/outbox.ts';
import { startReceiver } from '../support/receiver.ts';
import { startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

const SILENT = 200;
/** Each of them is called again as soon as its call is given up, so nearly all hold one at any time. */
const NEARLY_ALL = 150;
const AT_ONCE = { delaysMs: Array.from({ length: 1_000 }, () => 10), giveUpAfterMs: 3_600_000 };

let system: System;
let relay: Awaited<ReturnType<typeof startRelay>>;
let rows: OutboxRows;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
beforeAll(async () => {
  [system, receiver] = [await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } }), await startReceiver()];
  rows = await outboxRows(system.owner);
  relay = await startRelay(system, AT_ONCE);
});
afterAll(async () => {
  // So that no call is still waiting.
  receiver.answer((_call, response) => void response.writeHead(410).end());
  await receiver.close();
  await relay.close();
  await system.stop();
});

test('200 receivers that take every call and answer none leave a way for the others', async () => {
  let held = 0;
  receiver.answer(({ json }, response) => {
    if (json.data.name === 'good') {
      response.writeHead(204).end();
      return;
    }
    held += 1;
    response.on('close', () => {
      held -= 1;
    });
  });
  const silent = await Promise.all(Array.from({ length: SILENT }, () => rows.company(receiver.url)));
  for (const company of silent) await rows.event(company);
  await until('nearly all of them to hold a call at once', async () => held >= NEARLY_ALL, 60_000);
  const event = await rows.event(await rows.company(receiver.url), { payload: '\'{"name": "good"}\'' });
  await until('the good one to be called', async () => (await rows.read(event)).delivery_state === 'delivered', 60_000);
  expect(await rows.read(event)).toMatchObject({ attempts: 1, last_error: null });
});
