import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { inParallel } from '../../deploy/cli/in-parallel.ts';
import { type Answer, patiently } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { until } from '../support/held-invoice.ts';
import { scrape, sum } from '../support/metrics-page.ts';
import { type SystemProcess, startApiProcess } from '../support/processes.ts';
import { startProxy, type TcpProxy, targetOf, through } from '../support/proxy.ts';
import { type System, startSystem } from '../support/system.ts';

const CLIENTS = 12;
const LOAD_MS = inForm({ short: 2_000, long: 15_000 });
const PAUSE_MS = 200;
const WAIT_S = 2;
/** Once the network is back, a run that was accepted in the meantime has its outcome by then. */
const OUTCOME_WAIT_S = 60;
/** The client's wait, two seconds, and a margin for a busy machine. */
const ANSWERED_WITHIN_MS = WAIT_S * 1_000 + 2_000 + 8_000;
/** Each of them is retried by a client with the same key. */
const HONEST = ['storage_unavailable', 'orchestrator_unavailable', 'outcome_unknown', 'overloaded'];

type Fault = { server: 'postgres' | 'temporal'; fault: string; arm: (proxy: TcpProxy) => void };

/** In the short form without those that test/system/outage.test.ts has as well. */
const FAULTS: readonly Fault[] = (['postgres', 'temporal'] as const).flatMap((server) => [
  { server, fault: 'cut in the middle of answers', arm: (proxy: TcpProxy) => proxy.cutAfter(20_000) },
  ...inForm<Omit<Fault, 'server'>[]>({
    short: [],
    long: [
      { fault: 'slow', arm: (proxy) => proxy.delay(30) },
      { fault: 'gone', arm: (proxy) => proxy.cut() },
      { fault: 'silent', arm: (proxy) => proxy.freeze() },
    ],
  }).map((fault) => ({ server, ...fault })),
]);

describe('with a network that fails between an API process and its servers', () => {
  let system: System;
  let company: Company;
  let proxies: { readonly postgres: TcpProxy; readonly temporal: TcpProxy };
  let folder: string;
  let api: SystemProcess;
  let before: Awaited<ReturnType<typeof settled>>;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'accubooks-faults-'));
    system = await startSystem();
    company = await system.company();
    const databaseUrl = system.environment['DATABASE_URL'] ?? '';
    proxies = {
      postgres: await startProxy(targetOf(databaseUrl)),
      temporal: await startProxy(targetOf(inject('temporalAddress'))),
    };
    api = await startApiProcess({
      ...system.environment,
      TEMPORAL_TASK_QUEUE: `${system.environment['TEMPORAL_TASK_QUEUE']}_faults`,
      DATABASE_URL: through(databaseUrl, proxies.postgres),
      TEMPORAL_ADDRESS: proxies.temporal.address,
      NODE_OPTIONS: `--redirect-warnings=${join(folder, 'warnings')}`,
    });
    // The first load opens what stays open.
    await load('warm-up');
    before = await settled();
  });
  afterEach(() => {
    for (const proxy of Object.values(proxies)) proxy.open();
  });
  afterAll(async () => {
    await api.kill();
    await system.stop();
    for (const proxy of Object.values(proxies)) await proxy.close();
    rmSync(folder, { recursive: true });
  });

  const client = () => company.as('owner', api.url);
  const write = (key: string, waitS = WAIT_S) =>
    client().post('/api/customers', { name: key }, { key, headers: { prefer: `wait=${waitS}` } });

  /** Clients that write, repeat what they have written, and ask for it. Returns their keys and all answers. */
  async function load(name: string): Promise<{ keys: string[]; answers: Answer[] }> {
    const keys: string[] = [];
    const answers: Answer[] = [];
    const endsAt = performance.now() + LOAD_MS;
    const one = async (number: number) => {
      for (let turn = 0; performance.now() < endsAt; turn += 1) {
        const key = `${name}-${number}-${turn}`;
        keys.push(key);
        for (const send of [() => write(key), () => write(key), () => client().get(`/api/writes/${key}`)]) {
          const since = performance.now();
          answers.push(await send());
          expect([key, performance.now() - since < ANSWERED_WITHIN_MS]).toEqual([key, true]);
        }
        // What is refused is refused at once: without a pause, one second makes thousands of keys.
        await sleep(PAUSE_MS);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, number) => one(number)));
    return { keys, answers };
  }

  /** What the process holds once it has nothing to do any more. */
  async function settled() {
    let held: Record<string, number> = {};
    await until('nothing to be under way', async () => {
      const page = await scrape(`${api.url}/metrics`);
      const pools = (state: string) => sum(page, 'database_pool_connections', { state });
      held = {
        connections: pools('busy') + pools('idle'),
        handles: sum(page, 'nodejs_active_handles_total'),
        files: sum(page, 'process_open_fds'),
      };
      const flights = sum(page, 'write_flights') + sum(page, 'write_oldest_flight_seconds');
      return flights + pools('busy') + pools('wanted') === 0;
    });
    return held;
  }

  test.each(FAULTS)(
    '$server $fault: each request is answered in time and honestly, and nothing stays behind',
    async ({ server, fault, arm }) => {
      arm(proxies[server]);
      const { keys, answers } = await load(`${server}-${fault.replaceAll(' ', '-')}`);
      const refusals = answers.filter(({ status }) => status >= 400 && status !== 404);
      for (const { status, json } of refusals)
        expect([status, HONEST]).toEqual([503, expect.arrayContaining([json.code])]);
      proxies[server].open();
      await inParallel(CLIENTS, keys, async (key) => {
        expect([key, (await patiently(() => write(key, OUTCOME_WAIT_S))).status]).toEqual([key, 201]);
        expect(await countEffects(system.owner, { companyId: company.id, table: 'customers', key })).toMatchObject({
          writes: 1,
          rows: 1,
          newAudit: 1,
          failedAudit: 0,
          events: 1,
        });
      });
      await load(`after-${server}-${fault.replaceAll(' ', '-')}`);
      // Sockets of the clients and of the driver close a moment later.
      await sleep(500);
      const after = await settled();
      for (const [what, count] of Object.entries(before)) {
        expect([what, (after[what] ?? 0) - count <= CLIENTS]).toEqual([what, true]);
      }
      expect(warnings()).not.toMatch(/MaxListenersExceeded|Unhandled/);
    },
    240_000,
  );

  function warnings(): string {
    try {
      return readFileSync(join(folder, 'warnings'), 'utf8');
    } catch {
      return '';
    }
  }
});
