import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type Database, openDatabase } from '../../activities/database.ts';
import { TransientFailure } from '../../activities/failures.ts';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { adviseOn } from '../../deploy/operator/write/advice.ts';
import { findCompany, type OperatorContext } from '../../deploy/operator/write/context.ts';
import { readFacts, STATES, type WriteFacts } from '../../deploy/operator/write/facts.ts';
import { reopen } from '../../deploy/operator/write/reopen.ts';
import { factsText } from '../../deploy/operator/write/text.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { forgetWrite } from '../support/forget-write.ts';
import { type Groups, startGroups } from '../support/groups.ts';
import { holdInvoice, until, untilWaiting } from '../support/held-invoice.ts';
import { oneByOne } from '../support/one-by-one.ts';
import { expectOneStory } from '../support/one-story.ts';
import { startProxy, targetOf } from '../support/proxy.ts';
import { countRuns, keyWorkflow, statusOf } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

/** Customers of the one name meet a bug, those of the other, for a while, what another attempt may mend. */
let busy = false;
const withBug: Operation = {
  ...oneByOne(createCustomer),
  async write(tx, input, context) {
    if (input.body['name'] === 'bug') throw new TypeError('A bug of the test');
    if (busy && input.body['name'] === 'busy') throw new TransientFailure('Of the test', { mayHaveCommitted: false });
    return createCustomer.write(tx, input, context);
  },
};

let groups: Groups;
let system: System;
let company: Company;
let database: Database;
let context: OperatorContext;
beforeAll(async () => {
  groups = await startGroups();
  system = await startSystem({
    // What is held here is held for longer than the lock time-out allows.
    environment: { ...groups.environment, STATEMENT_TIMEOUT_MS: '60000' },
    operations: OPERATIONS.map((operation) => (operation === createCustomer ? withBug : operation)),
  });
  company = await system.company('Operated Ltd');
  database = openDatabase({
    connectionString: ownerUrlOf(system.owner),
    writePoolMax: 1,
    readPoolMax: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'accubooks-operator',
  });
  context = {
    database,
    temporal: system.temporal,
    taskQueue: system.environment['TEMPORAL_TASK_QUEUE'] ?? '',
    ui: { url: 'http://temporal.test', namespace: 'default' },
  };
});
afterAll(async () => {
  await database.close();
  await system.stop();
  await groups.close();
});

const owner = () => ({ id: company.id, name: 'Operated Ltd' });
const pay = (body: unknown, key: string) =>
  company.api.post('/api/payments', body, { key, headers: { prefer: 'wait=60', 'x-request-id': `request-${key}` } });
const customer = (name: string, key: string) =>
  company.api.post('/api/customers', { name }, { key, headers: { prefer: 'wait=60' } });
const closed = (key: string) =>
  until(`${key} to close`, async () => (await statusOf(system.temporal, company, key)) === 'COMPLETED');
/** But for the link to Temporal's UI, of which the API of the test knows no address. */
async function expectToldAsByApi({ key, write }: WriteFacts): Promise<void> {
  const { json } = await company.api.get(`/api/writes/${key}`);
  expect(write).toEqual({ ...json, workflow: { ...json.workflow, url: write?.workflow?.url } });
}
const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });
const once = { writes: 1, rows: 1, entries: 1, events: 1 };

async function shown(
  key: string,
  at: OperatorContext = context,
): Promise<WriteFacts & { advice: string; text: string }> {
  const facts = await readFacts(at, owner(), key);
  const advice = adviseOn(facts, Date.now());
  expect(advice.length).toBeGreaterThan(0);
  return { ...facts, advice: advice.join('\n'), text: factsText(facts, advice) };
}

