import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { TransientFailure } from '../../activities/failures.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { startGroups } from '../support/groups.ts';
import { holdInvoice, until, untilWaiting } from '../support/held-invoice.ts';
import { holdKeys } from '../support/held-keys.ts';
import { oneByOne } from '../support/one-by-one.ts';
import { type System, startSystem } from '../support/system.ts';

const STUCK = 30;
const OTHERS = 20;
/** Beside cancels, which wait for six seconds: on a busy machine without groups, more would take as long. */
const FEW = 8;
/** The worker runs 200 workflows at once. */
const ACCEPTED = 240;
const AT_ONCE = 20;
const POOL = 8;
/** Of the connections, those that a stuck company holds at most. */
const SHARE = POOL / 4;
/** A lock is waited for half as long, which is longer than the other company waits for its answers. */
const ENVIRONMENT = { DATABASE_POOL_MAX: String(POOL), STATEMENT_TIMEOUT_MS: '120000' };

describe.each(inForm({ short: ['on'], long: ['on', 'off'] }))(
  'a company whose invoice is locked, grouping %s,',
  (grouping) => {
    let system: System;
    let [stuck, other]: Company[] = [];
    beforeAll(async () => {
      system = await startSystem({ environment: { ...ENVIRONMENT, WRITE_GROUPING: grouping } });
      [stuck, other] = await Promise.all([system.company(), system.company()]);
    });
    afterAll(() => system.stop());

    const pay = (company: Company, invoiceId: string, count: number, wait: number, name = 'payment') =>
      Array.from({ length: count }, (_, index) =>
        company.api.post('/api/payments', paymentBody(invoiceId, 1), {
          key: `${name}-${index}`,
          headers: { prefer: `wait=${wait}` },
        }),
      );

    test('does not stop another company', async () => {
      if (stuck === undefined || other === undefined) throw new Error('Bug! A company is missing');
      const held = await holdInvoice(system.owner, await stuck.invoice());
      const [invoiceId, othersInvoice] = [await invoiceOf(stuck), await other.invoice()];
      let answered = 0;
      const waiting = pay(stuck, invoiceId, STUCK, 60).map(async (sent) => {
        const answer = await sent;
        answered += 1;
        return answer;
      });
      await untilWaiting(system.owner, SHARE);
      const answers = await Promise.all(pay(other, othersInvoice, OTHERS, 30));
      expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: OTHERS }, () => 201));
      expect(answered).toBe(0);
      await held.release();
      expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual(
        Array.from({ length: STUCK }, () => 201),
      );
    });

    test('does not stop another company with its cancels', async () => {
      if (stuck === undefined || other === undefined) throw new Error('Bug! A company is missing');
      const othersInvoice = await other.invoice();
      const { release } = await holdKeys(system.owner, {
        companyId: stuck.id,
        userId: stuck.users.owner.id,
        keys: ['held'],
      });
      let answered = 0;
      const waiting = Array.from({ length: 2 * POOL }, async () => {
        const { status, json } = (await stuck?.api.send('POST', '/api/writes/held/cancel')) ?? {};
        answered += 1;
        return json.state ?? `${status} ${json.code}`;
      });
      await untilWaiting(system.owner, SHARE);
      const answers = await Promise.all(pay(other, othersInvoice, FEW, 45, 'uncancelled'));
      expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: FEW }, () => 201));
      expect(answered).toBeLessThan(waiting.length);
      await release();
      expect(new Set(await Promise.all(waiting))).toEqual(new Set(['cancelled']));
    });

    // Each of them has a run of its own, whatever the grouping.
    test.each(inForm({ short: [], long: grouping === 'on' ? [ACCEPTED] : [] }))(
      'does not stop another company with %i accepted writes, more than the worker has slots',
      async () => {
        if (stuck === undefined || other === undefined) throw new Error('Bug! A company is missing');
        const [invoiceId, othersInvoice] = [await stuck.invoice(), await other.invoice()];
        const held = await holdInvoice(system.owner, invoiceId);
        for (let sent = 0; sent < ACCEPTED; sent += AT_ONCE) {
          await Promise.all(
            Array.from({ length: AT_ONCE }, (_, index) => accepted(stuck, invoiceId, `accepted-${sent + index}`)),
          );
        }
        const answers = await Promise.all(pay(other, othersInvoice, OTHERS, 45, 'beside'));
        expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: OTHERS }, () => 201));
        await held.release();
      },
    );

    async function accepted(company: Company | undefined, invoiceId: string, key: string): Promise<void> {
      const headers = { prefer: 'respond-async' };
      await until(`${key} to be accepted`, async () => {
        const answer = await company?.api.post('/api/payments', paymentBody(invoiceId, 1), { key, headers });
        return answer?.status === 202;
      });
    }

    async function invoiceOf(company: Company): Promise<string> {
      const { rows } = await system.owner.query('SELECT id FROM invoices WHERE company_id = $1', [company.id]);
      return rows[0].id;
    }
  },
);

