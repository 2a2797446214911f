import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { triggerWorkflow } from '../../activities/operations/trigger-workflow.ts';
import { REGISTERED_WORKFLOWS } from '../../activities/registered-workflows.ts';
import { ROLES, type Role } from '../../activities/roles.ts';
import { createApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { untilWaiting } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

async function newUser(): Promise<string> {
  const { rows } = await system.owner.query('SELECT create_user($1) AS id', [`new-${randomUUID()}@example.test`]);
  return rows[0].id;
}

function grant(company: Company, userId: string, roles: readonly string[], role: Role = 'owner') {
  return company.as(role).post(`/api/users/${userId}/access`, { roles });
}

describe('access', () => {
  test('is granted to one who was no member, replaced, and ended', async () => {
    const company = await system.company();
    const userId = await newUser();
    const api = createApiClient(system.url, await signToken({ userId, companyId: company.id }));
    expect((await api.get('/api/me')).json.code).toBe('not_a_member');

    const granted = await grant(company, userId, ['accountant', 'employee'], 'admin');
    expect([granted.status, granted.headers.get('location')]).toEqual([200, `/api/users/${userId}`]);
    expect(granted.json).toEqual({ userId, email: null, roles: ['accountant', 'employee'] });
    expect((await company.api.get(`/api/users/${userId}`)).json).toEqual(granted.json);
    expect((await api.get('/api/me')).json.roles).toEqual(['accountant', 'employee']);

    expect((await grant(company, userId, ['user'])).json.roles).toEqual(['user']);
    expect((await api.get('/api/customers')).status).toBe(403);
    expect((await grant(company, userId, [])).json).toEqual({
      ...granted.json,
      email: expect.stringMatching(/^new-/),
      roles: [],
    });
    expect((await api.get('/api/me')).json.code).toBe('not_a_member');
    expect(await company.api.get(`/api/users/${userId}`)).toMatchObject({
      status: 404,
      json: { code: 'user_not_found' },
    });
  });

  test('of a user whom nobody knows is 404, and of one of another company is not told apart from a newcomer', async () => {
    const [company, other] = [await system.company(), await system.company()];
    for (const [userId, roles] of [
      [randomUUID(), ['user']],
      [other.users.owner.id, []],
    ] as const) {
      const refused = await grant(company, userId, roles);
      expect(refused).toMatchObject({ status: 404, json: { code: 'user_not_found', errors: [{ in: 'path' }] } });
    }
    expect((await grant(company, other.users.owner.id, ['user'])).status).toBe(200);
    expect((await other.api.get('/api/me')).json.roles).toEqual(['owner']);
  });

  test('names each role once, and known ones only', async () => {
    const company = await system.company();
    for (const roles of [['owner', 'owner'], ['boss'], 'owner', [null]]) {
      const answer = await company.api.post(`/api/users/${company.users.user.id}/access`, { roles });
      expect([roles, answer.json.code]).toEqual([roles, 'validation_failed']);
    }
  });
});

describe('no one grants more than they hold', () => {
  test('an admin may do all that every role but the owner may', () => {
    const operationsOf = (role: Role) => OPERATIONS.filter(({ roles }) => roles.includes(role)).map(({ name }) => name);
    const workflowsOf = (role: Role) => REGISTERED_WORKFLOWS.filter(({ roles }) => roles.includes(role));
    for (const role of ROLES.filter((name) => name !== 'owner')) {
      expect(operationsOf('admin')).toEqual(expect.arrayContaining(operationsOf(role)));
      expect(workflowsOf('admin')).toEqual(expect.arrayContaining(workflowsOf(role)));
    }
  });

  test('an admin grants each role but owner', async () => {
    const company = await system.company();
    for (const role of ROLES) {
      const answer = await grant(company, await newUser(), [role], 'admin');
      const expected = role === 'owner' ? [403, 'role_escalation'] : [200, undefined];
      expect([role, answer.status, answer.json.code]).toEqual([role, ...expected]);
    }
  });

  test('an admin neither makes themselves an owner nor changes what an owner may do', async () => {
    const company = await system.company();
    const { owner, admin } = company.users;
    for (const [userId, roles] of [
      [admin.id, ['admin', 'owner']],
      [owner.id, ['owner', 'user']],
      [owner.id, []],
    ] as const) {
      expect(await grant(company, userId, roles, 'admin')).toMatchObject({
        status: 403,
        json: { code: 'role_escalation' },
      });
    }
  });

  test.each(ROLES.filter((role) => role !== 'owner' && role !== 'admin'))('%s grants nothing', async (role) => {
    const company = await system.company();
    expect((await grant(company, company.users.user.id, ['user'], role)).json.code).toBe('forbidden');
  });
});

describe('the last owner', () => {
  test('stays, whatever role they are given instead', async () => {
    const company = await system.company();
    for (const roles of [[], ['admin']]) {
      expect(await grant(company, company.users.owner.id, roles)).toMatchObject({
        status: 409,
        json: { code: 'last_owner' },
      });
    }
  });

  test('stays when the owners remove each other at once', async () => {
    const company = await system.company();
    const { owner, admin } = company.users;
    expect((await grant(company, admin.id, ['owner'])).status).toBe(200);
    const answers = await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        const by = index % 2 === 0 ? 'admin' : 'owner';
        const { status } = await grant(company, by === 'admin' ? owner.id : admin.id, ['user'], by);
        return { by, status };
      }),
    );
    const winners = new Set(answers.filter(({ status }) => status === 200).map(({ by }) => by));
    expect(winners.size).toBe(1);
    const { rows } = await system.owner.query(
      "SELECT count(*)::int AS owners FROM memberships WHERE company_id = $1 AND 'owner' = ANY (roles)",
      [company.id],
    );
    expect(rows[0].owners).toBe(1);
  });

  test('is asked about when another’s change of access is done', async () => {
    const company = await system.company();
    const { owner, admin } = company.users;
    expect((await grant(company, admin.id, ['owner'])).status).toBe(200);
    const session = await system.owner.connect();
    await session.query('BEGIN');
    await session.query('SELECT lock_company_row($1, $2)', [company.id, owner.id]);
    const demote = "UPDATE memberships SET roles = ARRAY['user'] WHERE company_id = $1 AND user_id = $2";
    await session.query(demote, [company.id, admin.id]);
    // Two owners until now, and one when its turn comes.
    const leaving = grant(company, owner.id, ['user']);
    await untilWaiting(system.owner, 1);
    await session.query('COMMIT');
    session.release();
    expect((await leaving).json.code).toBe('last_owner');
    // What SQL has changed is made again by a write, so that the controls find no other roles than were answered.
    expect((await grant(company, admin.id, ['user'])).status).toBe(200);
  });

  test('stays for who writes SQL, too', async () => {
    const company = await system.company();
    const removing = system.owner.query('DELETE FROM memberships WHERE company_id = $1 AND user_id = $2', [
      company.id,
      company.users.owner.id,
    ]);
    await expect(removing).rejects.toMatchObject({ constraint: 'last_owner' });
  });
});

