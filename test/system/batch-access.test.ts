import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROLES, type Role } from '../../activities/roles.ts';
import { type BatchAnswer, batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { employeeBody, hire, payRunBody } from '../support/payroll.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let other: Company;
beforeAll(async () => {
  system = await startSystem();
  [company, other] = [await system.company(), await system.company()];
});
afterAll(() => system.stop());

const as = (role: Role, of = company) => batchClient(system, of, of.users[role].token);

const ACTIONS = ['pause', 'resume', 'cancel', 'retry-failed'] as const;
const READERS_OF_PAYROLL: readonly Role[] = ['owner', 'admin', 'accountant', 'auditor'];

/** What is said of a key, whichever it is, and in whichever request. */
function words({ status, text }: BatchAnswer, key: string): readonly [number, string] {
  return [status, text.replaceAll(key, 'KEY').replace(/"requestId":"[^"]*"/, '"requestId":"…"')];
}

describe('a file', () => {
  test('is sent by those who may send its writes, and is not even read of others', async () => {
    for (const role of ROLES) {
      const sendsPayRuns = ['owner', 'admin', 'accountant'].includes(role);
      const named = await as(role).send(ndjson([{ body: payRunBody() }]), {
        operation: 'createPayRun',
        key: `n-${role}`,
      });
      expect([role, named.status, named.json.code]).toEqual([
        role,
        ...(sendsPayRuns ? [202, undefined] : [403, 'forbidden']),
      ]);
      const sendsSomething = !['auditor', 'employee', 'customer', 'user'].includes(role);
      for (const validateOnly of [true, false]) {
        const sending = { key: `o-${role}`, validateOnly };
        const { status, json } = await as(role).send('no row of it can be read', sending);
        const told = sendsSomething ? [validateOnly ? 200 : 202, undefined] : [403, 'forbidden'];
        expect([role, validateOnly, status, json.code]).toEqual([role, validateOnly, ...told]);
      }
    }
    const { rows } = await system.owner.query(
      'SELECT count(*)::int AS chunks FROM batch_chunks WHERE company_id = $1',
      [company.id],
    );
    expect(rows).toEqual([{ chunks: 3 + 5 }]);
  });

  test('takes one token of the rate limit, however many rows it has', async () => {
    const environment = { RATE_LIMIT_PER_SECOND: '1', RATE_LIMIT_BURST: '2' };
    const limited = batchClient(await system.another({ environment }), await system.company());
    const rows = ndjson(Array.from({ length: 20 }, () => ({ body: payRunBody() })));
    const send = async () => (await limited.send(rows, { operation: 'createPayRun', key: randomUUID() })).status;
    expect([await send(), await send()]).toEqual([202, 202]);
    expect(await Promise.all(Array.from({ length: 30 }, send))).toContain(429);
  });

  test('of nothing that may be written is told to its sender and to those who may read all', async () => {
    await as('manager').send('{"operation":"createNothing","body":{}}', { key: 'nothing' });
    for (const role of ROLES) {
      const told = [...READERS_OF_PAYROLL, 'manager'].includes(role) ? 200 : 404;
      expect([role, (await as(role).status('nothing')).status]).toEqual([role, told]);
      const results = await as(role).call('/api/batches/nothing/results');
      expect([role, results.status]).toEqual([role, told]);
    }
    const listed = await as('inventory_manager').call('/api/batches');
    expect(listed.json.items.map(({ key }: { key: string }) => key)).not.toContain('nothing');
  });

  test('that was cancelled does not show the writes that have taken its keys since', async () => {
    await hire(company);
    const file = ndjson([{ key: 'guessed', body: { sku: 'a', name: 'Lamp', currency: 'USD' } }]);
    await as('inventory_manager').send(file, { operation: 'createInventoryItem', key: 'fishing' });
    expect((await as('inventory_manager').control('fishing', 'cancel')).json.state).toBe('cancelled');
    await company.api.created('/api/payroll/pay-runs', payRunBody(), { key: 'guessed' });
    expect(await as('inventory_manager').results('fishing')).toEqual([
      { row: 1, key: 'guessed', outcome: 'cancelled', status: null, resource: null, problem: null },
    ]);
  });
});

describe('a batch of pay runs', () => {
  let worker: Awaited<ReturnType<typeof startBatchWorker>>;
  const KEY = 'payroll-of-march';
  const SALARIES = 'salaries-of-march';
  const payRuns = ndjson([
    { key: 'run-3', body: payRunBody({ periodNumber: 3 }) },
    { key: 'weekly-run', body: payRunBody({ payFrequency: 'weekly' }) },
  ]);
  beforeAll(async () => {
    worker = await startBatchWorker(system);
    await hire(company);
    await as('accountant').send(payRuns, { operation: 'createPayRun', key: KEY });
    expect((await as('accountant').over(KEY)).json.counts).toMatchObject({ succeeded: 1, rejected: 1 });
    const employees = ndjson([{ body: employeeBody() }, { body: { firstName: 'No one' } }]);
    await as('manager').send(employees, { operation: 'createEmployee', key: SALARIES });
    expect((await as('manager').over(SALARIES)).json.counts).toMatchObject({ succeeded: 1, refused: 1 });
  });
  afterAll(() => worker.close());

  test.each(ROLES)('is read, as are its rows, by who may read pay runs: %s', async (role) => {
    const may = READERS_OF_PAYROLL.includes(role);
    expect((await as(role).status(KEY)).status).toBe(may ? 200 : 404);
    const results = await as(role).call(`/api/batches/${KEY}/results`);
    expect([results.status, results.text.includes('payslips')]).toEqual(may ? [200, true] : [404, false]);
    const list = await as(role).call('/api/batches?limit=200');
    const mayList = may || ['manager', 'inventory_manager'].includes(role);
    expect(list.status).toBe(mayList ? 200 : 403);
    const keys = (list.json.items ?? []).map(({ key }: { key: string }) => key);
    expect(keys.includes(KEY)).toBe(may);
    expect(keys.includes(SALARIES)).toBe(may || role === 'manager');
  });

  test('is not there for anyone else: the same words as of a key that nobody has used', async () => {
    const asked = (client: ReturnType<typeof batchClient>, key: string) => [
      client.status(key),
      client.call(`/api/batches/${key}/results`),
      ...ACTIONS.map((action) => client.control(key, action)),
    ];
    for (const client of [as('manager'), as('inventory_manager'), as('user'), as('owner', other)]) {
      const none = await Promise.all(asked(client, 'never-sent'));
      const hidden = await Promise.all(asked(client, KEY));
      expect(hidden.map((answer) => words(answer, KEY))).toEqual(none.map((answer) => words(answer, 'never-sent')));
      expect(none.map(({ status, json }) => [status, json.code])).toEqual(none.map(() => [404, 'batch_not_found']));
    }
    const listed = await as('owner', other).call('/api/batches');
    expect(listed.json).toEqual({ items: [], nextCursor: null });
  });

  test('tells nobody else by another file, or by the same one, what is in it', async () => {
    const stock = ndjson([{ body: { sku: 'b', name: 'Lamp', currency: 'USD' } }]);
    const guesses = [
      [stock, 'createInventoryItem'],
      [payRuns, undefined],
      [`${payRuns}${payRuns}`, undefined],
    ] as const;
    const answers = new Set<string>();
    for (const [file, operation] of guesses) {
      const sending = { key: KEY, ...(operation === undefined ? {} : { operation }) };
      const answer = await as('inventory_manager').send(file, sending);
      expect([answer.status, answer.json.code, answer.json.errors]).toEqual([422, 'idempotency_key_reused', undefined]);
      answers.add(words(answer, KEY)[1]);
    }
    expect(answers.size).toBe(1);
    const [first, second] = payRuns.split('\n');
    const changed = await as('admin').send(`${first}\n${second?.replace('2026-01-30', '2026-01-31')}`, {
      operation: 'createPayRun',
      key: KEY,
    });
    expect(changed.json).toMatchObject({ code: 'idempotency_key_reused', errors: [{ in: 'body', row: 2 }] });
    // To whoever may send these writes a repeat is a repeat, as for one write.
    const again = await as('admin').send(payRuns, { operation: 'createPayRun', key: KEY });
    expect([again.status, again.replayed]).toEqual([202, true]);
  });

  test('in another company, the key is free', async () => {
    const sent = await as('owner', other).send(payRuns, { operation: 'createPayRun', key: KEY });
    expect([sent.status, sent.replayed]).toEqual([202, false]);
    expect(sent.json.id).not.toBe((await as('owner').status(KEY)).json.id);
    expect((await as('owner', other).over(KEY)).json.counts).toMatchObject({ rejected: 2 });
  });

  test('is controlled by owners, admins and who has sent it', async () => {
    for (const role of READERS_OF_PAYROLL) {
      const { status, json } = await as(role).control(KEY, 'resume');
      const told = role === 'auditor' ? [403, 'forbidden'] : [409, 'batch_state_conflict'];
      expect([role, status, json.code]).toEqual([role, ...told]);
    }
    expect((await as('accountant').control(SALARIES, 'retry-failed')).json.code).toBe('forbidden');
    expect((await as('manager').control(SALARIES, 'retry-failed')).status).toBe(200);
    await as('manager').over(SALARIES);
  });

  test('whose sender has lost the role is still theirs, and neither its rows nor its errors nor its control', async () => {
    const { id, token } = company.users.accountant;
    const sender = batchClient(system, company, token);
    const setRoles = (roles: string[]) =>
      system.owner.query('UPDATE memberships SET roles = $3 WHERE company_id = $1 AND user_id = $2', [
        company.id,
        id,
        roles,
      ]);
    await setRoles(['inventory_manager']);
    const batch = await sender.status(KEY);
    expect([batch.status, batch.json.counts.rejected, batch.json.errors]).toEqual([200, 1, []]);
    const answer = await sender.call(`/api/batches/${KEY}/results`);
    expect([answer.status, answer.json.code]).toEqual([403, 'forbidden']);
    expect((await sender.control(KEY, 'retry-failed')).json.code).toBe('forbidden');
    const listed = (await sender.call('/api/batches')).json.items.find(({ key }: { key: string }) => key === KEY);
    expect(listed).toMatchObject({ key: KEY, state: 'completed' });
    expect(JSON.stringify(listed)).not.toContain('weekly-run');
    await setRoles(['accountant']);
  });

  test('leaves a row in the security log of each who has read its rows or its errors, and of each who was refused', async () => {
    const rowsOf = async (filter: string, passes: (row: Record<string, string>) => boolean) => {
      let found: Record<string, string>[] = [];
      await until(`rows of ${filter}`, async () => {
        const { json } = await company.as('owner').get(`/api/security-log?limit=200&${filter}`);
        found = json.items.filter(passes);
        return found.length > 0;
      });
      return found;
    };
    const { auditor, admin } = company.users;
    await as('auditor').results(KEY);
    const read = await rowsOf(`event=payroll_read&userId=${auditor.id}`, ({ action }) => /results/.test(action ?? ''));
    expect(read[0]).toMatchObject({
      reason: 'batch',
      action: 'GET /api/batches/:key/results',
      details: { batch: KEY },
    });
    await as('admin').status(KEY);
    const told = await rowsOf(
      `event=payroll_read&userId=${admin.id}`,
      ({ action }) => action === 'GET /api/batches/:key',
    );
    expect(told[0]).toMatchObject({ reason: 'batch', details: { batch: KEY } });
    await as('auditor').control(KEY, 'cancel');
    const refused = await rowsOf(`event=access_refused&userId=${auditor.id}`, ({ action }) =>
      /cancel/.test(action ?? ''),
    );
    expect(refused[0]).toMatchObject({ reason: 'forbidden', action: 'POST /api/batches/:key/cancel' });
  });
});
