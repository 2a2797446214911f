import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { acknowledgedOf, startLoad } from '../../support/failover/load.ts';
import { type FailoverSystem, startFailoverSystem } from '../../support/failover/system.ts';
import { expectReplayed, untilTrust } from '../../support/failover/telling.ts';
import { until } from '../../support/held-invoice.ts';
import { startApiProcess, startWorkerProcess } from '../../support/processes.ts';

const OPENS_WITHIN_MS = 60_000;
/** So many that both lanes have acknowledged some. */
const WRITES = 400;

describe('PostgreSQL that is killed under load, and started again over its files', () => {
  let system: FailoverSystem;
  beforeAll(async () => {
    system = await startFailoverSystem({ worker: false });
    await untilTrust(system.url, 'trusted');
  });
  afterAll(() => system?.stop());

  test('its clients are answered again within seconds, and nobody is told of a loss', async () => {
    expect(await restartUnderLoad('alone', async () => system.url)).toEqual({ others: [], lost: 0 });
  });

  test('the same with API and worker, which are killed as well', async () => {
    const worker = await system.another(startWorkerProcess);
    const told = await restartUnderLoad('with API and worker', async (isKilled) => {
      await Promise.all([system.api.kill(), worker.kill()]);
      await isKilled;
      const [api] = await Promise.all([system.another(startApiProcess), system.another(startWorkerProcess)]);
      return api.url;
    });
    expect(told).toEqual({ others: [], lost: 0 });
  });

  /** Answers what was told that is no success. `meanwhile` begins with the kill of PostgreSQL, is told when that runs again, and answers where the API is then. */
  async function restartUnderLoad(
    what: string,
    meanwhile: (runsAgain: Promise<void>) => Promise<string>,
  ): Promise<{ readonly others: readonly unknown[]; readonly lost: number }> {
    const { company, servers } = system;
    let { url } = system;
    const load = startLoad(company, () => url, await company.invoice());
    await until('answers before the kill', async () => load.ends.length >= WRITES);

    const killedMs = performance.now();
    const runsAgain = servers.primary.kill().then(servers.primary.startAgain);
    const doneMs = runsAgain.then(() => performance.now());
    url = await meanwhile(runsAgain);
    const runsMs = await doneMs;
    const isMadeSince = () => load.ends.some(({ firstSentMs }) => firstSentMs > runsMs);
    await until('a write that began since', async () => isMadeSince(), OPENS_WITHIN_MS);
    const opensMs = Math.min(...load.ends.map(({ answeredMs }) => answeredMs).filter((ms) => ms > runsMs));
    await until('many answers since', async () => load.ends.length >= 2 * WRITES);
    await load.stop();
    console.log(
      `Restart of PostgreSQL ${what}: it ran again after ${seconds(runsMs - killedMs)}, ` +
        `and the first write was answered ${seconds(opensMs - runsMs)} later`,
    );

    await expectReplayed({ ...system, url }, acknowledgedOf(load));
    const { rows } = await system.owner.query(
      "SELECT count(*)::int AS n FROM idempotent_writes WHERE outcome = 'lost'",
    );
    return { others: load.ends.filter(({ answer }) => answer.status !== 201), lost: rows[0].n };
  }
});

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
