import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { readCriteria } from '../../../deploy/rollout/criteria.ts';
import { decide, judge } from '../../../deploy/rollout/judge.ts';
import { type Company, companyMaker } from '../../support/companies.ts';
import { until } from '../../support/held-invoice.ts';
import { type OwnServers, startOwnServers } from '../../support/own-servers.ts';
import { type SystemProcess, startApiProcess, startWorkerProcess } from '../../support/processes.ts';
import { compiled } from '../../support/program.ts';
import { startProxy, targetOf } from '../../support/proxy.ts';
import {
  countPayments,
  type LoadReport,
  type SwitchingLoad,
  startSwitchingLoad,
} from '../../support/switching-load.ts';
import { temporalServerBinaries } from '../../support/temporal-server.ts';
import { isInstalled, skipWithout } from '../../support/tools.ts';
import { startVersionScraper, type VersionScraper } from '../../support/version-scraper.ts';
import { startWeightedProxy, type WeightedProxy } from '../../support/weighted-proxy.ts';

/** What a gateway sends to the version that comes, of a hundred requests. */
const STEPS = [10, 25, 50, 100];
const [FIRST_STEP = 100] = STEPS;
/** Answers of a step, all versions together: enough that the share of its first step is judged by some writes. */
const ANSWERS_PER_STEP = 80;
const MIN_WRITES = 5;
const WINDOW = '6s';
/** Patient ones: whatever is not answered well within a minute has failed. */
const LOAD = { clients: 8, waitSeconds: 60, pauseMs: 20 };
const PATIENCE_MS = 300_000;
/** A criterion that tells of this machine, and not of the switch. */
const OF_SPEED = 'WritesSlow';

/** As in production, over PostgreSQL, where it has been built. */
const temporal = temporalServerBinaries();
const judged = isInstalled('prometheus');
const rules = readFileSync(new URL('../../../deploy/prometheus/rules.yml', import.meta.url), 'utf8');

type Color = 'blue' | 'green';

/** Each names itself to Temporal: its runs are its own workers', whichever others poll the same queue. */
const releaseOf = (color: Color) => ({ WORKER_DEPLOYMENT_NAME: 'accubooks', WORKER_BUILD_ID: color });

