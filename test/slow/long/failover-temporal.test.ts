import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { paymentBody } from '../../support/effects.ts';
import { type Acknowledged, pay, payInBothLanes } from '../../support/failover/acknowledged.ts';
import { type LaneState, startUnreadableGroup, untilSettled } from '../../support/failover/lanes.ts';
import { type FailoverSystem, startFailoverSystem } from '../../support/failover/system.ts';
import { expectRefused, expectReplayed, untilTrust, verify } from '../../support/failover/telling.ts';
import type { OwnTemporal } from '../../support/failover/temporal.ts';
import { until } from '../../support/held-invoice.ts';

/** Longer than a restart of PostgreSQL takes to be recognized, and than any pause between two tries. */
const STAYS_CLOSED_MS = 20_000;

type Trouble = (temporal: OwnTemporal, earlier: string, lane: LaneState) => Promise<void>;

const TROUBLES: readonly (readonly [name: string, trouble: Trouble])[] = [
  ['is empty', (temporal) => temporal.comeBackWith()],
  ['is as it was before', (temporal, earlier) => temporal.comeBackWith(earlier)],
  ['has a group that cannot be decoded', addUnreadableGroup],
];

describe('PostgreSQL starts again over its files, and Temporal', () => {
  let system: FailoverSystem;
  let invoiceId: string;
  let kept: Acknowledged[];
  beforeEach(async () => {
    system = await startFailoverSystem();
    invoiceId = await system.company.invoice();
    await untilTrust(system.url, 'trusted');
    kept = await payInBothLanes(system, invoiceId);
    await untilSettled(system.owner);
  });
  afterEach(() => system?.stop());

  test('is away: nothing new until it is there, and then it opens by itself', async () => {
    const { servers } = system;
    await servers.temporal.kill();
    await restartPostgres(system);
    await untilTrust(system.url, 'verifying');
    await sleep(STAYS_CLOSED_MS);
    await expectStillClosed('verifying');
    await servers.temporal.startAgain();
    await untilTrust(system.url, 'trusted', 60_000);
    await expectOpen();
  });

  test.each(TROUBLES)('%s: nothing new until an operator has verified it', async (_, comeBack) => {
    const { servers } = system;
    const earlier = await servers.temporal.copy();
    kept.push(...(await payInBothLanes(system, invoiceId)));
    const lane = await untilSettled(system.owner);
    await servers.primary.kill();
    await comeBack(servers.temporal, earlier, lane);
    await servers.primary.startAgain();
    await untilTrust(system.url, 'replaced');
    await sleep(STAYS_CLOSED_MS);
    await expectStillClosed('replaced');
    expect(await verify(servers, '--yes')).toMatchObject({ code: 0 });
    await untilTrust(system.url, 'trusted');
    await expectOpen();
  });

  async function expectStillClosed(trust: 'verifying' | 'replaced'): Promise<void> {
    await untilTrust(system.url, trust, 1_000);
    expectRefused(await pay(system.company, system.url, { key: randomUUID(), body: paymentBody(invoiceId, 7) }));
    await expectReplayed(system, kept);
  }

  /** Nothing was lost, so nothing is told of a loss. */
  async function expectOpen(): Promise<void> {
    await expectReplayed(system, kept);
    const write = { key: randomUUID(), body: paymentBody(invoiceId, 8) };
    await until('a new write', async () => (await pay(system.company, system.url, write)).status === 201);
    const { rows } = await system.owner.query(
      "SELECT count(*)::int AS n FROM idempotent_writes WHERE outcome = 'lost'",
    );
    expect(rows[0].n).toBe(0);
  }
});

async function addUnreadableGroup(temporal: OwnTemporal, _earlier: string, lane: LaneState): Promise<void> {
  const client = await temporal.connect();
  await startUnreadableGroup(client, lane);
  await client.connection.close();
}

async function restartPostgres({ servers }: FailoverSystem): Promise<void> {
  await servers.primary.kill();
  await servers.primary.startAgain();
}
