import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Pool } from '../../activities/database.ts';
import { evidenceLagSeconds, headsWithoutEvidence } from '../../activities/seal/evidence.ts';
import { createStampActivities } from '../../activities/seal/stamp-heads.ts';
import { WitnessFault } from '../../activities/seal/witness.ts';
import { announceHeads } from '../../worker/seal/announce-heads.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { startWorkerProcess } from '../support/processes.ts';
import { startReceiver } from '../support/receiver.ts';
import { startRelay } from '../support/relay.ts';
import { openSealer, publishNow, sealAll, sealKey } from '../support/seals.ts';
import { startStampingOf } from '../support/stamping.ts';
import { type System, startSystem } from '../support/system.ts';
import { type Answer, sendReply, startAuthority, type TestAuthority } from '../support/time-stamp-authority.ts';

const KEY = sealKey('stamped');

let system: System;
let company: Company;
let sealer: Pool;
let folder: string;
let authority: TestAuthority;
let stranger: TestAuthority;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
let relay: Awaited<ReturnType<typeof startRelay>>;
let stamping: Awaited<ReturnType<typeof startStampingOf>>;
const logged: string[] = [];
const logger = pino({ level: 'info' }, { write: (line: string) => void logged.push(line) });

beforeAll(async () => {
  [system, authority, stranger, receiver] = await Promise.all([
    startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } }),
    startAuthority(),
    startAuthority(),
    startReceiver(),
  ]);
  [company, relay] = [await system.company(), await startRelay(system)];
  await system.owner.query('UPDATE companies SET webhook_url = $2 WHERE id = $1', [company.id, receiver.url]);
  folder = await mkdtemp(join(tmpdir(), 'accubooks-stamps-'));
  sealer = openSealer(system);
  stamping = await startStampingOf(system, { environment: ofAuthority(), pool: sealer, logger });
});
afterEach(() => authority.answer());
afterAll(async () => {
  await stamping.close();
  await relay.close();
  await sealer.close();
  await Promise.all([authority.close(), stranger.close(), receiver.close()]);
  await rm(folder, { recursive: true });
  await system.stop();
});

function ofAuthority() {
  return {
    ...{ SEAL_TIMESTAMP_URL: authority.url, SEAL_TIMESTAMP_CA: authority.ca, SEAL_TIMESTAMP_TIMEOUT_MS: '2000' },
    SEAL_HEADS_DIR: folder,
  };
}

/** A head of each log, over something new. */
async function publish(): Promise<void> {
  await company.invoice();
  await sealAll(sealer);
  await publishNow(system, [company.id], KEY);
}

type Stamped = { readonly head: string; readonly position: number; readonly token: Buffer | null };

/** The heads of the journal, with their tokens. */
async function journal(): Promise<readonly Stamped[]> {
  const { rows } = await system.owner.query<Stamped>(
    `SELECT h.head, h.position, e.evidence AS token FROM seal_heads h LEFT JOIN seal_evidence e USING (company_id, log, position)
     WHERE company_id = $1 AND log = 'journal' ORDER BY position`,
    [company.id],
  );
  return rows;
}

async function untilAllStamped(): Promise<void> {
  await until('the newest heads to be stamped', async () => {
    // As a worker does once a minute: a run that has just looked for the last time sees nothing newer.
    await stamping.stampNew();
    return (await evidenceLagSeconds(sealer, 'time-stamp')) === 0;
  });
}

/** What OpenSSL says of a token, by the root of the authority. */
async function verified({ head, token }: Stamped): Promise<string> {
  await writeFile(authority.file('token'), token ?? '');
  await writeFile(authority.file('head'), head);
  const { stdout, stderr } = await authority.openssl(
    ...['ts', '-verify', '-data', 'head', '-in', 'token', '-token_in', '-CAfile', 'root.pem'],
  );
  return `${stdout}${stderr}`;
}

async function failures(kind: string): Promise<number> {
  const { values } = await stamping.metrics.timeStampFailures.get();
  return values.find(({ labels }) => labels.kind === kind)?.value ?? 0;
}

function announce(): Promise<number> {
  const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] as string;
  return announceHeads({ pool: sealer, client: system.temporal, taskQueue, folder, logger, delaysMs: [] });
}

const sealedCalls = () => receiver.calls.filter(({ json }) => json.type === 'ledger.sealed');

test('a published head gets a stamp that OpenSSL verifies, and that leaves to log, file and webhook', async () => {
  await publish();
  expect(await evidenceLagSeconds(sealer, 'time-stamp')).toBeGreaterThan(0);
  await stamping.stampNew();
  await untilAllStamped();
  const [stamped] = await journal();
  if (stamped === undefined) throw new Error('There is no head');
  expect(await verified(stamped)).toContain('Verification: OK');
  const timeStamp = stamped.token?.toString('base64');

  const lines = logged.map((line) => JSON.parse(line));
  expect(lines.filter(({ head }) => head === stamped.head)).toMatchObject([{ timeStamp, keyId: 'stamped' }]);
  const [file, ...others] = await readdir(folder);
  expect(others).toEqual([]);
  const kept = (await readFile(join(folder, file ?? ''), 'utf8')).trimEnd().split('\n');
  expect(kept.map((line) => JSON.parse(line))).toContainEqual(
    expect.objectContaining({ head: stamped.head, timeStamp }),
  );

  expect(await announce()).toBe(2);
  await until('the call to be received', async () => sealedCalls().length === 1);
  const told = sealedCalls()[0]?.json.data.heads as { head: string; timeStamp?: string }[];
  expect(told.every((head) => head.timeStamp !== undefined)).toBe(true);
  expect(told.find(({ head }) => head === stamped.head)?.timeStamp).toBe(timeStamp);
});

