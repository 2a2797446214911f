import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import type { Role } from '../../activities/roles.ts';
import { setPolicies } from '../support/approvals.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { until, untilWaiting } from '../support/held-invoice.ts';
import { employeeBody } from '../support/payroll.ts';
import { startProxy, type TcpProxy, targetOf, through } from '../support/proxy.ts';
import { keyWorkflow } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

/** What is answered about writes that wait for their approval: to whom, when something is away, and when two things race. */
let system: System;
let company: Company;
let invoiceId: string;
let temporal: TcpProxy;
let postgres: TcpProxy;
/** An API whose servers can be taken away, and where one request of a company may wait. */
let fragile: string;

beforeAll(async () => {
  system = await startSystem();
  temporal = await startProxy(targetOf(inject('temporalAddress')));
  const databaseUrl = system.environment['DATABASE_URL'] ?? '';
  postgres = await startProxy(targetOf(databaseUrl));
  const { url } = await system.another({
    environment: {
      TEMPORAL_ADDRESS: temporal.address,
      DATABASE_URL: through(databaseUrl, postgres),
      MAX_STATUS_WAITS_PER_COMPANY: '1',
    },
  });
  fragile = url;
});
afterAll(async () => {
  await system.stop();
  await temporal.close();
  await postgres.close();
});
beforeEach(async () => {
  temporal.open();
  postgres.open();
  company = await system.company();
  invoiceId = await company.invoice({ total: 1_000_000 });
});

const pay = (
  key: string,
  { headers = {}, url, role = 'accountant' }: { headers?: object; url?: string; role?: Role } = {},
) => company.as(role, url).post('/api/payments', paymentBody(invoiceId, 100), { key, headers: { ...headers } });
const send = (role: Role, path: string, body?: string) =>
  company.as(role).send('POST', path, {
    ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
  });
const approve = (role: Role, key: string, body?: string) => send(role, `/api/writes/${key}/approve`, body);
const reject = (role: Role, key: string) => send(role, `/api/writes/${key}/reject`);
const policy = (...approverRoles: Role[]) => ({ operation: 'createPayment', approverRoles });
const effectsOf = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });

async function waiting(key: string, role: Role = 'accountant'): Promise<void> {
  const asked = await pay(key, { role });
  expect([asked.status, asked.json?.state]).toEqual([202, 'pending_approval']);
}

/** Gives a member other roles, as an owner would by grantUserAccess. */
const giveRoles = (role: Role, roles: readonly Role[]) =>
  system.owner.query('UPDATE memberships SET roles = $3 WHERE company_id = $1 AND user_id = $2', [
    company.id,
    company.users[role].id,
    roles,
  ]);

/** As an approval that was committed by a process that ended before it could tell the run. */
const approveUntold = (key: string) =>
  system.owner.query(
    `INSERT INTO approval_decisions (company_id, idempotency_key, user_id, requested_by, decision, request_id)
     VALUES ($1, $2, $3, $4, 'approved', 'untold')`,
    [company.id, key, company.users.admin.id, company.users.accountant.id],
  );

describe('who may decide about a write without reading its kind', () => {
  beforeEach(() => setPolicies(company, [policy('inventory_manager')]));

  test('reads what became of it, and not what it answered', async () => {
    await waiting('seen');
    const approved = await approve('inventory_manager', 'seen');
    expect([approved.status, approved.json?.state, approved.json?.response]).toEqual([200, 'succeeded', null]);
    expect((await approve('inventory_manager', 'seen')).text).not.toBe('');
    const read = await company.as('inventory_manager').get('/api/writes/seen');
    expect([read.status, read.json?.approvedBy, read.json?.response]).toEqual([
      200,
      company.users.inventory_manager.id,
      null,
    ]);
    await giveRoles('inventory_manager', ['user']);
    const hidden = { response: null, request: null };
    expect((await company.as('inventory_manager').get('/api/writes/seen')).json).toMatchObject(hidden);
    const shown = { response: { amount: 100 }, request: { body: { amount: 100 } } };
    expect((await company.api.get('/api/writes/seen')).json).toMatchObject(shown);
  });

  test('reads what they have rejected', async () => {
    await waiting('refused');
    const rejected = await reject('inventory_manager', 'refused');
    expect([rejected.status, rejected.json?.state, rejected.json?.response]).toEqual([200, 'rejected', null]);
    expect((await company.as('employee').get('/api/writes/refused')).status).toBe(404);
  });
});

