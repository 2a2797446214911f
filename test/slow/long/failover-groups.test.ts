import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { REQUEST_TIMEOUT_MS } from '../../../worker/temporal-runs.ts';
import { GROUP_WORKFLOW_TYPE, groupWorkflowId } from '../../../workflows/messages.ts';
import { crashAt } from '../../support/crash-at.ts';
import { paymentBody } from '../../support/effects.ts';
import { type Acknowledged, pay, payInBothLanes } from '../../support/failover/acknowledged.ts';
import { readLanes, typeOf, untilSettled } from '../../support/failover/lanes.ts';
import { startLoad } from '../../support/failover/load.ts';
import { toBaseBackup } from '../../support/failover/losses.ts';
import { type FailoverSystem, startFailoverSystem } from '../../support/failover/system.ts';
import { expectClosed, expectGone, expectTold, untilTrust, verify } from '../../support/failover/telling.ts';
import { untilFinal } from '../../support/persistent.ts';
import { startApiProcess, startWorkerProcess } from '../../support/processes.ts';
import { startProxy, targetOf } from '../../support/proxy.ts';

/** So long no process looks after the lane, as its times say; in truth, for longer than the others take between two looks at it. */
const ALONE = '10 minutes';
const WAITS_MS = 75_000;

test('a group that waited ten minutes for a worker, and is lost then, is told like any other', async () => {
  const system = await start();
  const { company, servers, groups } = system;
  const invoiceId = await company.invoice();
  const kept = await payInBothLanes(system, invoiceId);
  const comeBack = await toBaseBackup(servers);
  // No other process polls the queue of the one that starts the group.
  const queue = { TEMPORAL_TASK_QUEUE: 'waits-for-a-worker' };
  const victim = await system.another(startApiProcess, { ...queue, ...crashAt('group: taken') });
  await untilTrust(victim.url, 'trusted');
  await untilItHasLane(system);
  const writes = Array.from({ length: 3 }, (_, index) => ({
    key: randomUUID(),
    body: paymentBody(invoiceId, 500 + index),
  }));
  const sent = await groups.together(victim.url, company, () =>
    writes.map((write) => pay(company, victim.url, write).catch(() => undefined)),
  );
  await victim.untilCrashed();
  await Promise.all(sent);
  const earlier = ['registered_at', 'settled_started_at', 'settled_at', 'heartbeat_at'];
  await system.owner.query(
    `UPDATE lanes SET ${earlier.map((column) => `${column} = ${column} - interval '${ALONE}'`).join(', ')} WHERE lane > 0`,
  );
  await sleep(WAITS_MS);

  await system.another(startWorkerProcess, queue);
  const lost: Acknowledged[] = [];
  for (const write of writes) {
    const { final } = await untilFinal(() => pay(company, system.url, write));
    expect(final).toMatchObject({ status: 201 });
    lost.push({ ...write, answer: final });
  }
  await servers.replaceBy(await comeBack());
  await expectGone(system, lost);
  await untilTrust(system.url, 'replaced');
  await expectClosed(system, { lost, kept });
  expect(await verify(servers, '--yes')).toMatchObject({ code: 0 });
  await untilTrust(system.url, 'trusted');
  await expectTold(system, { lost, kept });
}, 400_000);

test('however often it is unknown whether Temporal took a group, no number of a lane is left out', async () => {
  const system = await start();
  const { company, servers, owner } = system;
  const proxy = await startProxy(targetOf(servers.environment['TEMPORAL_ADDRESS'] ?? ''));
  onTestFinished(() => proxy.close());
  const { url } = await system.another(startApiProcess, { TEMPORAL_ADDRESS: proxy.address });
  await untilTrust(url, 'trusted');
  const load = startLoad(company, () => url, await company.invoice());
  for (let cut = 1; cut <= 25; cut += 1) {
    await sleep(500);
    if (cut % 3 === 0) {
      // The start arrives, and its answer does not.
      proxy.freeze();
      await sleep(300);
    }
    proxy.cut();
    // In one of them no attempt of the client arrives, and it gives up.
    await sleep(cut === 13 ? REQUEST_TIMEOUT_MS + 2_000 : 100);
    proxy.open();
  }
  await load.stop();
  for (const { answer } of load.ends) expect(answer).toMatchObject({ status: 201 });
  await untilSettled(owner);

  const temporal = await servers.temporal.connect();
  let groups = 0;
  for (const { version, lane, settled } of await readLanes(owner)) {
    const { rows } = await owner.query(
      "SELECT DISTINCT split_part(workflow_id, ':', 4)::int AS n FROM idempotent_writes WHERE workflow_id LIKE $1",
      [`group:${version}:${lane}:%`],
    );
    const last = Math.max(settled, ...rows.map(({ n }) => n));
    for (let number = 1; number <= last; number += 1) {
      expect(await typeOf(temporal, groupWorkflowId(version, lane, number))).toBe(GROUP_WORKFLOW_TYPE);
    }
    groups += last;
  }
  await temporal.connection.close();
  console.log(`Of ${load.ends.length} writes in ${groups} groups, through 25 interruptions, no number is left out.`);
  expect(groups).toBeGreaterThan(20);
}, 400_000);

async function start(): Promise<FailoverSystem> {
  const system = await startFailoverSystem({ worker: false });
  onTestFinished(system.stop);
  await untilTrust(system.url, 'trusted');
  return system;
}

/** Each process registers a lane of its own, within seconds after its start. */
async function untilItHasLane({ owner }: FailoverSystem): Promise<void> {
  while ((await readLanes(owner)).length < 2) await sleep(100);
}
