import { createHash, timingSafeEqual } from 'node:crypto';
import type { Registry } from 'prom-client';

const CORE_METRICS_TIMEOUT_MS = 2_000;

/** The text of one scrape: this process's metrics, then those of Temporal's core, which its runtime serves on loopback. */
export async function metricsPage(registry: Registry, coreMetricsAddress: string | undefined): Promise<string> {
  const own = await ownMetrics(registry);
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
  if (token === undefined) return true;
  // Digests have one length, whatever was sent, and comparing them takes the same time wherever they differ.
  return timingSafeEqual(sha256(authorization ?? ''), sha256(`Bearer ${token}`));
}

/**
 * Each metric is read by itself: `registry.metrics()` rejects as a whole when one of them cannot be collected. Such a one
 * is left out, and `metrics_left_out` counts it; its error may quote a connection string, so only its name is printed.
 */
async function ownMetrics(registry: Registry): Promise<string> {
  let leftOut = 0;
  const texts = await Promise.all(
    registry.getMetricsAsArray().map(({ name }) =>
      registry.getSingleMetricAsString(name).catch(() => {
        leftOut += 1;
        return `# ${name} could not be read`;
      }),
    ),
  );
  const count = [
    '# HELP metrics_left_out Metrics of this process that could not be read for this scrape',
    '# TYPE metrics_left_out gauge',
    `metrics_left_out ${leftOut}`,
  ].join('\n');
  return `${[...texts, count].join('\n\n')}\n`;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
