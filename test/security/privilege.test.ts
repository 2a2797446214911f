import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { openDatabase, openPool, queryOnce } from '../../activities/database.ts';
import { writeId } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { runOperation } from '../../activities/write/run-operation.ts';
import { checkLogin } from '../../worker/login.ts';
import type { Company } from '../support/companies.ts';
import { startApiProcess, startWorkerProcess } from '../support/processes.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

const REFUSED_BY_PRIVILEGE = '42501';
const LOGINS = [
  'DATABASE_URL',
  'RELAY_DATABASE_URL',
  'MAINTENANCE_DATABASE_URL',
  'SEALER_DATABASE_URL',
  'AUDITOR_DATABASE_URL',
  'ERASER_DATABASE_URL',
] as const;
const ROLE_OF = {
  DATABASE_URL: 'accubooks_app',
  RELAY_DATABASE_URL: 'accubooks_relay',
  MAINTENANCE_DATABASE_URL: 'accubooks_maintenance',
  SEALER_DATABASE_URL: 'accubooks_sealer',
  AUDITOR_DATABASE_URL: 'accubooks_auditor',
  ERASER_DATABASE_URL: 'accubooks_eraser',
} as const;

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
});
afterAll(() => system.stop());

/** Runs SQL as a login and gives the connection back. */
async function asLogin<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function urlOf(login: (typeof LOGINS)[number]): string {
  return system.environment[login] as string;
}

/** Changes privileges on this test's database, which a test gives back. */
async function asSuperuser(...statements: readonly string[]): Promise<void> {
  const url = new URL(inject('superuserUrl'));
  url.pathname = new URL(urlOf('DATABASE_URL')).pathname;
  await asLogin(url.href, async (client) => {
    for (const statement of statements) await client.query(statement);
  });
}

function databaseName(): string {
  return new URL(urlOf('DATABASE_URL')).pathname.slice(1);
}

describe('a temporary table with the name of one of ours', () => {
  test.each(LOGINS)(
    'cannot be made by the login of %s, nor anything else that a session could look at first',
    async (login) => {
      await asLogin(urlOf(login), async (client) => {
        for (const statement of [
          'CREATE TEMPORARY TABLE memberships (company_id uuid, user_id uuid, roles text[])',
          'CREATE TEMPORARY VIEW memberships AS SELECT 1',
          'CREATE TABLE public.memberships_of_mine ()',
          'CREATE SCHEMA mine',
        ]) {
          await expect(client.query(statement)).rejects.toMatchObject({ code: REFUSED_BY_PRIVILEGE });
        }
      });
    },
  );

  test('makes no stranger an owner where a session has one all the same', async () => {
    await asSuperuser(`GRANT TEMPORARY ON DATABASE ${databaseName()} TO PUBLIC`);
    onTestFinished(() => asSuperuser(`REVOKE TEMPORARY ON DATABASE ${databaseName()} FROM PUBLIC`));
    const stranger = (await system.company()).users.owner;
    const { rows } = await system.owner.query('SELECT token_subject FROM users WHERE id = $1', [stranger.id]);
    const subject: string = rows[0].token_subject;
    // One connection: the attacker's session is the one that the next write gets.
    const database = openDatabase({
      connectionString: urlOf('DATABASE_URL'),
      writePoolMax: 1,
      readPoolMax: 1,
      statementTimeoutMs: 60_000,
      applicationName: 'poisoned',
    });
    onTestFinished(() => database.close());
    for (const path of ['"$user", public', 'pg_temp, public']) {
      for (const pool of [database.writes, database.reads]) {
        await queryOnce(pool, `SELECT set_config('search_path', $1, false)`, [path]);
        await queryOnce(
          pool,
          'CREATE TEMPORARY TABLE IF NOT EXISTS memberships (company_id uuid, user_id uuid, roles text[])',
        );
        await queryOnce(pool, "INSERT INTO pg_temp.memberships VALUES ($1, $2, '{owner}')", [company.id, stranger.id]);
      }
      const key = `poisoned by ${path}`;
      const args = {
        ...writeArguments(company, createCustomer, { name: 'Forged' }, key),
        actor: { userId: stranger.id },
      };
      const { result } = await runOperation(
        { database, operations: OPERATIONS },
        args,
        {
          writeId: writeId(company.id, args.operation, key),
          requestedAt: '2026-03-01T12:00:00.000Z',
          workflowId: 'of a test',
          attempt: 1,
        },
        { patience: 'patient' },
      );
      expect(result.outcome).toBe('rejected');
      // What the API asks before it starts anything.
      const [found] = await queryOnce<{ member_roles: string[] | null }>(
        database.reads,
        'SELECT member_roles FROM lookup_write($1, $2, $3)',
        [company.id, subject, key],
      );
      expect(found?.member_roles ?? null).toBeNull();
    }
  });
});

describe('a login can become nothing but the role of its task', () => {
  test.each(LOGINS)('that of %s', async (login) => {
    const others = [
      ...Object.values(ROLE_OF).filter((role) => role !== ROLE_OF[login]),
      'accubooks_owner',
      'pg_read_all_data',
    ];
    await asLogin(urlOf(login), async (client) => {
      await client.query(`SET ROLE ${ROLE_OF[login]}`);
      for (const role of others) {
        await expect(client.query(`SET ROLE ${role}`)).rejects.toMatchObject({ code: REFUSED_BY_PRIVILEGE });
      }
    });
  });

  test('and has a password of its own, by which no other login is reached', () => {
    const passwords = LOGINS.map((login) => new URL(urlOf(login)).password);
    expect(new Set([...passwords, new URL(inject('ownerUrl')).password]).size).toBe(LOGINS.length + 1);
  });
});

