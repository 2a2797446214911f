import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { nextVersion } from '../../worker/verification/read-lanes.ts';
import { createWitnesses } from '../../worker/verification/witnesses.ts';
import { openVerification, runOf } from '../support/played-verification.ts';

/** What becomes of a database that has come back. With real servers that are restored: test/slow/long/failover-*.test.ts. */
let it: Awaited<ReturnType<typeof openVerification>>;
beforeAll(async () => {
  it = await openVerification();
});
beforeEach(() => it.reset());
afterAll(() => it?.close());

const DAY_MS = 24 * 60 * 60_000;
const stateOf = async () => {
  const { version, epoch, incarnation, live, replaced, keyRunsListed, keyRunsSince } = await it.verification();
  return {
    version,
    epoch,
    isTrusted: incarnation === live && replaced === null,
    replaced,
    keyRunsListed,
    keyRunsSince,
  };
};

describe('a database that has come back', () => {
  test('as the same one, with every row, goes on by itself: under a version that follows, in the same epoch', async () => {
    await it.make('a', 'b', 'c');
    await it.lane(0, { settled: 1 });
    it.group(1, ['a']);
    it.group(2, ['b', 'c']);
    await it.comeBack();
    const before = await it.verification();
    expect(await it.reconcile()).toMatchObject({ kind: 'continued', groups: 1, survivors: 1 });
    const version = nextVersion({ version: it.version, incarnation: before.live });
    expect(await stateOf()).toMatchObject({ version, epoch: before.epoch, isTrusted: true, keyRunsListed: true });
    // Nothing can follow what was read.
    for (const name of [`group:${it.version}:0:3`, `lane:${it.version}:1`]) {
      expect(it.temporal.get(name)?.argument(0)).toEqual({
        version: it.version,
        incarnation: before.live,
        because: 'verification',
      });
    }
  });

  test.each(['another cluster', 'another database'] as const)('as %s is replaced', async (what) => {
    await it.lane(0);
    await it.comeBack(what);
    expect(await it.reconcile()).toMatchObject({
      kind: 'replaced',
      reason: expect.stringContaining('another database'),
    });
    expect(await stateOf()).toMatchObject({ version: it.version, isTrusted: false });
  });

  test('without the row of a write that its group had completed is replaced', async () => {
    await it.make('a');
    await it.lane(0);
    it.group(1, ['a']);
    it.group(2, ['a', 'gone']);
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ reason: `1 writes of group:${it.version}:0:2 have no row` });
    expect(await stateOf()).toMatchObject({ isTrusted: false, replaced: expect.stringContaining('no row') });
  });

  test('misses nothing of a write that left its group, or whose group has not completed', async () => {
    await it.lane(0);
    it.group(1, ['left'], { left: [0] });
    it.group(2, ['open'], { state: 'open' });
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ kind: 'continued', groups: 2 });
  });

  test('misses nothing of what a chunk has left without an outcome, but all else of it', async () => {
    await it.make('a');
    await it.lane(0, { settled: 1 });
    it.group(1, ['gone before']);
    it.group(2, ['a', 'by a bug'], { left: [1], failure: 'bug' });
    it.group(3, ['a', 'for now'], { left: [1], failure: 'transient' });
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ kind: 'continued', groups: 2 });
    await it.reset();
    await it.lane(0);
    it.group(1, ['a', 'by a bug', 'gone'], { left: [1], failure: 'bug' });
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ reason: `1 writes of group:${it.version}:0:1 have no row` });
  });

  test('has lost the row of a lane is compared with its groups, too', async () => {
    await it.lane(0);
    it.group(1, ['gone']);
    await it.owner.query('DELETE FROM lanes');
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ kind: 'replaced' });
  });

  test('reads no group that is settled, and none of a lane that is retired', async () => {
    await it.lane(0, { settled: 1 });
    await it.lane(1);
    await it.owner.query('UPDATE lanes SET retired = true WHERE lane = 1');
    it.group(1, ['gone']);
    it.temporal.set(`group:${it.version}:1:1`, runOf('unknown', []));
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ kind: 'continued', groups: 0 });
  });

  test.each([
    ['a group', () => it.temporal.set(`group:${it.version}:0:1`, runOf('writeGroup', [['?']], { left: [] }))],
    ['the result of one', () => it.temporal.set(`group:${it.version}:0:1`, runOf('writeGroup', [[]], '?'))],
    ['what holds the name of one', () => it.temporal.set(`group:${it.version}:0:1`, runOf('somethingElse', ['?']))],
    ['what holds the name of a lane', () => it.temporal.set(`lane:${it.version}:1`, runOf('somethingElse', ['?']))],
  ])('and cannot tell what was in %s is replaced', async (_what, put) => {
    await it.lane(0);
    put();
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({
      reason: expect.stringMatching(/^The input of (group|lane):.* cannot be read$/),
    });
  });

  test.each([
    ['the last settled group', 1, 'group'],
    ['a registration', 0, 'lane'],
  ])('with a Temporal that knows nothing of %s is replaced', async (_what, settled, name) => {
    await it.lane(0, { settled });
    it.temporal.clear();
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ reason: expect.stringContaining(`knows nothing of ${name}:`) });
  });

  test('after longer than Temporal remembers is replaced', async () => {
    await it.lane(0, { ageMs: 6 * DAY_MS + 1_000 });
    await it.owner.query("UPDATE verification SET verified_at = clock_timestamp() - interval '8 days'");
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ reason: expect.stringContaining('may have forgotten') });
  });

  test('with a Temporal that does not answer waits, and another process takes the search over when one says nothing', async () => {
    await it.lane(0);
    await it.comeBack();
    const found = await it.verification();
    it.goAway(true);
    await expect(it.reconcile({ as: 'one' })).rejects.toThrow('does not answer');
    expect(await stateOf()).toMatchObject({ version: it.version, isTrusted: false, replaced: null });
    it.goAway(false);
    expect(await it.reconcile({ as: 'two' })).toEqual({ kind: 'left' });
    await it.owner.query("UPDATE verification SET reconciler_until = clock_timestamp() - interval '1 ms'");
    expect(await it.reconcile({ as: 'two' })).toMatchObject({ kind: 'continued' });
    expect(await it.reconcile({ as: 'one', found })).toEqual({ kind: 'left' });
  });

  test('a second time, after it had gone on and was restored to before that, is replaced', async () => {
    await it.lane(0);
    const first = `x/${randomUUID()}/y`;
    it.temporal.set(
      `lane:${it.version}:1`,
      runOf('poison', [{ version: it.version, incarnation: first, because: 'verification' }]),
    );
    const later = nextVersion({ version: it.version, incarnation: first });
    it.temporal.set(`lane:${later}:0`, runOf('lane', []));
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ reason: expect.stringContaining('had gone on from this state') });
  });

  test('a second time, after a verification that came to nothing, goes on, and compares the runs of keys', async () => {
    await it.lane(0);
    const poison = { version: it.version, incarnation: `x/${randomUUID()}/y`, because: 'verification' };
    it.temporal.set(`lane:${it.version}:1`, runOf('poison', [poison]));
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ kind: 'continued' });
    expect(await stateOf()).toMatchObject({ isTrusted: true, keyRunsListed: false });
    expect(it.temporal.get(`lane:${nextVersion(poison)}:0`)?.type).toBe('poison');
  });
});

