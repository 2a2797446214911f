import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { type Database, openDatabase } from '../../activities/database.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { finalizeInvoice } from '../../activities/operations/finalize-invoice.ts';
import { READ_SCHEMAS } from '../../api/openapi/read-schemas.ts';
import { adviseOn } from '../../deploy/operator/write/advice.ts';
import type { OperatorContext } from '../../deploy/operator/write/context.ts';
import { readFacts } from '../../deploy/operator/write/facts.ts';
import { reopen } from '../../deploy/operator/write/reopen.ts';
import { factsText } from '../../deploy/operator/write/text.ts';
import { readFigures } from '../../deploy/reports/figures.ts';
import { reportMarkdown } from '../../deploy/reports/markdown.ts';
import { ownerUrlOf } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { forgetAudit, markLost, REQUESTED_AT } from '../support/lost-write.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

const GROUP = `group:${randomUUID()}:0:7`;

let system: System;
let company: Company;
let body: ReturnType<typeof paymentBody>;
let database: Database;
let operator: OperatorContext;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company('Restored Ltd');
  body = paymentBody(await company.invoice(), 2_500);
  database = openDatabase({
    connectionString: ownerUrlOf(system.owner),
    writePoolMax: 1,
    readPoolMax: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'accubooks-operator',
  });
  const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] ?? '';
  operator = { database, temporal: system.temporal, taskQueue, ui: { url: undefined, namespace: 'default' } };
});
afterAll(async () => {
  await database?.close();
  await system?.stop();
});

async function losePayment(key: string, { of = company, userId }: { of?: Company; userId?: string } = {}) {
  const args = writeArguments(of, createPayment, body, key);
  await markLost(system.owner, userId === undefined ? args : { ...args, actor: { userId } }, GROUP);
}
/** Of a user that was made after what the database was restored to. */
const NOBODY = { userId: randomUUID() };
const pay = (sent: object, key: string, prefer = 'wait=60') =>
  company.api.post('/api/payments', sent, { key, headers: { prefer } });
const read = async (key: string, as = company.api) => as.get(`/api/writes/${key}`);

