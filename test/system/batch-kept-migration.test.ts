import { afterAll, beforeAll, expect, test } from 'vitest';
import { openUpgrade, type Upgrade } from '../support/upgrade.ts';

let upgrade: Upgrade;
beforeAll(async () => {
  upgrade = await openUpgrade();
});
afterAll(() => upgrade.drop());

test('the migration that tells which uploads are kept finds those of all companies that were removed before', async () => {
  await upgrade.migrateUpTo('batches_in_bulk');
  const id = (last: number) => `00000000-0000-0000-0000-00000000000${last}`;
  await upgrade.pastTriggers(async () => {
    await upgrade.client.query(
      `INSERT INTO batches (company_id, id, batch_key, state, operation, operations, schema_versions, upload_id, file_sha256,
         row_count, chunk_count, user_id, request_id, succeeded, queued_at, completed_at)
       VALUES ($1, $2, 'march', 'completed', 'createPayment', '{createPayment}', '{1}', $3, repeat('a', 64), 2, 2, $4, 'r', 2,
         now(), now())`,
      [id(1), id(2), id(3), id(4)],
    );
    await upgrade.client.query(
      `INSERT INTO batch_chunks (company_id, batch_id, upload_id, chunk, first_row, row_count, content, digests, conflicts,
         outcomes, pending)
       SELECT $1, $2, $3, n, n, 1, CASE n WHEN 2 THEN '\\x00'::bytea END, decode(repeat('00', 16), 'hex'), 0, 's', 0
       FROM generate_series(1, 2) AS n`,
      [id(1), id(2), id(3)],
    );
  });
  await upgrade.migrateTheRest();
  const { rows } = await upgrade.client.query('SELECT chunk, is_kept FROM batch_chunks ORDER BY chunk');
  expect(rows).toEqual([
    { chunk: 1, is_kept: false },
    { chunk: 2, is_kept: true },
  ]);
});
