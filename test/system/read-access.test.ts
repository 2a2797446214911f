import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase } from '../../activities/database.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { ROLES, type Role } from '../../activities/roles.ts';
import { toOpenApiPath } from '../../api/openapi/json-schema.ts';
import { READS } from '../../api/reads/read-list.ts';
import { inReadTransaction } from '../../api/reads/read-transaction.ts';
import { setPolicies } from '../support/approvals.ts';
import { reconciledBankTransaction } from '../support/bank.ts';
import { batchClient, ndjson } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { executedPayRun, stockedItem } from '../support/payroll.ts';
import { startProxy, targetOf, through } from '../support/proxy.ts';
import { publishNow, sealAllOf, sealKey } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';
import { takeBack } from '../support/take-back.ts';

let system: System;
let company: Company;
let other: Company;
let paths: Record<string, string>;

beforeAll(async () => {
  system = await startSystem();
  [company, other] = [await system.company(), await system.company()];
  const invoiceId = await company.invoice();
  const payment = await company.api.created('/api/payments', paymentBody(invoiceId), { key: 'paid' });
  const { refundId, creditNoteId, reminderId } = await takeBack(company, payment);
  const customerId = (await company.api.get('/api/customers')).json.items[0].id;
  const file = ndjson([{ body: paymentBody(invoiceId) }]);
  await batchClient(system, company).send(file, { key: 'paid', operation: 'createPayment' });
  const trigger = await company.api.created('/api/workflows/sendInvoiceReminders/trigger', {});
  const run = await executedPayRun(company);
  const item = await stockedItem(company);
  await setPolicies(company, [{ operation: 'createAccount', approverRoles: ['admin'] }]);
  for (const [code, key] of ['waits-to-be-approved', 'waits-to-be-rejected'].entries()) {
    await company.api.post('/api/ledger/accounts', { code: `77${code}`, name: 'Waiting', type: 'expense' }, { key });
  }
  const [year] = (await company.api.get('/api/ledger/fiscal-years')).json.items;
  const ids: Record<string, string> = {
    ':userId': company.users.employee.id,
    ':triggerId': trigger.id,
    ':eventId': trigger.workflowId,
    ':customerId': customerId,
    ':invoiceId': invoiceId,
    ':paymentId': payment.id,
    ':refundId': refundId,
    ':creditNoteId': creditNoteId,
    ':reminderId': reminderId,
    ':entryId': payment.journalEntryId,
    ':code': '1000',
    ':year': String(year.year),
    ':bankTransactionId': await reconciledBankTransaction(company.api),
    ':employeeId': run.payslips[0].employeeId,
    ':payRunId': run.id,
    ':itemId': item.id,
  };
  await sealAllOf(system);
  await publishNow(system, [company.id], sealKey('k'));
  paths = Object.fromEntries(READS.map(({ path }) => [path, path.replace(/:\w+/, (name) => ids[name] ?? name)]));
});
afterAll(() => system.stop());

