import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { TemporalUnavailable } from '../../worker/temporal-unavailable.ts';
import { deferred } from '../../worker/timeouts.ts';
import { INCARNATION, playLane, trustIn } from '../support/played-lane.ts';

/** Longer than a lane waits before it asks Temporal for what nobody has told. */
const ASKED_FOR_MS = 3_001;
const HOUR_MS = 60 * 60_000;

/** By which the lane measures how long it has waited. It ticks by hand. */
let nowMs = 0;
beforeEach(() => {
  nowMs = 0;
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function openLane() {
  const played = playLane();
  await played.lane.tick();
  return played;
}

async function untilAsked(asked: readonly string[], times: number) {
  while (asked.length < times) await turn();
}

const unknown = expect.any(TemporalUnavailable);

describe('a process that starts groups', () => {
  test('registers the first free lane, and numbers its groups from 1', async () => {
    const { lane, start, started, take, database } = playLane();
    expect([lane.isOpen, await start('early')]).toEqual([false, 'closed']);
    take('lane:v:0', 'lane');
    await lane.tick();
    expect([lane.isOpen, lane.registeredAt('v'), lane.registeredAt('w')]).toEqual([true, [1], []]);
    expect(database.registered).toEqual([1]);
    expect(await start('a', 'b')).toMatchObject({ workflowId: 'group:v:1:1', runId: 'run of group:v:1:1' });
    expect(await start('c')).toMatchObject({ workflowId: 'group:v:1:2' });
    expect(started.map(({ keys }) => keys)).toEqual([['a', 'b'], ['c']]);
  });

  test('numbers those that are started at the same moment, too, one after another', async () => {
    const { start, startChunk, started, holdTaken, fence, lane } = await openLane();
    holdTaken(turn);
    const all = await Promise.all([start('a'), startChunk({ setSize: 7 }, 'b'), start('c')]);
    expect(all).toMatchObject([1, 2, 3].map((number) => ({ workflowId: `group:v:0:${number}` })));
    expect(started.map(({ keys, chunk }) => [keys, chunk])).toEqual([
      [['a'], undefined],
      [['b'], { setSize: 7 }],
      [['c'], undefined],
    ]);
    expect([fence.notices, lane.isOpen]).toEqual([0, true]);
  });

  test('starts none where the lanes of its version were closed, or the database does not know of its lane', async () => {
    const closed = playLane();
    closed.take('lane:v:0', 'poison');
    await closed.lane.tick();
    expect([closed.lane.isOpen, closed.temporal.has('lane:v:1'), closed.database.registered]).toEqual([
      false,
      false,
      [],
    ]);
    expect(closed.fence.distrusted).toEqual(['v']);
    const refused = playLane();
    refused.database.isRefusing = true;
    await refused.lane.tick();
    expect([refused.lane.isOpen, await refused.start('a'), refused.started]).toEqual([false, 'closed', []]);
  });

  test('starts none while the database is not verified, and has another lane under another version', async () => {
    const { lane, fence, start, started } = await openLane();
    fence.trust = undefined;
    expect([lane.isOpen, await start('a')]).toEqual([false, 'closed']);
    fence.trust = trustIn('w');
    expect(await start('a')).toBe('closed');
    await lane.tick();
    expect(await start('a')).toMatchObject({ workflowId: 'group:w:0:1' });
    fence.mayGroup = false;
    expect([lane.isOpen, await start('b')]).toEqual([false, 'closed']);
    expect([lane.registeredAt('v'), lane.registeredAt('w'), started.length]).toEqual([[], [0], 1]);
  });
});

describe('a start of which Temporal does not say whether it took it', () => {
  test('and took it: the next group has the next number, and its own writes are waited for', async () => {
    const { start, started, fates, note, settled } = await openLane();
    fates.push('taken');
    expect(await start('a')).toEqual(unknown);
    expect(await settled()).toMatchObject({ settled: 0 });
    expect(await start('b')).toMatchObject({ workflowId: 'group:v:0:2' });
    expect(started.map(({ id }) => id)).toEqual(['group:v:0:1', 'group:v:0:2']);
    note('b');
    expect(await settled()).toMatchObject({ settled: 0 });
    note('a');
    expect(await settled()).toMatchObject({ settled: 2 });
  });

  test('and did not take it: the next group has the same number', async () => {
    const { start, started, fates, note, settled } = await openLane();
    fates.push('not taken');
    expect(await start('a')).toEqual(unknown);
    expect(await start('b')).toMatchObject({ workflowId: 'group:v:0:1' });
    expect(await start('c')).toMatchObject({ workflowId: 'group:v:0:2' });
    for (const key of ['b', 'c']) note(key);
    expect([started.length, await settled()]).toMatchObject([2, { settled: 2 }]);
  });

  test('and another such start: whichever of them was taken is settled with the writes of both', async () => {
    const { start, fates, note, settled } = await openLane();
    fates.push('not taken', 'taken');
    expect([await start('a'), await start('b')]).toEqual([unknown, unknown]);
    expect(await start('c')).toMatchObject({ workflowId: 'group:v:0:2' });
    for (const key of ['c', 'b']) note(key);
    expect(await settled()).toMatchObject({ settled: 0 });
    note('a');
    expect(await settled()).toMatchObject({ settled: 2 });
  });

  test('is asked for after seconds, and counts from its start until then', async () => {
    const { lane, start, fates, note, settled } = await openLane();
    fates.push('taken');
    await start('a');
    nowMs += ASKED_FOR_MS;
    expect(await settled()).toMatchObject({ settled: 0, unsettledMs: ASKED_FOR_MS });
    note('a');
    expect(await settled()).toMatchObject({ settled: 1, unsettledMs: 0 });
    await lane.tick();
    expect(await start('b')).toMatchObject({ workflowId: 'group:v:0:2' });
  });

  test('leaves no number out when it is asked for while the next group is started', async () => {
    const { lane, start, started, fates, asked, holdAnswers } = await openLane();
    fates.push('not taken');
    await start('a');
    nowMs += ASKED_FOR_MS;
    const gate = deferred<void>();
    holdAnswers(() => gate.promise);
    const ticking = lane.tick();
    await untilAsked(asked, 1);
    expect(await start('b')).toMatchObject({ workflowId: 'group:v:0:1' });
    gate.resolve();
    await ticking;
    for (const key of ['c', 'd']) await start(key);
    expect(started.map(({ id }) => id)).toEqual([1, 2, 3].map((number) => `group:v:0:${number}`));
  });

  test('leaves none out either when the tick and the next start ask for it at the same time', async () => {
    const { lane, start, started, fates, asked, holdAnswers } = await openLane();
    fates.push('taken');
    await start('a');
    nowMs += ASKED_FOR_MS;
    const gate = deferred<void>();
    holdAnswers(() => gate.promise);
    const both = Promise.all([lane.tick(), start('b')]);
    await untilAsked(asked, 2);
    gate.resolve();
    await both;
    await start('c');
    expect(started.map(({ id }) => id)).toEqual([1, 2, 3].map((number) => `group:v:0:${number}`));
  });
});

test.each(['poison', 'writeGroup'])(
  'a name that someone else has taken (%s) closes the lane: the process looks at once, and registers another',
  async (type) => {
    const { lane, fence, start, take } = await openLane();
    await start('a');
    take('group:v:0:2', type);
    expect([await start('b'), lane.isOpen, fence.notices]).toEqual(['closed', false, 1]);
    // After a verification this may be an old primary, on which nothing at all may be claimed.
    expect(fence.distrusted).toEqual(type === 'poison' ? ['v'] : []);
    await lane.tick();
    expect(await start('b')).toMatchObject({ workflowId: 'group:v:1:1' });
  },
);

test('a name that someone else has taken closes the lane also after a start of which nothing is known', async () => {
  const { lane, fence, start, fates, take } = await openLane();
  fates.push('not taken');
  await start('a');
  take('group:v:0:1', 'poison');
  expect([await start('b'), lane.isOpen, fence.notices]).toEqual(['closed', false, 1]);
});

describe('what is settled', () => {
  test('ends before the first group with a write that has neither its row nor a result of its group', async () => {
    const { start, note, settled } = await openLane();
    for (const keys of [['a', 'b'], ['c'], ['d']]) await start(...keys);
    expect(await settled()).toEqual({ version: 'v', lane: 0, settled: 0, unsettledMs: 0 });
    for (const key of ['a', 'c']) note(key);
    expect(await settled()).toMatchObject({ settled: 0 });
    note('b');
    expect(await settled()).toMatchObject({ settled: 2 });
    const last = await start('e');
    (last as { settle(): void }).settle();
    expect(await settled()).toMatchObject({ settled: 2 });
    note('d');
    expect(await settled()).toMatchObject({ settled: 4 });
  });

  test('is what Temporal or the rows tell of a group that nobody waits for', async () => {
    const { start, temporal, database, settled } = await openLane();
    for (const key of ['a', 'b', 'c']) await start(key);
    const end = (number: number, state: 'completed' | 'unsuccessful') => {
      const run = temporal.get(`group:v:0:${number}`);
      if (run !== undefined) run.state = state;
    };
    end(1, 'completed');
    end(2, 'unsuccessful');
    nowMs += ASKED_FOR_MS;
    await settled();
    expect(await settled()).toMatchObject({ settled: 1 });
    database.rows.add('b');
    await settled();
    expect(await settled()).toMatchObject({ settled: 2, unsettledMs: ASKED_FOR_MS });
  });

  test('is not what another run by the name of a group would tell', async () => {
    const { start, temporal, settled } = await openLane();
    await start('a');
    const another = { type: 'writeGroup', isOwn: true, state: 'completed', runId: 'another' } as const;
    temporal.set('group:v:0:1', another);
    nowMs += ASKED_FOR_MS;
    await settled();
    expect(await settled()).toMatchObject({ settled: 0 });
  });

  test('is an hour later also a group that was ended from outside, or that Temporal has forgotten', async () => {
    const { start, temporal, settled } = await openLane();
    await start('a');
    temporal.delete('group:v:0:1');
    nowMs += ASKED_FOR_MS;
    await settled();
    nowMs += HOUR_MS;
    await settled();
    expect(await settled()).toMatchObject({ settled: 0 });
    nowMs += 1;
    await settled();
    expect(await settled()).toMatchObject({ settled: 1 });
  });
});

describe('a process that ends', () => {
  test('retires its lane behind its last group, where all of it is settled', async () => {
    const { lane, start, note, temporal, database } = await openLane();
    await start('a');
    note('a');
    await lane.close();
    expect(temporal.get('group:v:0:2')?.type).toBe('poison');
    expect(database.retired).toEqual([{ version: 'v', incarnation: INCARNATION, lane: 0, from: 1, to: 1 }]);
  });

  test.each([
    'a write without its row',
    'a start of which nothing is known',
    'a group that someone else has started',
    'a database that is not verified any more',
    'another version',
  ])('leaves it to others with %s', async (what) => {
    const { lane, fence, fates, start, note, take, temporal, database } = await openLane();
    if (what.includes('nothing is known')) fates.push('taken');
    await start('a');
    if (!what.includes('without its row')) note('a');
    if (what.includes('someone else')) take('group:v:0:2', 'writeGroup');
    if (what.includes('verified')) fence.trust = undefined;
    if (what.includes('another version')) fence.trust = trustIn('w');
    await lane.close();
    const closed = database.retired.filter((each) => (each as { version: string }).version === 'v');
    expect([temporal.get('group:v:0:2')?.type ?? 'none', closed]).toEqual([
      what.includes('someone else') ? 'writeGroup' : 'none',
      [],
    ]);
  });
});