describe('a process does not start with a login that could do more than its task', () => {
  /** A login of the application that is also this; its URL. Gone after the test. */
  async function loginWith(...grants: readonly string[]): Promise<string> {
    const name = `more_${randomBytes(6).toString('hex')}`;
    const password = randomBytes(16).toString('hex');
    await asSuperuser(
      `CREATE ROLE ${name} LOGIN NOINHERIT PASSWORD '${password}'`,
      `CREATE ROLE ${name}_between NOLOGIN`,
      `GRANT accubooks_app TO ${name}`,
      `ALTER ROLE ${name} SET role = accubooks_app`,
      ...grants.map((grant) => grant.replaceAll('LOGIN_NAME', name)),
    );
    onTestFinished(() =>
      asSuperuser(`DROP OWNED BY ${name}, ${name}_between CASCADE`, `DROP ROLE ${name}`, `DROP ROLE ${name}_between`),
    );
    const url = new URL(urlOf('DATABASE_URL'));
    Object.assign(url, { username: name, password });
    return url.href;
  }

  async function faultsOf(url: string): Promise<string> {
    const pool = openPool({ connectionString: url, max: 1, statementTimeoutMs: 10_000, applicationName: 'checked' });
    try {
      return await checkLogin(pool, false).then(
        () => 'none',
        (error: Error) => error.message,
      );
    } finally {
      await pool.close();
    }
  }

  const refused: Readonly<Record<string, readonly [grants: readonly string[], told: string]>> = {
    'that may read everything': [['GRANT pg_read_all_data TO LOGIN_NAME'], 'may become pg_read_all_data'],
    'that may run programs of the server': [
      ['GRANT pg_execute_server_program TO LOGIN_NAME'],
      'may become pg_execute_server_program',
    ],
    'that may become the auditor': [['GRANT accubooks_auditor TO LOGIN_NAME'], 'may become accubooks_auditor'],
    'that may become the owner': [
      ['GRANT accubooks_owner TO LOGIN_NAME'],
      'may become accubooks_owner, which bypasses row-level security, which creates roles, which owns tables',
    ],
    'that may become maintenance by way of another role': [
      ['GRANT accubooks_maintenance TO LOGIN_NAME_between', 'GRANT LOGIN_NAME_between TO LOGIN_NAME'],
      'may become accubooks_maintenance, may become more_',
    ],
    'that may pass a role on, and so grant it to itself': [
      ['GRANT accubooks_auditor TO LOGIN_NAME WITH ADMIN TRUE, INHERIT FALSE, SET FALSE'],
      'may become accubooks_auditor',
    ],
    'whose other role is a superuser': [
      ['ALTER ROLE LOGIN_NAME_between SUPERUSER', 'GRANT LOGIN_NAME_between TO LOGIN_NAME'],
      'which is a superuser',
    ],
    'that creates roles': [['ALTER ROLE LOGIN_NAME CREATEROLE'], 'creates roles'],
    'that reads the log of changes': [['ALTER ROLE LOGIN_NAME REPLICATION'], 'may replicate'],
    'that was given a table directly': [['GRANT SELECT ON employees TO LOGIN_NAME'], 'has privileges of its own'],
    'that was given a function directly': [
      ['GRANT EXECUTE ON FUNCTION load_audit_lines(date, text[]) TO LOGIN_NAME'],
      'has privileges of its own',
    ],
    'that may create in the schema': [['GRANT CREATE ON SCHEMA public TO LOGIN_NAME'], 'creates objects'],
  };
  test.each(Object.entries(refused))('%s', async (_, [grants, told]) => {
    expect(await faultsOf(await loginWith(...grants))).toContain(told);
  });

  test('and one that is a member of its role alone is taken', async () => {
    expect(await faultsOf(await loginWith())).toBe('none');
    expect(await faultsOf(urlOf('DATABASE_URL'))).toBe('none');
    expect(await faultsOf(urlOf('RELAY_DATABASE_URL'))).toContain(
      'is not a member of accubooks_app, may become accubooks_relay',
    );
  });

  test('nor in a database where everybody may create temporary tables, as in one restored from a dump', async () => {
    await asSuperuser(`GRANT TEMPORARY ON DATABASE ${databaseName()} TO PUBLIC`);
    onTestFinished(() => asSuperuser(`REVOKE TEMPORARY ON DATABASE ${databaseName()} FROM PUBLIC`));
    expect(await faultsOf(urlOf('DATABASE_URL'))).toContain('creates temporary tables (run npm run db:migrate)');
  });

  test('API and worker alike, each by its own logins', async () => {
    const auditor = await loginWith('GRANT accubooks_auditor TO LOGIN_NAME');
    const told = /ended with 1: DATABASE_URL's login may become accubooks_auditor: /;
    await expect(startApiProcess({ ...system.environment, DATABASE_URL: auditor })).rejects.toThrow(told);
    await expect(startWorkerProcess({ ...system.environment, DATABASE_URL: auditor })).rejects.toThrow(told);
    const { RELAY_DATABASE_URL: _relay, ...withoutRelay } = system.environment;
    await expect(startWorkerProcess(withoutRelay)).rejects.toThrow(
      /ended with 1: RELAY_DATABASE_URL is not set, and DATABASE_URL's login is not a member of accubooks_relay/,
    );
  });
});