describe('who may read', () => {
  /** As the books say it, by hand: the table of the product must say the same. */
  const EVERYTHING_THERE_IS: readonly Role[] = ['owner', 'admin', 'accountant', 'auditor', 'manager'];
  const readersOf = (path: string): readonly Role[] => {
    if (path === '/api/me') return ROLES;
    if (path === '/api/security-log') return ['owner', 'auditor'];
    if (path.startsWith('/api/payroll/pay-runs')) return EVERYTHING_THERE_IS.filter((role) => role !== 'manager');
    const isStock = path.startsWith('/api/inventory') || path === '/api/reports/stock-movements';
    return isStock ? [...EVERYTHING_THERE_IS, 'inventory_manager'] : EVERYTHING_THERE_IS;
  };

  test.each(ROLES)('%s: each route answers, or refuses with 403', async (role) => {
    for (const { path } of READS) {
      const answer = await company.as(role).get(paths[path] ?? '');
      const expected = readersOf(path).includes(role) ? [200, undefined] : [403, 'forbidden'];
      expect([path, answer.status, answer.json.code === 'forbidden' ? 'forbidden' : undefined]).toEqual([
        path,
        ...expected,
      ]);
    }
  });

  /** Whatever else is served below /api and is no operation: who is let in, by hand, and what the others are told. */
  type Beside = {
    readonly url: string;
    readonly roles: readonly Role[];
    readonly others: string | ((role: Role) => string);
    readonly sends?: { readonly body: string; readonly headers: Record<string, string> };
  };
  // Whoever may approve it may do so again, with the same answer.
  const deciding = (action: string, key: string): Beside => ({
    url: `/api/writes/${key}/${action}`,
    roles: ['admin'],
    others: (role) => (role === 'owner' ? 'approver_is_requester' : 'forbidden'),
  });
  const controlling = (action: string): Beside => ({
    url: `/api/batches/paid/${action}`,
    roles: ['owner', 'admin'],
    others: (role) => (EVERYTHING_THERE_IS.includes(role) ? 'forbidden' : 'batch_not_found'),
  });
  const BESIDE: Readonly<Record<string, Beside>> = {
    'GET /api/writes': {
      url: '/api/writes',
      roles: [...EVERYTHING_THERE_IS, 'inventory_manager'],
      others: 'forbidden',
    },
    // A payment's: for those who may not read payments there is no such write.
    'GET /api/writes/{key}': { url: '/api/writes/paid', roles: EVERYTHING_THERE_IS, others: 'write_not_found' },
    'GET /api/writes/{key}/proof': {
      url: '/api/writes/paid/proof',
      roles: EVERYTHING_THERE_IS,
      others: 'write_not_found',
    },
    'POST /api/writes/{key}/cancel': {
      url: '/api/writes/never-seen-by-{role}/cancel',
      roles: ['owner', 'admin', 'accountant'],
      others: 'forbidden',
    },
    'GET /api/approvals': {
      url: '/api/approvals',
      roles: [...EVERYTHING_THERE_IS, 'inventory_manager'],
      others: 'forbidden',
    },
    'POST /api/writes/{key}/approve': deciding('approve', 'waits-to-be-approved'),
    'POST /api/writes/{key}/reject': deciding('reject', 'waits-to-be-rejected'),
    'GET /api/company/webhook-secret': { url: '/api/company/webhook-secret', roles: ['owner'], others: 'forbidden' },
    'POST /api/company/webhook-test': {
      url: '/api/company/webhook-test',
      roles: ['owner', 'admin'],
      others: 'forbidden',
    },
    'POST /api/events/{eventId}/redeliver': { url: 'of an event', roles: ['owner', 'admin'], others: 'forbidden' },
    'GET /api/reports/general-ledger': {
      url: '/api/reports/general-ledger',
      roles: EVERYTHING_THERE_IS,
      others: 'forbidden',
    },
    'GET /api/batches': {
      url: '/api/batches',
      roles: [...EVERYTHING_THERE_IS, 'inventory_manager'],
      others: 'forbidden',
    },
    'POST /api/batches': {
      url: '/api/batches?validateOnly=true',
      roles: ['owner', 'admin', 'accountant', 'manager', 'inventory_manager'],
      others: 'forbidden',
      sends: { body: '{}', headers: { 'content-type': 'application/x-ndjson' } },
    },
    // Of payments.
    'GET /api/batches/{key}': { url: '/api/batches/paid', roles: EVERYTHING_THERE_IS, others: 'batch_not_found' },
    'GET /api/batches/{key}/results': {
      url: '/api/batches/paid/results',
      roles: EVERYTHING_THERE_IS,
      others: 'batch_not_found',
    },
    'POST /api/batches/{key}/pause': controlling('pause'),
    'POST /api/batches/{key}/resume': controlling('resume'),
    'POST /api/batches/{key}/cancel': controlling('cancel'),
    'POST /api/batches/{key}/retry-failed': controlling('retry-failed'),
  };

  test('and of every other route below /api it is known who is let in', async () => {
    const { 'x-routes': served } = (await company.api.get('/openapi.json')).json as { 'x-routes': string[] };
    const read = READS.map(({ path }) => `GET ${toOpenApiPath(path)}`);
    const written = OPERATIONS.map(({ method, path }) => `${method} ${toOpenApiPath(path)}`);
    const others = served.filter(
      (route) => / \/api\//.test(route) && !route.startsWith('HEAD ') && ![...read, ...written].includes(route),
    );
    expect(others.toSorted()).toEqual(Object.keys(BESIDE).toSorted());
    for (const [route, { url, roles, others: refusal, sends }] of Object.entries(BESIDE)) {
      const path = route.includes('{eventId}') ? `${paths['/api/events/:eventId']}/redeliver` : url;
      for (const role of ROLES) {
        const method = route.split(' ')[0] ?? '';
        const { status, json } = await company.as(role).send(method, path.replace('{role}', role), sends);
        // 409: let in, and there is no webhook to be called.
        const told = status === 200 || status === 409 ? 'let in' : json.code;
        const refused = typeof refusal === 'string' ? refusal : refusal(role);
        expect([route, role, told]).toEqual([route, role, roles.includes(role) ? 'let in' : refused]);
      }
    }
  });

  test('entries of payroll are for those who may read all', async () => {
    const payroll = (await company.api.get(paths['/api/payroll/pay-runs/:payRunId'] ?? '')).json.journalEntryId;
    const ids = async (role: Role, list: string) =>
      (await company.as(role).get(`${list}?limit=200`)).json.items.map(
        (item: { entryId?: string; id: string }) => item.entryId ?? item.id,
      );
    for (const list of ['/api/ledger/entries', '/api/ledger/accounts/6000/lines']) {
      expect(await ids('accountant', list)).toContain(payroll);
      expect(await ids('manager', list)).not.toContain(payroll);
    }
    expect((await company.as('auditor').get(`/api/ledger/entries/${payroll}`)).status).toBe(200);
    expect(await company.as('manager').get(`/api/ledger/entries/${payroll}`)).toMatchObject({
      status: 404,
      json: { code: 'journal_entry_not_found' },
    });
  });

  test('a manager finds out no pay by searching for its amount', async () => {
    const { totals, payDate } = (await company.api.get(paths['/api/payroll/pay-runs/:payRunId'] ?? '')).json;
    // Who has paid it themselves, and may not read payroll any more.
    const paid = `company_id = '${company.id}' AND operation = 'executePayroll'`;
    const actor = (userId: string) =>
      system.owner.query(`
        BEGIN;
        SET LOCAL session_replication_role = 'replica';
        UPDATE idempotent_writes SET user_id = '${userId}' WHERE ${paid};
        COMMIT`);
    const found = async (role: Role) =>
      (await company.as(role).get(`/api/writes?postedOn=${payDate}&amount=${totals.net}`)).json.items.map(
        ({ operation }: { operation: string }) => operation,
      );
    expect([await found('accountant'), await found('manager')]).toEqual([['executePayroll'], []]);
    await actor(company.users.manager.id);
    expect(await found('manager')).toEqual([]);
    await actor(company.users.owner.id);
  });

  test('every member knows the name of the company, its time zone and its currency', async () => {
    for (const role of ROLES) {
      expect((await company.as(role).get('/api/me')).json.company).toEqual({
        ...{ id: company.id, name: expect.any(String), timeZone: 'UTC', baseCurrency: 'USD' },
      });
    }
    const renamed = await system.company('Renamed Ltd');
    expect((await renamed.as('customer').get('/api/me')).json.company).toMatchObject({
      ...{ id: renamed.id, name: 'Renamed Ltd' },
    });
  });

  test('one who is no member any more reads nothing, not even who they are', async () => {
    const left = await system.company();
    await system.owner.query('DELETE FROM memberships WHERE company_id = $1 AND user_id = $2', [
      left.id,
      left.users.auditor.id,
    ]);
    for (const path of ['/api/me', '/api/customers', '/api/writes', '/api/writes/k']) {
      expect(await left.as('auditor').get(path)).toMatchObject({ status: 403, json: { code: 'not_a_member' } });
    }
  });
});

