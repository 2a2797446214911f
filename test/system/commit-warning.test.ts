import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPool, type Pool, transaction } from '../../activities/database.ts';
import { classify } from '../../activities/failures.ts';
import { startPostgres } from '../../deploy/local/postgres.ts';
import { openThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { freeLoopbackPort } from '../../worker/free-port.ts';
import { until } from '../support/held-invoice.ts';

const folder = openThrowawayFolder();
let stop: () => Promise<void>;
let superuser: pg.Pool;
let pool: Pool;

beforeAll(async () => {
  const postgres = await startPostgres({
    dataDir: folder.path,
    port: await freeLoopbackPort(),
    durable: true,
    log: () => undefined,
  });
  superuser = new pg.Pool({ connectionString: postgres.superuserUrl, max: 2 });
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

test('a COMMIT whose wait for the synchronous standby was cancelled is an unknown outcome', async () => {
  await make(1);
  // A standby that never comes: every COMMIT waits for it.
  await superuser.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  await superuser.query('SELECT pg_reload_conf()');
  const begin = () =>
    make(2).then(
      () => 'committed',
      (error: unknown) => error,
    );
  let end = begin();
  await until('a COMMIT to wait for the standby', async () => {
    const { rows } = await superuser.query(
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'warned' AND wait_event = 'SyncRep'",
    );
    if (rows.length > 0) return true;
    // The server takes the setting over a moment after the reload: a COMMIT before that does not wait.
    if ((await Promise.race([end, Promise.resolve()])) === 'committed') end = begin();
    return false;
  });
  expect(classify(await end)).toEqual({ kind: 'transient', mayHaveCommitted: true });
  await superuser.query('ALTER SYSTEM RESET synchronous_standby_names');
  await superuser.query('SELECT pg_reload_conf()');
  await make(3);
  expect((await superuser.query('SELECT DISTINCT number FROM made ORDER BY number')).rows).toEqual(
    [1, 2, 3].map((number) => ({ number })),
  );
});
