import { randomUUID } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import type { Answer } from '../../support/client.ts';
import { paymentBody } from '../../support/effects.ts';
import {
  type Acknowledged,
  pay,
  payInBothLanes,
  payTogether,
  type Request,
} from '../../support/failover/acknowledged.ts';
import { takeBaseBackup } from '../../support/failover/base-backup.ts';
import { startSwitch } from '../../support/failover/database-switch.ts';
import { startStandby } from '../../support/failover/standby.ts';
import { type FailoverSystem, startFailoverSystem } from '../../support/failover/system.ts';
import {
  expectGone,
  expectReplayed,
  expectTold,
  untilOpenByItself,
  untilTrust,
  verify,
} from '../../support/failover/telling.ts';
import { untilFinal } from '../../support/persistent.ts';
import { startApiProcess } from '../../support/processes.ts';

test('a promotion changes nothing about which server it is, however many buffers are dirty', async () => {
  const system = await start();
  const { standby } = await withStandby(system);
  await system.servers.primary.session(async (superuser) => {
    await superuser.query(
      'CREATE TABLE dirty AS SELECT repeat(md5(n::text), 30) AS filler FROM generate_series(1, 40000) n',
    );
  });
  await standby.caughtUp();
  const before = await incarnationOf(standby);
  await standby.promote();
  expect(await incarnationOf(standby)).toBe(before);
  await standby.session((superuser) => superuser.query('UPDATE dirty SET filler = upper(filler)'));
  expect(await incarnationOf(standby)).toBe(before);
  await standby.session((superuser) => superuser.query('CHECKPOINT'));
  expect(await incarnationOf(standby)).toBe(before);
});

test('a promotion that loses nothing opens by itself', async () => {
  const system = await start();
  const invoiceId = await system.company.invoice();
  const { standby } = await withStandby(system);
  const kept = await payInBothLanes(system, invoiceId);
  await standby.caughtUp();
  await system.servers.primary.kill();
  await standby.promote();
  await system.servers.replaceBy(standby);
  await untilOpenByItself(system);
  await untilTrust(system.url, 'trusted');
  await expectReplayed(system, kept);
  await payInBothLanes(system, invoiceId);
});

test('an old primary that still runs: its next group is refused, and what it acknowledged is told', async () => {
  const system = await start();
  const { company, servers } = system;
  const invoiceId = await company.invoice();
  const old = servers.primary;
  const remains = await system.another(startApiProcess, servers.databaseAt(old.port));
  const atOld = { ...system, url: remains.url };
  const { standby } = await withStandby(system);
  const kept = await payInBothLanes(atOld, invoiceId);
  await standby.caughtUp();
  standby.lag();
  const lost = await payInBothLanes(atOld, invoiceId);
  await standby.promote();
  await servers.replaceBy(standby);
  await expectGone(system, lost);
  await untilTrust(system.url, 'replaced');
  expect(await verify(servers, '--yes')).toMatchObject({ code: 0 });
  await untilTrust(system.url, 'trusted');

  // It does not know yet; its group tells it.
  const writes = requests(invoiceId, 3);
  const sent = await system.groups.together(remains.url, company, () =>
    writes.map((write) => pay(company, remains.url, write)),
  );
  for (const answer of await Promise.all(sent)) expect(answer).toMatchObject({ status: 503 });
  const [alone] = requests(invoiceId, 1);
  expect(await pay(company, remains.url, alone as Request)).toMatchObject({ status: 503 });
  const made = await old.session((superuser) =>
    superuser.query('SELECT FROM idempotent_writes WHERE idempotency_key = ANY($1)', [
      [...writes, alone].map((write) => write?.key),
    ]),
  );
  expect(made.rowCount).toBe(0);

  await expectTold(system, { lost, kept });
  for (const write of writes) {
    const { final } = await untilFinal(() => pay(company, system.url, write));
    expect(final).toMatchObject({ status: 201 });
  }
});

test('a pooler that mixes a primary with its standby, and with another primary', async () => {
  const system = await start();
  const { company, servers } = system;
  const invoiceId = await company.invoice();
  const old = servers.primary;
  const { standby } = await withStandby(system);
  await standby.caughtUp();
  const pooler = await startSwitch(old.port, standby.port);
  onTestFinished(() => pooler.close());
  const mixed = await system.another(startApiProcess, servers.databaseAt(pooler.port));
  const kept = await payInBothLanes(system, invoiceId);
  await standby.caughtUp();
  standby.lag();
  const lost = [...(await payInBothLanes(system, invoiceId)), ...(await payTogether(system, invoiceId, 3))];
  const ask = (write: Request) => pay(company, mixed.url, write);

  // A standby proves nothing, and takes no write.
  await expectNothingElse(ask, [...kept, ...lost], [201, 503]);
  const unknown = requests(invoiceId, 5);
  for (let round = 1; round <= 2; round += 1) {
    for (const { status } of await Promise.all(unknown.map(ask))) expect([201, 202, 503]).toContain(status);
  }
  const made = await Promise.all(unknown.map((write) => untilFinal(() => pay(company, system.url, write))));
  for (const { final } of made) expect(final).toMatchObject({ status: 201 });

  await standby.promote();
  await servers.replaceBy(standby);
  pooler.leadTo(old.port, standby.port);
  await untilTrust(system.url, 'replaced');
  await expectNothingElse(ask, [...kept, ...lost], [201, 503]);
  expect(await verify(servers, '--yes')).toMatchObject({ code: 0 });
  await untilTrust(system.url, 'trusted');
  // The old one has the row, the new one knows that it is lost: each is told, and nothing is made again.
  await expectNothingElse(ask, [...kept, ...lost], [201, 500, 503]);
  await expectTold(system, { lost, kept });
});

async function start(): Promise<FailoverSystem> {
  const system = await startFailoverSystem({ worker: false });
  onTestFinished(system.stop);
  await untilTrust(system.url, 'trusted');
  return system;
}

async function withStandby({ servers: { clusters, primary } }: FailoverSystem) {
  return { standby: await startStandby(clusters, await takeBaseBackup(clusters, primary), primary) };
}

async function incarnationOf(cluster: FailoverSystem['servers']['primary']): Promise<string> {
  const { rows } = await cluster.session((superuser) => superuser.query('SELECT incarnation() AS incarnation'));
  return rows[0].incarnation;
}

function requests(invoiceId: string, count: number): Request[] {
  return Array.from({ length: count }, (_, index) => ({
    key: randomUUID(),
    body: paymentBody(invoiceId, 400 + index),
  }));
}

/** Asked often enough to reach each server: a 201 is the one that was given, byte for byte. */
async function expectNothingElse(
  ask: (write: Request) => Promise<Answer>,
  writes: readonly Acknowledged[],
  statuses: readonly number[],
): Promise<void> {
  for (let round = 1; round <= 3; round += 1) {
    const answers = await Promise.all(writes.map(ask));
    for (const [index, answer] of answers.entries()) {
      expect(statuses).toContain(answer.status);
      const isAsGiven = answer.replayed && answer.text === writes[index]?.answer.text;
      expect([answer.status, answer.status !== 201 || isAsGiven]).toEqual([answer.status, true]);
    }
  }
}
