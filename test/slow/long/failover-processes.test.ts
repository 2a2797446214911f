import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { stateOf } from '../../../deploy/local/processes.ts';
import type { Answer } from '../../support/client.ts';
import { paymentBody } from '../../support/effects.ts';
import { pay, payAlone, payInBothLanes, type Request } from '../../support/failover/acknowledged.ts';
import { freezeAt } from '../../support/failover/freeze-at.ts';
import { toBaseBackup } from '../../support/failover/losses.ts';
import { type FailoverSystem, startFailoverSystem } from '../../support/failover/system.ts';
import {
  expectClosed,
  expectGone,
  expectMissing,
  expectRefused,
  expectTold,
  readTrust,
  untilTrust,
  verify,
} from '../../support/failover/telling.ts';
import { holdInvoice, until, untilWaiting } from '../../support/held-invoice.ts';
import { untilFinal } from '../../support/persistent.ts';
import { type SystemProcess, startApiProcess } from '../../support/processes.ts';

/** A process looks every two seconds. */
const NOTICED_WITHIN_MS = 8_000;
const LANES = ['key', 'group'];

test.each(LANES)(
  'frozen right after a COMMIT (%s), until the loss of it has been verified: it makes nothing again',
  async (lane) => {
    const frozen = await freezeAfterCommit(lane);
    const { system, victim, writes } = frozen;
    const others = await payInBothLanes(system, frozen.invoiceId);
    await system.servers.replaceBy(await frozen.comeBack());
    await untilTrust(system.url, 'replaced');
    for (const write of writes) expectRefused(await pay(system.company, system.url, write));
    expect(await verify(system.servers, '--yes')).toMatchObject({ code: 0 });
    await untilTrust(system.url, 'trusted');
    victim.thaw();
    // It may still say what it knew when it was frozen: that is the first and only 201.
    for (const answer of await Promise.all(frozen.answers))
      expect([undefined, 201, 500, 503]).toContain(answer?.status);

    await untilTrust(victim.url, 'trusted');
    for (const url of [victim.url, system.url]) {
      for (const write of writes) await untilMissing(() => pay(system.company, url, write));
    }
    await expectTold(system, { lost: others, kept: frozen.kept });
  },
);

test('frozen right after a COMMIT, and nothing else is lost: no second answer', async () => {
  const { system, victim, writes, answers, comeBack } = await freezeAfterCommit('group');
  await system.servers.replaceBy(await comeBack());
  await untilOpen(system);
  victim.thaw();
  const firsts = await Promise.all(answers);
  // The process may have found out, and have closed the database again.
  await sleep(NOTICED_WITHIN_MS);
  await untilOpen(system);
  for (const [index, write] of writes.entries()) {
    const { final } = await untilFinal(() => pay(system.company, system.url, write));
    const first = firsts[index];
    // Who was told of the write that is gone is told so; who was not may have it made.
    expect(first?.status === 201 ? [500] : [201, 500]).toContain(final.status);
  }
});

test('frozen right after a COMMIT, and the write is made anew meanwhile: one answer', async () => {
  const { system, victim, writes, answers, comeBack } = await freezeAfterCommit('key');
  await system.servers.replaceBy(await comeBack());
  await untilOpen(system);
  const finals = await Promise.all(writes.map((write) => untilFinal(() => pay(system.company, system.url, write))));
  victim.thaw();
  for (const [index, first] of (await Promise.all(answers)).entries()) {
    const texts = [first, finals[index]?.final].flatMap((answer) => (answer?.status === 201 ? [answer.text] : []));
    expect(new Set(texts).size).toBeLessThan(2);
  }
});

