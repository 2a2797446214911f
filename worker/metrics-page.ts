import type { Registry } from 'prom-client';

const CORE_METRICS_TIMEOUT_MS = 2_000;

/** One scrape document: this process's metrics, and Temporal's core metrics, which its runtime serves on loopback. */
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

/** `Authorization: Bearer …` as METRICS_TOKEN asks for it, where it is set. */
export function mayScrape(authorization: string | undefined, token: string | undefined): boolean {
  return token === undefined || authorization === `Bearer ${token}`;
}