describe('another company', () => {
  test('sees the same 404 for what is not its own and for what is not at all', async () => {
    for (const { path, answers } of READS.filter((read) => read.answers.kind === 'one')) {
      // Each company has its own under the same name.
      if (/:(code|year)/.test(path)) continue;
      const foreign = await other.api.get(paths[path] ?? '');
      const unknown = await other.api.get(path.replace(/:\w+/, randomUUID()));
      expect(foreign.status).toBe(404);
      expect(foreign.json.code).toBe(`${answers.resource}_not_found`);
      const blank = (body: Record<string, string>) => ({
        ...body,
        detail: body['detail']?.replace(/[0-9a-f-]{36}/, 'ID'),
        instance: body['instance']?.replace(/[0-9a-f-]{36}/, 'ID'),
        requestId: 'of each',
      });
      expect(blank(foreign.json)).toEqual(blank(unknown.json));
    }
  });

  test('has empty lists and books of its own', async () => {
    const lists = ['/api/customers', '/api/invoices', '/api/payments', '/api/ledger/entries', '/api/writes'];
    lists.push('/api/refunds', '/api/credit-notes', '/api/reminders');
    lists.push('/api/payroll/employees', '/api/payroll/pay-runs', '/api/inventory/items');
    for (const list of lists) {
      expect((await other.api.get(list)).json).toEqual({ items: [], nextCursor: null });
    }
    expect((await other.api.get('/api/ledger/accounts/1000/lines')).json.items).toEqual([]);
    expect((await other.api.get('/api/ledger/trial-balance')).json.items).toEqual([]);
    expect((await other.api.get('/api/reports/aged-receivables')).json.items).toEqual([]);
    const customerId = (await company.api.get('/api/customers')).json.items[0].id;
    expect((await other.api.get(`/api/invoices?customerId=${customerId}`)).json.items).toEqual([]);
    const members = (await other.api.get('/api/users')).json.items.map(({ userId }: { userId: string }) => userId);
    expect(members.toSorted()).toEqual(ROLES.map((role) => other.users[role].id).toSorted());
    expect((await other.api.get('/api/me')).json).toMatchObject({ companyId: other.id, roles: ['owner'] });
  });
});

