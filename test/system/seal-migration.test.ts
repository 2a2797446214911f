import { afterAll, beforeAll, expect, test } from 'vitest';
import { openUpgrade, type Upgrade } from '../support/upgrade.ts';

let upgrade: Upgrade;
beforeAll(async () => {
  upgrade = await openUpgrade();
});
afterAll(() => upgrade.drop());

test('epochs get where they went on, and heads since when they wait for a stamp, also by an owner who sees no company', async () => {
  await upgrade.migrateUpTo('seal_at_size');
  const { client } = upgrade;
  const { rows: made } = await client.query(
    `SELECT company_id AS id FROM create_company('Acme', 'o@example.test', 'USD')`,
  );
  const company = made[0].id;
  const head = (log: string, position: number, minute: number) =>
    client.query(
      `INSERT INTO seal_heads (company_id, log, position, epoch, first_number, number, head, key_id, signature, published_at)
       VALUES ($1, $2, $3::integer, 1, $3::integer, $3::integer, '{}', 'key', sha256('a') || sha256('b'), timestamptz '2026-03-01 12:00Z' + $4 * interval '1 minute')`,
      [company, log, position, minute],
    );
  const stamp = (log: string, position: number) =>
    client.query(
      `INSERT INTO seal_evidence (company_id, log, position, kind, evidence, proves_at) VALUES ($1, $2, $3, 'time-stamp', 'a', now())`,
      [company, log, position],
    );
  await client.query(
    `INSERT INTO seal_epochs (epoch, verification_epoch, database) SELECT n, gen_random_uuid(), 'a' FROM generate_series(1, 2) AS n`,
  );
  for (const [log, first, last, epoch] of [
    ['journal', 1, 3, 1],
    ['journal', 4, 5, 2],
    ['audit', 1, 2, 2],
  ]) {
    await client.query(
      `INSERT INTO seal_batches (company_id, log, first_number, last_number, head, root, epoch)
       VALUES ($1, $2, $3, $4, sha256('head'), sha256('root'), $5)`,
      [company, log, first, last, epoch],
    );
  }
  await client.query(`INSERT INTO seal_keys (key_id, public_key) VALUES ('key', sha256('key'))`);
  for (const position of [1, 2, 3]) await head('journal', position, position);
  await stamp('journal', 1);
  await head('audit', 1, 9);
  await stamp('audit', 1);
  await upgrade.migrateTheRest();

  const { rows: starts } = await client.query(
    'SELECT log, epoch, number::integer, head_position FROM seal_epoch_starts WHERE company_id = $1',
    [company],
  );
  expect(starts).toEqual([{ log: 'journal', epoch: 2, number: 3, head_position: 3 }]);
  const waiting = async () => {
    const { rows } = await client.query(
      `SELECT log, position, extract(minute FROM unstamped_since)::integer AS minute FROM seal_heads
       WHERE unstamped_since IS NOT NULL ORDER BY log`,
    );
    return rows.map(({ log, position, minute }) => `${log} ${position} since ${minute}`);
  };
  expect(await waiting()).toEqual(['journal 3 since 2']);
  await head('audit', 2, 10);
  await head('journal', 4, 11);
  expect(await waiting()).toEqual(['audit 2 since 10', 'journal 4 since 2']);
  await stamp('journal', 3);
  expect(await waiting()).toEqual(['audit 2 since 10', 'journal 4 since 11']);
  await stamp('journal', 2);
  await stamp('audit', 2);
  expect(await waiting()).toEqual(['journal 4 since 11']);
  await stamp('journal', 4);
  expect(await waiting()).toEqual([]);
});
