import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { onTestFinished } from 'vitest';

/** An invoice whose row another session has locked: who pays it waits in the middle of the transaction. */
export type HeldInvoice = {
  /** Lets all of them go on. At the end of the test it happens anyway. */
  release(): Promise<void>;
};

/**
 * Holds product code inside its transaction without changing it, in this process and in others. Not for longer than the
 * lock timeout (half of STATEMENT_TIMEOUT_MS), or the transaction is rolled back and attempted again.
 */
export async function holdInvoice(owner: pg.Pool, invoiceId: string): Promise<HeldInvoice> {
  const session = await owner.connect();
  let held = true;
  const release = async () => {
    if (!held) return;
    held = false;
    // Where the server has gone, the lock has gone with it.
    const error = await session.query('COMMIT').then(
      () => undefined,
      (reason: Error) => reason,
    );
    session.release(error);
  };
  session.on('error', () => undefined);
  onTestFinished(release);
  await session.query('BEGIN');
  await session.query('SELECT FROM invoices WHERE id = $1 FOR UPDATE', [invoiceId]);
  return { release };
}

/** Waits until so many sessions of this database wait for a lock, and do so longer than a brief transaction would. */
export async function untilWaiting(owner: pg.Pool, sessions: number): Promise<void> {
  await until(`${sessions} sessions to wait for a lock`, async () => {
    const { rows } = await owner.query(
      `SELECT count(DISTINCT l.pid)::int AS waiting FROM pg_locks l JOIN pg_stat_activity a USING (pid)
       WHERE NOT l.granted AND a.datname = current_database()
         AND clock_timestamp() - l.waitstart > interval '150 milliseconds'`,
    );
    return rows[0].waiting >= sessions;
  });
}

const PATIENCE_MS = 150_000;
/** Between two questions: a tenth of the wait so far, within these limits. Who waits long shall not keep the servers busy. */
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 200;

/** Asks again and again until it is so; what never comes fails the test with its name. */
export async function until(what: string, isSo: () => Promise<boolean>, patienceMs = PATIENCE_MS): Promise<void> {
  const since = Date.now();
  while (!(await isSo())) {
    const waitedMs = Date.now() - since;
    if (waitedMs > patienceMs) throw new Error(`Waited in vain for ${what}`);
    await sleep(Math.max(FIRST_PAUSE_MS, Math.min(waitedMs / 10, LONGEST_PAUSE_MS)));
  }
}
