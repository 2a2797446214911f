import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freeLoopbackPort } from '../../worker/free-port.ts';
import { until } from './held-invoice.ts';
import { endWithTests } from './processes.ts';

/** A real Prometheus that scrapes whatever processes there are at the moment, and knows the version of each. */
export type VersionScraper = {
  readonly url: string;
  /** The addresses by version, from the next second on. */
  scrape(urls: Readonly<Record<string, string>>): void;
  stop(): Promise<void>;
};

const INTERVAL = '1s';

export async function startVersionScraper(folder: string): Promise<VersionScraper> {
  const home = join(folder, 'prometheus');
  const targetsFile = join(home, 'targets.json');
  const configFile = join(home, 'prometheus.yml');
  mkdirSync(home);
  const scrape = (urls: Readonly<Record<string, string>>) => {
    const targets = Object.entries(urls).map(([version, url]) => ({
      targets: [new URL(url).host],
      labels: { version },
    }));
    // Renamed into its place: it is read while it is written.
    writeFileSync(`${targetsFile}.new`, JSON.stringify(targets));
    renameSync(`${targetsFile}.new`, targetsFile);
  };
  scrape({});
  // JSON is YAML.
  const configuration = {
    global: { scrape_interval: INTERVAL },
    scrape_configs: [
      { job_name: 'accubooks-api', file_sd_configs: [{ files: [targetsFile], refresh_interval: INTERVAL }] },
    ],
  };
  writeFileSync(configFile, JSON.stringify(configuration));
  const url = `http://127.0.0.1:${await freeLoopbackPort()}`;
  const child = spawn(
    'prometheus',
    [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(home, 'data')}`,
      `--web.listen-address=${new URL(url).host}`,
      '--log.level=error',
    ],
    { stdio: 'ignore' },
  );
  endWithTests(child);
  const exited = once(child, 'exit');
  await until('Prometheus', async () => (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok === true);
  return {
    url,
    scrape,
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
