import { describe, expect, test } from 'vitest';
import type { WriteRow } from '../../activities/write/write-row.ts';
import { createSubmit } from '../../api/submit/submit.ts';
import type { RunDescription, Started, WriteRuns } from '../../api/submit/write-runs.ts';
import type { GroupRuns } from '../../worker/lanes/group-runs.ts';
import { memoOf, type WriteArguments } from '../../workflows/messages.ts';
import { TRUSTED } from '../support/trusted-fence.ts';

/** The submissions of a process whose Temporal and database do as each test says. What they really do is in test/system. */
const ARGUMENTS = {
  operation: 'createCustomer',
  companyId: 'company',
  key: 'key',
  input: { params: {}, body: {} },
  fingerprint: 'mine',
  schemaVersion: 1,
  actor: { userId: 'user' },
  request: { id: 'request', method: 'POST', path: '/' },
  submissionId: 'submission',
} as unknown as WriteArguments;

/** Longer than a start counts as under way for want of an outcome. */
const GRACE_MS = 500;

const never = <T>() => new Promise<T>(() => undefined);

function submitOver({
  runs = {},
  groups = {},
  startGroup = never,
  row = async () => undefined,
  grouping = true,
}: {
  runs?: Partial<WriteRuns>;
  groups?: Partial<Pick<GroupRuns, 'waitUntilClosed'>>;
  startGroup?: () => Promise<{ runId: string }>;
  row?: () => Promise<WriteRow | undefined>;
  grouping?: boolean;
}) {
  return createSubmit({
    wake: () => undefined,
    lookups: { find: never, findRow: row, findOutcome: async () => ({ row: await row(), approval: undefined }) },
    runs: {
      start: never,
      describe: async () => undefined,
      waitUntilClosed: never,
      failedAttempts: never,
      readArguments: async () => undefined,
      ...runs,
    },
    groups: { waitUntilClosed: never, ...groups },
    fence: TRUSTED,
    lane: {
      isOpen: true,
      start: async () => ({ workflowId: 'group', ...(await startGroup()), settle: () => undefined }),
      noteRow: () => undefined,
    },
    maxInFlight: 100,
    grouping,
    isBacklogged: () => false,
    summarize: () => '',
    observeStart: () => undefined,
    onUnexpected: (error) => {
      throw error;
    },
  });
}

type Submit = ReturnType<typeof submitOver>;

function request(submit: Submit, args: WriteArguments, waitMs: number, strict = false) {
  const found = submit.find(args.companyId, args.key, args.fingerprint);
  const submission = found ?? submit.open(args);
  if (submission === undefined) throw new Error('Bug! The limit of the test is too low');
  const waitUntilMs = performance.now() + waitMs;
  const deadline = { waitUntilMs, answerByMs: waitUntilMs + GRACE_MS, strict, asksToWait: false };
  return submit.wait(submission, deadline, found === undefined);
}

const openRunOf = (args: WriteArguments): RunDescription => ({
  workflowId: 'workflow',
  runId: 'run',
  state: 'running',
  memo: memoOf(args),
  startedAt: new Date(0),
  closedAt: undefined,
  waits: false,
});

/** Fills the two starts that may be under way, so that what comes next waits in the queue. */
function fillStarts(submit: Submit): void {
  for (const key of ['before-1', 'before-2']) void request(submit, { ...ARGUMENTS, key }, 10_000);
}

describe('a first request with wait=0', () => {
  test('that meets the start that it has made itself past the queue is accepted', async () => {
    const replies: ((started: Started) => void)[] = [];
    let started = 0;
    const submit = submitOver({
      runs: {
        start(args) {
          if (args.key !== ARGUMENTS.key) return new Promise((resolve) => replies.push(resolve));
          // The queue's turn comes while the first reply is on its way.
          started += 1;
          return started === 1 ? never() : Promise.resolve('exists');
        },
        describe: async () => openRunOf(ARGUMENTS),
      },
      grouping: true,
    });
    fillStarts(submit);
    await new Promise((resolve) => setTimeout(resolve, 10));
    const waited = request(submit, ARGUMENTS, 0, true);
    await expect.poll(() => started).toBe(1);
    for (const reply of replies) reply('exists');
    expect(await waited).toEqual({ kind: 'accepted' });
    expect(started).toBe(2);
  });

  test('that meets another’s run is told so', async () => {
    const submit = submitOver({
      runs: { start: async () => 'exists', describe: async () => openRunOf({ ...ARGUMENTS, submissionId: 'another' }) },
    });
    expect(await request(submit, ARGUMENTS, 0, true)).toEqual({ kind: 'in progress' });
  });
});