describe('a lost write', () => {
  test('is never answered as made or as new: 500 for whatever body, unmarked, and nothing is recorded of it', async () => {
    await losePayment('asked');
    const counted = () => missing(system.url);
    const before = await counted();
    const answers = [
      await pay(body, 'asked'),
      await pay({ ...body, amount: 99 }, 'asked'),
      await pay(body, 'asked', 'wait=0'),
      await pay(body, 'asked', 'respond-async'),
      await company.api.post('/api/customers', { name: 'Another operation' }, { key: 'asked' }),
    ];
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 500, replayed: false });
      expect(answer.json).toMatchObject({ code: 'write_record_missing', retryable: false, nextAction: 'none' });
      expect(answer.json.requestId).toEqual(expect.any(String));
      expect([answer.headers.get('idempotent-replayed'), answer.headers.get('location')]).toEqual([null, null]);
    }
    expect(await counted()).toBe(before + answers.length);
    const effects = await countEffects(system.owner, { companyId: company.id, table: 'payments', key: 'asked' });
    const none = { writes: 0, rows: 0, entries: 0, newAudit: 0, replayedAudit: 0, events: 0 };
    expect(effects).toEqual({ ...none, failedAudit: 1 });
  });

  test('is told by its status, with what it was, since when, and by which group', async () => {
    await losePayment('told');
    const { status, json } = await read('told');
    expect(status).toBe(200);
    expect(READ_SCHEMAS['write']?.parse(json)).toBeDefined();
    expect(json).toMatchObject({
      key: 'told',
      operation: 'createPayment',
      state: 'lost',
      status: 500,
      location: null,
      resource: null,
      response: { code: 'write_record_missing' },
      actor: { userId: company.users.owner.id },
      requestedAt: REQUESTED_AT,
      completedAt: expect.any(String),
      workflow: { id: GROUP },
    });
    expect(kindsOf(json)).toEqual(['requested', 'started', 'lost']);
    expect(json.timeline[2]).toMatchObject({ requestId: json.requestId, userId: company.users.owner.id });
  });

  test('whose user is lost, too, and whose audit row is archived, is told as well, to those who may read payments', async () => {
    await losePayment('nobody', NOBODY);
    await forgetAudit(system.owner, company, 'nobody');
    const { json } = await read('nobody');
    expect(READ_SCHEMAS['write']?.parse(json)).toBeDefined();
    expect(json).toMatchObject({ state: 'lost', actor: { userId: null } });
    const [requested, started, lost] = json.timeline;
    expect(started).toMatchObject({ kind: 'started' });
    expect(requested).toEqual({ at: json.requestedAt, kind: 'requested', requestId: json.requestId });
    expect(lost).toMatchObject({ at: json.completedAt, kind: 'lost', requestId: json.requestId });
    expect(json.timeline).toHaveLength(3);
    expect((await read('nobody', (await system.company()).api)).status).toBe(404);
    const { json: answer } = await pay(body, 'nobody');
    expect(answer.code).toBe('write_record_missing');
  });

  test('is in the list of writes, which can be filtered by it', async () => {
    const other = await system.company();
    await other.customer();
    await losePayment('listed', { of: other, ...NOBODY });
    const { json } = await other.api.get('/api/writes?state=lost');
    expect(json.items).toMatchObject([{ key: 'listed', state: 'lost', status: 500, actor: { userId: null } }]);
    expect(READ_SCHEMAS['write_summary']?.parse(json.items[0])).toBeDefined();
    const all = (await other.api.get('/api/writes')).json.items.map(({ state }: { state: string }) => state);
    expect(all.toSorted()).toEqual(['lost', 'succeeded']);
    const unknown = await other.api.get('/api/writes?state=missing');
    expect([unknown.status, unknown.text]).toEqual([422, expect.stringContaining('cancelled or lost')]);
  });

  test('is shown to an operator with what was asked for, what had it, and what to do', async () => {
    await losePayment('shown');
    const facts = await readFacts(operator, { id: company.id, name: 'Restored Ltd' }, 'shown');
    expect(facts).toMatchObject({
      state: 'lost',
      row: { outcome: 'lost', statusCode: 500, errorCode: 'write_record_missing', workflowId: GROUP },
      run: null,
      group: { workflowId: GROUP, status: 'forgotten' },
    });
    expect(facts.write).toEqual((await read('shown')).json);
    const advice = adviseOn(facts, Date.now());
    const text = factsText(facts, advice);
    for (const line of [
      /state +lost, answered 500 write_record_missing/,
      /request +createPayment 25\.00 USD for invoice /,
      new RegExp(`found lost +${facts.write?.completedAt}`),
      new RegExp(`group +${GROUP}`),
      new RegExp(`Temporal had it in a group, ${GROUP}, and at ${facts.write?.completedAt}`),
      /DatabaseReplaced and WriteRecordMissing in docs\/runbooks\.md/,
      /npm run write -- reopen[\s\S]*POST \/api\/writes\/\{key\}\/cancel/,
    ]) {
      expect(text).toMatch(line);
    }
  });

  test('that is reopened is told so, may be sent again, is made once, and keeps the story of its loss', async () => {
    await losePayment('again');
    const owner = { id: company.id, name: 'Restored Ltd' };
    expect(await reopen(operator, owner, 'again', 'not in the bank statement')).toMatchObject({ reopened: true });
    const reopened = await readFacts(operator, owner, 'again');
    expect(reopened).toMatchObject({ state: 'reopened', write: null, row: null, run: null });
    expect(adviseOn(reopened, Date.now()).join()).toContain('(Reopened: not in the bank statement)');
    expect((await read('again')).status).toBe(404);
    const [first, second] = [await pay(body, 'again'), await pay(body, 'again')];
    expect([first, second].map(({ status, replayed }) => [status, replayed])).toEqual([
      [201, false],
      [201, true],
    ]);
    const { json } = await read('again');
    expect(json.state).toBe('succeeded');
    expect(kindsOf(json)).toEqual(['lost', 'requested', 'started', 'completed', 'event_recorded', 'replayed']);
    const effects = await countEffects(system.owner, { companyId: company.id, table: 'payments', key: 'again' });
    expect(effects).toMatchObject({ writes: 1, rows: 1, entries: 1, events: 1 });
  });

  test('that is cancelled is told so from then on, and keeps the story of its loss', async () => {
    await losePayment('given-up');
    expect(await company.api.send('POST', '/api/writes/given-up/cancel')).toMatchObject({ status: 200 });
    const { json } = await read('given-up');
    expect(json).toMatchObject({ state: 'cancelled', status: 409 });
    expect(kindsOf(json)).toEqual(['lost', 'cancelled']);
    expect((await pay(body, 'given-up')).json.code).toBe('write_cancelled');
  });
});

