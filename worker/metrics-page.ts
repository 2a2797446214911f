import type { Registry } from 'prom-client';

const CORE_METRICS_TIMEOUT_MS = 2_000;

/** The text of one scrape: this process's metrics, then those of Temporal's core, which its runtime serves on loopback. */
export async function metricsPage(registry: Registry, coreMetricsAddress: string | undefined): Promise<string> {
  const own = await registry.metrics();
  if (coreMetricsAddress === undefined) return own;
  try {
    const answer = await fetch(`http://${coreMetricsAddress}/metrics`, {
      signal: AbortSignal.timeout(CORE_METRICS_TIMEOUT_MS),
    });
    return `${own}\n${await answer.text()}`;
  } catch {
    return `${own}\n# Temporal's core metrics could not be read\n`;
  }
}

/** True when METRICS_TOKEN is not set or the request carries it as its bearer token. */
export function mayScrape(authorization: string | undefined, token: string | undefined): boolean {
  return token === undefined || authorization === `Bearer ${token}`;
}