describe('who may neither read nor decide', () => {
  beforeEach(() => setPolicies(company, [policy('admin')]));

  test('learns no more of a key that waits, or has waited, than of one that is not there', async () => {
    const answerOf = async (key: string, action: string) => {
      const { status, json } = await send('employee', `/api/writes/${key}/${action}`);
      const { requestId: _, instance: __, ...told } = json;
      return { status, told: JSON.parse(JSON.stringify(told).replaceAll(key, 'KEY')) };
    };
    await waiting('hidden');
    for (const action of ['approve', 'reject', 'cancel']) {
      const unknown = await answerOf('nobodys', action);
      expect([unknown.status, unknown.told.code]).toEqual([403, 'forbidden']);
      expect(await answerOf('hidden', action)).toEqual(unknown);
    }
    // Who may read such writes is told why.
    expect((await approve('manager', 'hidden')).json.code).toBe('forbidden');
    expect((await approve('admin', 'hidden')).json.state).toBe('succeeded');
    expect(await answerOf('hidden', 'approve')).toEqual(await answerOf('nobodys', 'approve'));
  });

  test('is refused a cancel after the same questions', async () => {
    await waiting('costly');
    temporal.cut();
    const cancel = (key: string) => company.as('employee', fragile).send('POST', `/api/writes/${key}/cancel`);
    const unknown = await cancel('nobodys');
    expect([unknown.status, unknown.json.code]).toEqual([503, 'orchestrator_unavailable']);
    expect((await cancel('costly')).json.code).toBe(unknown.json.code);
  });
});

test('the security log tells who has read a request that shows pay', async () => {
  await setPolicies(company, [{ operation: 'createEmployee', approverRoles: ['manager'] }, policy('manager')]);
  const asked = await company.as('admin').post('/api/payroll/employees', employeeBody(), { key: 'employee' });
  expect(asked.status, asked.text).toBe(202);
  await waiting('no-pay');
  const manager = company.as('manager');
  for (const path of ['/api/writes/no-pay', '/api/writes/employee', '/api/approvals']) {
    expect((await manager.get(path)).status).toBe(200);
  }
  expect((await reject('manager', 'no-pay')).status).toBe(200);
  expect((await approve('manager', 'employee')).json.state).toBe('succeeded');
  const read = async () => {
    const { json } = await company.as('auditor').get('/api/security-log?limit=200');
    return (json.items as { event: string; userId: string; action: string; details: { key?: string } }[])
      .filter(({ event, userId }) => /_read$/.test(event) && userId === company.users.manager.id)
      .map(({ event, action, details }) => `${event} ${action} ${details.key ?? ''}`.trim())
      .toSorted();
  };
  await until('its rows', async () => (await read()).length >= 3);
  expect(await read()).toEqual([
    'payroll_read GET /api/approvals',
    'payroll_read GET /api/writes/:key employee',
    'payroll_read POST /api/writes/:key/approve employee',
  ]);
});

describe('a client that waits for the outcome', () => {
  beforeEach(() => setPolicies(company, [policy('admin')]));
  const isWaiting = async (key: string) =>
    (await company.api.get(`/api/writes/${key}`)).json.state === 'pending_approval';

  test('is answered although the database stops answering meanwhile', async () => {
    await waiting('frozen');
    const answer = pay('frozen', { headers: { prefer: 'wait=8' }, url: fragile });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    postgres.freeze();
    const { status, json } = await answer;
    expect([status, json.code]).toEqual([503, 'storage_unavailable']);
    expect(await isWaiting('frozen')).toBe(true);
  });

  test('is answered at once where as many wait as may', async () => {
    await waiting('slot');
    await waiting('without-slot');
    let isOver = false;
    const first = pay('slot', { headers: { prefer: 'wait=30' }, url: fragile }).finally(() => {
      isOver = true;
    });
    const status = () => company.as('accountant', fragile).get('/api/writes/slot', { prefer: 'wait=1' });
    await until('the place to be taken', async () => (await status()).status === 429);
    const second = await pay('without-slot', { headers: { prefer: 'wait=30' }, url: fragile });
    expect([second.status, second.json.state, isOver]).toEqual([202, 'pending_approval', false]);
    const third = await pay('without-slot', { headers: { prefer: 'respond-async, wait=30' }, url: fragile });
    const applied = [second, third].map(({ headers }) => headers.get('preference-applied'));
    expect([isOver, ...applied]).toEqual([false, null, 'respond-async']);
    await approve('admin', 'slot');
    const { status: made, headers } = await first;
    expect([made, headers.get('preference-applied')]).toEqual([201, 'wait=30']);
  });
});