describe('of lost writes', () => {
  test('the weekly report counts those of each company, and those that nobody has decided about', async () => {
    const [one, two] = [await system.company(), await system.company()];
    for (const key of ['a', 'b']) await losePayment(key, { of: one });
    await losePayment('a', { of: two });
    await reopen(operator, { id: one.id, name: '' }, 'b', 'of a test');
    const figures = await readFigures(ownerUrlOf(system.owner), { from: null, to: null });
    const ofThese = figures.lost.filter(({ companyId }) => [one.id, two.id].includes(companyId));
    expect(ofThese).toEqual([
      { companyId: one.id, operation: 'createPayment', writes: 2, undecided: 1 },
      { companyId: two.id, operation: 'createPayment', writes: 1, undecided: 1 },
    ]);
    const page = reportMarkdown({ ...figures, lost: ofThese });
    expect(page).toContain('taken the record of 3 writes of 2 companies; 2 are neither reopened nor cancelled');
    expect(page).toContain(`| ${one.id} | createPayment | 2 | 1 |`);
    expect(reportMarkdown({ ...figures, lost: [] })).toMatch(/## Lost\n\nNone\./);
  });

  test('the controls accept the numbers that they have taken, also once the key is reopened, and no other gap', async () => {
    const books = await system.company();
    await books.invoice();
    const invoiceId = await books.draftInvoice();
    await markLost(
      system.owner,
      writeArguments(books, finalizeInvoice, {}, 'finalized', { params: { invoiceId } }),
      GROUP,
    );
    expect(await brokenOf(books)).toEqual([]);
    await reopen(operator, { id: books.id, name: '' }, 'finalized', 'of a test');
    const { number } = await books.api.created(`/api/invoices/${invoiceId}/finalize`, {}, { key: 'finalized' });
    expect(number).toBe('INV-000003');
    expect(await brokenOf(books)).toEqual([]);
    const counter =
      "UPDATE number_counters SET last_number = last_number + $2 WHERE company_id = $1 AND kind = 'invoice'";
    await system.owner.query(counter, [books.id, 1]);
    expect(await brokenOf(books)).toEqual(['invoice-numbers']);
    await system.owner.query(counter, [books.id, -2]);
    expect(await brokenOf(books)).toEqual(['invoice-numbers']);
  });

  test('nor is a receipt number that a lost payment may have been told', async () => {
    const books = await system.company();
    await losePayment('gone', { of: books });
    const { number } = await books.api.created('/api/payments', paymentBody(await books.invoice()));
    expect(number).toBe('RCT-000002');
    expect(await brokenOf(books)).toEqual([]);
  });

  test('nor a number of any kind where a process of the release before marked the write, which knows those of invoices alone', async () => {
    const books = await system.company();
    const before = OPERATIONS.map(({ takesNumber, ...operation }) =>
      takesNumber === 'invoice' ? { ...operation, takesNumber } : operation,
    );
    const numbered = OPERATIONS.filter(({ takesNumber }) => takesNumber !== undefined);
    const examples = numbered.flatMap((operation) =>
      operation.examples.slice(0, 1).map((example) => ({ operation, ...example })),
    );
    for (const { operation, params, body: right } of examples) {
      await markLost(system.owner, writeArguments(books, operation, right, operation.name, { params }), GROUP, before);
    }
    const { rows } = await system.owner.query(
      'SELECT kind, last_number, lost_numbers FROM number_counters WHERE company_id = $1',
      [books.id],
    );
    const kinds = numbered.map(({ takesNumber: kind }) => ({ kind, last_number: 1, lost_numbers: 1 }));
    expect(new Set(rows)).toEqual(new Set(kinds));
    expect(await brokenOf(books)).toEqual([]);
  });

  test('the controls find one that was not told', async () => {
    const books = await system.company();
    await losePayment('untold', { of: books });
    await forgetAudit(system.owner, books, 'untold');
    expect(await brokenOf(books)).toEqual(['losses-told']);
  });
});

function kindsOf({ timeline }: { readonly timeline: readonly { readonly kind: string }[] }): string[] {
  return timeline.map(({ kind }) => kind);
}

async function brokenOf({ id }: Company): Promise<string[]> {
  const broken = Object.entries(await brokenControls(system.owner));
  return broken.filter(([, rows]) => rows.some((row) => row['company_id'] === id)).map(([name]) => name);
}

async function missing(url: string): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text();
  return Number(/^write_record_missing_total (\d+)/m.exec(page)?.[1]);
}