test('killed after it answered, while its group is open: whoever comes again alone is told', async () => {
  const system = await start();
  const { company, servers } = system;
  const [invoiceId, heldId] = [await company.invoice(), await company.invoice()];
  const kept = [await payAlone(system, invoiceId)];
  const comeBack = await toBaseBackup(servers);
  const lost = await payInBothLanes(system, invoiceId);
  const held = await holdInvoice(servers.owner, heldId);
  const answered = requests(invoiceId, 3);
  const open = requests(heldId, 1);
  const answers = await sendBy(system, system.api, [...answered, ...open]);
  const first = await Promise.all(answers.slice(0, answered.length));
  for (const answer of first) expect(answer).toMatchObject({ status: 201, replayed: false });
  await untilWaiting(servers.owner, 1);
  await system.api.kill();
  await Promise.all(answers);
  lost.push(...answered.map((write, index) => ({ ...write, answer: first[index] as Answer })));

  await servers.replaceBy(await comeBack());
  await held.release();
  const { url } = await system.another(startApiProcess);
  await untilTrust(url, 'replaced');
  await expectGone(system, lost);
  await expectClosed({ ...system, url }, { lost, kept });
  expect(await verify(servers, '--yes')).toMatchObject({ code: 0 });
  await untilTrust(url, 'trusted');
  // The new process may have taken the group before: then each write has left it for its own run. Of the one that was held,
  // nobody knows whether it was answered.
  for (const write of [...answered, ...open]) await untilMissing(() => pay(company, url, write));
  await expectTold({ ...system, url }, { lost, kept });
});

/** Writes that one process has committed, and of which it could not tell anyone yet, when PostgreSQL has a backup of before. */
async function freezeAfterCommit(lane: string) {
  const system = await start();
  const { servers } = system;
  const invoiceId = await system.company.invoice();
  const kept = [await payAlone(system, invoiceId)];
  const point = lane === 'key' ? 'transaction: after COMMIT' : 'set: after COMMIT';
  const victim = await system.another(startApiProcess, freezeAt(point));
  await untilTrust(victim.url, 'trusted');
  const comeBack = await toBaseBackup(servers);
  const writes = requests(invoiceId, lane === 'key' ? 1 : 3);
  const answers = await sendBy(system, victim, writes);
  await until('the process to be frozen', async () => stateOf(victim.pid) === 'T');
  await untilCommitted(system, writes);
  return { system, invoiceId, kept, victim, writes, answers, comeBack };
}

async function start(): Promise<FailoverSystem> {
  const system = await startFailoverSystem({ worker: false });
  onTestFinished(system.stop);
  return system;
}

function requests(invoiceId: string, count: number): Request[] {
  return Array.from({ length: count }, (_, index) => ({
    key: randomUUID(),
    body: paymentBody(invoiceId, 300 + index),
  }));
}

/** One goes alone, several in one group. The answers of a process that ends are undefined. */
async function sendBy({ company, groups }: FailoverSystem, process: SystemProcess, writes: readonly Request[]) {
  const send = () => writes.map((write) => pay(company, process.url, write).catch(() => undefined));
  return writes.length === 1 ? send() : groups.together(process.url, company, send);
}

async function untilCommitted({ owner, company }: FailoverSystem, writes: readonly Request[]): Promise<void> {
  const keys = writes.map(({ key }) => key);
  const sql = 'SELECT FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = ANY($2)';
  await until('the COMMIT', async () => (await owner.query(sql, [company.id, keys])).rowCount === keys.length);
}

/** Its own run tells it, or a reconcile: until then it is refused for the moment, and never made. */
async function untilMissing(send: () => Promise<Answer>): Promise<void> {
  await until('its end', async () => {
    const answer = await send();
    if (answer.status === 503 || answer.status === 202) return false;
    expectMissing(answer);
    return true;
  });
}

/** By itself, or by an operator. */
async function untilOpen({ servers, url }: FailoverSystem): Promise<void> {
  const isOver = async () => ['trusted', 'replaced'].includes(await readTrust(url));
  await until('the end of the reconciliation', isOver);
  if ((await readTrust(url)) === 'replaced') await verify(servers, '--yes');
  await untilTrust(url, 'trusted');
}
