import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { freeLoopbackPort } from '../../worker/free-port.ts';
import { until } from './held-invoice.ts';
import type { Tool } from './tools.ts';

/** A real Prometheus that scrapes the given processes every half second and asks the rules as often. */
export type Prometheus = {
  readonly url: string;
  /** An instant query: the series that it gives, with their values. */
  query(expr: string): Promise<readonly Series[]>;
  rules(): Promise<readonly LoadedRule[]>;
  /** Alerts that are pending or firing. */
  alerts(): Promise<readonly ActiveAlert[]>;
  stop(): Promise<void>;
};

type Series = { readonly metric: Readonly<Record<string, string>>; readonly value: readonly [number, string] };
type LoadedRule = {
  readonly name: string;
  readonly health: 'ok' | 'err' | 'unknown';
  readonly lastError?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
};
type ActiveAlert = {
  readonly state: 'pending' | 'firing';
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
};

const SCRAPE_INTERVAL = '500ms';

/** What the tool has to say; throws when it finds a fault. A worker of Vitest must not be blocked meanwhile. */
export async function runTool(tool: Tool, ...args: string[]): Promise<string> {
  return (await promisify(execFile)(tool, args)).stdout;
}

/**
 * The rules as they are but for time: what has to last for minutes there needs no time at all, and what is looked back on
 * is as many seconds as minutes.
 */
export function hastened(rules: string): string {
  return rules
    .replace(/for: \d+m/g, 'for: 0s')
    .replace(/\[(\d+)[mh]\]/g, (_, count: string) => `[${Math.max(5, Number(count))}s]`);
}

export async function startPrometheus(options: {
  /** The text of a file of rules. */
  readonly rules: string;
  /** Addresses by the name of their job. */
  readonly jobs: Readonly<Record<string, string>>;
}): Promise<Prometheus> {
  const folder = openThrowawayFolder();
  writeFileSync(join(folder.path, 'rules.yml'), options.rules);
  const { url, stop } = await runPrometheus(folder, configuration(options.jobs));
  const get = async (path: string) => {
    const answer = await fetch(`${url}/api/v1/${path}`);
    const { status, data, error } = (await answer.json()) as { status: string; data: never; error?: string };
    if (status !== 'success') throw new Error(`Prometheus: ${error}`);
    return data;
  };
  return {
    url,
    query: async (expr) => ((await get(`query?query=${encodeURIComponent(expr)}`)) as { result: Series[] }).result,
    rules: async () =>
      ((await get('rules')) as { groups: { rules: LoadedRule[] }[] }).groups.flatMap(({ rules }) => rules),
    alerts: async () => ((await get('alerts')) as { alerts: ActiveAlert[] }).alerts,
    stop,
  };
}

/** The process, with its data and the text of its configuration in that folder, until it is ready; the folder goes with it. */
export async function runPrometheus(
  folder: ThrowawayFolder,
  configuration: string,
): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const url = `http://127.0.0.1:${await freeLoopbackPort()}`;
  const configFile = join(folder.path, 'prometheus.yml');
  writeFileSync(configFile, configuration);
  const child = spawn(
    folder.recordingPid('prometheus'),
    [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(folder.path, 'data')}`,
      `--web.listen-address=${new URL(url).host}`,
      '--log.level=error',
    ],
    { stdio: 'ignore' },
  );
  const exited = once(child, 'exit');
  await until('Prometheus', () =>
    fetch(`${url}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  return {
    url,
    async stop() {
      child.kill('SIGKILL');
      await exited;
      folder.remove();
    },
  };
}

/** What is deployed, but for the addresses and the interval. */
function configuration(jobs: Readonly<Record<string, string>>): string {
  let text = readFileSync(new URL('../../deploy/prometheus/prometheus.yml', import.meta.url), 'utf8');
  text = text.replaceAll(/_interval: \w+/g, `_interval: ${SCRAPE_INTERVAL}`);
  for (const [job, address] of Object.entries(jobs)) {
    text = text.replace(new RegExp(`(job_name: ${job}\n.*\n.*targets: )\\[.*\\]`), `$1['${address}']`);
  }
  return text;
}