describe('a workflow', () => {
  test('that is registered is triggered once under its key, its event having the workflow’s ID', async () => {
    const company = await system.company();
    const send = () =>
      company
        .as('manager')
        .post('/api/workflows/sendInvoiceReminders/trigger', { payload: { asOf: '2026-05-01' } }, { key: 'once' });
    const answers = await Promise.all(Array.from({ length: 10 }, send));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    const [{ status, json }] = answers as [(typeof answers)[0]];
    expect(status).toBe(201);
    expect(json).toMatchObject({ workflowName: 'sendInvoiceReminders', userId: company.users.manager.id });
    expect((await company.api.get(`/api/workflows/triggers/${json.id}`)).json).toEqual(json);
    const effects = await countEffects(system.owner, {
      companyId: company.id,
      table: 'workflow_triggers',
      key: 'once',
    });
    expect(effects).toMatchObject({ writes: 1, rows: 1, newAudit: 1, events: 1, entries: 0 });
    const { rows } = await system.owner.query(
      `SELECT o.id, o.kind, o.payload, a.workflows_triggered FROM outbox o
       JOIN idempotent_write_audit_log a ON a.deterministic_id = o.write_id AND a.status = 'new'
       WHERE o.company_id = $1`,
      [company.id],
    );
    expect(rows).toEqual([
      {
        id: json.workflowId,
        kind: 'workflow.triggered',
        payload: {
          resource: { type: 'trigger', id: json.id, url: `/api/workflows/triggers/${json.id}` },
          requestId: expect.any(String),
          workflowName: 'sendInvoiceReminders',
        },
        workflows_triggered: 1,
      },
    ]);
  });

  // Among them what every object and function of the language has: no name is ever looked up in one.
  test.each([
    'payEveryone',
    'a',
    'abc',
    'write',
    'toString',
    'constructor',
    '__proto__',
    '00000000-0000-4000-8000-000000000000',
    `x${'y'.repeat(199)}`,
  ])('that is not registered is 404, for good: %s', async (name) => {
    const company = await system.company();
    const send = () => company.api.post(`/api/workflows/${name}/trigger`, {}, { key: 'nobody' });
    const first = await send();
    expect([first.status, first.json.code, first.replayed]).toEqual([404, 'workflow_not_registered', false]);
    expect(first.json.errors).toEqual([{ in: 'path', pointer: '/name' }]);
    const again = await send();
    expect([again.status, again.text, again.replayed]).toEqual([404, first.text, true]);
  });

  test.each(['%20', 'a%20b', '-a', 'a%2Fb', '%00', 'caf%C3%A9', 'y'.repeat(201)])(
    'whose name is none is 422, and nothing is stored: %s',
    async (name) => {
      const company = await system.company();
      const answer = await company.api.post(`/api/workflows/${name}/trigger`, {}, { key: 'no-name' });
      expect([answer.status, answer.json.code]).toEqual([422, 'validation_failed']);
      expect(answer.json.errors).toMatchObject([{ in: 'path', pointer: '/name' }]);
      expect((await company.api.post('/api/workflows/closeMonth/trigger', {}, { key: 'no-name' })).status).toBe(201);
    },
  );

  test.each(['closeMonth', 'sendInvoiceReminders'])(
    'that does not know a member of the payload is 422: %s',
    async (name) => {
      const company = await system.company();
      for (const payload of [{ thru: '2026-01-31' }, { asOf: '2026-01-31', through: '2026-01-31' }]) {
        const { status, json } = await company.api.post(`/api/workflows/${name}/trigger`, { payload });
        expect([status, json.code]).toEqual([422, 'workflow_payload_invalid']);
      }
      const misspelt = await company.api.post(`/api/workflows/${name}/trigger`, { payload: { thru: '2026-01-31' } });
      const taken = name === 'closeMonth' ? 'through' : 'asOf';
      expect(misspelt.json).toMatchObject({
        detail: `${name}: thru is not a member of its payload. It takes ${taken}.`,
        errors: [{ in: 'body', pointer: '/payload/thru' }],
      });
      expect((await company.api.get('/api/workflows/triggers')).json.items).toEqual([]);
    },
  );

  test('whose payload a release before has taken is answered as it was', async () => {
    const company = await system.company();
    const before: Operation = {
      ...triggerWorkflow,
      write: (tx, input, context) => triggerWorkflow.write(tx, { ...input, body: { payload: {} } }, context),
    };
    const release = await system.another({
      operations: [before],
      environment: { TEMPORAL_TASK_QUEUE: `${system.environment['TEMPORAL_TASK_QUEUE']}-before` },
    });
    const body = { payload: { thru: '2026-01-31' } };
    const first = await company
      .as('owner', release.url)
      .post('/api/workflows/closeMonth/trigger', body, { key: 'before' });
    expect(first.status).toBe(201);
    const again = await company.api.post('/api/workflows/closeMonth/trigger', body, { key: 'before' });
    expect([again.status, again.replayed, again.text]).toEqual([201, true, first.text]);
  });

  test('that does not take the payload is 422', async () => {
    const company = await system.company();
    expect(await company.api.post('/api/workflows/closeMonth/trigger', { payload: { through: 'May' } })).toMatchObject({
      status: 422,
      json: { code: 'workflow_payload_invalid', errors: [{ pointer: '/payload/through' }] },
    });
    for (const payload of ['{"a":"\\u0000"}', '{"__proto__":1}', '{"a":1e400}', '[]', '{"a":{"b":9007199254740993}}']) {
      const answer = await company.api.post('/api/workflows/closeMonth/trigger', `{"payload":${payload}}`);
      expect([payload, answer.json.code]).toEqual([payload, 'validation_failed']);
    }
  });

  test('asks for its own roles', async () => {
    const company = await system.company();
    const asManager = await company.as('manager').post('/api/workflows/closeMonth/trigger', {});
    expect(asManager).toMatchObject({ status: 403, json: { code: 'forbidden', nextAction: 'use_new_key' } });
    expect((await company.as('admin').post('/api/workflows/closeMonth/trigger', {})).status).toBe(201);
    expect((await company.as('accountant').post('/api/workflows/closeMonth/trigger', {})).status).toBe(403);
  });
});

test('all of this leaves the controls holding', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