test('companies that wait for locks do not delay the writes of another one’s set, which failed for a reason of its own', async () => {
  const groups = await startGroups();
  const failing = () => Promise.reject(new Error('A fault of the test'));
  const operations = OPERATIONS.map((operation) =>
    operation.name === 'createCustomer' && operation.set !== undefined
      ? { ...operation, set: { ...operation.set, load: failing } }
      : operation,
  );
  const system = await startSystem({ environment: { ...ENVIRONMENT, ...groups.environment }, operations });
  onTestFinished(async () => {
    await system.stop();
    await groups.close();
  });
  const [other, ...stuck] = await Promise.all([system.company(), system.company(), system.company()]);
  const waiting: Promise<unknown>[] = [];
  for (const company of stuck) {
    const invoiceId = await company.invoice();
    await holdInvoice(system.owner, invoiceId);
    for (let count = 0; count < SHARE; count += 1) {
      waiting.push(company.api.post('/api/payments', paymentBody(invoiceId, 1), { headers: { prefer: 'wait=1' } }));
    }
  }
  await untilWaiting(system.owner, stuck.length * SHARE);
  const sent = await groups.together(system.url, other, () =>
    ['one', 'two', 'three'].map((name) =>
      other.api.post('/api/customers', { name }, { key: name, headers: { prefer: 'wait=4' } }),
    ),
  );
  const answers = await Promise.all(sent);
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
  await Promise.all(waiting);
});

test('companies that wait for locks do not delay the second attempt of another one', async () => {
  let failures = 0;
  const operations = OPERATIONS.map((operation) => {
    if (operation.name !== 'createCustomer') return operation;
    const alone = oneByOne(operation);
    const write: typeof alone.write = (...given) => {
      failures += 1;
      if (failures === 1) throw new TransientFailure('A fault of the test', { mayHaveCommitted: false });
      return alone.write(...given);
    };
    return { ...alone, write };
  });
  const system = await startSystem({ environment: ENVIRONMENT, operations });
  onTestFinished(() => system.stop());
  const [other, ...stuck] = await Promise.all([system.company(), system.company(), system.company()]);
  const waiting: Promise<unknown>[] = [];
  for (const company of stuck) {
    const invoiceId = await company.invoice();
    await holdInvoice(system.owner, invoiceId);
    for (let count = 0; count < SHARE; count += 1) {
      waiting.push(company.api.post('/api/payments', paymentBody(invoiceId, 1), { headers: { prefer: 'wait=1' } }));
    }
  }
  await untilWaiting(system.owner, stuck.length * SHARE);
  const answer = await other.api.post('/api/customers', { name: 'x' }, { headers: { prefer: 'wait=4' } });
  expect([answer.status, failures]).toEqual([201, 2]);
  await Promise.all(waiting);
});
