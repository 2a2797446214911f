import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DASHBOARDS } from '../../deploy/grafana/dashboards.ts';
import { freeLoopbackPort } from '../../worker/free-port.ts';
import { batchClient, ndjson } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { until } from '../support/held-invoice.ts';
import { metricsNamedIn } from '../support/metric-names.ts';
import { scrape } from '../support/metrics-page.ts';
import { type SystemProcess, startApiProcess, startWorkerProcess } from '../support/processes.ts';
import { hastened, type Prometheus, runTool, startPrometheus } from '../support/prometheus.ts';
import { startReceiver } from '../support/receiver.ts';
import { type System, startSystem } from '../support/system.ts';
import { isInstalled, skipWithout } from '../support/tools.ts';

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const RULES = readFileSync(file('deploy/prometheus/rules.yml'), 'utf8');
const ALERTS = [...new Set([...RULES.matchAll(/- alert: (\w+)/g)].map((match) => match[1] ?? ''))];
const QUERIES = DASHBOARDS.flatMap(({ title, rows }) =>
  rows.flatMap(({ panels }) =>
    panels.flatMap(({ title: panel, queries }) => queries.map(({ expr }) => ({ panel: `${title}, ${panel}`, expr }))),
  ),
);

/** Of one alert or panel: it scrapes twice a second, and this only ends a hang. */
const PATIENCE_MS = 90_000;

const HAS_PROMETHEUS = isInstalled('prometheus');