describe('one resource', () => {
  test('a malformed ID is refused as such, naming it', async () => {
    for (const { path } of READS.filter((read) => read.answers.kind === 'one')) {
      const name = /:(\w+)/.exec(path)?.[1];
      for (const malformed of ['1', 'null', "'", '%2F', '%00']) {
        const answer = await company.api.get(path.replace(/:\w+/, malformed));
        // Some of these are fine codes of accounts, which only are not there.
        if (name === 'code' && answer.status === 404) continue;
        expect(answer).toMatchObject({ status: 422, json: { code: 'validation_failed' } });
        expect(answer.json.errors[0]).toMatchObject({ in: 'path', pointer: `/${name}` });
      }
    }
  });

  test('its ID may be written in capitals', async () => {
    const path = paths['/api/payments/:paymentId'] ?? '';
    const [, id = ''] = path.split('/api/payments/');
    expect((await company.api.get(`/api/payments/${id.toUpperCase()}`)).json.id).toBe(id);
  });
});

test('a read sees one moment, whatever is committed while it goes on', async () => {
  const database = openDatabase({
    connectionString: system.environment['DATABASE_URL'] ?? '',
    writePoolMax: 1,
    readPoolMax: 1,
    statementTimeoutMs: 10_000,
    applicationName: 'one-moment',
  });
  try {
    const caller = { companyId: company.id, subject: company.users.owner.id };
    const seen = await inReadTransaction({ database, caller, limitMs: 60_000 }, async (tx) => {
      const customers = () => tx.query<{ id: string }>('SELECT id FROM customers ORDER BY id');
      const before = await customers();
      await company.api.created('/api/customers', { name: 'Meanwhile' });
      return { before, after: await customers() };
    });
    expect(seen.before.length).toBeGreaterThan(0);
    expect(seen.after).toEqual(seen.before);
  } finally {
    await database.close();
  }
});

describe('reads have limits of their own', () => {
  test('a company that reads too much is answered 429, and its neighbour is not', async () => {
    const { url } = await system.another({ environment: { REPLAY_RATE_LIMIT_PER_SECOND: '1' } });
    const answers = [await company.as('owner', url).get('/api/me'), await company.as('owner', url).get('/api/me')];
    expect(answers.map(({ status }) => status)).toContain(200);
    const refused = await company.as('owner', url).get('/api/writes/k');
    const limited = [...answers, refused].find(({ status }) => status === 429);
    expect(limited?.json).toMatchObject({ code: 'rate_limited', retryable: true });
    expect(limited?.headers.get('retry-after')).toBe('1');
    expect((await other.as('owner', url).get('/api/me')).status).toBe(200);
  });

  test('a company whose reads take long keeps no other company’s writes from being looked up', async () => {
    const body = { name: 'Customer', currency: 'USD' };
    const { status } = await other.api.post('/api/customers', body, { key: 'looked-up' });
    expect(status).toBe(201);
    const blocker = await system.owner.connect();
    await blocker.query('BEGIN');
    await blocker.query('LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE');
    let isOver = false;
    const reads = Promise.all(Array.from({ length: 40 }, () => company.api.get('/api/ledger/accounts'))).finally(() => {
      isOver = true;
    });
    await until('the reads to wait', async () => {
      const waiting = "SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted AND relation = 'accounts'::regclass";
      return (await system.owner.query(waiting)).rows[0].n >= 4;
    });
    for (let n = 0; n < 5; n += 1) {
      const replay = await other.api.post('/api/customers', body, { key: 'looked-up' });
      expect([replay.status, replay.headers.get('idempotent-replayed')]).toEqual([201, 'true']);
    }
    expect(isOver).toBe(false);
    await blocker.query('ROLLBACK');
    blocker.release();
    expect(new Set((await reads).map((answer) => answer.status))).toEqual(new Set([200]));
  });

  test('a database that is frozen does not keep a reader', async () => {
    const databaseUrl = system.environment['DATABASE_URL'] ?? '';
    const proxy = await startProxy(targetOf(databaseUrl));
    const { url } = await system.another({ environment: { DATABASE_URL: through(databaseUrl, proxy) } });
    expect((await company.as('owner', url).get('/api/me')).status).toBe(200);
    proxy.freeze();
    const started = performance.now();
    const paths = ['/api/me', '/api/customers', '/api/writes', '/api/writes/paid'];
    for (const answer of await Promise.all(paths.map((path) => company.as('owner', url).get(path)))) {
      expect(answer).toMatchObject({ status: 503, json: { code: 'storage_unavailable', retryable: true } });
      expect(answer.headers.get('retry-after')).toBe('1');
    }
    expect(performance.now() - started).toBeLessThan(60_000);
    proxy.open();
    expect((await company.as('owner', url).get('/api/writes/paid')).status).toBe(200);
    proxy.cut();
    expect(await company.as('owner', url).get('/api/me')).toMatchObject({ status: 503 });
    await proxy.close();
  });
});
