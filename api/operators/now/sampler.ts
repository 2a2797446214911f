import type { Registry } from 'prom-client';
import { withTimeout } from '../../../worker/timeouts.ts';
import { type Sample, stretches } from './rates.ts';
import { READ_METRICS, type Reading, readingOf } from './reading.ts';
import { boundsOfHour, HOUR_S, lastHourOf, nowOf, type Snapshot, STRETCH_S } from './snapshot.ts';

/** Where snapshots come from. */
export type NowSource = {
  /** Never throws: what cannot be asked is null, and told in the notes. */
  snapshot(): Promise<Snapshot>;
  close(): void;
};

export type SamplerOptions = {
  readonly registry: Registry;
  /** The metrics of other processes. */
  readonly urls: readonly string[];
  readonly metricsToken: string | undefined;
  /** `false`: nothing is read, for lack of anyone to show it to. */
  readonly isSampling?: boolean;
  /** The clock, in milliseconds since 1970. */
  readonly now?: () => number;
};

const EVERY_MS = 5_000;
const ANSWER_LIMIT_MS = 4_000;
/** This process, among those that are asked over HTTP. */
const OWN = 'this API';

/**
 * Without Prometheus: this process reads its own metrics and those of the processes that it knows every five seconds, as Prometheus
 * would, and keeps an hour of them in memory.
 */
export function createSampler({
  registry,
  urls,
  metricsToken,
  isSampling = true,
  now = wallClock,
}: SamplerOptions): NowSource {
  let samples: Sample[] = [];
  let sampling: Promise<void> | undefined;

  async function sample(): Promise<void> {
    const read = await Promise.all([
      ownReading(registry).then((reading) => [OWN, reading] as const),
      ...urls.map(async (url) => [nameOf(url), await readingAt(url, metricsToken)] as const),
    ]);
    const readings = new Map(
      read.flatMap(([name, reading]) => (reading === undefined ? [] : [[name, reading] as const])),
    );
    const atMs = now();
    // The first stretch begins with a reading of before the hour. A clock that was put back leaves nothing of the time to come.
    samples = samples.filter((one) => one.atMs > atMs - (HOUR_S + STRETCH_S) * 1_000 && one.atMs < atMs);
    samples.push({ atMs, readings });
  }
  const next = () => {
    sampling ??= sample()
      .catch(() => undefined)
      .finally(() => {
        sampling = undefined;
      });
    return sampling;
  };
  const timer = isSampling ? setInterval(() => void next(), EVERY_MS).unref() : undefined;
  if (isSampling) void next();

  return {
    async snapshot() {
      // The first one of a process waits for what it is to tell.
      if (samples.length === 0) await next();
      const atMs = samples.at(-1)?.atMs ?? now();
      const bounds = boundsOfHour(atMs / 1_000);
      const ends = bounds.slice(1);
      const all = stretches(
        samples,
        bounds.map((second) => second * 1_000),
      );
      const [current] = stretches(samples, [atMs - STRETCH_S * 1_000, atMs]);
      if (current === undefined) throw new Error('Bug! Two bounds have one stretch between them');
      const answering = samples.at(-1)?.readings;
      const processes = [OWN, ...urls.map(nameOf)].map((name) => ({ name, answers: answering?.has(name) ?? false }));
      return {
        at: new Date(atMs).toISOString(),
        source: 'processes' as const,
        processes,
        now: nowOf(current),
        lastHour: lastHourOf(ends, all),
        alerts: null,
        notes: [
          'Alerts are not evaluated: PROMETHEUS_URL is not set.',
          ...processes.filter(({ answers }) => !answers).map(({ name }) => `The metrics of ${name} cannot be read.`),
        ],
      };
    },
    close: () => clearInterval(timer),
  };
}

/** Only what is shown is collected: nobody else is asked for it. */
async function ownReading(registry: Registry): Promise<Reading | undefined> {
  const known = READ_METRICS.filter((name) => registry.getSingleMetric(name) !== undefined);
  const texts = Promise.all(known.map((name) => registry.getSingleMetricAsString(name)));
  const read = await withTimeout(texts, ANSWER_LIMIT_MS).catch(() => undefined);
  return read && readingOf(read.join('\n'));
}

async function readingAt(url: string, token: string | undefined): Promise<Reading | undefined> {
  try {
    const answer = await fetch(url, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    const text = await answer.text();
    return answer.ok ? readingOf(text) : undefined;
  } catch {
    return undefined;
  }
}

function nameOf(url: string): string {
  return new URL(url).host;
}

function wallClock(): number {
  // biome-ignore lint/plugin: the stretches of the last hour are points in time.
  return Date.now();
}
