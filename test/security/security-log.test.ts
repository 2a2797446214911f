import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPool } from '../../activities/database.ts';
import { createSecurityLog } from '../../api/security/security-log.ts';
import { createApiClient } from '../support/client.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { executedPayRun } from '../support/payroll.ts';
import { startProxy, targetOf, through } from '../support/proxy.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

type Row = {
  readonly event: string;
  readonly reason: string;
  readonly userId: string | null;
  readonly subject: string | null;
  readonly ip: string | null;
  readonly action: string | null;
  readonly requestId: string | null;
  readonly count: number;
  readonly details: Record<string, unknown>;
};

const NOBODY = '00000000-0000-0000-0000-000000000000';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
});
afterAll(() => system.stop());

/** The rows of a company, as its auditor reads them, once there are so many that pass. */
async function rowsOf(of: Company, filter: string, passes: (row: Row) => boolean, atLeast = 1): Promise<Row[]> {
  let found: Row[] = [];
  await until(`${atLeast} rows of ${filter}`, async () => {
    const { status, json } = await of.as('auditor').get(`/api/security-log?limit=200&${filter}`);
    expect(status).toBe(200);
    found = (json.items as Row[]).filter(passes);
    return found.length >= atLeast;
  });
  return found;
}

/** Rows that belong to no company; only operators read them. */
async function rowsOfNobody(requestId: string): Promise<Record<string, unknown>[]> {
  let found: Record<string, unknown>[] = [];
  await until(`the row of ${requestId}`, async () => {
    const { rows } = await system.owner.query(
      'SELECT *, host(ip) AS address FROM security_log WHERE company_id = $1 AND request_id = $2',
      [NOBODY, requestId],
    );
    found = rows;
    return rows.length > 0;
  });
  return found;
}

describe('whoever is refused is in the security log', () => {
  test.each([
    ['without a token', 'token_missing', async () => undefined],
    ['with something that is no token', 'token_malformed', async () => 'Bearer not-a-token'],
    ['with a token of another key', 'signature_invalid', async () => `Bearer ${await forged()}`],
    ['with a token that is not signed', 'algorithm_not_allowed', async () => `Bearer ${unsigned()}`],
  ])(
    'a request %s: 401, of no company, since anyone can write any company into such a token',
    async (_how, reason, header) => {
      const requestId = randomUUID();
      const authorization = await header();
      const response = await fetch(`${system.url}/api/customers`, {
        headers: { 'x-request-id': requestId, ...(authorization === undefined ? {} : { authorization }) },
      });
      expect(response.status).toBe(401);
      expect(await rowsOfNobody(requestId)).toMatchObject([
        { event: 'authentication_refused', reason, user_id: null, subject: null, address: '127.0.0.1' },
      ]);
    },
  );

  test('with an expired token of ours: the company learns of whom it was', async () => {
    const userId = company.users.manager.id;
    const token = await signToken({ userId, companyId: company.id }, { ttlSeconds: -3600 });
    expect((await createApiClient(system.url, token).get('/api/me')).status).toBe(401);
    const rows = await rowsOf(company, 'event=authentication_refused', ({ subject }) => subject === userId);
    expect(rows).toMatchObject([{ reason: 'token_expired', ip: '127.0.0.1', action: 'GET /api/me' }]);
  });

  test('a role that may not read, and one that may not write, with user and route', async () => {
    const employee = company.as('employee');
    expect((await employee.get('/api/payroll/pay-runs')).status).toBe(403);
    expect((await employee.post('/api/customers', { name: 'Sham', currency: 'USD' })).status).toBe(403);
    const mine = ({ userId }: Row) => userId === company.users.employee.id;
    const rows = await rowsOf(company, 'event=access_refused', mine, 2);
    expect(rows.map(({ reason, action }) => `${reason} ${action}`).toSorted()).toEqual([
      'forbidden GET /api/payroll/pay-runs',
      'forbidden POST /api/customers',
    ]);
  });

  test('a member of another company, whose token names this one', async () => {
    const other = await system.company();
    const userId = other.users.owner.id;
    const intruder = createApiClient(system.url, await signToken({ userId, companyId: company.id }));
    expect((await intruder.get('/api/customers')).json.code).toBe('not_a_member');
    const rows = await rowsOf(company, 'event=access_refused', ({ subject }) => subject === userId);
    expect(rows).toMatchObject([{ reason: 'not_a_member', userId: null, ip: '127.0.0.1' }]);
  });

  test('an admin who would make an owner: a refusal that is stored as the outcome of the write', async () => {
    const answer = await company
      .as('admin')
      .post(`/api/users/${company.users.user.id}/access`, { roles: ['owner'] }, { headers: { prefer: 'wait=60' } });
    expect([answer.status, answer.json.code]).toEqual([403, 'role_escalation']);
    const rows = await rowsOf(company, 'event=access_refused', ({ reason }) => reason === 'role_escalation');
    expect(rows).toMatchObject([{ userId: company.users.admin.id, action: 'POST /api/users/:userId/access' }]);
  });
});