describe('a switch between two versions, under load', () => {
  let servers: OwnServers;
  let prometheus: VersionScraper | undefined;
  let workers: Record<Color, SystemProcess>;
  let apis: Record<Color, SystemProcess>;
  let proxy: WeightedProxy;
  let company: Company;
  beforeAll(async () => {
    servers = await startOwnServers(temporal);
    if (judged) prometheus = await startVersionScraper();
    const [blue, green, ...both] = await Promise.all([
      startApi('blue'),
      startApi('green'),
      startWorker('blue'),
      startWorker('green'),
    ]);
    apis = { blue, green };
    workers = { blue: both[0], green: both[1] };
    proxy = await startWeightedProxy({ blue: () => apis.blue.url, green: () => apis.green.url });
    proxy.weigh({ blue: 100, green: 0 });
    scrapeBoth();
    company = await companyMaker(servers.owner, proxy.url)();
  }, PATIENCE_MS);
  afterAll(async () => {
    await proxy?.close();
    await Promise.all([apis?.blue, apis?.green, workers?.blue, workers?.green].map((process) => process?.kill()));
    await prometheus?.stop();
    await servers?.stop();
  });

  test('Temporal keeps its histories in PostgreSQL, as in production', async ({ skip }) => {
    skip(temporal === undefined, 'Temporal is the dev server: "npm run build:temporal-server" builds it (needs Go)');
    const { rows } = await servers.owner.query("SELECT datname FROM pg_database WHERE datname LIKE 'temporal%'");
    expect(new Set(rows.map(({ datname }) => datname))).toEqual(new Set(['temporal', 'temporal_visibility']));
  });

  test(
    'blue to green and back, by weights: no request fails, none is lost, none is made twice',
    async () => {
      const load = await startSwitchingLoad(company, proxy.url, LOAD);
      await untilFurther(load, ANSWERS_PER_STEP);
      await switchTo('green', load);
      await renew('blue', load);
      await switchTo('blue', load);
      await renew('green', load);
      await expectNothingWrong(await load.stop());
    },
    PATIENCE_MS,
  );

  test(
    'workers killed one by one: no request fails, none is lost, none is made twice',
    async () => {
      const load = await startSwitchingLoad(company, proxy.url, LOAD);
      for (const color of ['blue', 'green'] as const) {
        await untilFurther(load, ANSWERS_PER_STEP);
        await workers[color].kill();
        await untilFurther(load, ANSWERS_PER_STEP);
        workers[color] = await startWorker(color);
      }
      await expectNothingWrong(await load.stop());
    },
    PATIENCE_MS,
  );

  test('a green that cannot reach Temporal is sent back at its first step, and nothing is lost', {
    timeout: PATIENCE_MS,
  }, async (context) => {
    skipWithout('prometheus', context);
    const good = apis.green;
    const between = await startProxy(targetOf(servers.environment['TEMPORAL_ADDRESS'] ?? ''));
    onTestFinished(() => between.close());
    apis.green = await startApi('green', { TEMPORAL_ADDRESS: between.address });
    const load = await startSwitchingLoad(company, proxy.url, { ...LOAD, waitSeconds: 2 });
    try {
      scrapeBoth();
      between.freeze();
      proxy.weigh({ blue: 100 - FIRST_STEP, green: FIRST_STEP });
      await until('the verdict', async () => (await judgeNow('green')).decision === 'go back', PATIENCE_MS);
      // As an operator asks, who is told by the exit code.
      const asked = await rolloutCheck(prometheus?.url ?? '', 'green');
      expect([asked.exitCode, asked.decision]).toEqual([1, 'go back']);
      expect(asked.criteria).toContainEqual(expect.objectContaining({ alert: 'WritesFailing', holds: false }));
      proxy.weigh({ blue: 100, green: 0 });
      await proxy.idle('green');
      await untilFurther(load, ANSWERS_PER_STEP);
    } finally {
      between.open();
      const report = await load.stop();
      for (const answer of report.failed)
        expect(answer).toMatch(/orchestrator_unavailable|overloaded|outcome_unknown|^202/);
      expect(report.failed).not.toEqual([]);
      // Those were told to send the same key again; here they do.
      for (const { key, body } of report.refused) {
        const answer = await company.as('owner', proxy.url).created('/api/payments', body, { key });
        expect(answer.amount).toBe(body.amount);
      }
      await expectNothingWrong({ ...report, failed: [] });
      await apis.green.kill();
      apis.green = good;
    }
  });

  const startApi = (color: Color, more: Record<string, string> = {}) =>
    startApiProcess({ ...servers.environment, ...releaseOf(color), ...more });
  const startWorker = (color: Color) => startWorkerProcess({ ...servers.environment, ...releaseOf(color) });

  async function switchTo(color: Color, load: SwitchingLoad): Promise<void> {
    const other = color === 'blue' ? 'green' : 'blue';
    for (const weight of STEPS) {
      proxy.weigh({ [color]: weight, [other]: 100 - weight });
      const before = proxy.sent();
      await untilFurther(load, ANSWERS_PER_STEP);
      await untilAllowed(color);
      const share = (name: Color) => (proxy.sent()[name] ?? 0) - (before[name] ?? 0);
      // The proxy splits by count, to the request.
      expect((share(color) * 100) / (share(color) + share(other))).toBeCloseTo(weight, -1);
    }
  }

  /** The version that no one is sent to drains, ends and is started anew: the next release, for the next switch. */
  async function renew(color: Color, load: SwitchingLoad): Promise<void> {
    await proxy.idle(color);
    expect(await apis[color].terminate()).toBe(0);
    await untilFurther(load, ANSWERS_PER_STEP);
    apis[color] = await startApi(color);
    scrapeBoth();
  }

  function scrapeBoth(): void {
    prometheus?.scrape({ blue: apis.blue.url, green: apis.green.url });
  }

  async function untilAllowed(color: Color): Promise<void> {
    if (prometheus === undefined) return;
    await until(
      `${color} to be allowed more`,
      async () => {
        const { decision, criteria } = await judgeNow(color);
        expect(criteria.filter(({ holds }) => !holds)).toEqual([]);
        return decision === 'go on';
      },
      PATIENCE_MS,
    );
  }

  async function judgeNow(version: Color) {
    // It knows something new each second.
    await sleep(500);
    const scope = { version, window: WINDOW };
    const judged = await judge(prometheus?.url ?? '', scope, readCriteria(rules, scope));
    const verdict = { ...judged, criteria: judged.criteria.filter(({ alert }) => alert !== OF_SPEED) };
    return { ...verdict, decision: decide(verdict, MIN_WRITES) };
  }

  const untilFurther = (load: SwitchingLoad, count: number) => {
    const goal = load.answers + count;
    return until(`${count} more answers`, async () => load.answers >= goal, PATIENCE_MS);
  };

  async function expectNothingWrong(report: LoadReport): Promise<void> {
    expect(report.failed).toEqual([]);
    expect(report.first + report.replayed).toBe(report.sent - report.refused.length);
    const { acknowledged, payments, keys, entries, events } = await countPayments(
      servers.owner,
      company.id,
      report.acknowledged,
    );
    expect(acknowledged).toBe(report.acknowledged.length);
    expect({ keys, entries, events }).toEqual({ keys: payments, entries: payments, events: payments });
    console.log(
      `sent ${report.sent}, first ${report.first}, replayed ${report.replayed}, refused ${report.refused.length}, ` +
        `failed ${report.failed.length}, lost ${report.acknowledged.length - acknowledged}, made twice ${payments - keys}`,
    );
  }
});

async function rolloutCheck(prometheusUrl: string, version: Color) {
  const words = ['--prometheus', prometheusUrl, '--version', version, '--window', WINDOW, '--json'];
  const command = [compiled('deploy/rollout/check.ts'), ...words, '--min-writes', String(MIN_WRITES)];
  const { stdout, exitCode } = await promisify(execFile)(process.execPath, command).then(
    (ended) => ({ ...ended, exitCode: 0 }),
    (error: { stdout: string; code: number }) => ({ stdout: error.stdout, exitCode: error.code }),
  );
  return { ...JSON.parse(stdout), exitCode };
}
