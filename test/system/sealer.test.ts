import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import type { Pool } from '../../activities/database.ts';
import { sealLagSeconds, sealPage } from '../../activities/seal/seal.ts';
import type { Company } from '../support/companies.ts';
import { crashAt } from '../support/crash-at.ts';
import { until } from '../support/held-invoice.ts';
import { startWorkerProcess } from '../support/processes.ts';
import { findingsOf, openSealer, sealAll, sealNow } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let sealer: Pool;
beforeAll(async () => {
  system = await startSystem();
  sealer = openSealer(system);
});
beforeEach(async () => {
  company = await system.company();
});
afterAll(async () => {
  await sealer.close();
  await system.stop();
});

/** An audit row as a request that was replayed leaves it, by its request. */
function tell(client: pg.ClientBase | pg.Pool, requestId: string, secondsAgo = 0, of = company): Promise<unknown> {
  return client.query(
    `INSERT INTO idempotent_write_audit_log (timestamp, company_id, operation_name, operation_type, idempotency_key, user_id,
       status, request_id, route_path, http_method)
     VALUES (clock_timestamp() - $4 * interval '1 second', $1, 'createCustomer', 'high-risk', 'key', $2, 'replayed', $3,
       '/api/customers', 'POST')`,
    [of.id, of.users.owner.id, requestId, secondsAgo],
  );
}

/** The requests of the company's sealed audit rows, in the order of their numbers. */
async function sealedRequests(of = company): Promise<readonly string[]> {
  const { rows } = await system.owner.query<{ request_id: string }>(
    `SELECT a.request_id FROM sealed_audit_rows s
     JOIN idempotent_write_audit_log a ON a.id = s.row_id AND a.timestamp = s.row_timestamp
     WHERE s.company_id = $1 ORDER BY s.number`,
    [of.id],
  );
  return rows.map(({ request_id }) => request_id);
}

test('no row is skipped that was written before another and committed after it', async () => {
  await sealAll(sealer);
  const late = await system.owner.connect();
  onTestFinished(() => late.release());
  await late.query('BEGIN');
  await tell(late, 'late');
  await tell(system.owner, 'early');
  await sealNow(sealer);
  // Behind an open transaction nothing is sealed: what it writes may come before.
  expect(await sealedRequests()).toEqual([]);
  await late.query('COMMIT');
  await sealAll(sealer);
  expect(await sealedRequests()).toEqual(['late', 'early']);
});

test('a row of an earlier transaction comes first, whichever was written first', async () => {
  await sealAll(sealer);
  const earlier = await system.owner.connect();
  onTestFinished(() => earlier.release());
  await earlier.query('BEGIN');
  await earlier.query('SELECT pg_current_xact_id()');
  await tell(system.owner, 'of the later one');
  await tell(earlier, 'of the earlier one');
  await earlier.query('COMMIT');
  await sealAll(sealer, 1);
  expect(await sealedRequests()).toEqual(['of the earlier one', 'of the later one']);
});

test('the lag is the age of the oldest row that waits, and of a sweep', async () => {
  await tell(system.owner, 'sealed', 7_200);
  await sealAll(sealer);
  const open = await system.owner.connect();
  onTestFinished(() => open.release());
  await open.query('BEGIN');
  await open.query('SELECT pg_current_xact_id()');
  await tell(system.owner, 'waits', 3_600);
  await tell(system.owner, 'waits, too', 1_800);
  await sealNow(sealer);
  const lag = await sealLagSeconds(sealer);
  expect(lag).toBeGreaterThanOrEqual(3_600);
  expect(lag).toBeLessThan(7_200);
  await open.query('COMMIT');
  await sealAll(sealer);
  const client = await system.owner.connect();
  onTestFinished(() => client.release());
  await client.query("SET session_replication_role = 'replica'");
  await client.query("UPDATE seal_epochs SET began_at = began_at - interval '2 hours'");
  await client.query('RESET session_replication_role');
  await client.query("UPDATE seal_position SET phase = 'sweep entries', swept_company = DEFAULT, swept_entry = NULL");
  expect(await sealLagSeconds(sealer)).toBeGreaterThanOrEqual(7_200);
  await sealAll(sealer);
  await client.query('ALTER TABLE seal_position RENAME TO away');
  const unknown = await sealLagSeconds(sealer);
  await client.query('ALTER TABLE away RENAME TO seal_position');
  expect(unknown).toBeUndefined();
});

test('a row whose clock was set back is sealed after those that were visible before', async () => {
  await tell(system.owner, 'first');
  await sealAll(sealer);
  await tell(system.owner, 'of an hour ago', 3_600);
  await sealAll(sealer);
  expect(await sealedRequests()).toEqual(['first', 'of an hour ago']);
  expect(await findingsOf(system.owner, company.id)).toEqual([]);
});

