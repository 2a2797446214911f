import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { onTestFinished } from 'vitest';

/** Keys that another transaction has, undecided: who comes for one waits, between the API's look and its own claim. */
export type HeldKeys = {
  /** Resolves when someone has come for one of them. */
  untilMet(): Promise<void>;
  /** Lets all of them go, as if nobody had held them. At the end of the test it happens anyway. */
  release(): Promise<void>;
};

export async function holdKeys(
  owner: pg.Pool,
  { companyId, userId, keys }: { companyId: string; userId: string; keys: readonly string[] },
): Promise<HeldKeys> {
  const client = await owner.connect();
  let held = true;
  const release = async () => {
    if (!held) return;
    held = false;
    await client.query('ROLLBACK');
    client.release();
  };
  onTestFinished(release);
  await client.query('BEGIN');
  await client.query(
    `INSERT INTO idempotent_writes (company_id, idempotency_key, outcome, status_code, response_body, user_id, request_id,
       requested_at, completed_at)
     SELECT $1, key, 'cancelled', 409, '', $3, 'test', now(), now() FROM unnest($2::text[]) AS key`,
    [companyId, keys, userId],
  );
  const { rows } = await client.query('SELECT pg_current_xact_id()::text AS id');
  return {
    async untilMet() {
      const waiting = 'SELECT 1 FROM pg_locks WHERE NOT granted AND transactionid::text = $1';
      while ((await owner.query(waiting, [rows[0].id])).rowCount === 0) await sleep(20);
    },
    release,
  };
}
