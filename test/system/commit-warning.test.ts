import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase, openPool, type Pool, transaction } from '../../activities/database.ts';
import { classify } from '../../activities/failures.ts';
import { writeId } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { runOperation } from '../../activities/write/run-operation.ts';
import { createAppDatabase, passwordsBy } from '../../deploy/local/database.ts';
import { startPostgres } from '../../deploy/local/postgres.ts';
import { openThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { freeLoopbackPort } from '../../worker/free-port.ts';
import { companyMaker } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { writeArguments } from '../support/write-arguments.ts';

const folder = openThrowawayFolder();
let stop: () => Promise<void>;
let superuser: pg.Pool;
let pool: Pool;
let superuserUrl: string;

beforeAll(async () => {
  const postgres = await startPostgres({
    dataDir: folder.path,
    port: await freeLoopbackPort(),
    durable: true,
    log: () => undefined,
  });
  superuserUrl = postgres.superuserUrl;
  superuser = new pg.Pool({ connectionString: postgres.superuserUrl, max: 2 });
  // The server is stopped while a session that has been ended still closes.
  superuser.on('error', () => undefined);
  pool = openPool({
    connectionString: postgres.superuserUrl,
    max: 2,
    statementTimeoutMs: 60_000,
    applicationName: 'warned',
  });
  stop = async () => {
    await Promise.all([superuser.end(), pool.close()]);
    await postgres.stop();
    folder.remove();
  };
  await superuser.query('CREATE TABLE made (number integer)');
});
afterAll(() => stop());

const make = (number: number) =>
  transaction(pool, async (tx) => void (await tx.query('INSERT INTO made VALUES ($1)', [number])));

/** A standby that never comes: every COMMIT waits for it. The server takes the setting over a moment after the reload. */
async function waitForStandby(): Promise<void> {
  await superuser.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  await superuser.query('SELECT pg_reload_conf()');
  let isOver = true;
  await until('the server to wait for the standby', async () => {
    if (isOver) {
      isOver = false;
      void Promise.allSettled([make(0)]).then(() => {
        isOver = true;
      });
    }
    return (await cancelWaits()) > 0;
  });
}

async function waitForNone(): Promise<void> {
  await superuser.query('ALTER SYSTEM RESET synchronous_standby_names');
  await superuser.query('SELECT pg_reload_conf()');
}

/** Answers how many of them there were. */
async function cancelWaits(): Promise<number> {
  const { rows } = await superuser.query(
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'warned' AND wait_event = 'SyncRep'",
  );
  return rows.length;
}

const cancelWait = () => until('a COMMIT to wait for the standby', async () => (await cancelWaits()) > 0);

test('a COMMIT whose wait for the synchronous standby was cancelled is an unknown outcome', async () => {
  await make(1);
  await waitForStandby();
  const end = make(2).then(
    () => 'committed',
    (error: unknown) => error,
  );
  await cancelWait();
  expect(classify(await end)).toEqual({ kind: 'transient', mayHaveCommitted: true });
  await waitForNone();
  await make(3);
  expect((await superuser.query('SELECT number FROM made WHERE number > 0 ORDER BY number')).rows).toEqual(
    [1, 2, 3].map((number) => ({ number })),
  );
});

test('what finds the row of such a COMMIT waits for the standby itself', async () => {
  const { databaseUrl, appDatabaseUrl } = await createAppDatabase({
    superuserUrl,
    database: 'accubooks',
    passwords: passwordsBy(() => randomUUID()),
  });
  const owner = new pg.Pool({ connectionString: databaseUrl, max: 1 });
  owner.on('error', () => undefined);
  const database = openDatabase({
    connectionString: appDatabaseUrl,
    writePoolMax: 2,
    readPoolMax: 1,
    statementTimeoutMs: 60_000,
    applicationName: 'warned',
  });
  const company = await companyMaker(owner, '')();
  const args = writeArguments(company, createCustomer, { name: 'Standby' }, 'warned');
  const attempt = (number: number) =>
    runOperation(
      { database, operations: OPERATIONS },
      args,
      {
        writeId: writeId(company.id, args.operation, args.key),
        requestedAt: '2026-03-01T12:00:00.000Z',
        workflowId: 'of a test',
        attempt: number,
      },
      { patience: 'patient' },
    ).then(
      ({ result }) => result.outcome,
      (error: unknown) => classify(error),
    );
  await waitForStandby();
  for (const number of [1, 2]) {
    const attempted = attempt(number);
    await Promise.race([attempted, cancelWait()]);
    expect(await attempted).toEqual({ kind: 'transient', mayHaveCommitted: true });
  }
  await waitForNone();
  expect(await attempt(3)).toBe('succeeded');
  await Promise.all([database.close(), owner.end()]);
});