describe('whoever reads what is confidential is in the security log', () => {
  test('pay runs and employees, one and all, the pay in the books, and the writes that answered with it', async () => {
    const own = await system.company();
    const run = await executedPayRun(own);
    const reader = own.as('accountant');
    const { employeeId } = run.payslips[0];
    for (const path of [
      '/api/payroll/pay-runs',
      `/api/payroll/pay-runs/${run.id}`,
      '/api/payroll/employees',
      `/api/payroll/employees/${employeeId}`,
      `/api/ledger/entries/${run.journalEntryId}`,
    ]) {
      expect([path, (await reader.get(path)).status]).toEqual([path, 200]);
    }
    const { rows: writes } = await system.owner.query(
      "SELECT idempotency_key AS key FROM idempotent_writes WHERE company_id = $1 AND operation = 'createPayRun'",
      [own.id],
    );
    expect((await reader.get(`/api/writes/${writes[0].key}`)).json.response).not.toBeNull();
    const mine = ({ userId }: Row) => userId === own.users.accountant.id;
    const rows = await rowsOf(own, 'event=payroll_read', mine, 6);
    const read = rows.map(({ action, details }) => [String(action), ...Object.values(details).map(String)].join(' '));
    expect(read.toSorted()).toEqual([
      `GET /api/ledger/entries/:entryId ${run.journalEntryId}`,
      'GET /api/payroll/employees',
      `GET /api/payroll/employees/:employeeId ${employeeId}`,
      'GET /api/payroll/pay-runs',
      `GET /api/payroll/pay-runs/:payRunId ${run.id}`,
      `GET /api/writes/:key ${writes[0].key}`,
    ]);
  });

  test('the members of the company and its customers', async () => {
    const own = await system.company();
    await own.as('manager').get('/api/users');
    await own.as('manager').get('/api/customers');
    const mine = ({ userId }: Row) => userId === own.users.manager.id;
    const rows = await rowsOf(own, 'event=personal_data_read', mine, 2);
    expect(rows.map(({ action }) => String(action)).toSorted()).toEqual(['GET /api/customers', 'GET /api/users']);
  });

  test('the webhook secret, and the log does not hold it', async () => {
    const { secret } = (await company.api.get('/api/company/webhook-secret')).json;
    const rows = await rowsOf(company, 'event=secret_shown', ({ reason }) => reason === 'webhook_secret');
    expect(rows).toMatchObject([{ userId: company.users.owner.id, ip: '127.0.0.1' }]);
    const { rows: holding } = await system.owner.query(
      'SELECT FROM security_log AS l WHERE position($1 IN to_jsonb(l)::text) > 0',
      [secret],
    );
    expect(holding).toHaveLength(0);
  });
});

