import { randomUUID } from 'node:crypto';
import { describe, expect, onTestFinished, test } from 'vitest';
import { stateOf } from '../../deploy/local/processes.ts';
import type { Answer } from '../support/client.ts';
import { paymentBody } from '../support/effects.ts';
import { type Acknowledged, pay, payAlone, type Request } from '../support/failover/acknowledged.ts';
import { freezeAt } from '../support/failover/freeze-at.ts';
import { toBaseBackup } from '../support/failover/losses.ts';
import { type FailoverSystem, startFailoverSystem } from '../support/failover/system.ts';
import {
  expectClosed,
  expectGone,
  expectMissing,
  expectRefused,
  expectTold,
  untilTrust,
  verify,
} from '../support/failover/telling.ts';
import { inForm } from '../support/form.ts';
import { holdInvoice, until, untilWaiting } from '../support/held-invoice.ts';
import { type SystemProcess, startApiProcess } from '../support/processes.ts';

describe.each(inForm({ short: ['key'], long: ['key', 'group'] }))('a process, and writes of the %s lane', (lane) => {
  test('frozen right after its COMMIT, until the loss has been verified: it makes nothing again', async () => {
    const system = await start();
    const { company, servers } = system;
    const invoiceId = await company.invoice();
    const kept = [await payAlone(system, invoiceId)];
    const comeBack = await toBaseBackup(servers);
    const point = lane === 'key' ? 'transaction: after COMMIT' : 'set: after COMMIT';
    const victim = await system.another(startApiProcess, freezeAt(point));
    const writes = requests(invoiceId, lane === 'key' ? 1 : 3);
    const answers = await sendBy(system, victim, writes);
    await until('the process to be frozen', async () => stateOf(victim.pid) === 'T');
    await untilCommitted(system, writes);

    servers.replaceBy(await comeBack());
    await untilTrust(system.url, 'replaced');
    for (const write of writes) expectRefused(await pay(company, system.url, write));
    expect(await verify(servers, '--yes')).toMatchObject({ code: 0 });
    await untilTrust(system.url, 'trusted');
    victim.thaw();
    // It may still say what it knew when it was frozen: that is the first and only 201.
    const first = await Promise.all(answers);
    for (const answer of first) expect([undefined, 201, 500, 503]).toContain(answer?.status);

    await untilTrust(victim.url, 'trusted');
    for (const url of [victim.url, system.url]) {
      for (const write of writes) await untilMissing(() => pay(company, url, write));
      await expectTold({ ...system, url }, { lost: lostOf(writes, first), kept });
    }
  });

  test('killed after it answered, while a part of its work is open: who comes again alone is told', async () => {
    const system = await start();
    const { company, servers } = system;
    const [invoiceId, heldId] = await Promise.all([company.invoice(), company.invoice()]);
    const kept = [await payAlone(system, invoiceId)];
    const comeBack = await toBaseBackup(servers);
    const victim = system.api;
    const held = await holdInvoice(servers.owner, heldId);
    const answered = requests(invoiceId, lane === 'key' ? 1 : 3);
    const open = requests(heldId, 1);
    const answers = await sendBy(system, victim, [...answered, ...open]);
    const first = await Promise.all(answers.slice(0, answered.length));
    for (const answer of first) expect(answer).toMatchObject({ status: 201, replayed: false });
    await untilWaiting(servers.owner, 1);
    await victim.kill();
    await Promise.all(answers);

    servers.replaceBy(await comeBack());
    await held.release();
    const next = await system.another(startApiProcess);
    const at = { ...system, url: next.url };
    await untilTrust(next.url, 'replaced');
    const lost = lostOf(answered, first);
    await expectGone(at, lost);
    await expectClosed(at, { lost, kept });
    expect(await verify(servers, '--yes')).toMatchObject({ code: 0 });
    await untilTrust(next.url, 'trusted');
    await expectTold(at, { lost, kept });
    // Nobody knows whether it was answered.
    for (const write of open) await untilMissing(() => pay(company, next.url, write));
  });
});

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

function lostOf(writes: readonly Request[], answers: readonly (Answer | undefined)[]): Acknowledged[] {
  return writes.map((write, index) => ({ ...write, answer: answers[index] as Answer }));
}
