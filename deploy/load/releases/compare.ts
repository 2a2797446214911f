import { join } from 'node:path';
import { median } from '../../cli/latencies.ts';
import { type LocalSystem, readLocalJson } from '../../cli/local-json.ts';
import { openPooledHttp, type PooledHttp } from '../../cli/pooled-http.ts';
import { prepareInvoices } from '../benchmark/company.ts';
import { payOnce } from '../benchmark/modes.ts';
import { createRig, type Rig } from '../benchmark/rig.ts';
import { measureSegment, type Segment } from '../benchmark/segment.ts';
import { closedLoop } from '../loops.ts';

/** The two releases, each a local system that runs by its own `npm start`: their data folders. */
export type Folders = { readonly before: string; readonly after: string };

export type CompareOptions = {
  readonly concurrency: number;
  readonly seconds: number;
  readonly pairs: number;
};

export type Comparison = {
  readonly options: CompareOptions;
  readonly pairs: readonly { readonly before: Segment; readonly after: Segment }[];
  readonly ratios: readonly Ratio[];
  readonly errors: Readonly<Record<keyof Folders, Readonly<Record<string, number>>>>;
  readonly violations: readonly string[];
};

/** after ÷ before. */
type Ratio = { readonly what: string; readonly median: number; readonly from: number; readonly to: number };

type Side = { readonly system: LocalSystem; readonly http: PooledHttp; readonly rig: Rig };

const WARM_UP_MS = 500;
/** The first load of a process is slower than all later ones. */
const FIRST_LOAD_MS = 6_000;
/** More invoices than payments in flight, so that their order does not repeat. */
const SPARE_INVOICES = 64;

/**
 * Sends payments to both systems in turn, while both run: whatever else happens on the machine, and how fast it is, affects
 * both alike, unlike in runs one after the other.
 */
export async function compareReleases(
  folders: Folders,
  options: CompareOptions,
  signal: AbortSignal,
  log: (line: string) => void,
): Promise<Comparison> {
  const sides = {
    before: await openSide(folders.before, options, signal),
    after: await openSide(folders.after, options, signal),
  };
  try {
    log('before and after, to warm them up');
    for (const side of [sides.before, sides.after]) await measureSide(side, options, FIRST_LOAD_MS, signal);
    const pairs: Comparison['pairs'][number][] = [];
    for (let pair = 1; pair <= options.pairs; pair += 1) {
      log(`before and after, pair ${pair} of ${options.pairs}`);
      pairs.push(await measurePair(sides, pair % 2 === 1, options, signal));
    }
    const { before, after } = sides;
    return {
      options,
      pairs,
      ratios: ratiosOf(pairs),
      errors: { before: before.rig.errors, after: after.rig.errors },
      violations: [...before.rig.violations, ...after.rig.violations],
    };
  } finally {
    await Promise.all([sides.before.http.close(), sides.after.http.close()]);
  }
}

async function openSide(folder: string, { concurrency }: CompareOptions, signal: AbortSignal): Promise<Side> {
  const system = readLocalJson(join(folder, 'local.json'));
  if (system === undefined) {
    throw new Error(`No local system is ready in ${folder}: run "npm start" in that checkout, and wait for its URLs.`);
  }
  const http = openPooledHttp(system.apiUrl, { connections: concurrency });
  const invoices = await prepareInvoices(http, system.token, concurrency + SPARE_INVOICES, signal);
  return { system, http, rig: createRig(http, system.token, invoices) };
}

/** Each is measured first in every other pair. */
async function measurePair(
  { before, after }: Readonly<Record<keyof Folders, Side>>,
  isBeforeFirst: boolean,
  options: CompareOptions,
  signal: AbortSignal,
): Promise<Comparison['pairs'][number]> {
  const ms = options.seconds * 1_000;
  if (isBeforeFirst) {
    const first = await measureSide(before, options, ms, signal);
    return { before: first, after: await measureSide(after, options, ms, signal) };
  }
  const first = await measureSide(after, options, ms, signal);
  return { before: await measureSide(before, options, ms, signal), after: first };
}

async function measureSide(
  { system, rig }: Side,
  { concurrency }: CompareOptions,
  measureMs: number,
  signal: AbortSignal,
): Promise<Segment> {
  signal.throwIfAborted();
  const segment = await measureSegment(serversOf(system), (onEdge) =>
    closedLoop(concurrency, () => payOnce(rig), { warmUpMs: WARM_UP_MS, measureMs, signal, onEdge }),
  );
  await rig.settle();
  return segment;
}

/** Without those that it was given instead of starting them, whose process is not known. */
function serversOf({ pids: { api, worker, postgres, temporal } }: LocalSystem): Record<string, number> {
  return Object.fromEntries(
    Object.entries({ api, worker, postgres, temporal }).filter(
      (server): server is [string, number] => server[1] !== null,
    ),
  );
}

function ratiosOf(pairs: Comparison['pairs']): Ratio[] {
  const ratio = (what: string, of: (segment: Segment) => number): Ratio[] => {
    const ratios = pairs.map(({ before, after }) => of(after) / of(before)).filter(Number.isFinite);
    if (ratios.length === 0) return [];
    return [{ what, median: median(ratios), from: Math.min(...ratios), to: Math.max(...ratios) }];
  };
  return [
    ...ratio('writes per second', ({ perSecond }) => perSecond),
    ...ratio('p50', ({ p50Ms }) => p50Ms),
    ...ratio('p95', ({ p95Ms }) => p95Ms),
    ...ratio('CPU per write, all servers', cpuOfServers),
  ];
}

export function cpuOfServers({ cpuMs }: Segment): number {
  const { generator: _, ...servers } = cpuMs ?? {};
  return Object.values(servers).reduce((sum, ms) => sum + ms, 0);
}