describe('what an operator is shown of a write', () => {
  test('that succeeded: its row, its run, each audit row, its event, and the same story as the API tells', async () => {
    const body = paymentBody(await company.invoice());
    await pay(body, 'paid');
    await pay(body, 'paid');
    await pay({ ...body, amount: 99 }, 'paid');
    await closed('paid');
    const facts = await shown('paid');
    expect(facts).toMatchObject({
      state: 'succeeded',
      row: { outcome: 'succeeded', statusCode: 201, errorCode: null },
      run: { state: 'completed', end: 'completed' },
      event: { kind: 'payment.created', delivery: 'none' },
    });
    expect(facts.audit.map(({ status, errorCode }) => errorCode ?? status)).toEqual([
      'new',
      'replayed',
      'idempotency_key_reused',
    ]);
    await expectToldAsByApi(facts);
    expect(facts.advice).toMatch(/Nothing needs to be done[\s\S]*other content .*: 1\./);
    expect(facts.text).toContain('request-paid');
  });

  test('that was refused, and one whose key was cancelled', async () => {
    await pay(paymentBody(await company.invoice(), 10_000_000), 'refused');
    const refused = await shown('refused');
    expect(refused).toMatchObject({ state: 'rejected', row: { errorCode: 'payment_exceeds_outstanding' } });
    expect(refused.advice).toContain('with a new key');
    await company.api.send('POST', '/api/writes/cancelled/cancel');
    expect(await shown('cancelled')).toMatchObject({
      state: 'cancelled',
      advice: expect.stringContaining('never will'),
    });
  });

  test('that runs, and since when', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const waiting = pay(body, 'running');
    await untilWaiting(system.owner, 1);
    const facts = await readFacts(context, owner(), 'running');
    expect(facts).toMatchObject({ state: 'running', row: null, run: { state: 'running', end: null } });
    expect(adviseOn(facts, Date.now())[0]).toContain('Look again in a moment');
    const later = adviseOn(facts, Date.now() + 600_000).join('\n');
    expect(later).toMatch(/It has run for 6\d\d s.*WritesStuck[\s\S]*Terminating the run in Temporal is safe/);
    await held.release();
    expect((await waiting).status).toBe(201);
  });

  test('whose attempts fail: how many and when, the same story as the API tells', async () => {
    busy = true;
    const headers = { prefer: 'respond-async' };
    await company.api.post('/api/customers', { name: 'busy' }, { key: 'attempted', headers });
    // Temporal knows of those whose backoff is a timer. Three seconds are between the sixth and the seventh.
    await until('the attempts to be told', async () => ((await shown('attempted')).run?.failedAttempts ?? 0) > 5);
    const facts = await shown('attempted');
    const { run, write } = facts;
    const told = write?.timeline.find(({ kind }) => kind === 'attempt_failed');
    expect(told?.detail).toBe(`${run?.failedAttempts} attempts failed and were rolled back`);
    expect(Date.parse(told?.at ?? '') - Date.parse(run?.startedAt ?? '')).toBeGreaterThan(3_000);
    await expectToldAsByApi(facts);
    busy = false;
  });

  test('whose run failed, and why; and one whose run was ended by hand', async () => {
    expect((await customer('bug', 'failed')).json.code).toBe('write_failed');
    const failed = await shown('failed');
    expect(failed).toMatchObject({
      state: 'failed',
      run: { end: expect.stringContaining('failed (Bug): createCustomer failed') },
      audit: [{ status: 'failed', errorCode: 'write_failed', errorMessage: 'TypeError' }],
    });
    expect(failed.advice).toContain('send the same key again');
    await expectToldAsByApi(failed);

    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const waiting = pay(body, 'ended');
    await untilWaiting(system.owner, 1);
    await keyWorkflow(system.temporal, company, 'ended').terminate('by an impatient hand');
    expect((await waiting).json.code).toBe('outcome_unknown');
    const ended = await shown('ended');
    expect(ended.state).toBe('unknown');
    await expectToldAsByApi(ended);
    expect(ended.advice).toMatch(/terminated by .*: by an impatient hand[\s\S]*Do not use a new key/);
    await held.release();
  });

  test('that travels in a group, and that one has made', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const sent = await groups.together(system.url, company, () => [
      pay(body, 'grouped-held'),
      ...Array.from({ length: 4 }, (_, index) => customer('Grouped', `grouped-${index}`)),
    ]);
    let travelling: WriteFacts | undefined;
    await until('the group to be listed', async () => {
      travelling = await readFacts(context, owner(), 'grouped-held');
      return travelling.state === 'travelling';
    });
    expect(travelling).toMatchObject({ row: null, run: null, group: { status: 'RUNNING' } });
    await held.release();
    await Promise.all(sent);
    const made = await shown('grouped-0');
    expect(made).toMatchObject({ state: 'succeeded', run: null, group: { workflowId: made.row?.workflowId } });
    expect(made.text).toMatch(/group +group:\S+ \w+, \d+ writes of one company/);
  });

  test('that was never seen, in whatever company', async () => {
    const never = await shown('Paid');
    expect(never).toMatchObject({ state: 'never_seen', write: null, row: null, run: null, audit: [] });
    expect(never.advice).toContain('the spelling and the case');
    const other = await system.company();
    expect(await readFacts(context, { id: other.id, name: 'Other' }, 'paid')).toMatchObject({ state: 'never_seen' });
  });

  test('with Temporal away: the row stands, and what only Temporal knows is not made up', async () => {
    const away = { ...context, temporal: { unavailable: 'Temporal cannot be reached.' } };
    expect(await shown('refused', away)).toMatchObject({ state: 'rejected', temporalAway: expect.any(String) });
    expect(await shown('failed', away)).toMatchObject({ state: 'failed' });
    expect((await shown('nothing', away)).advice).toContain('Look again when Temporal is back');
  });

  test('with a Temporal that is cut off in between: as with one that is away', async () => {
    const proxy = await startProxy(targetOf(inject('temporalAddress')));
    const connection = await NativeConnection.connect({ address: proxy.address });
    const frozen = { ...context, temporal: new Client({ connection, namespace: 'default' }) };
    proxy.cut();
    expect(await shown('refused', frozen)).toMatchObject({ state: 'rejected', temporalAway: expect.any(String) });
    await connection.close();
    await proxy.close();
  });

  test('is found by the company’s name, unless several have it', async () => {
    expect(await findCompany(context, 'Operated Ltd')).toEqual(owner());
    expect(await findCompany(context, company.id)).toEqual(owner());
    await expect(findCompany(context, 'Nobody Ltd')).rejects.toThrow('There is no company Nobody Ltd');
    await system.company('Twice Ltd');
    await system.company('Twice Ltd');
    await expect(findCompany(context, 'Twice Ltd')).rejects.toThrow(/Several companies[\s\S]*--company/);
  });
});

