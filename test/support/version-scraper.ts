import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { runPrometheus } from './prometheus.ts';

/** A real Prometheus that scrapes whatever processes there are at the moment, and knows the version of each. */
export type VersionScraper = {
  readonly url: string;
  /** The addresses by version, from the next second on. */
  scrape(urls: Readonly<Record<string, string>>): void;
  stop(): Promise<void>;
};

const INTERVAL = '1s';

export async function startVersionScraper(): Promise<VersionScraper> {
  const folder = openThrowawayFolder();
  const targetsFile = join(folder.path, 'targets.json');
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
  const configuration = JSON.stringify({
    global: { scrape_interval: INTERVAL },
    scrape_configs: [
      { job_name: 'accubooks-api', file_sd_configs: [{ files: [targetsFile], refresh_interval: INTERVAL }] },
    ],
  });
  return { ...(await runPrometheus(folder, configuration)), scrape };
}
