import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase } from '../../activities/database.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { reopen } from '../../deploy/operator/write/reopen.ts';
import {
  FIRST_EPOCH,
  GROUP_WORKFLOW_TYPE,
  type GroupItem,
  type GroupResult,
  type RunResult,
  type Trust,
  WRITE_WORKFLOW_TYPE,
  type WriteArguments,
} from '../../workflows/messages.ts';
import { decide, setPolicies } from '../support/approvals.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { expectMissing, expectRefused, untilTrust } from '../support/failover/telling.ts';
import { forgetWrite } from '../support/forget-write.ts';
import { carrierOf } from '../support/groups.ts';
import { until } from '../support/held-invoice.ts';
import { parse, sum } from '../support/metrics-page.ts';
import { keyWorkflow } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

/**
 * A database whose row says that it was verified as another server than it is, as after a restore; the rules of what then
 * goes on are in verification.test.ts, and real restores in test/slow/long/failover-*.test.ts.
 */
let system: System;
let company: Company;
let body: ReturnType<typeof paymentBody>;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company('Restored Ltd');
  body = paymentBody(await company.invoice(), 2_500);
  const { status } = await pay('kept');
  if (status !== 201) throw new Error(`The payment that is kept was answered ${status}`);
  await setPolicies(company, [{ operation: 'createAccount', approverRoles: ['admin'] }]);
  const account = { code: '6100', name: 'Rent', type: 'expense' };
  const asked = await company.api.post('/api/ledger/accounts', account, { key: 'waits' });
  if (asked.status !== 202) throw new Error(`The account that waits for its approval was answered ${asked.status}`);
});
afterAll(() => system?.stop());

const pay = (key: string, prefer = 'wait=20') => company.api.post('/api/payments', body, { key, headers: { prefer } });
const verification = async (): Promise<Trust> =>
  (await system.owner.query('SELECT version, incarnation() AS incarnation, epoch FROM verification')).rows[0];
const comeBackFrom = (incarnation: string) =>
  system.owner.query('UPDATE verification SET incarnation = $1', [incarnation]);
const trusts = async () => {
  const page = parse(await (await fetch(`${system.url}/metrics`)).text());
  return ['trusted', 'verifying', 'replaced'].filter((state) => sum(page, 'database_trust', { state }) === 1);
};

describe('a server that is not the one that was verified', () => {
  test('tells nothing of a key without a row, whatever is asked, and replays the others', async () => {
    await comeBackFrom('1/2/3');
    for (const again of ['at-once', 'later']) {
      expectRefused(await pay(`unknown-${again}`));
      expectRefused(await pay(`unknown-${again}`, 'wait=0'));
      expectRefused(await company.api.get(`/api/writes/unknown-${again}`));
      expectRefused(await company.api.send('POST', '/api/writes/unknown/cancel'));
      for (const answer of await Promise.all(['x', 'y', 'z'].map((key) => pay(key)))) expectRefused(answer);
      expect(await pay('kept')).toMatchObject({ status: 201, replayed: true });
      expect(await company.api.get('/api/writes/kept')).toMatchObject({ status: 200, json: { state: 'succeeded' } });
      await untilTrust(system.url, 'replaced');
    }
    expect(await trusts()).toEqual(['replaced']);
    const { rows } = await system.owner.query('SELECT idempotency_key FROM idempotent_writes WHERE operation = $1', [
      'createPayment',
    ]);
    expect(rows).toEqual([{ idempotency_key: 'kept' }]);
  });

  test('lets no operator reopen a key: that it has no row proves nothing', async () => {
    const database = openDatabase({
      connectionString: ownerUrlOf(system.owner),
      writePoolMax: 1,
      readPoolMax: 1,
      statementTimeoutMs: 10_000,
      applicationName: 'accubooks-operator',
    });
    const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] ?? '';
    const context = { database, temporal: system.temporal, taskQueue, ui: { url: undefined, namespace: 'default' } };
    const reopening = reopen(context, { id: company.id, name: '' }, 'unknown', 'of a test');
    await expect(reopening).rejects.toThrow('The database is not verified');
    await database.close();
  });

  test('is opened by an operator, who is told why it waits', async () => {
    const command = (...options: readonly string[]) =>
      runCommand('deploy/operator/write/main.ts', ['verify', ...options], {
        DATABASE_URL: ownerUrlOf(system.owner),
        TEMPORAL_ADDRESS: system.environment['TEMPORAL_ADDRESS'] ?? '',
        TEMPORAL_TASK_QUEUE: system.environment['TEMPORAL_TASK_QUEUE'] ?? '',
      });
    // It stays with the seal, so nobody opens it without.
    expect(await command('--yes')).toMatchObject({ code: 1, stderr: expect.stringContaining('give a --reason') });
    expect(await trusts()).toEqual(['replaced']);
    expect(await command('--yes', '--operator', 'Ada', '--reason', 'restored by a test')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('It is another database'),
    });
    const { rows } = await system.owner.query(
      'SELECT o.operator, o.reason FROM operator_verifications o JOIN verification USING (epoch)',
    );
    expect(rows).toEqual([{ operator: 'Ada', reason: 'restored by a test' }]);
    // Once it is stated, it stays.
    const again = await command('--operator', 'Bob', '--reason', 'another');
    expect(again).toMatchObject({ code: 0, stdout: 'The database is verified: nothing is missing.\n' });
    await untilTrust(system.url, 'trusted');
    expect(await trusts()).toEqual(['trusted']);
    expect((await verification()).epoch).not.toBe(FIRST_EPOCH);
    expect(await pay('unknown-later')).toMatchObject({ status: 201, replayed: false });
    expect(await pay('kept')).toMatchObject({ status: 201, replayed: true });
  });

  test('has lost no write that waited for its approval meanwhile: nobody had been answered that it was made', async () => {
    expect((await decide(company, 'waits', 'approve')).json).toMatchObject({ state: 'succeeded', status: 201 });
  });
});