describe('a decision', () => {
  beforeEach(() => setPolicies(company, [policy('admin', 'owner')]));

  test('that comes as the time is over is refused', async () => {
    await waiting('at-the-end');
    // Between the look at the request and the decision.
    await system.owner.query(`
      CREATE FUNCTION await_the_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE EXISTS (SELECT FROM approval_requests r WHERE r.company_id = NEW.company_id
            AND r.idempotency_key = NEW.idempotency_key AND r.expires_at > clock_timestamp()) LOOP
          PERFORM pg_sleep(0.05);
        END LOOP;
        RETURN NEW;
      END $$;
      CREATE TRIGGER await_the_end BEFORE INSERT ON approval_decisions FOR EACH ROW
        WHEN (NEW.idempotency_key = 'at-the-end') EXECUTE FUNCTION await_the_end()`);
    const session = await system.owner.connect();
    await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
    await session.query(
      "UPDATE approval_requests SET expires_at = clock_timestamp() + interval '3 seconds' WHERE idempotency_key = 'at-the-end'",
    );
    await session.query('COMMIT');
    session.release();
    const late = await approve('admin', 'at-the-end');
    await system.owner.query('DROP FUNCTION await_the_end CASCADE');
    expect([late.status, late.json.code]).toEqual([409, 'approval_not_pending']);
    expect((await send('owner', '/api/writes/at-the-end/cancel')).json.state).toBe('cancelled');
  });

  test('on an operation of a later release is to be sent again, and is not made', async () => {
    await waiting('later-release');
    const session = await system.owner.connect();
    await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
    await session.query(
      `UPDATE approval_requests SET arguments = arguments || '{"operation": "createForecast"}'
       WHERE company_id = $1 AND idempotency_key = 'later-release'`,
      [company.id],
    );
    await session.query('COMMIT');
    session.release();
    for (const decide of [approve, reject]) {
      const { status, json, headers } = await decide('admin', 'later-release');
      expect([status, json.code, headers.get('retry-after')]).toEqual([409, 'idempotency_in_progress', '1']);
    }
    expect((await approve('accountant', 'later-release')).json.code).toBe('approver_is_requester');
    const { rows } = await system.owner.query(
      'SELECT count(*)::int AS decided FROM approval_decisions WHERE company_id = $1',
      [company.id],
    );
    expect(rows).toEqual([{ decided: 0 }]);
  });

  test('of somebody who loses the role meanwhile is refused', async () => {
    await waiting('revoked');
    const session = await system.owner.connect();
    await session.query("BEGIN; SELECT FROM approval_requests WHERE idempotency_key = 'revoked' FOR UPDATE");
    const approving = approve('admin', 'revoked');
    await untilWaiting(system.owner, 1);
    await giveRoles('admin', ['auditor']);
    await session.query('COMMIT');
    session.release();
    const refused = await approving;
    expect([refused.status, refused.json.code]).toEqual([403, 'forbidden']);
    const { json } = await company.api.get('/api/writes/revoked');
    expect(json).toMatchObject({ state: 'pending_approval', approvals: [] });
    expect((await approve('owner', 'revoked')).json.state).toBe('succeeded');
    expect(await effectsOf('revoked')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, events: 1 });
  });

  test('executes nothing whose requester has lost the role meanwhile', async () => {
    await waiting('no-longer');
    await giveRoles('accountant', ['auditor']);
    const approved = await approve('owner', 'no-longer');
    expect(approved.json).toMatchObject({ state: 'rejected', status: 403 });
    expect(await effectsOf('no-longer')).toMatchObject({ writes: 0, rows: 0, entries: 0, failedAudit: 1, events: 0 });
  });

  test('is asked of those who may make it, and have neither asked nor decided', async () => {
    await setPolicies(company, [{ ...policy('admin', 'owner', 'accountant'), count: 2 }]);
    await waiting('asked', 'admin');
    const asked = async (role: Role) =>
      (await company.as(role).get('/api/approvals?waitingFor=me')).json.items.map(({ key }: { key: string }) => key);
    expect([await asked('admin'), await asked('manager')]).toEqual([[], []]);
    expect([await asked('owner'), await asked('accountant')]).toEqual([['asked'], ['asked']]);
    expect((await approve('accountant', 'asked')).json.state).toBe('pending_approval');
    // Once more is no second approval.
    expect((await approve('accountant', 'asked')).json.demands).toMatchObject([{ count: 2, given: 1 }]);
    expect([await asked('owner'), await asked('accountant')]).toEqual([['asked'], []]);
    expect((await approve('owner', 'asked')).json.state).toBe('succeeded');
  });

  test('is no longer asked for once it is enough, and the write then counts as running', async () => {
    await waiting('enough');
    await approveUntold('enough');
    const rejected = await reject('owner', 'enough');
    expect([rejected.status, rejected.json.code]).toEqual([409, 'approval_not_pending']);
    const asked = async () => (await company.as('owner').get('/api/approvals?waitingFor=me')).json.items.length;
    expect(await asked()).toBe(0);
    const again = await pay('enough', { headers: { prefer: 'respond-async' } });
    expect([again.status, again.json.state, again.headers.get('retry-after')]).toEqual([202, 'running', '1']);
    expect((await pay('enough', { headers: { prefer: 'wait=0' } })).json.code).toBe('idempotency_in_progress');
    // Without the role, the approval does not count.
    await giveRoles('admin', ['auditor']);
    expect(await asked()).toBe(1);
    expect((await pay('enough', { headers: { prefer: 'wait=0' } })).headers.get('retry-after')).toBe('60');
    expect((await reject('owner', 'enough')).json).toMatchObject({ state: 'rejected', status: 409 });
    expect(await effectsOf('enough')).toMatchObject({ writes: 0, rows: 0, entries: 0, failedAudit: 1, events: 0 });
  });

  test('that is enough still loses against a cancel', async () => {
    await waiting('enough-cancelled');
    await approveUntold('enough-cancelled');
    expect((await send('owner', '/api/writes/enough-cancelled/cancel')).json.state).toBe('cancelled');
    expect(await effectsOf('enough-cancelled')).toMatchObject({ writes: 0, rows: 0, entries: 0, events: 0 });
  });

  test.each([
    ['null', ''],
    ['[]', ''],
    ['"yes"', ''],
    ['{"comment":" "}', '/comment'],
    ['{"comment":null}', '/comment'],
    [`{"comment":"${'x'.repeat(501)}"}`, '/comment'],
    ['{"reason":"fine"}', '/reason'],
  ])('with the body %s is refused as of every route', async (body, pointer) => {
    for (const action of ['approve', 'reject']) {
      const { status, json } = await send('admin', `/api/writes/no-such/${action}`, body);
      expect([status, json.code]).toEqual([422, 'validation_failed']);
      expect(json.errors).toEqual([{ in: 'body', pointer, message: expect.any(String) }]);
    }
  });

  test.each(['HEAD', 'GET', 'OPTIONS', 'PUT'])('by %s is refused', async (method) => {
    const refused = await company.api.send(method, '/api/writes/no-such/approve');
    expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'POST']);
  });
});

