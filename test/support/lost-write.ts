import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Tx } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { loseWrites } from '../../activities/write/lose-write.ts';
import type { WriteArguments } from '../../workflows/messages.ts';

export const REQUESTED_AT = '2026-03-01T12:00:00.000Z';

/** Marks a write as lost that a group had, as the verification of a database does in a process with these operations. */
export async function markLost(
  owner: pg.Pool,
  args: WriteArguments,
  groupId: string,
  operations: readonly Operation[] = OPERATIONS,
): Promise<void> {
  const session = await owner.connect();
  const tx: Tx = { query: async (text, values = []) => (await session.query(text, [...values])).rows };
  try {
    await session.query('BEGIN');
    const write = { args, workflowId: groupId, runId: randomUUID(), requestedAt: REQUESTED_AT };
    const marked = await loseWrites(tx, [write], operations, 'Lost by a test');
    if (marked.length !== 1) throw new Error('The write was not marked as lost');
    await session.query('COMMIT');
  } catch (error) {
    await session.query('ROLLBACK');
    throw error;
  } finally {
    session.release();
  }
}

/** Takes the audit rows of a key away, as the archive does after some months. */
export async function forgetAudit(owner: pg.Pool, company: { readonly id: string }, key: string): Promise<void> {
  const session = await owner.connect();
  try {
    await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'"); // past the trigger that keeps them
    await session.query('DELETE FROM idempotent_write_audit_log WHERE company_id = $1 AND idempotency_key = $2', [
      company.id,
      key,
    ]);
    await session.query('COMMIT');
  } finally {
    session.release();
  }
}
