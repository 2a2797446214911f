import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stateAfterwards } from '../../worker/verification/verify.ts';
import { FIRST_EPOCH } from '../../workflows/messages.ts';
import { openVerification } from '../support/played-verification.ts';
import { COMPANY_ID } from '../support/two-databases.ts';

let it: Awaited<ReturnType<typeof openVerification>>;
beforeEach(async () => {
  it = await openVerification();
});
afterEach(() => it.close());

const one = async (sql: string, values: readonly unknown[] = []) => (await it.owner.query(sql, [...values])).rows[0];
const outcomes = async () => {
  const { rows } = await it.owner.query(
    'SELECT idempotency_key AS key, outcome FROM idempotent_writes ORDER BY idempotency_key',
  );
  return Object.fromEntries(rows.map(({ key, outcome }) => [key, outcome]));
};

describe('an operator who opens a database', () => {
  test('marks what has no row, each with one audit row, and does so once', async () => {
    await it.make('kept');
    await it.comeBack('another cluster');
    await it.reconcile();
    const before = await it.verification();
    const open = await it.verify(['kept', 'gone', 'gone-too'].map(it.argumentsOf));
    expect((await open())?.map(({ args }) => args.key).toSorted()).toEqual(['gone', 'gone-too']);
    // The state that was listed is another one now.
    expect(await open()).toBeUndefined();
    expect(await outcomes()).toEqual({ gone: 'lost', 'gone-too': 'lost', kept: 'succeeded' });
    expect(
      await one(
        "SELECT count(*)::int AS audited FROM idempotent_write_audit_log WHERE error_code = 'write_record_missing'",
      ),
    ).toEqual({ audited: 2 });
    const { version, epoch, incarnation, replaced, keyRunsListed, keyRunsSince } = await it.verification();
    expect({ incarnation, replaced, keyRunsListed }).toEqual({
      incarnation: before.live,
      replaced: null,
      keyRunsListed: false,
    });
    expect(version).not.toBe(before.version);
    expect(epoch).not.toBe(FIRST_EPOCH);
    expect(await one('SELECT epoch, operator, reason FROM operator_verifications')).toEqual({
      ...{ epoch, operator: 'test', reason: 'of a test' },
    });
    expect(keyRunsSince).not.toBeNull();
  });

  test('states afterwards who it was where an earlier release has not asked, and of no database that was never replaced', async () => {
    const state = (operator: string) => stateAfterwards(it.pool, { operator, reason: 'of a test' });
    expect(await state('Ada')).toBe(false);
    await it.owner.query('UPDATE verification SET epoch = gen_random_uuid()');
    expect([await state('Ada'), await state('Bob')]).toEqual([true, false]);
    expect(await one('SELECT operator FROM operator_verifications')).toEqual({ operator: 'Ada' });
  });

  test('opens no other server than the one whose losses were listed', async () => {
    await it.comeBack('another cluster');
    const open = await it.verify([it.argumentsOf('gone')]);
    await it.owner.query('UPDATE verification SET version = gen_random_uuid()');
    expect(await open()).toBeUndefined();
    expect([await outcomes(), (await it.verification()).epoch]).toEqual([{}, FIRST_EPOCH]);
  });

  test('leaves out what belongs to a company that is gone, and what was reopened', async () => {
    const reopened = it.argumentsOf('reopened');
    await it.owner.query(
      'INSERT INTO reopened_runs (company_id, idempotency_key, workflow_id, run_id) VALUES ($1, $2, $3, $4)',
      [COMPANY_ID, 'reopened', `${COMPANY_ID}:reopened`, `run of ${COMPANY_ID}:reopened`],
    );
    const foreign = { ...it.argumentsOf('foreign'), companyId: randomUUID() };
    const open = await it.verify([reopened, foreign, it.argumentsOf('gone')]);
    expect((await open())?.map(({ args }) => args.key)).toEqual(['gone']);
    expect(await outcomes()).toEqual({ gone: 'lost' });
    expect((await it.missingKeyRuns(['reopened', 'gone', 'other'])).missing.map(({ args }) => args.key)).toEqual([
      'other',
    ]);
  });

  test('has neither the numbers of lost writes nor cursors of events given out again', async () => {
    await it.owner.query("INSERT INTO number_counters (company_id, kind, last_number) VALUES ($1, 'invoice', 7)", [
      COMPANY_ID,
    ]);
    const cursor = await one("SELECT nextval('outbox_sequence')::text AS at");
    const finalized = ['first', 'second'].map((key) =>
      it.company.argumentsOf({ operation: 'finalizeInvoice', key, params: { invoiceId: randomUUID() }, body: {} }),
    );
    await (await it.verify([...finalized, it.argumentsOf('gone')]))();
    expect(await one("SELECT last_number, lost_numbers FROM number_counters WHERE kind = 'invoice'")).toEqual({
      last_number: 9,
      lost_numbers: 2,
    });
    const { at } = await one("SELECT nextval('outbox_sequence')::text AS at");
    expect(Number(at) - Number(cursor.at)).toBeGreaterThan(1_000_000);
  });

  test('closes the listing of key runs under the version that it was made for alone', async () => {
    await (await it.verify([]))();
    const { version } = await it.verification();
    const finish = (of: string) => one('SELECT finish_listing($1) AS done', [of]);
    expect(await finish(it.version)).toEqual({ done: false });
    expect(await it.verification()).toMatchObject({ keyRunsListed: false });
    expect(await finish(version)).toEqual({ done: true });
    expect(await it.verification()).toMatchObject({ keyRunsListed: true, keyRunsSince: null });
  });
});