/** After the loss above: the epoch is another one than the first. */
describe('what was started', () => {
  const items = (prefix: string): GroupItem[] => {
    const all = [
      ...['1', '2'].map((key) => writeArguments(company, createPayment, body, `${prefix}-${key}`)),
      writeArguments(company, createCustomer, { name: 'Grouped' }, `${prefix}-3`),
    ];
    return all.map((args) => ({ args, workflowId: workflowIdOf(company.id, args.key), summary: args.key }));
  };
  const startGroup = async (
    prefix: string,
    stamp: Trust,
  ): Promise<readonly { index: number; runId: string | null }[]> => {
    const { left }: GroupResult = await system.temporal.workflow.execute(GROUP_WORKFLOW_TYPE, {
      workflowId: `group:${randomUUID()}`,
      taskQueue: system.environment['TEMPORAL_TASK_QUEUE'] ?? '',
      args: [items(prefix), stamp],
    });
    return left;
  };
  const ends = (prefix: string): Promise<RunResult[]> =>
    Promise.all(items(prefix).map(({ args: { key } }) => keyWorkflow(system.temporal, company, key).result()));
  const run = (args: WriteArguments): Promise<RunResult> =>
    system.temporal.workflow.execute(WRITE_WORKFLOW_TYPE, {
      workflowId: workflowIdOf(company.id, args.key),
      taskQueue: system.environment['TEMPORAL_TASK_QUEUE'] ?? '',
      args: [args],
    });

  test('in a group under the version of now is made by the group', async () => {
    expect(await startGroup('grouped', await verification())).toEqual([]);
    expect(await carrierOf(system.owner, company, 'grouped-1')).toMatch(/^group:/);
  });

  test('in a group under another version leaves it, and is made in a run of its own', async () => {
    const left = await startGroup('stale', { ...(await verification()), version: randomUUID() });
    expect(left).toEqual([0, 1, 2].map((index) => ({ index, runId: expect.any(String) })));
    expect(await ends('stale')).toEqual(
      [0, 1, 2].map(() => expect.objectContaining({ outcome: 'succeeded', first: true })),
    );
    for (const { args, workflowId } of items('stale')) {
      expect(await carrierOf(system.owner, company, args.key)).toBe(workflowId);
    }
  });

  test('in a group of before the loss leaves it, and is lost', async () => {
    const left = await startGroup('early', { ...(await verification()), epoch: FIRST_EPOCH });
    expect(left.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(await ends('early')).toMatchObject([0, 1, 2].map(() => ({ outcome: 'lost', statusCode: 500 })));
    expectMissing(await pay('early-1'));
    expect(await company.api.get('/api/writes/early-1')).toMatchObject({ json: { state: 'lost' } });
  });

  test.each(['stamped', 'unstamped'])(
    'before the loss, %s, is lost without a row, and is answered from a row',
    async (how) => {
      const stamp = how === 'stamped' ? { stamp: { ...(await verification()), epoch: FIRST_EPOCH } } : {};
      const of = (key: string) => ({ ...writeArguments(company, createPayment, body, key), ...stamp });
      expect(await run(of(`gone-${how}`))).toMatchObject({ outcome: 'lost', statusCode: 500 });
      expectMissing(await pay(`gone-${how}`));
      const { key } = items('stale')[how === 'stamped' ? 0 : 1]?.args ?? { key: '' };
      expect(await run(of(key))).toMatchObject({ outcome: 'succeeded', first: false });
      const other = writeArguments(company, createPayment, { ...body, amount: body.amount + 1 }, key);
      expect(await run({ ...other, ...stamp })).toMatchObject({ outcome: 'mismatch' });
    },
  );
});

describe('a server that was started again', () => {
  const restart = async () => {
    const { version, incarnation } = await verification();
    const [cluster, , database] = incarnation.split('/');
    await comeBackFrom(`${cluster}/1/${database}`);
    return version;
  };

  test('goes on by itself within seconds, and nothing is lost', async () => {
    const before = await restart();
    expectRefused(await pay('after-a-restart'));
    await until('the server to go on', async () => (await verification()).version !== before);
    await untilTrust(system.url, 'trusted');
    expect(await pay('after-a-restart')).toMatchObject({ status: 201, replayed: false });
    expect(await pay('kept')).toMatchObject({ status: 201, replayed: true });
  });

  test('and has no longer what a process has answered waits for an operator', async () => {
    await forgetWrite(system.owner, company, 'kept');
    const version = await restart();
    await untilTrust(system.url, 'replaced');
    const { rows } = await system.owner.query('SELECT version, replaced FROM verification');
    // It has not gone on in between.
    expect(rows).toEqual([{ version, replaced: 'A row is missing that a process has answered with' }]);
    expectRefused(await pay('kept'));
  });
});
