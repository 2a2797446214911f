import type pg from 'pg';

/** Takes a payment away, row and all, as a database restored to an earlier time has none of it. Its audit rows stay. */
export async function forgetWrite(owner: pg.Pool, company: { readonly id: string }, key: string): Promise<void> {
  const session = await owner.connect();
  try {
    await session.query('BEGIN');
    await session.query("SET LOCAL session_replication_role = 'replica'"); // without triggers and foreign keys
    const { rows } = await session.query(
      'DELETE FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = $2 RETURNING write_id',
      [company.id, key],
    );
    const id = rows[0].write_id;
    await session.query('DELETE FROM payments WHERE id = $1', [id]);
    await session.query('DELETE FROM outbox WHERE write_id = $1', [id]);
    await session.query(
      'DELETE FROM journal_lines WHERE entry_id IN (SELECT id FROM journal_entries WHERE write_id = $1)',
      [id],
    );
    await session.query('DELETE FROM journal_entries WHERE write_id = $1', [id]);
    await session.query('COMMIT');
  } finally {
    session.release();
  }
}