test('two sealers at once make one chain of each company', async () => {
  const other = openSealer(system);
  onTestFinished(() => other.close());
  const neighbour = await system.company();
  for (let i = 0; i < 40; i += 1) {
    await tell(system.owner, `request ${i}`);
    if (i % 2 === 0) await tell(system.owner, `other ${i / 2}`, 0, neighbour);
  }
  const ends = await Promise.all(
    Array.from({ length: 20 }, (_, i) => sealPage(i % 2 === 0 ? sealer : other, 5).then(({ state }) => state)),
  );
  expect(new Set(ends)).toContain('sealed');
  await sealAll(sealer);
  expect(await sealedRequests()).toEqual(Array.from({ length: 40 }, (_, i) => `request ${i}`));
  expect(await sealedRequests(neighbour)).toEqual(Array.from({ length: 20 }, (_, i) => `other ${i}`));
  expect(await findingsOf(system.owner, company.id)).toEqual([]);
  expect(await findingsOf(system.owner, neighbour.id)).toEqual([]);
});

test('a sealer does not wait for another', async () => {
  await tell(system.owner, 'first');
  const client = await system.owner.connect();
  onTestFinished(() => client.release());
  await client.query('BEGIN; SELECT FROM seal_position FOR UPDATE');
  try {
    expect((await sealPage(sealer)).state).toBe('busy');
  } finally {
    await client.query('ROLLBACK');
  }
});

test('a worker that dies before its COMMIT has sealed nothing, and the next one seals each row once', async () => {
  await sealAll(sealer);
  const victim = await startWorkerProcess({ ...system.environment, ...crashAt('seal: before COMMIT') });
  onTestFinished(() => victim.kill());
  for (let i = 0; i < 3; i += 1) await tell(system.owner, `request ${i}`);
  await victim.untilCrashed();
  expect(await sealedRequests()).toEqual([]);
  // The next one cannot seal at first.
  await system.owner.query('REVOKE INSERT ON seal_batches FROM accubooks_sealer');
  const survivor = await startWorkerProcess({ ...system.environment, SEAL_SIGNING_KEY: `test:${'A'.repeat(43)}=` });
  onTestFinished(() => survivor.kill());
  const isLogged = (message: RegExp) => survivor.logs.some(({ msg }) => message.test(String(msg)));
  await until('the error to be logged', async () => isLogged(/^Rows could not be sealed/));
  await system.owner.query('GRANT INSERT ON seal_batches TO accubooks_sealer');
  await until('the rows to be sealed', async () => (await sealedRequests()).length === 3);
  await until('the head to be published', async () => isLogged(/^A head of the seal is published/));
  expect(await sealedRequests()).toEqual(['request 0', 'request 1', 'request 2']);
  expect(await findingsOf(system.owner, company.id)).toEqual([]);
});

test('a database that was restored is sealed in another epoch: whatever is not sealed, and then what is new', async () => {
  await tell(system.owner, 'before');
  await sealAll(sealer);
  await tell(system.owner, 'restored');
  // As a dump brings it into another cluster: with the ID of a transaction that is not there yet.
  const client = await system.owner.connect();
  await client.query("SET session_replication_role = 'replica'");
  await client.query(
    `UPDATE idempotent_write_audit_log SET xid = (pg_current_xact_id()::text::bigint + 1000000)::text::xid8
     WHERE company_id = $1 AND request_id = 'restored'`,
    [company.id],
  );
  await client.query('RESET session_replication_role');
  client.release();
  await sealNow(sealer);
  expect(await sealedRequests()).toEqual(['before']);
  await system.owner.query('UPDATE verification SET epoch = gen_random_uuid()');
  await sealNow(sealer);
  await tell(system.owner, 'after');
  await sealAll(sealer);
  expect(await sealedRequests()).toEqual(['before', 'restored', 'after']);
  const { rows } = await system.owner.query(
    'SELECT epoch, first_number::int FROM seal_batches WHERE company_id = $1 ORDER BY first_number',
    [company.id],
  );
  expect(rows.map(({ epoch }) => epoch - rows[0].epoch)).toEqual([0, 1, 1]);
  expect(await findingsOf(system.owner, company.id)).toEqual([]);
});

test('nothing is sealed of a database that is not verified', async () => {
  await tell(system.owner, 'first');
  await system.owner.query("UPDATE verification SET replaced = 'for this test', replaced_at = now()");
  try {
    expect(await sealPage(sealer)).toMatchObject({ state: 'unverified', auditRows: 0 });
  } finally {
    await system.owner.query('UPDATE verification SET replaced = NULL, replaced_at = NULL');
  }
  await sealAll(sealer);
  expect(await sealedRequests()).toEqual(['first']);
});

test('a worker without the login of the sealer says that it does not seal', async () => {
  const { SEALER_DATABASE_URL: _, ...environment } = system.environment;
  const worker = await startWorkerProcess(environment);
  onTestFinished(() => worker.kill());
  expect(worker.logs.map(({ msg }) => msg)).toContainEqual(expect.stringMatching(/does not seal the books/));
});