describe('whoever is given power, or takes a control away, is in the security log, by the transaction of the write', () => {
  test('a new admin and a new owner, and nothing for one who was one before', async () => {
    const own = await system.company();
    const userId = own.users.user.id;
    const grant = (roles: readonly string[]) => own.api.created(`/api/users/${userId}/access`, { roles });
    await grant(['admin']);
    await grant(['admin', 'manager']);
    await grant(['owner', 'admin']);
    const rows = await rowsOf(own, 'event=privilege_granted', () => true, 2);
    expect(rows).toMatchObject([
      {
        reason: 'owner',
        userId: own.users.owner.id,
        action: 'grantUserAccess',
        details: { userId, roles: ['owner', 'admin'] },
      },
      { reason: 'admin', userId: own.users.owner.id, details: { userId, rolesBefore: ['user'], roles: ['admin'] } },
    ]);
  });

  test('books that are reopened, pay that needs no approval any more, days further ahead, and nothing for what is raised', async () => {
    const own = await system.company();
    const change = (body: object) => own.api.created('/api/company/settings', body, { method: 'PATCH' });
    await change({ expectedVersion: 1, booksClosedThrough: '2026-01-31', payRunApprovalRequired: true });
    await change({ expectedVersion: 2, booksClosedThrough: null, reopenReason: 'a personal matter of A. Person' });
    await change({ expectedVersion: 3, payRunApprovalRequired: false });
    await change({ expectedVersion: 4, latestPostingDays: 30 });
    await change({ expectedVersion: 5, latestPostingDays: 31 });
    const rows = await rowsOf(own, 'event=control_lowered', () => true, 3);
    expect(rows).toMatchObject([
      { reason: 'latestPostingDays', details: { before: 30, after: 31 } },
      { reason: 'payRunApprovalRequired', details: { before: true, after: false } },
      { reason: 'booksClosedThrough', details: { before: '2026-01-31', after: null } },
    ]);
    expect(JSON.stringify(rows)).not.toContain('Person');
  });

  test('a write that is rejected leaves nothing there', async () => {
    const own = await system.company();
    const answer = await own.api.post(`/api/users/${own.users.owner.id}/access`, { roles: ['admin'] });
    expect(answer.json.code).toBe('last_owner');
    const { rows } = await system.owner.query(
      "SELECT FROM security_log WHERE company_id = $1 AND event = 'privilege_granted'",
      [own.id],
    );
    expect(rows).toHaveLength(0);
  });
});

