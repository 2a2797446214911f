import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openPool, type Pool, queryOnce, transaction } from '../../activities/database.ts';
import { writeId } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { createWriteActivities } from '../../activities/write/activities.ts';
import { runOperation } from '../../activities/write/run-operation.ts';
import { runSet, type SetOperation } from '../../activities/write/run-set.ts';
import type { WriteActivityDependencies } from '../../activities/write/write-dependencies.ts';
import { createFence } from '../../worker/fence.ts';
import type { Trust } from '../../workflows/messages.ts';
import { ownerUrlOf } from '../support/commands.ts';
import { openVerification } from '../support/played-verification.ts';
import { COMPANY_ID } from '../support/two-databases.ts';

/** What the database itself asks, of whoever comes: the statements of the fence, without API and Temporal. */
let it: Awaited<ReturnType<typeof openVerification>>;
let standby: Pool;
beforeAll(async () => {
  it = await openVerification();
  // A session that is told so takes the server for a standby.
  await it.owner.query(
    "CREATE SCHEMA played; CREATE FUNCTION played.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
  );
  // What enters a company, or the relay, would look for functions elsewhere from then on.
  for (const [name, type] of [
    ['enter_company', 'uuid'],
    ['enter_relay', ''],
  ] as const) {
    await it.owner.query(
      `CREATE FUNCTION played.${name}(${type}) RETURNS void LANGUAGE sql AS $$
         SELECT public.${name}(${type === '' ? '' : '$1'});
         SELECT set_config('search_path', 'played,pg_catalog,public', true) $$`,
    );
  }
  await it.owner.query('GRANT USAGE ON SCHEMA played TO PUBLIC');
  const url = new URL(ownerUrlOf(it.owner));
  url.searchParams.set('options', '-c search_path=played,pg_catalog,public');
  standby = openPool({ connectionString: url.href, max: 2, statementTimeoutMs: 10_000, applicationName: 'test' });
});
beforeEach(() => it.reset());
afterAll(async () => {
  await standby?.close();
  await it?.close();
});

/** The server on which a process asks, and what the process takes it for. */
const SERVERS = {
  'the one that was verified': async () => it.pool,
  'one that has not been verified': async () => {
    await it.comeBack();
    return it.pool;
  },
  'one that was replaced': async () => {
    await it.owner.query("UPDATE verification SET replaced = 'of a test', replaced_at = now()");
    return it.pool;
  },
  'a standby': async () => standby,
} as const;
type Server = keyof typeof SERVERS;
const OTHERS = (Object.keys(SERVERS) as Server[]).slice(1);

describe('a missing row', () => {
  const versions = async (pool: Pool) => {
    const one = await queryOnce<{ version: string | null }>(
      pool,
      "SELECT version FROM lookup_write($1, NULL, 'none')",
      [COMPANY_ID],
    );
    const many = await queryOnce<{ version: string | null }>(
      pool,
      "SELECT version FROM lookup_writes($1, $2, '{none,nothing}') WHERE company IS NULL",
      [
        [COMPANY_ID, COMPANY_ID],
        [null, null],
      ],
    );
    return [one[0]?.version, many[0]?.version];
  };

  test('proves something under the version of the server that was verified', async () => {
    expect(await versions(it.pool)).toEqual([it.version, it.version]);
  });

  test.each(OTHERS)('proves nothing on %s', async (server) => {
    expect(await versions(await SERVERS[server]())).toEqual([null, null]);
  });
});