describe('policies that ask for different people', () => {
  const both = [policy('owner'), policy('accountant')];
  const facts = async () =>
    (await system.owner.query('SELECT overdue_seconds FROM approval_facts()')).rows[0].overdue_seconds as number;
  const demandsOf = (owner: number, accountant: number) => [
    { roles: ['owner'], count: 1, given: owner },
    { roles: ['accountant'], count: 1, given: accountant },
  ];
  /** As the application would close it. */
  const closing = async (key: string, approver: Role) => {
    const client = await system.owner.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT enter_company($1)', [company.id]);
      return await client.query(
        'UPDATE approval_requests SET approved_by = $2, closed_at = now() WHERE company_id = $1 AND idempotency_key = $3',
        [company.id, company.users[approver].id, key],
      );
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  };
  beforeEach(() => setPolicies(company, both));

  test('are each told with what was given, and nothing is due before all are met', async () => {
    await waiting('both', 'admin');
    const first = await approve('accountant', 'both');
    expect(first.json).toMatchObject({ state: 'pending_approval', approvalsNeeded: 1, demands: demandsOf(0, 1) });
    expect(await facts()).toBe(0);
    await expect(closing('both', 'accountant')).rejects.toThrow('approved by enough people');
    const run = keyWorkflow(system.temporal, company, 'both');
    await until('Temporal to tell it', async () => {
      const { currentDetails } = await run.query<{ currentDetails: string }>('__temporal_workflow_metadata');
      return currentDetails.includes('- 0 of 1 given by owner\n- 1 of 1 given by accountant');
    });
    const second = await approve('owner', 'both');
    expect(second.json).toMatchObject({ state: 'succeeded', demands: demandsOf(1, 1) });
    expect(await effectsOf('both')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, events: 1 });
  });

  test('are not met by somebody who has lost the role', async () => {
    await waiting('lost-role', 'admin');
    await approve('accountant', 'lost-role');
    await giveRoles('accountant', ['auditor']);
    const second = await approve('owner', 'lost-role');
    expect(second.json).toMatchObject({ state: 'pending_approval', demands: demandsOf(1, 0) });
    await expect(closing('lost-role', 'owner')).rejects.toThrow('approved by enough people');
    await giveRoles('accountant', ['accountant']);
    // Nobody has told its run that it is enough now.
    expect(await facts()).toBeGreaterThan(0);
    await expect(closing('lost-role', 'accountant')).rejects.toThrow('approved by enough people');
    expect((await closing('lost-role', 'owner')).rowCount).toBe(1);
  });
});