describe('who reads the log', () => {
  test('owners and auditors, no one else, and of their own company alone', async () => {
    const other = await system.company();
    await company.as('employee').get('/api/payroll/pay-runs');
    await rowsOf(company, 'event=access_refused', () => true);
    for (const role of ['admin', 'accountant', 'manager', 'employee', 'user'] as const) {
      expect([role, (await company.as(role).get('/api/security-log')).status]).toEqual([role, 403]);
    }
    const seenByOther = (await other.api.get('/api/security-log?limit=200')).json.items as Row[];
    const ours = Object.values(company.users).map(({ id }) => id);
    expect(seenByOther.filter(({ userId }) => ours.includes(userId ?? ''))).toEqual([]);
  });

  test('nobody changes it: the application by privilege, the owner by trigger', async () => {
    const pool = openPool({
      connectionString: system.environment['DATABASE_URL'] as string,
      max: 1,
      statementTimeoutMs: 10_000,
      applicationName: 'test',
    });
    for (const statement of [
      'UPDATE security_log SET reason = reason',
      'DELETE FROM security_log',
      'TRUNCATE security_log',
    ]) {
      const asApplication = pool.connections.query(`SET ROLE accubooks_app; ${statement}`);
      await expect(asApplication).rejects.toMatchObject({ code: '42501' });
      await expect(system.owner.query(statement)).rejects.toMatchObject({ code: '23001' });
    }
    await pool.close();
  });

  test('and maintenance drops no month that is younger than the log’s time', async () => {
    const client = await system.owner.connect();
    try {
      await client.query('BEGIN; SET LOCAL ROLE accubooks_maintenance');
      expect((await client.query('SELECT drop_old_security_months() AS dropped')).rows).toEqual([{ dropped: 0 }]);
      await client.query('SAVEPOINT before');
      await expect(client.query('DROP TABLE security_log')).rejects.toMatchObject({ code: '42501' });
      await client.query('ROLLBACK TO before; RESET ROLE');
      await client.query(
        "CREATE TABLE security_partitions.y2024m01 PARTITION OF security_log FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00')",
      );
      await client.query('SET LOCAL ROLE accubooks_maintenance');
      expect((await client.query('SELECT drop_old_security_months() AS dropped')).rows).toEqual([{ dropped: 1 }]);
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });
});

describe('a flood does not fill the log, and an outage does not fail a request', () => {
  test('of many refusals of one kind five are told in full, and all are counted', async () => {
    const pool = openPool({
      connectionString: system.environment['DATABASE_URL'] as string,
      max: 1,
      statementTimeoutMs: 10_000,
      applicationName: 'test',
    });
    const log = createSecurityLog({ pool, logger: { error: () => undefined } });
    const address = '203.0.113.7';
    for (let count = 0; count < 1_000; count += 1) {
      log.record({
        event: 'authentication_refused',
        reason: 'flooded',
        address,
        action: 'GET /',
        requestId: String(count),
      });
    }
    await log.close();
    await pool.close();
    const { rows } = await system.owner.query<{ count: number; request_id: string | null }>(
      "SELECT count, request_id FROM security_log WHERE reason = 'flooded' ORDER BY id",
    );
    expect(rows.map(({ count }) => count)).toEqual([1, 1, 1, 1, 1, 995]);
    expect(rows.at(-1)?.request_id).toBeNull();
  });

  test('while the database does not answer, rows wait in a buffer that has an end, and are there afterwards', async () => {
    const url = system.environment['DATABASE_URL'] as string;
    const proxy = await startProxy(targetOf(url));
    const pool = openPool({
      connectionString: through(url, proxy),
      max: 1,
      statementTimeoutMs: 500,
      applicationName: 'test',
    });
    const results = { written: 0, dropped: 0 };
    const log = createSecurityLog({
      pool,
      logger: { error: () => undefined },
      onRows(rows, result) {
        results[result] += rows;
      },
    });
    proxy.cut();
    const own = await system.company();
    const told = { event: 'access_refused', reason: 'outage', companyId: own.id, address: '203.0.113.8' } as const;
    for (let count = 0; count < 12_000; count += 1) {
      // Three rows of each user, which is fewer than are told in full.
      log.record({
        ...told,
        userId: `${NOBODY.slice(0, -4)}${1000 + (count % 4_000)}`,
        action: 'GET /',
        requestId: 'r',
      });
    }
    expect(results).toEqual({ written: 0, dropped: 2_000 });
    proxy.open();
    await until('the rows that have waited', async () => results.written === 10_000);
    await log.close();
    await pool.close();
    await proxy.close();
    const { rows } = await system.owner.query('SELECT count(*)::int AS n FROM security_log WHERE reason = $1', [
      'outage',
    ]);
    expect(rows[0].n).toBeGreaterThanOrEqual(10_000);
  });

  test('and the API answers as ever while its rows cannot be written', async () => {
    const own = await system.company();
    const client = await system.owner.connect();
    try {
      await client.query('BEGIN; LOCK TABLE security_log IN ACCESS EXCLUSIVE MODE');
      expect((await own.as('accountant').get('/api/payroll/pay-runs')).status).toBe(200);
      expect((await own.as('employee').get('/api/payroll/pay-runs')).status).toBe(403);
      expect((await own.api.post('/api/customers', { name: 'Open', currency: 'USD' })).status).toBe(201);
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
    await rowsOf(own, 'event=payroll_read', () => true);
    await rowsOf(own, 'event=access_refused', () => true);
  });
});

describe('an operator’s commands', () => {
  test('are in the log with the operating system’s user and the database’s login', async () => {
    const environment = { MIGRATION_DATABASE_URL: ownerUrlOf(system.owner), DATABASE_URL: ownerUrlOf(system.owner) };
    const email = `founder-${randomUUID()}@example.test`;
    const { code, stdout, stderr } = await runCommand(
      'deploy/operator/company-create.ts',
      ['--name', 'Recorded Ltd', '--owner-email', email],
      environment,
    );
    expect([code, stderr]).toEqual([0, '']);
    const { companyId, userId } = JSON.parse(stdout);
    const { rows } = await system.owner.query(
      'SELECT action, login, details, to_jsonb(l)::text AS text FROM security_log AS l WHERE company_id = $1',
      [companyId],
    );
    expect(rows).toMatchObject([
      {
        action: 'company:create',
        login: 'accubooks_owner',
        details: { userId, osUser: expect.any(String), host: expect.any(String) },
      },
    ]);
    expect(rows[0].text).not.toContain(email);
  });
});

function forged(): Promise<string> {
  return signToken(
    { userId: randomUUID(), companyId: company.id },
    { secret: 'a-secret-of-another-32-bytes-long-or-so' },
  );
}

function unsigned(): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${encode({ alg: 'none' })}.${encode({ sub: randomUUID(), company_id: company.id, exp: 9_999_999_999 })}.`;
}