describe('of what makes a row', () => {
  const facts = (trust: Trust) => ({
    ...{ requestedAt: '2026-03-01T12:00:00.000Z', workflowId: 'of-a-test', attempt: 1, trust },
  });
  const databaseOf = (pool: Pool) => ({ writes: pool, reads: pool, close: async () => undefined });
  const idOf = (key: string) => writeId(COMPANY_ID, 'createCustomer', key);
  const WAYS = {
    'a write': (pool: Pool, trust: Trust, key: string) =>
      runOperation(
        { database: databaseOf(pool), operations: OPERATIONS },
        it.argumentsOf(key),
        { ...facts(trust), writeId: idOf(key) },
        { patience: 'brief' },
      ),
    'a set of writes': (pool: Pool, trust: Trust, key: string) =>
      runSet(
        { database: databaseOf(pool), operations: OPERATIONS },
        createCustomer as SetOperation,
        [{ args: it.argumentsOf(key), writeId: idOf(key) }],
        facts(trust),
        { patience: 'brief' },
      ),
    'a cancel': (pool: Pool, trust: Trust, key: string) =>
      transaction(pool, (tx) =>
        tx.query(
          `SELECT cancel_write(p_company => $1, p_key => $2, p_user => $3, p_request_id => 'cancel', p_body => '{}',
             p_route_path => '/', p_http_method => 'POST', p_version => $4)`,
          [COMPANY_ID, key, it.company.users.owner, trust.version],
        ),
      ),
  } as const;
  type Way = keyof typeof WAYS;
  const ways = Object.keys(WAYS) as Way[];
  const trusted = async (): Promise<Trust> => {
    const { version, live, epoch } = await it.verification();
    return { version, incarnation: live, epoch };
  };
  const hasRow = async (key: string) =>
    (await it.owner.query('SELECT FROM idempotent_writes WHERE idempotency_key = $1', [key])).rowCount === 1;
  const refusal = (attempt: Promise<unknown>) =>
    attempt.then(
      () => 'none',
      (error: { sqlState?: string; cause?: { sqlState?: string } }) => error.sqlState ?? error.cause?.sqlState,
    );

  test.each(ways)('%s is let through by the server that the process knows', async (way) => {
    const key = randomUUID();
    expect(await refusal(WAYS[way](it.pool, await trusted(), key))).toBe('none');
    expect(await hasRow(key)).toBe(true);
  });

  test.each(ways.flatMap((way) => OTHERS.map((server) => [way, server] as const)))(
    '%s is refused by %s',
    async (way, server) => {
      const [key, trust] = [randomUUID(), await trusted()];
      expect(await refusal(WAYS[way](await SERVERS[server](), trust, key))).toBe('58AB1');
      expect(await hasRow(key)).toBe(false);
    },
  );

  test.each(ways)('%s is refused where the process knows an earlier version of the server', async (way) => {
    const [key, trust] = [randomUUID(), await trusted()];
    await it.reset();
    expect(await refusal(WAYS[way](it.pool, trust, key))).toBe('58AB1');
    expect(await hasRow(key)).toBe(false);
  });
});

test.each(OTHERS)('events get no number on %s, and theirs on the one that was verified', async (server) => {
  await it.make(randomUUID());
  const number = async (pool: Pool) =>
    (await queryOnce<{ numbered: number }>(pool, "SELECT number_events(100, '{}') AS numbered"))[0]?.numbered;
  expect(await number(await SERVERS[server]())).toBe(0);
  await it.reset();
  expect(await number(it.pool)).toBeGreaterThan(0);
});

test('a process knows of a server what it last looked at, and looks before it says that a version is unknown', async () => {
  const fence = await createFence(it.pool, pino({ level: 'silent' }));
  try {
    const { version, live, epoch } = await it.verification();
    expect([fence.state, fence.mayGroup, fence.trust]).toEqual([
      'trusted',
      true,
      { version, incarnation: live, epoch },
    ]);
    await fence.require(version);
    for (const unknown of [undefined, randomUUID()]) {
      await expect(fence.require(unknown)).rejects.toMatchObject({ mayHaveCommitted: false });
    }
    // What it looks for after its answer is over.
    await fence.refresh();
    await it.reset();
    await it.owner.query('UPDATE verification SET key_runs_listed = false, key_runs_since = now()');
    await fence.require(it.version);
    expect([fence.trust?.version, fence.mayGroup]).toEqual([it.version, false]);
    await it.comeBack();
    await fence.refresh();
    expect([fence.state, fence.trust, fence.mayGroup]).toEqual(['verifying', undefined, false]);
    await expect(fence.require(it.version)).rejects.toMatchObject({ mayHaveCommitted: false });
  } finally {
    fence.close();
  }
});

test('a run that wakes up is stamped with what the server says then, not with what its process looked at before', async () => {
  const fence = await createFence(it.pool, pino({ level: 'silent' }));
  try {
    const { wakeUp } = createWriteActivities({ fence } as unknown as WriteActivityDependencies);
    await it.owner.query('UPDATE verification SET version = $1, epoch = $2', [randomUUID(), randomUUID()]);
    const { version, live, epoch } = await it.verification();
    expect((await wakeUp()).stamp).toEqual({ version, incarnation: live, epoch });
    await it.comeBack();
    await expect(wakeUp()).rejects.toMatchObject({ mayHaveCommitted: false });
  } finally {
    fence.close();
  }
});