describe('the runs of keys', () => {
  test('are compared where a process did not survive, and stay to be compared over further restarts', async () => {
    await it.lane(0, { confirmed: false, ageMs: 60_000 });
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ kind: 'continued', survivors: 0 });
    const since = (await it.owner.query('SELECT heartbeat_at AS at FROM lanes')).rows[0].at.toISOString();
    const first = await stateOf();
    expect(first).toMatchObject({ keyRunsListed: false, keyRunsSince: since });
    await it.lane(0, {}, first.version);
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ kind: 'continued', survivors: 1 });
    expect(await stateOf()).toMatchObject({ keyRunsListed: false, keyRunsSince: since });
  });

  test('are compared where one of two processes did not survive', async () => {
    await it.lane(0);
    await it.lane(1, { confirmed: false });
    await it.comeBack();
    expect(await it.reconcile()).toMatchObject({ kind: 'continued', survivors: 1 });
    expect(await stateOf()).toMatchObject({ keyRunsListed: false });
  });

  test('that completed since then, less ten minutes, miss their row, or cannot be read', async () => {
    await it.make('a');
    const found = await it.missingKeyRuns(['a', 'gone', 'unreadable']);
    expect(found.queries).toEqual([expect.stringContaining("CloseTime >= '2026-03-01T11:50:00.000Z'")]);
    expect(found.listed).toBe(3);
    expect(found.missing.map(({ args }) => args.key)).toEqual(['gone']);
    expect(found.unreadable).toEqual([expect.stringContaining('unreadable')]);
  });

  test('are not told from unreadable ones while Temporal does not answer: nothing is decided', async () => {
    it.goAway(true);
    onTestFinished(() => it.goAway(false));
    await expect(it.missingKeyRuns(['gone'])).rejects.toThrow('Temporal does not answer');
  });
});

test('a process misses a row that it has seen committed, on the server that it asks alone', async () => {
  await it.make('a', 'b');
  const { live } = await it.verification();
  const rows = await it.owner.query('SELECT * FROM idempotent_writes ORDER BY idempotency_key');
  const witnesses = createWitnesses(it.pool);
  for (const row of rows.rows) witnesses.note(row);
  expect(await witnesses.areAllThere(live)).toBe(true);
  await expect(witnesses.areAllThere('another')).rejects.toMatchObject({ sqlState: '58AB1' });
  witnesses.note({ ...rows.rows[0], idempotency_key: 'gone' });
  expect(await witnesses.areAllThere(live)).toBe(false);
  witnesses.clear();
  witnesses.note({ ...rows.rows[0], idempotency_key: 'reopened', outcome: 'lost' });
  expect(await witnesses.areAllThere(live)).toBe(true);
});