describe('what is not started in time', () => {
  test('is overloaded, and is forgotten with that answer', async () => {
    const submit = submitOver({ grouping: false });
    fillStarts(submit);
    await new Promise((resolve) => setTimeout(resolve, 10));
    const waited = request(submit, ARGUMENTS, 10);
    expect(await waited).toEqual({ kind: 'problem', code: 'overloaded' });
    expect([submit.startsQueued, submit.find('company', 'key', 'mine')]).toEqual([0, undefined]);
    await expect.poll(() => submit.inFlight).toBe(2);
  });

  test('is unknown as long as others wait for it: it may be started for them', async () => {
    const submit = submitOver({ grouping: false });
    fillStarts(submit);
    await new Promise((resolve) => setTimeout(resolve, 10));
    const [patient, waited] = [request(submit, ARGUMENTS, 500), request(submit, ARGUMENTS, 10)];
    expect(await waited).toEqual({ kind: 'problem', code: 'outcome_unknown' });
    expect(submit.startsQueued).toBe(1);
    expect(await patient).toEqual({ kind: 'problem', code: 'overloaded' });
    expect(submit.startsQueued).toBe(0);
  });
});

describe('a run that goes on without anybody who waits', () => {
  test('is not followed any more, and is found again by the next request', async () => {
    const started: string[] = [];
    const submit = submitOver({
      runs: {
        async start({ submissionId }) {
          started.push(submissionId);
          return started.length === 1 ? { runId: 'run', eager: false } : 'exists';
        },
        describe: async () => openRunOf(ARGUMENTS),
      },
    });
    expect(await request(submit, ARGUMENTS, 0)).toEqual({ kind: 'accepted' });
    await expect.poll(() => submit.inFlight).toBe(0);
    expect(submit.find('company', 'key', 'mine')).toBe(undefined);
    expect(await request(submit, { ...ARGUMENTS, submissionId: 'next' }, 10)).toEqual({ kind: 'accepted' });
    expect(started).toEqual(['submission', 'next']);
  });
});

describe('a run that has taken the place of one that failed', () => {
  test('costs no slot when the last who waited has left before it was there', async () => {
    let confirm: (started: Started) => void = () => undefined;
    let started = 0;
    const submit = submitOver({
      runs: {
        start: ({ key }) => {
          if (key !== ARGUMENTS.key) return Promise.resolve({ runId: 'before', eager: false });
          started += 1;
          // Alone and past the queue, in its turn, and once more.
          if (started === 1) return Promise.resolve({ runId: 'failed', eager: false });
          if (started === 2) return Promise.resolve('exists');
          return new Promise((resolve) => {
            confirm = resolve;
          });
        },
        describe: async () => ({ ...openRunOf(ARGUMENTS), state: 'unsuccessful' }),
      },
    });
    fillStarts(submit);
    await new Promise((resolve) => setTimeout(resolve, 10));
    const [first, last] = [request(submit, ARGUMENTS, 10), request(submit, ARGUMENTS, 2 * GRACE_MS)];
    expect(await first).toEqual({ kind: 'accepted' });
    await expect.poll(() => started).toBe(3);
    expect(await last).toEqual({ kind: 'problem', code: 'orchestrator_unavailable' });
    confirm({ runId: 'next', eager: false });
    await expect.poll(() => submit.find('company', 'key', 'mine')).toBe(undefined);
  });
});

