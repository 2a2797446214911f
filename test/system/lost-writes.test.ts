import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { type Database, openDatabase } from '../../activities/database.ts';
import { READ_SCHEMAS } from '../../api/openapi/read-schemas.ts';
import { adviseOn } from '../../deploy/operator/write/advice.ts';
import type { OperatorContext } from '../../deploy/operator/write/context.ts';
import { readFacts } from '../../deploy/operator/write/facts.ts';
import { factsText } from '../../deploy/operator/write/text.ts';
import { readFigures } from '../../deploy/reports/figures.ts';
import { reportMarkdown } from '../../deploy/reports/markdown.ts';
import { ownerUrlOf } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { FOUND_LOST_AT, type LostWrite, markLost } from '../support/lost-write.ts';
import { type System, startSystem } from '../support/system.ts';

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

const lostPayment = (key: string, more: Partial<LostWrite> = {}): LostWrite => ({
  companyId: company.id,
  key,
  operation: 'createPayment',
  input: { params: {}, body },
  userId: company.users.owner.id,
  workflowId: GROUP,
  ...more,
});
const pay = (sent: object, key: string, prefer = 'wait=60') =>
  company.api.post('/api/payments', sent, { key, headers: { prefer } });
const read = async (key: string, as = company.api) => as.get(`/api/writes/${key}`);

describe('a lost write', () => {
  test('is never answered as made or as new: 500 for whatever body, unmarked, and nothing is recorded of it', async () => {
    await markLost(system.owner, lostPayment('asked'));
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
    await markLost(system.owner, lostPayment('told'));
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
      requestedAt: '2026-03-01T12:00:00.000Z',
      completedAt: FOUND_LOST_AT,
      workflow: { id: GROUP },
    });
    expect(json.timeline.map(({ kind }: { kind: string }) => kind)).toEqual(['requested', 'started', 'lost']);
    expect(json.timeline[2]).toMatchObject({ requestId: 'request-told', userId: company.users.owner.id });
  });

  test('whose user is lost, too, and whose audit row is archived, is told as well, to those who may read payments', async () => {
    await markLost(system.owner, lostPayment('nobody', { userId: null }), { audited: false });
    const { json } = await read('nobody');
    expect(READ_SCHEMAS['write']?.parse(json)).toBeDefined();
    expect(json).toMatchObject({ state: 'lost', actor: { userId: null } });
    const [requested, started, lost] = json.timeline;
    expect(started).toMatchObject({ kind: 'started' });
    expect(requested).toEqual({ at: json.requestedAt, kind: 'requested', requestId: 'request-nobody' });
    expect(lost).toMatchObject({ at: FOUND_LOST_AT, kind: 'lost', requestId: 'request-nobody' });
    expect(json.timeline).toHaveLength(3);
    expect((await read('nobody', (await system.company()).api)).status).toBe(404);
    const { json: answer } = await pay(body, 'nobody');
    expect(answer.code).toBe('write_record_missing');
  });

  test('is in the list of writes, which can be filtered by it', async () => {
    const other = await system.company();
    await other.customer();
    await markLost(system.owner, lostPayment('listed', { companyId: other.id, userId: null }));
    const { json } = await other.api.get('/api/writes?state=lost');
    expect(json.items).toMatchObject([{ key: 'listed', state: 'lost', status: 500, actor: { userId: null } }]);
    expect(READ_SCHEMAS['write_summary']?.parse(json.items[0])).toBeDefined();
    const all = (await other.api.get('/api/writes')).json.items.map(({ state }: { state: string }) => state);
    expect(all.toSorted()).toEqual(['lost', 'succeeded']);
    const unknown = await other.api.get('/api/writes?state=missing');
    expect([unknown.status, unknown.text]).toEqual([422, expect.stringContaining('cancelled or lost')]);
  });

  test('is shown to an operator with what was asked for, what had it, and what to do', async () => {
    await markLost(system.owner, lostPayment('shown'));
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
      /found lost +2026-03-02T08:00:00\.000Z/,
      new RegExp(`group +${GROUP}`),
      new RegExp(`Temporal had it in a group, ${GROUP}, and at 2026-03-02`),
      /DatabaseReplaced and WriteRecordMissing in docs\/runbooks\.md/,
      /npm run write -- reopen[\s\S]*POST \/api\/writes\/\{key\}\/cancel/,
    ]) {
      expect(text).toMatch(line);
    }
  });
});

describe('of lost writes', () => {
  test('the weekly report counts those of each company, and those that nobody has decided about', async () => {
    const [one, two] = [await system.company(), await system.company()];
    for (const key of ['a', 'b']) await markLost(system.owner, lostPayment(key, { companyId: one.id }));
    await markLost(system.owner, lostPayment('a', { companyId: two.id }));
    // As a reopening does; its audit row is none of a loss.
    await system.owner.query('DELETE FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = $2', [
      one.id,
      'b',
    ]);
    await system.owner.query(
      `INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, idempotency_key, user_id, status,
         error_code, request_id, route_path, http_method, metadata)
       VALUES ($1, 'createCustomer', 'financial', 'c', $2, 'failed', 'write_record_missing', 'r', '', '', '{"action": "reopen"}')`,
      [two.id, two.users.owner.id],
    );
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
    const lost = lostPayment('finalized', {
      companyId: books.id,
      operation: 'finalizeInvoice',
      input: { params: { invoiceId }, body: {} },
    });
    await markLost(system.owner, lost);
    expect(await brokenOf(books)).toEqual([]);
    await system.owner.query("DELETE FROM idempotent_writes WHERE company_id = $1 AND outcome = 'lost'", [books.id]);
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

  test('the controls find one that was not told', async () => {
    const books = await system.company();
    await markLost(system.owner, lostPayment('untold', { companyId: books.id }), { audited: false });
    expect(await brokenOf(books)).toEqual(['losses-told']);
  });
});

async function brokenOf({ id }: Company): Promise<string[]> {
  const broken = Object.entries(await brokenControls(system.owner));
  return broken.filter(([, rows]) => rows.some((row) => row['company_id'] === id)).map(([name]) => name);
}

async function missing(url: string): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text();
  return Number(/^write_record_missing_total (\d+)/m.exec(page)?.[1]);
}
