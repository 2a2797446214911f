import type pg from 'pg';

/** Numbers all events there are, as the relay does once their workflows are started. */
export async function numberEvents(owner: pg.Pool): Promise<void> {
  await owner.query('SELECT number_events(10000, ARRAY(SELECT id FROM outbox WHERE sequence IS NULL))');
}