describe('the rules', () => {
  test('are those that the runbooks are written for', () => {
    const sections = readFileSync(file('docs/runbooks.md'), 'utf8').matchAll(/^### Alert: (\w+)$/gm);
    expect([...sections].map(([, name = '?']) => name).toSorted()).toEqual(ALERTS.toSorted());
    expect(ALERTS).toContain('WriteRecordMissing');
  });

  test('each have a severity, a summary, a description and a section of the runbooks', () => {
    const headings = readFileSync(file('docs/runbooks.md'), 'utf8').split('\n');
    for (const rule of RULES.split(/^ {6}- alert: /m).slice(1)) {
      const name = /^\w+/.exec(rule)?.[0] ?? '';
      expect([name, /severity: (critical|warning)$/m.test(rule)]).toEqual([name, true]);
      for (const annotation of ['summary', 'description']) expect(rule).toContain(`          ${annotation}: `);
      expect(rule).toContain(`runbook_url: docs/runbooks.md#alert-${name.toLowerCase()}\n`);
      expect(headings).toContain(`### Alert: ${name}`);
    }
  });

  test('each have a case in which they fire and one in which they do not', () => {
    const cases = readFileSync(file('deploy/prometheus/rules.test.yml'), 'utf8');
    for (const name of ALERTS) {
      expect(cases).toMatch(new RegExp(`alertname="${name}".*exp_samples: \\[\\{`));
      expect(cases).toMatch(new RegExp(`alertname="${name}".*exp_samples: \\[\\] `));
    }
  });

  test('fire as their cases say', async (context) => {
    skipWithout('promtool', context);
    expect(await runTool('promtool', 'check', 'config', file('deploy/prometheus/prometheus.yml'))).toContain('SUCCESS');
    expect(await runTool('promtool', 'test', 'rules', file('deploy/prometheus/rules.test.yml'))).toContain('SUCCESS');
  });
});

/** A Prometheus that scrapes the processes and asks the rules takes its time: only the long form has one. */
const HAS_SCRAPER = HAS_PROMETHEUS && inForm({ short: false, long: true });
const ofScraper = (promise: string) => inForm({ short: [], long: [promise] });

describe('a running system', () => {
  let system: System;
  let company: Company;
  let api: SystemProcess;
  let worker: SystemProcess;
  let workerMetrics: string;
  let prometheus: Prometheus;
  beforeAll(async () => {
    // An authority that cannot be reached: its metrics are there.
    const SEAL_TIMESTAMP_URL = 'http://127.0.0.1:1/';
    system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1', SEAL_TIMESTAMP_URL } });
    const port = await freeLoopbackPort();
    workerMetrics = `127.0.0.1:${port}`;
    const environment = {
      ...system.environment,
      TEMPORAL_TASK_QUEUE: `${system.environment['TEMPORAL_TASK_QUEUE']}_own`,
    };
    [api, worker, company] = await Promise.all([
      startApiProcess(environment),
      startWorkerProcess({ ...environment, METRICS_PORT: String(port) }),
      system.company(),
    ]);
    if (HAS_SCRAPER) {
      const jobs = { 'accubooks-api': new URL(api.url).host, 'accubooks-worker': workerMetrics };
      prometheus = await startPrometheus({ rules: hastened(RULES), jobs });
      await until('both to be scraped', async () => (await prometheus.query('up == 1')).length === 2);
    }
    await useEverything(system, company, api.url, environment.TEMPORAL_TASK_QUEUE);
  });
  afterAll(async () => {
    await prometheus?.stop();
    await Promise.all([api?.kill(), worker?.kill()]);
    await system.stop();
  });

  test('has every metric that a rule or a dashboard names', async () => {
    const pages = [...(await scrape(`${api.url}/metrics`)), ...(await scrape(`http://${workerMetrics}/metrics`))];
    const served = new Set([...pages.map(({ name }) => name), 'up', 'ALERTS']);
    const named = new Set([...QUERIES.map(({ expr }) => expr), ...expressionsIn(RULES)].flatMap(metricsNamedIn));
    expect(named.size).toBeGreaterThan(30);
    expect([...named].filter((name) => !served.has(name))).toEqual([]);
    // Temporal's core has labels of its own: none of them is of a write either.
    const values = new Set(pages.flatMap(({ labels }) => Object.values(labels)));
    expect([...values].filter((value) => /[0-9a-f]{8}-[0-9a-f]{4}-/.test(value))).toEqual([]);
  });

  test('serves what the pages name, and the table of operating.md names all that it serves', async () => {
    const samples = [...(await scrape(`${api.url}/metrics`)), ...(await scrape(`http://${workerMetrics}/metrics`))];
    const served = new Set(samples.map(({ name }) => name.replace(/_(bucket|sum|count)$/, '')));
    const ofOthers = /^(temporal|nodejs|process)_(?!facts_known)/;
    const [, table = ''] = readFileSync(file('docs/operating.md'), 'utf8').split('## Metrics\n');
    const rows = table.split('\n## ')[0]?.match(/^\| `.*?\|/gm) ?? [];
    const tabled = rows.flatMap((row) => [...row.matchAll(/`(\w+)`/g)].map((match) => match[1] ?? ''));
    const ours = [...served].filter((name) => !ofOthers.test(name));
    expect(tabled.filter((name) => !ofOthers.test(name)).toSorted()).toEqual(ours.toSorted());

    const runbooks = readFileSync(file('docs/runbooks.md'), 'utf8');
    const mentions = runbooks.matchAll(/`((?:\w+_(?:total|seconds|ms)|database_pool_\w+))[`{]/g);
    const named = [...mentions].map((match) => match[1] ?? '');
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((name) => !served.has(name))).toEqual([]);
  });

  test.for(ofScraper('gives each rule something to judge, and each panel of a dashboard something to show'))(
    '%s',
    async (_, context) => {
      skipWithout('prometheus', context);
      await useEverything(system, company, api.url, undefined);
      const withoutData: string[] = [];
      for (const { panel, expr } of QUERIES) {
        const asked = hastened(expr);
        const found = await until(panel, async () => (await prometheus.query(asked)).length > 0, PATIENCE_MS).catch(
          () => 'none',
        );
        if (found === 'none') withoutData.push(`${panel}: ${expr}`);
      }
      expect(withoutData).toEqual([]);
      await until('the rules', async () => (await prometheus.rules()).every(({ health }) => health !== 'unknown'));
      for (const { name, health, lastError } of await prometheus.rules()) {
        expect([name, health, lastError]).toEqual([name, 'ok', undefined]);
      }
    },
  );

  test.for(ofScraper('fires for replays alone, for keys used again, and for a process that is gone'))(
    '%s',
    async (_, context) => {
      skipWithout('prometheus', context);
      const client = company.as('owner', api.url);
      const [key, body] = [randomUUID(), paymentBody(await company.invoice())];
      await client.post('/api/payments', body, { key });
      const send = async () => {
        await Promise.all(Array.from({ length: 20 }, () => client.post('/api/payments', body, { key })));
        await Promise.all(
          Array.from({ length: 5 }, () => client.post('/api/payments', { ...body, amount: 1 }, { key })),
        );
      };
      const fired = async (name: string) => {
        let alert: Awaited<ReturnType<Prometheus['alerts']>>[number] | undefined;
        await until(
          name,
          async () => {
            alert = (await prometheus.alerts()).find(
              ({ labels, state }) => labels['alertname'] === name && state === 'firing',
            );
            if (alert === undefined) await send();
            return alert !== undefined;
          },
          PATIENCE_MS,
        );
        return alert?.annotations;
      };
      expect(await fired('WritesMostlyReplayed')).toMatchObject({
        description: expect.stringMatching(/^\d\d\.?\d*% of the answers/),
      });
      expect(await fired('KeyCollisions')).toMatchObject({
        description: expect.stringMatching(/^\d+ requests in five minutes/),
      });
      await worker.kill();
      expect(await fired('ProcessDown')).toMatchObject({ description: expect.stringContaining(workerMetrics) });
    },
  );
});

/** The expressions of the rules, each on its own. */
function expressionsIn(rules: string): string[] {
  return [...rules.matchAll(/expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)/g)].map((match) => match[1] ?? match[2] ?? '');
}

/** A write of each kind of outcome, a group, a webhook, and a workflow whose task fails. */
async function useEverything(system: System, company: Company, url: string, taskQueue: string | undefined) {
  const client = company.as('owner', url);
  if (taskQueue !== undefined) {
    const receiver = await startReceiver();
    const settings = { expectedVersion: 1, webhookUrl: receiver.url };
    await client.created('/api/company/settings', settings, { method: 'PATCH' });
    await system.temporal.workflow.start('noSuchWorkflow', {
      taskQueue,
      workflowId: randomUUID(),
      workflowExecutionTimeout: '1m',
    });
    await until('the webhook', async () => receiver.calls.length > 0);
    await receiver.close();
  }
  const [key, body] = [randomUUID(), paymentBody(await company.invoice())];
  await Promise.all([1, 2].map(() => client.post('/api/payments', body, { key })));
  await client.post('/api/payments', body, { key });
  await client.post('/api/payments', { ...body, amount: 99 }, { key });
  await client.post('/api/payments', { ...body, amount: 10_000_000 });
  await Promise.all(Array.from({ length: 40 }, () => client.created('/api/customers', { name: 'One of many' })));
  const sender = batchClient({ ...system, url }, company);
  const batchKey = randomUUID();
  const rows = Array.from({ length: 20 }, () => ({ body: { name: 'One of a file' } }));
  await sender.send(ndjson(rows), { key: batchKey, operation: 'createCustomer' });
  await sender.over(batchKey);
}
