import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../../cli/latencies.ts';
import { textTable } from '../../cli/table.ts';
import type { ApiProcess, Grouping } from './api-process.ts';
import { measureApi } from './run.ts';
import type { Segment } from './segment.ts';
import type { Session } from './session.ts';
import { startWorkerProcess, type WorkerProcess } from './worker-process.ts';

/** What can be switched off, to see what it costs. */
export const SWITCHES = ['instrumentation', 'encryption', 'sealing'] as const;
export type Switch = (typeof SWITCHES)[number];

/**
 * Measures what metrics and log lines, encrypted payloads, or the seal cost. Two sides that differ only in these get load in turn, so
 * that other changes on the machine affect both. Both are scraped meanwhile; the page of one without metrics is empty.
 */
export async function measureOnOff(
  session: Session,
  options: OnOffOptions,
  log: (line: string) => void,
): Promise<OnOffResult> {
  const { concurrency, seconds, pairs } = options;
  const settings: Settings = SETTINGS[options.of];
  const sides = options.of === 'sealing' ? await oneApi(session, options) : await twoApis(session, options);
  const slices: { on: Segment; off: Segment }[] = [];
  const violations: string[] = [];
  const measure = async (which: 'on' | 'off') => {
    session.signal.throwIfAborted();
    const measured = await sides[which]({ mode: 'new', concurrency, seconds, rate: undefined });
    violations.push(...measured.violations);
    return measured.segment;
  };
  log('on and off, to warm them up');
  await measure('on');
  await measure('off');
  for (let pair = 1; pair <= pairs; pair += 1) {
    log(`on and off, pair ${pair} of ${pairs}`);
    // Each is measured first in every other pair.
    if (pair % 2 === 1) {
      const on = await measure('on');
      slices.push({ on, off: await measure('off') });
    } else {
      const off = await measure('off');
      slices.push({ on: await measure('on'), off });
    }
  }
  return { options, settings, slices, costs: costsOf(slices), violations };
}

type OnOffOptions = {
  readonly of: Switch;
  readonly concurrency: number;
  readonly seconds: number;
  readonly pairs: number;
  readonly grouping: Grouping;
};

type Side = (load: Parameters<typeof measureApi>[2]) => ReturnType<typeof measureApi>;
type Sides = Readonly<Record<'on' | 'off', Side>>;

/** One API each. */
async function twoApis(session: Session, { of, grouping }: OnOffOptions): Promise<Sides> {
  const settings: Settings = SETTINGS[of];
  const side = async (which: 'on' | 'off'): Promise<Side> => {
    const { instrumentation = true, ...environment } = settings[which];
    const queue = { TEMPORAL_TASK_QUEUE: `benchmark-${which}` };
    const api = await session.anotherApi(grouping, { instrumentation, environment: { ...environment, ...queue } });
    return (load) => withScrapes(api, () => measureApi(session, [api], load));
  };
  return { on: await side('on'), off: await side('off') };
}

/**
 * One API, and a worker that seals or does not. Whatever the other side has left is sealed before the measurement begins. The seal
 * follows a second or two behind, at the begin as at the end, so that as many writes are sealed as are made.
 */
async function oneApi(session: Session, { grouping }: OnOffOptions): Promise<Sides> {
  const [api] = await session.apis(grouping);
  if (api === undefined) throw new Error('Bug! A session has at least one API');
  const side =
    (environment: Readonly<Record<string, string>>): Side =>
    async (load) => {
      const worker = await startWorkerProcess({ ...session, environment });
      try {
        if (environment === SETTINGS.sealing.on) await untilSealed(worker, session.signal);
        const pids = { worker: worker.pid };
        return await withScrapes(api, () => measureApi(session, [api], { ...load, pids }));
      } finally {
        await worker.stop();
      }
    };
  return { on: side(SETTINGS.sealing.on), off: side(SETTINGS.sealing.off) };
}

async function untilSealed({ url }: WorkerProcess, signal: AbortSignal): Promise<void> {
  for (;;) {
    const page = await fetch(`${url}/metrics`, { signal }).then((answer) => answer.text());
    const lag = /^seal_lag_seconds(?:\{.*\})? (\S+)$/m.exec(page)?.[1];
    if (lag !== undefined && Number(lag) < SEALED_LAG_SECONDS) return;
    await sleep(500, undefined, { signal });
  }
}

