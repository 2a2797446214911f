import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPool, type Pool, type Tx, transaction } from '../../activities/database.ts';
import { classify } from '../../activities/failures.ts';
import { readAsCompany } from '../../activities/read-as-company.ts';
import { type CommitProxy, type CommitTrouble, startCommitProxy } from '../support/commit-proxy.ts';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';

describe('a transaction', () => {
  let clone: TestDatabase;
  let proxy: CommitProxy;
  let pool: Pool;
  let companyId: string;
  beforeAll(async () => {
    clone = await cloneDatabase();
    proxy = await startCommitProxy(clone.appUrl);
    pool = openPool({ connectionString: proxy.url, max: 2, statementTimeoutMs: 5_000, applicationName: 'test' });
    const { rows } = await clone.owner.query("SELECT * FROM create_company('Test Ltd', 'owner@example.test', 'USD')");
    companyId = rows[0].company_id;
  });
  afterAll(async () => {
    await pool.close();
    await proxy.close();
    await clone.drop();
  });

  test.each<CommitTrouble>(['cut the answer', 'cut the commit'])(
    'of which the connection is lost at COMMIT (%s) may have committed',
    async (trouble) => {
      const cut = proxy.atNextCommit(trouble);
      const failure = await transaction(pool, (tx) => tx.query('SELECT 1')).catch((error: unknown) => error);
      await cut;
      expect(classify(failure)).toEqual({ kind: 'transient', mayHaveCommitted: true });
    },
  );

  test('of which the connection is lost under a statement that travels with COMMIT may have committed', async () => {
    const cut = proxy.atNextCommit('cut the answer');
    const failure = await transaction(pool, async (tx) => void tx.query('SELECT pg_sleep(0.3)')).catch(
      (error: unknown) => error,
    );
    await cut;
    expect(classify(failure)).toEqual({ kind: 'transient', mayHaveCommitted: true });
  });

  test('whose statements travel together fails by the one that failed, whichever is awaited first', async () => {
    const together = transaction(pool, async (tx) => {
      const failing = tx.query('SELECT 1 / 0').then((rows) => rows);
      await Promise.all([tx.query('SELECT 1'), failing.then(() => failing), tx.query('SELECT 2')]);
    });
    await expect(together).rejects.toMatchObject({ sqlState: '22012' });
  });

  test('that waits for its turn tells of that as a wait for a connection', async () => {
    const waits: number[] = [];
    const watched = { ...pool, onConnectionWait: (ms: number) => void waits.push(ms) };
    const brief = { companyId, patience: 'brief' } as const;
    const sleeping = () => transaction(watched, (tx) => tx.query('SELECT pg_sleep(0.3)'), brief);
    await Promise.all([sleeping(), sleeping(), sleeping()]);
    expect(Math.max(...waits)).toBeGreaterThan(250);
  });

  test('that has failed is no success, even where its error was swallowed: PostgreSQL answers its COMMIT with ROLLBACK', async () => {
    const swallowing = transaction(pool, async (tx) => {
      await tx.query('SELECT 1 / 0').catch(() => undefined);
      return 'made';
    });
    await expect(swallowing).rejects.toThrow('already failed at its COMMIT');
  });

  test.each([
    ['25006', 'a standby', 'gives it up'],
    ['58AB1', 'a server that has not been verified', 'gives it up'],
    ['40001', 'one that it may try again', 'keeps it'],
  ])('that ends with %s (%s) on a connection %s', async (code, _, end) => {
    const backend = async (tx: Tx) => (await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid'))[0]?.pid;
    let met: number | undefined;
    const failing = transaction(pool, async (tx) => {
      met = await backend(tx);
      await tx.query(`DO $$ BEGIN RAISE EXCEPTION 'played' USING ERRCODE = '${code}'; END $$`);
    });
    await expect(failing).rejects.toMatchObject({ sqlState: code });
    const next = await transaction(pool, backend);
    expect(next === met).toBe(end === 'keeps it');
  });

  test('that reads as a company sees one moment, whatever is committed meanwhile', async () => {
    const name = async (tx: { query<Row>(text: string): Promise<Row[]> }) =>
      (await tx.query<{ name: string }>('SELECT name FROM companies'))[0]?.name;
    const seen = await readAsCompany(pool, companyId, async (tx) => {
      const before = await name(tx);
      await clone.owner.query("UPDATE companies SET name = 'Renamed Ltd' WHERE id = $1", [companyId]);
      return [before, await name(tx)];
    });
    expect(seen).toEqual(['Test Ltd', 'Test Ltd']);
  });
});