describe('the run of another version of the request', () => {
  const later = { ...ARGUMENTS, schemaVersion: 2, fingerprint: 'theirs' };

  test.each([
    ['any more', 0, { kind: 'in progress' }],
    ['when it is found', GRACE_MS + 100, { kind: 'problem', code: 'orchestrator_unavailable' }],
  ])('costs no slot when nobody waits behind it %s', async (_when, foundAfterMs, answer) => {
    const submit = submitOver({
      runs: {
        start: () => new Promise((resolve) => setTimeout(resolve, foundAfterMs, 'exists')),
        describe: async () => openRunOf(later),
      },
    });
    expect(await request(submit, ARGUMENTS, 0)).toEqual(answer);
    await expect.poll(() => submit.inFlight).toBe(0);
    expect(submit.find('company', 'key', 'mine')).toBe(undefined);
  });

  test('has ended without an outcome: what then waits for its own start is not told as running', async () => {
    const submit = submitOver({
      runs: {
        start: ({ key }) => (key === ARGUMENTS.key ? Promise.resolve('exists') : never()),
        describe: async () => openRunOf(later),
        async waitUntilClosed() {
          fillStarts(submit);
          await new Promise((resolve) => setTimeout(resolve, 20));
          return { kind: 'unproven' };
        },
      },
      grouping: false,
    });
    expect(await request(submit, ARGUMENTS, 200)).toEqual({ kind: 'problem', code: 'overloaded' });
    expect(submit.startsQueued).toBe(0);
  });
});

describe('an outcome that this process hands over', () => {
  const row = { outcome: 'succeeded', submission_id: ARGUMENTS.submissionId } as unknown as WriteRow;

  test('is not asked of Temporal any more: neither of its run', async () => {
    let asked = 0;
    const submit = submitOver({
      runs: {
        start: async () => ({ runId: 'run', eager: true }),
        waitUntilClosed() {
          asked += 1;
          return never();
        },
      },
    });
    const waited = request(submit, ARGUMENTS, 5_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    submit.handOver(ARGUMENTS, row);
    expect(await waited).toEqual({ kind: 'end', end: { kind: 'row', row } });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(asked).toBe(0);
  });

  test('nor of its group, once all of it have theirs', async () => {
    const seen = { started: 0, asked: 0 };
    const submit = submitOver({
      runs: { start: async () => ({ runId: 'run', eager: false }) },
      async startGroup() {
        seen.started += 1;
        return { runId: 'run' };
      },
      groups: {
        waitUntilClosed() {
          seen.asked += 1;
          return never();
        },
      },
    });
    fillStarts(submit);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const group = ['one', 'two'].map((key) => ({ ...ARGUMENTS, key }));
    const waited = group.map((args) => request(submit, args, 5_000));
    await expect.poll(() => seen.started, { timeout: 5_000 }).toBe(1);
    for (const args of group) submit.handOver(args, row);
    expect((await Promise.all(waited)).map(({ kind }) => kind)).toEqual(['end', 'end']);
    await new Promise((resolve) => setTimeout(resolve, GRACE_MS));
    expect(seen.asked).toBe(0);
  });
});

describe('a group that closes without proof', () => {
  const closing = (newest: WriteArguments) =>
    submitOver({
      runs: {
        start: ({ key }) => (key === ARGUMENTS.key ? never() : Promise.resolve({ runId: 'run', eager: false })),
        describe: async () => openRunOf(newest),
      },
      startGroup: async () => ({ runId: 'run' }),
      groups: { waitUntilClosed: async () => 'unproven' },
    });
  async function endOf(submit: Submit) {
    fillStarts(submit);
    await new Promise((resolve) => setTimeout(resolve, 20));
    void request(submit, { ...ARGUMENTS, key: 'beside' }, 5_000);
    return request(submit, ARGUMENTS, 1_000);
  }

  test('leaves its write to the open run of the same request', async () => {
    expect(await endOf(closing(ARGUMENTS))).toEqual({ kind: 'accepted' });
  });

  test('leaves its write unknown where the open run is that of another request', async () => {
    const other = { ...ARGUMENTS, fingerprint: 'other' };
    expect(await endOf(closing(other))).toEqual({ kind: 'end', end: { kind: 'problem', code: 'outcome_unknown' } });
  });
});
