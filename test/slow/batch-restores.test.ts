import { expect, onTestFinished, test } from 'vitest';
import { batchClient, ndjson } from '../support/batches.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { toBaseBackup } from '../support/failover/losses.ts';
import { startFailoverSystem } from '../support/failover/system.ts';
import { untilTrust, verify } from '../support/failover/telling.ts';
import { holdInvoice, until } from '../support/held-invoice.ts';

/** Groups are not started until the runs of keys have been listed, a minute after an operator has opened the database. */
const LIMIT_MS = 600_000;
const CHUNK = 500;

async function start() {
  const system = await startFailoverSystem();
  onTestFinished(system.stop);
  const { servers, url, company, owner } = system;
  const api = batchClient({ url }, company);
  return {
    api,
    company,
    owner,
    invoice: () => company.invoice(),
    made: (table: string) => countEffects(owner, { companyId: company.id, table }),
    async beforeLoss() {
      const comeBack = await toBaseBackup(servers);
      return async () => {
        await servers.replaceBy(await comeBack());
        await untilTrust(url, 'replaced');
        expect(await verify(servers, '--yes')).toMatchObject({ code: 0 });
        await untilTrust(url, 'trusted');
      };
    },
  };
}

const customers = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    operation: 'createCustomer',
    body: { name: `Customer ${index + 1}`, currency: 'USD' },
  }));

test(
  'of a batch that a restore has taken, no row is made again, and each is told',
  async () => {
    const { api, owner, invoice, made, beforeLoss } = await start();
    const invoiceId = await invoice();
    const restore = await beforeLoss();
    const file = ndjson(customers(CHUNK + 100));
    await api.send(file, { key: 'written' });
    expect((await api.over('written')).json.counts.succeeded).toBe(CHUNK + 100);
    // One whose row waits, and one behind it that has begun nothing; their workflows stay open.
    await holdInvoice(owner, invoiceId);
    const begun = ndjson([{ operation: 'createPayment', body: paymentBody(invoiceId) }]);
    await api.send(begun, { key: 'begun' });
    await until('it to begin', async () => (await api.status('begun')).json.state === 'running');
    const waiting = ndjson(customers(3));
    await api.send(waiting, { key: 'waiting' });
    expect((await api.status('waiting')).json.state).toBe('queued');

    await restore();
    for (const key of ['written', 'begun', 'waiting']) expect((await api.status(key)).status).toBe(404);
    expect((await made('customers')).rows).toBe(1);
    const again = await api.send(file, { key: 'written' });
    expect([again.status, again.replayed]).toEqual([202, false]);
    expect((await api.over('written')).json).toMatchObject({
      counts: { succeeded: 0, failed: CHUNK + 100 },
      errors: Array.from({ length: 20 }, () => ({ status: 500, code: 'write_record_missing' })),
    });
    const results = await api.results('written');
    expect(new Set(results.map(({ outcome, problem }) => `${outcome} ${problem.code}`))).toEqual(
      new Set(['failed write_record_missing']),
    );
    expect((await made('customers')).rows).toBe(1);
    await api.send(waiting, { key: 'waiting' });
    expect((await api.over('waiting')).json.counts).toMatchObject({ succeeded: 3, failed: 0 });
    expect(await made('customers')).toMatchObject({ rows: 4, failedAudit: CHUNK + 101 });
  },
  LIMIT_MS,
);

test(
  'a batch that a restore has set back into its middle goes on by itself, and what was lost since is told',
  async () => {
    const { api, owner, invoice, made, beforeLoss } = await start();
    const held = [await invoice(), await invoice()];
    const locks = [];
    for (const invoiceId of held) locks.push(await holdInvoice(owner, invoiceId));
    const rows: object[] = customers(2 * CHUNK + 100);
    held.forEach((invoiceId, index) => {
      rows[index * CHUNK] = { operation: 'createPayment', body: paymentBody(invoiceId) };
    });
    await api.send(ndjson(rows), { key: 'middle' });
    const counts = async () => (await api.status('middle')).json.counts;
    await until('the others to be written', async () => (await counts()).succeeded === 2 * CHUNK - 2);
    const restore = await beforeLoss();
    for (const lock of locks) await lock.release();
    expect((await api.over('middle')).json.counts.succeeded).toBe(2 * CHUNK + 100);

    await restore();
    expect(['running', 'completed']).toContain((await api.status('middle')).json.state);
    const done = await api.over('middle');
    expect(done.json.counts).toMatchObject({ succeeded: 2 * CHUNK - 2, failed: 102, pending: 0 });
    expect(done.json.errors[0]).toMatchObject({ row: 1, status: 500, code: 'write_record_missing' });
    expect(await made('payments')).toMatchObject({ rows: 0 });
    const results = await api.results('middle');
    expect(results.filter(({ outcome }) => outcome === 'succeeded').every(({ status }) => status === 201)).toBe(true);
    expect((await api.send(ndjson(rows), { key: 'middle' })).json.state).toBe('completed');
  },
  LIMIT_MS,
);