describe('a write whose record is missing', () => {
  test('is told as such, reopened once, and then executes once', async () => {
    const body = paymentBody(await company.invoice());
    const first = await pay(body, 'lost');
    await closed('lost');
    await forgetWrite(system.owner, company, 'lost');
    expect((await pay(body, 'lost')).json.code).toBe('write_record_missing');
    const missing = await shown('lost');
    expect(missing).toMatchObject({ state: 'write_record_missing', row: null, run: { state: 'completed' } });
    expect(missing.advice).toContain('npm run write -- reopen');
    // Its one attempt succeeded: none failed.
    expect(missing.run?.failedAttempts).toBe(0);
    expect(missing.write?.timeline.map(({ kind }) => kind)).toEqual(['requested', 'started', 'run_failed']);
    await expectToldAsByApi(missing);

    const result = await reopen(context, owner(), 'lost', 'restored to Monday; not in the bank statement');
    expect(result).toMatchObject({ reopened: true, missingRunId: missing.run?.runId });
    const reopened = await shown('lost');
    expect(reopened.state).toBe('reopened');
    expect(reopened.advice).toContain('restored to Monday');
    expect(reopened.audit.at(-1)).toMatchObject({
      status: 'failed',
      errorCode: 'write_record_missing',
      errorMessage: 'Reopened: restored to Monday; not in the bank statement',
      requestId: 'request-lost',
    });
    // Doing it again does nothing, and the run with the only copy of the request stays.
    expect(await reopen(context, owner(), 'lost', 'again')).toMatchObject({ reopened: false });
    expect(await countRuns(system.temporal, { company, key: 'lost', atLeast: 2 })).toBe(2);
    expect(await effects('lost')).toMatchObject({ writes: 0, rows: 0 });

    const again = await pay(body, 'lost');
    expectOneStory([again, await pay(body, 'lost')], { firsts: 1 });
    expect(again.json.id).toBe(first.json.id);
    expect(await effects('lost')).toMatchObject(once);
    expect(await shown('lost')).toMatchObject({ state: 'succeeded' });
  });

  test('is not reopened while a transaction holds its key: what that comes to decides', async () => {
    const body = paymentBody(await company.invoice());
    await pay(body, 'racing');
    await closed('racing');
    const session = await system.owner.connect();
    await session.query('BEGIN');
    await session.query(
      `INSERT INTO idempotent_writes (company_id, idempotency_key, outcome, status_code, response_body, user_id, request_id,
         requested_at, completed_at) VALUES ($1, 'racing-twin', 'cancelled', 409, '{}', $2, 'r', now(), now())`,
      [company.id, company.users.owner.id],
    );
    // Heard at once: it may be refused before the COMMIT has been answered here.
    const refused = reopen(context, owner(), 'racing-twin', 'in vain').catch(String);
    await untilWaiting(system.owner, 1);
    await session.query('COMMIT');
    session.release();
    expect(await refused).toContain('has its row (cancelled)');
  });
});