describe('a completed run of a key without its row', () => {
  test('is marked a minute after an operator has opened the database, and groups go on', async () => {
    await it.make('kept');
    await (await it.verify([]))();
    expect(await it.compareKeyRuns(['kept', 'gone', 'unreadable'])).toEqual({
      ...{ listed: 3, lost: 1, unreadable: [expect.stringContaining('unreadable')] },
    });
    expect(await outcomes()).toEqual({ gone: 'lost', kept: 'succeeded' });
    expect(await it.verification()).toMatchObject({ replaced: null, keyRunsListed: true });
  });

  test.each(['gone', 'unreadable'])('closes a database that had opened by itself: %s', async (key) => {
    await it.make('kept');
    await it.lane(0, { confirmed: false });
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ kind: 'continued' });
    expect(await it.compareKeyRuns(['kept', key])).toBe('closed');
    expect(await it.verification()).toMatchObject({
      replaced: '1 completed runs of keys have no row',
      keyRunsListed: false,
    });
    expect(await outcomes()).toEqual({ kept: 'succeeded' });
  });

  test('does not keep a database closed in which none is missing', async () => {
    await it.make('kept');
    await it.lane(0, { confirmed: false });
    await it.comeBack();
    await it.reconcile();
    expect(await it.compareKeyRuns(['kept'])).toMatchObject({ listed: 1, lost: 0 });
    expect(await it.verification()).toMatchObject({ replaced: null, keyRunsListed: true });
  });
});

describe('the lane of a process that says nothing any more', () => {
  const SILENT = { ageMs: 6 * 60_000 };
  const lanes = async () => (await it.owner.query('SELECT settled, retired FROM lanes ORDER BY lane')).rows;

  test('is retired behind its last group, once each of its writes has its row or has left', async () => {
    await it.make('a');
    await it.lane(0, SILENT);
    await it.lane(1);
    it.group(1, ['a', 'left'], { left: [1] });
    it.group(2, ['open'], { state: 'open' });
    await it.retire();
    expect(await lanes()).toEqual([
      { settled: 0, retired: false },
      { settled: 0, retired: false },
    ]);
    it.group(2, ['a']);
    await it.retire();
    expect(await lanes()).toEqual([
      { settled: 2, retired: true },
      { settled: 0, retired: false },
    ]);
    const { version, live: incarnation } = await it.verification();
    expect(it.temporal.get(`group:${it.version}:0:3`)?.argument(0)).toEqual({
      version,
      incarnation,
      because: 'retired',
    });
  });

  test('with a completed group that misses a row closes the database', async () => {
    await it.lane(0, SILENT);
    it.group(1, ['gone']);
    await it.retire();
    expect(await it.verification()).toMatchObject({ replaced: `1 writes of group:${it.version}:0:1 have no row` });
  });

  test('stays where it was read on another server, or has gone on meanwhile', async () => {
    await it.lane(0, { ...SILENT, settled: 3 });
    const { live } = await it.verification();
    const retire = (version: string, incarnation: string, from: number) =>
      one('SELECT retire_lane($1, $2, 0, $3, 5) AS done', [version, incarnation, from]);
    expect(await retire(it.version, live, 2)).toEqual({ done: false });
    expect(await retire(it.version, 'another', 3)).toEqual({ done: false });
    await it.comeBack();
    expect(await retire(it.version, live, 3)).toEqual({ done: false });
    expect(await lanes()).toEqual([{ settled: 3, retired: false }]);
  });
});

test('a lane is registered and settled under the version of a verified server alone, and is never set back', async () => {
  const { live } = await it.verification();
  const register = (version: string, incarnation: string) =>
    one("SELECT register_lane($1, $2, 0, 'test') AS done", [version, incarnation]);
  const settle = (settled: number, version = it.version) =>
    one('SELECT settle_lane($1, $2, 0, $3, 0, 0) AS done', [version, live, settled]);
  expect(await register(randomUUID(), live)).toEqual({ done: false });
  expect(await register(it.version, 'another')).toEqual({ done: false });
  expect(await register(it.version, live)).toEqual({ done: true });
  expect([await settle(5), await settle(4), await settle(9, randomUUID())]).toEqual(
    [true, true, false].map((done) => ({ done })),
  );
  await it.comeBack();
  expect([await settle(9), await register(it.version, live)]).toEqual([{ done: false }, { done: false }]);
  expect(await one('SELECT settled FROM lanes')).toEqual({ settled: 5 });
});
