import type pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import type { Operation } from '../../activities/operation.ts';
import { oneByOne } from './one-by-one.ts';

const HELD = 4711;

/** The operation, waiting inside its transaction, after the claim of its key, for as long as a test holds it. */
export function heldOperation(operation: Operation): Operation {
  return {
    ...oneByOne(operation),
    async write(tx, input, context) {
      await tx.query(`SELECT pg_advisory_xact_lock_shared(${HELD})`);
      return operation.write(tx, input, context);
    },
  };
}

/** The same, waiting when its work is done, before its outcome is recorded. */
export function heldAtItsEnd(operation: Operation): Operation {
  return {
    ...oneByOne(operation),
    async write(tx, input, context) {
      const written = await operation.write(tx, input, context);
      await tx.query(`SELECT pg_advisory_xact_lock_shared(${HELD})`);
      return written;
    },
  };
}

/**
 * Holds all held operations of the database, until what it returns is called or the test is over: one that fails before
 * must not keep the system from stopping. An attempt held for more than five seconds ends by its lock timeout, and is made
 * again.
 */
export async function hold(owner: pg.Pool): Promise<() => Promise<void>> {
  const client = await owner.connect();
  let held = true;
  const release = async () => {
    if (!held) return;
    held = false;
    await client.query(`SELECT pg_advisory_unlock(${HELD})`);
    client.release();
  };
  if (isInTest()) onTestFinished(release);
  await client.query(`SELECT pg_advisory_lock(${HELD})`);
  return release;
}

/** Resolves when an operation has come to its hold. */
export async function untilHeld(owner: pg.Pool, count = 1): Promise<void> {
  while (true) {
    const { rows } = await owner.query(
      `SELECT count(*)::int AS waiting FROM pg_locks
       WHERE locktype = 'advisory' AND objid = ${HELD} AND NOT granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    if (rows[0].waiting >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A hook has no end of its own to wait for: whoever holds there releases. */
function isInTest(): boolean {
  return expect.getState().currentTestName !== undefined;
}