describe('nothing is reopened', () => {
  test('that has its row: the key keeps its one outcome', async () => {
    const body = paymentBody(await company.invoice());
    await pay(body, 'kept');
    await closed('kept');
    await expect(reopen(context, owner(), 'kept', 'by mistake')).rejects.toThrow('has its row (succeeded)');
    expect((await pay(body, 'kept')).replayed).toBe(true);
    expect(await countRuns(system.temporal, { company, key: 'kept' })).toBe(1);
    expect(await effects('kept')).toMatchObject(once);
  });

  test('that runs', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const waiting = pay(body, 'open');
    await untilWaiting(system.owner, 1);
    await expect(reopen(context, owner(), 'open', 'impatience')).rejects.toThrow('The write is running');
    await held.release();
    expect((await waiting).status).toBe(201);
    expect(await effects('open')).toMatchObject(once);
    expect(await countRuns(system.temporal, { company, key: 'open' })).toBe(1);
  });

  test('whose run is open between two attempts', async () => {
    const start = { taskQueue: 'nobody-polls-it', args: [], workflowExecutionTimeout: 60_000 };
    const { workflowId } = keyWorkflow(system.temporal, company, 'waiting');
    const handle = await system.temporal.workflow.start('write', { ...start, workflowId });
    await expect(reopen(context, owner(), 'waiting', 'impatience')).rejects.toThrow('The write is running');
    await handle.terminate();
  });

  test('of which Temporal knows nothing, or with Temporal away', async () => {
    expect(await reopen(context, owner(), 'unseen', 'no need')).toMatchObject({ reopened: false });
    await expect(reopen({ ...context, temporal: { unavailable: 'Away.' } }, owner(), 'lost', 'x')).rejects.toThrow(
      'Away.',
    );
  });
});

describe('npm run write', () => {
  const environment = () => ({
    MIGRATION_DATABASE_URL: ownerUrlOf(system.owner),
    TEMPORAL_ADDRESS: inject('temporalAddress'),
  });
  const write = (...args: string[]) => runCommand('deploy/operator/write/main.ts', args, environment());

  test('shows a write as text and as JSON, and asks before it reopens one', async () => {
    const [text, json, asked] = await Promise.all([
      write('show', '--company', 'Operated Ltd', '--key', 'paid'),
      write('show', '--company', company.id, '--key', 'paid', '--json'),
      write('reopen', '--company', company.id, '--key', 'paid', '--reason', 'r'),
    ]);
    expect(text).toMatchObject({ code: 0, stdout: expect.stringMatching(/What to do\n {2}It is committed/) });
    expect(JSON.parse(json.stdout)).toMatchObject({ state: 'succeeded', advice: expect.any(Array) });
    expect(asked).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('--yes') });
  });
});

test('each state has its advice', () => {
  const facts = {
    batches: [],
    audit: [],
    event: null,
    temporalAway: null,
    row: null,
    run: { startedAt: '2026-01-01T00:00:00Z' },
  };
  const advice = STATES.map((state) => adviseOn({ ...facts, state } as unknown as WriteFacts, Date.now())[0]);
  expect(new Set(advice).size).toBe(STATES.length);
});