export type OnOffResult = {
  readonly options: object;
  readonly settings: Settings;
  readonly slices: readonly { readonly on: Segment; readonly off: Segment }[];
  readonly costs: readonly Cost[];
  readonly violations: readonly string[];
};

/** The ratio on ÷ off of each pair; above 1 it costs something. */
type Cost = { readonly what: string; readonly median: number; readonly from: number; readonly to: number };

type Setting = { readonly instrumentation?: boolean; readonly [variable: string]: string | boolean | undefined };
type Settings = { readonly on: Setting; readonly off: Setting };

const SETTINGS = {
  instrumentation: {
    on: { instrumentation: true, LOG_LEVEL: 'info' },
    off: { instrumentation: false, LOG_LEVEL: 'silent' },
  },
  sealing: { on: {}, off: { SEALER_DATABASE_URL: '' } },
  encryption: { on: { PAYLOAD_ENCRYPTION: 'require' }, off: { PAYLOAD_KEYS: '' } },
} as const satisfies Record<Switch, Settings>;
/** Sealing has caught up. */
const SEALED_LAG_SECONDS = 2;
/** Three times as often as in our Prometheus configuration. */
const SCRAPE_INTERVAL_MS = 5_000;
/** What is promised. For information: no ratio makes a run fail. */
const MAX_RATIO = 1.05;

export function onOffText({ settings, slices, costs, violations }: OnOffResult): string {
  const perSecond = (which: 'on' | 'off') => slices.map((pair) => pair[which].perSecond.toFixed(0)).join(', ');
  const rows = costs.map(({ what, ...cost }) => [
    what,
    cost.median.toFixed(3),
    `${cost.from.toFixed(3)} … ${cost.to.toFixed(3)}`,
    cost.median <= MAX_RATIO ? 'met' : 'missed',
  ]);
  return [
    '',
    `Settings that differ: on ${settingsText(settings.on)}; off ${settingsText(settings.off)}. Both are scraped every ${SCRAPE_INTERVAL_MS / 1_000} s`,
    `Writes per second, by pair: on ${perSecond('on')}; off ${perSecond('off')}`,
    '',
    textTable(['on ÷ off', 'median of pairs', 'spread', `≤ ${MAX_RATIO}`], rows),
    ...violations.map((violation) => `VIOLATED: ${violation}`),
  ].join('\n');
}

function settingsText(setting: Setting): string {
  const text = Object.entries(setting)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
  return text === '' ? 'as in production' : text;
}

function costsOf(slices: OnOffResult['slices']): Cost[] {
  const cost = (what: string, of: (segment: Segment) => number | undefined, inverted = false): Cost[] => {
    const ratios = slices.flatMap(({ on, off }) => {
      const [mine, other] = [of(on), of(off)];
      if (!mine || !other) return [];
      return [inverted ? other / mine : mine / other];
    });
    if (ratios.length === 0) return [];
    return [{ what, median: median(ratios), from: Math.min(...ratios), to: Math.max(...ratios) }];
  };
  return [
    ...cost('CPU per write, API', ({ cpuMs }) => cpuMs?.['api']),
    ...cost('CPU per write, all servers', ({ cpuMs }) => cpuMs && sumOf(cpuMs)),
    ...cost('time per write (1 ÷ throughput)', ({ perSecond }) => perSecond, true),
    ...cost('p50', ({ p50Ms }) => p50Ms),
  ];
}

function sumOf({ generator: _generator, ...servers }: Readonly<Record<string, number>>): number {
  return Object.values(servers).reduce((sum, ms) => sum + ms, 0);
}

async function withScrapes<T>({ url }: ApiProcess, work: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const scraping = (async () => {
    while (!over.signal.aborted) {
      await fetch(`${url}/metrics`).then((page) => page.text());
      await sleep(SCRAPE_INTERVAL_MS, undefined, { signal: over.signal }).catch(() => undefined);
    }
  })();
  try {
    return await work();
  } finally {
    over.abort();
    await scraping.catch(() => undefined);
  }
}
