import { expect, onTestFinished, test } from 'vitest';
import { payInBothLanes } from '../../support/failover/acknowledged.ts';
import { type Loss, toBaseBackup, toDump, toLaggingStandby, toPointInTime } from '../../support/failover/losses.ts';
import { startFailoverSystem } from '../../support/failover/system.ts';
import { expectClosed, expectGone, expectTold, untilTrust, verify } from '../../support/failover/telling.ts';

type Case = readonly [name: string, loss: Loss, restarts: number];

/** `restarts`: of PostgreSQL before the loss. What is restored knows nothing of the verifications after them. */
const CASES: readonly Case[] = [
  ['a base backup, started plainly', toBaseBackup, 0],
  ['a base backup of before a restart', toBaseBackup, 1],
  ['a base backup of before two restarts', toBaseBackup, 2],
  ['a recovery to a point in time', toPointInTime, 0],
  ['a dump, restored into a new cluster', toDump, 0],
  ['a promoted standby that lagged', toLaggingStandby, 0],
];

test.each(CASES)(
  '%s: nothing new until it is verified, and then no lost write is made again',
  async (_, prepare, restarts) => {
    const system = await startFailoverSystem();
    onTestFinished(system.stop);
    const { servers } = system;
    const invoiceId = await system.company.invoice();
    const kept = await payInBothLanes(system, invoiceId);
    const comeBack = await prepare(servers);
    const lost = await payInBothLanes(system, invoiceId);
    for (let restart = 1; restart <= restarts; restart += 1) {
      await servers.primary.kill();
      await servers.primary.startAgain();
      await untilTrust(system.url, 'trusted');
      lost.push(...(await payInBothLanes(system, invoiceId)));
    }
    await servers.replaceBy(await comeBack());
    await expectGone(system, lost);

    await untilTrust(system.url, 'replaced');
    await expectClosed(system, { lost, kept });
    expect(await verify(servers, '--yes')).toMatchObject({ code: 0 });
    await untilTrust(system.url, 'trusted');
    await expectTold(system, { lost, kept });
  },
);
