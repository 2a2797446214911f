import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { workflowIdOf } from '../../../activities/identity.ts';
import { countEffects, paymentBody } from '../../support/effects.ts';
import { holdInvoice, untilWaiting } from '../../support/held-invoice.ts';
import { untilFinal } from '../../support/persistent.ts';
import { type SystemProcess, startApiProcess } from '../../support/processes.ts';
import { rawHistory, readable } from '../../support/raw-temporal.ts';
import { type System, startSystem } from '../../support/system.ts';

/** The releases that lead from plain payloads to encrypted ones (docs/deploying.md), by what each process has set. */
const RELEASES = {
  before: { PAYLOAD_KEYS: '' },
  accept: { PAYLOAD_ENCRYPTION: 'accept' },
  encrypt: { PAYLOAD_ENCRYPTION: 'encrypt' },
  require: { PAYLOAD_ENCRYPTION: 'require' },
} as const;
type Release = keyof typeof RELEASES;

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

async function start(release: Release, taskQueue: string): Promise<SystemProcess> {
  const { environment } = system;
  const process = await startApiProcess({
    ...environment,
    ...RELEASES[release],
    TEMPORAL_TASK_QUEUE: taskQueue,
    WRITE_GROUPING: 'off',
  });
  onTestFinished(() => process.kill());
  return process;
}

const FORWARD: readonly (readonly [Release, Release])[] = [
  ['before', 'accept'],
  ['accept', 'encrypt'],
  ['encrypt', 'require'],
];
const BACK = FORWARD.map(([from, to]) => [to, from] as const);

test.each([...FORWARD, ...BACK])(
  'an open write of a process with "%s" is found, and finished, by one with "%s"',
  async (one, other) => {
    const taskQueue = `rollout-${randomUUID()}`;
    const [first, second] = await Promise.all([start(one, taskQueue), start(other, taskQueue)]);
    const company = await system.company();
    const invoiceId = await company.invoice();
    const [key, body] = [randomUUID(), paymentBody(invoiceId, 300)];
    const pay = ({ url }: SystemProcess, amount = 300, wait = 20) =>
      company.as('owner', url).post('/api/payments', { ...body, amount }, { key, headers: { prefer: `wait=${wait}` } });

    const held = await holdInvoice(system.owner, invoiceId);
    expect(await pay(first, 300, 1)).toMatchObject({ status: 202 });
    await untilWaiting(system.owner, 1);
    expect(await pay(second, 300, 1)).toMatchObject({ status: 202 });
    expect(await pay(second, 301, 1)).toMatchObject({ status: 422, json: { code: 'idempotency_key_reused' } });
    await first.kill();
    await held.release();
    const { final } = await untilFinal(() => pay(second));
    expect(final).toMatchObject({ status: 201 });
    expect(await pay(second)).toMatchObject({ status: 201, text: final.text, replayed: true });
    const effects = await countEffects(system.owner, { companyId: company.id, table: 'payments', key });
    expect(effects).toMatchObject({ writes: 1, rows: 1, entries: 1, newAudit: 1 });

    const { events } = await rawHistory(system.temporal, workflowIdOf(company.id, key));
    const isPlain = one === 'before' || one === 'accept';
    expect(readable(events[0]).includes(invoiceId)).toBe(isPlain);
  },
);