test('nobody asks again for a head that has its stamp', async () => {
  const before = authority.queries.length;
  await stamping.stampNew();
  expect(authority.queries).toHaveLength(before);
});

describe('a head is published without a stamp, and gets it later, where the authority', () => {
  const REFUSAL = Buffer.from('30053003020102', 'hex');
  const FAULTS: Readonly<Record<string, readonly [kind: string, answer: Answer]>> = {
    hangs: ['unreachable', () => undefined],
    fails: ['unreachable', (_query, response) => void response.writeHead(500).end()],
    refuses: ['refused', (_query, response) => sendReply(response, REFUSAL)],
    'answers garbage': ['invalid', (_query, response) => sendReply(response, Buffer.from('garbage'))],
    'is another than is believed': [
      'invalid',
      async (query, response) => sendReply(response, await stranger.stamp(query)),
    ],
  };

  async function expectCaughtUp(kind: string, recover: () => unknown): Promise<void> {
    const before = await failures(kind);
    await publish();
    // Twice as many as there are heads: Temporal has tried again.
    await until('attempts to fail', async () => {
      await stamping.stampNew();
      return (await failures(kind)) >= before + 4;
    });
    expect((await journal()).at(-1)?.token).toBeNull();
    expect(await announce()).toBe(2);
    await recover();
    await untilAllStamped();
    const stamped = (await journal()).at(-1);
    if (stamped === undefined) throw new Error('There is no head');
    expect(await verified(stamped)).toContain('Verification: OK');
  }

  test.each(Object.entries(FAULTS))('%s', async (_what, [kind, answer]) => {
    authority.answer(answer);
    await expectCaughtUp(kind, () => authority.answer());
  });

  test('is down', async () => {
    await authority.down();
    await expectCaughtUp('unreachable', async () => {
      // By itself: an attempt that is under way fails twice.
      const before = await failures('unreachable');
      await until('the run to try again', async () => (await failures('unreachable')) > before + 2);
      await authority.up();
    });
  });
});

test('of heads that were published meanwhile the last is stamped, and it names the others', async () => {
  await authority.down();
  await publish();
  await publish();
  await stamping.stampNew();
  await authority.up();
  await untilAllStamped();
  const [before, last] = (await journal()).slice(-2);
  expect([before?.token, last?.token === null]).toEqual([null, false]);
});

test('a head that gets no stamp holds up none behind it, and a stamp that cannot be told is kept', async () => {
  const other = await system.company();
  await other.invoice();
  await publish();
  await publishNow(system, [other.id], KEY);
  const asked: string[] = [];
  const untold: string[] = [];
  const { stampHeads } = createStampActivities({
    pool: sealer,
    headsAPage: 1,
    witness: {
      kind: 'time-stamp',
      async witness({ head }) {
        if (asked.push(head) === 1) throw new WitnessFault('refused', 'not this one');
        return { bytes: Buffer.from('a token'), at: new Date() };
      },
    },
    tell: () => Promise.reject(new Error('the disk is full')),
    onFault() {},
    onUntold: (_head, { message }) => void untold.push(message),
  });
  await expect(new MockActivityEnvironment().run(stampHeads)).rejects.toThrow('1 heads have no evidence');
  expect([new Set(asked).size, untold]).toEqual([4, Array.from({ length: 3 }, () => 'the disk is full')]);
  const waiting = await headsWithoutEvidence(sealer, 'time-stamp', { limit: 10 });
  expect(waiting.map(({ head }) => head)).toEqual(asked.slice(0, 1));
});

test('the worker process has stamped what it publishes', async () => {
  await stamping.close();
  const other = await system.company();
  await other.invoice();
  const worker = await startWorkerProcess({
    ...system.environment,
    ...ofAuthority(),
    SEAL_SIGNING_KEY: `process:${randomBytes(32).toString('base64')}`,
  });
  try {
    const ask = 'SELECT evidence FROM seal_evidence WHERE company_id = $1';
    await until('its heads to be stamped', async () => (await system.owner.query(ask, [other.id])).rowCount === 2);
    expect(worker.logs.map(({ msg }) => msg)).toContain('A head of the seal is time-stamped');
  } finally {
    expect(await worker.terminate()).toBe(0);
  }
});

test('what was kept is not changed, not even by the owner', async () => {
  for (const change of [
    "UPDATE seal_evidence SET evidence = '\\x00'",
    'DELETE FROM seal_evidence',
    'TRUNCATE seal_evidence',
  ])
    await expect(system.owner.query(change)).rejects.toThrow(/somebody else has said|others have said/);
});
