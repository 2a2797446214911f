import { expect, onTestFinished, test } from 'vitest';
import { payInBothLanes } from '../support/failover/acknowledged.ts';
import { type Loss, toBaseBackup, toDump, toLaggingStandby, toPointInTime } from '../support/failover/losses.ts';
import { startFailoverSystem } from '../support/failover/system.ts';
import { expectClosed, expectGone, expectTold, untilTrust, verify } from '../support/failover/telling.ts';
import { inForm } from '../support/form.ts';

const CASES: readonly (readonly [name: string, loss: Loss])[] = [
  ['a base backup, started plainly', toBaseBackup],
  ['a recovery to a point in time', toPointInTime],
  ['a dump, restored into a new cluster', toDump],
  ['a promoted standby that lagged', toLaggingStandby],
];

test.each(CASES.slice(0, inForm({ short: 1, long: CASES.length })))(
  '%s: nothing new until it is verified, and then no lost write is made again',
  async (_, prepare) => {
    const system = await startFailoverSystem();
    onTestFinished(system.stop);
    const { servers } = system;
    const invoiceId = await system.company.invoice();
    const kept = await payInBothLanes(system, invoiceId);
    const comeBack = await prepare(servers);
    const lost = await payInBothLanes(system, invoiceId);
    servers.replaceBy(await comeBack());
    await expectGone(system, lost);

    await untilTrust(system.url, 'replaced');
    await expectClosed(system, { lost, kept });
    expect(await verify(servers, '--yes')).toMatchObject({ code: 0 });
    await untilTrust(system.url, 'trusted');
    await expectTold(system, { lost, kept });
  },
);
