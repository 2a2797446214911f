import { openPooledHttp } from '../../../cli/pooled-http.ts';
import type { Http } from '../../../client/src/http.ts';
import { sendLoad } from '../../benchmark/modes.ts';
import { createRig, type Rig } from '../../benchmark/rig.ts';
import { measureSegment, type Segment } from '../../benchmark/segment.ts';
import type { RunningContender } from '../contenders/contender.ts';
import { keepAnswers } from './answers.ts';
import { KILL_CLIENTS, type Kills, payThroughKills } from './kills.ts';
import { sendMismatch } from './mismatch.ts';
import { judge, type Verdict } from './verdict.ts';

export const MODES = ['new', 'replay', 'storm', 'mismatch', 'kills'] as const;
export type Mode = (typeof MODES)[number];

export type MeasureOptions = {
  readonly modes: readonly Mode[];
  readonly concurrencies: readonly number[];
  readonly seconds: number;
  readonly signal: AbortSignal;
  log(line: string): void;
};

/** What one round of a contender gave; a mode that was not asked for is left out. */
export type Measurements = {
  readonly loads: readonly (Load & Check & { readonly segment: Segment })[];
  readonly mismatch?: Check & { readonly answer: string };
  readonly kills?: Check & Kills;
};

/** What the database says after a mode, and what no answer may be whatever it says (a replay with other bytes). */
export type Check = {
  readonly verdict: Verdict;
  readonly violations: readonly string[];
  readonly errors: Readonly<Record<string, number>>;
};

export type Load = { readonly mode: 'new' | 'replay' | 'storm'; readonly concurrency: number };

const STORM_REQUESTS = 500;
const SPARE_INVOICES = 64;
const WARM_UP_CLIENTS = [32, 1] as const;
/** As in the benchmark's session: until the JIT has compiled what runs. */
const FIRST_WARM_UP = { warmUpMs: 0, measureMs: 3_000 } as const;
const WARM_UP_MS = 1_000;
const MIN_BETWEEN_KILLS_MS = 2_000;

/** More invoices than payments in flight, so that their order does not repeat. */
export function invoicesFor(concurrencies: readonly number[]): number {
  return Math.max(...concurrencies, KILL_CLIENTS) + SPARE_INVOICES;
}

/** All modes on one contender, each followed by reading its rows in the database. */
export async function measure(contender: RunningContender, options: MeasureOptions): Promise<Measurements> {
  const { modes, seconds, signal, log } = options;
  await warmUp(contender, signal);
  const loads: Measurements['loads'][number][] = [];
  for (const load of loadsOf(options)) {
    signal.throwIfAborted();
    log(`${load.mode}, c=${load.concurrency}`);
    const work = ({ rig }: Tools) => measureLoad(contender, load, rig, { seconds, signal });
    loads.push({ ...load, ...(await checked(contender, load.concurrency, work)) });
  }
  const proofs: Pick<Measurements, 'mismatch' | 'kills'> = {
    ...(modes.includes('mismatch') && {
      mismatch: await checked(contender, 1, async ({ rig }) => ({ answer: await sendMismatch(rig) })),
    }),
    ...(modes.includes('kills') && {
      kills: await checked(contender, KILL_CLIENTS, (tools) => {
        const betweenKillsMs = Math.max(MIN_BETWEEN_KILLS_MS, seconds * 1_000);
        return payThroughKills(contender, tools, { betweenKillsMs, signal, log });
      }),
    }),
  };
  return { loads, ...proofs };
}

/** Replays need no curve: the most clients show what a contender can do. */
function loadsOf({ modes, concurrencies }: MeasureOptions): Load[] {
  const all: Load[] = [
    ...concurrencies.map((concurrency) => ({ mode: 'new', concurrency }) as const),
    { mode: 'replay', concurrency: Math.max(...concurrencies) },
    { mode: 'storm', concurrency: STORM_REQUESTS },
  ];
  return all.filter(({ mode }) => modes.includes(mode));
}

type Tools = { readonly http: Http; readonly rig: Rig };

/** Runs the work and then compares each of its answers with the database. */
async function checked<T>(
  contender: RunningContender,
  connections: number,
  work: (tools: Tools) => Promise<T>,
): Promise<T & Check> {
  const http = keepAnswers(openPooledHttp(contender.url, { connections }));
  try {
    const rig = createRig(http, contender.token, contender.invoiceIds);
    const result = await work({ http, rig });
    await rig.settle();
    const verdict = judge(http.answers, await contender.readRows([...http.answers.keys()]));
    return { ...result, verdict, violations: rig.violations, errors: rig.errors };
  } finally {
    await http.close();
  }
}

async function measureLoad(
  contender: RunningContender,
  load: Load,
  rig: Rig,
  { seconds, signal }: Pick<MeasureOptions, 'seconds' | 'signal'>,
): Promise<{ readonly segment: Segment }> {
  const window = { warmUpMs: WARM_UP_MS, measureMs: seconds * 1_000, signal };
  const segment = await measureSegment(contender.pids(), (onEdge) =>
    sendLoad({ ...load, rate: undefined }, [rig], { ...window, onEdge }),
  );
  return { segment };
}

async function warmUp({ url, token, invoiceIds }: RunningContender, signal: AbortSignal): Promise<void> {
  const http = openPooledHttp(url, { connections: Math.max(...WARM_UP_CLIENTS) });
  try {
    const rig = createRig(http, token, invoiceIds);
    for (const concurrency of WARM_UP_CLIENTS) {
      await sendLoad({ mode: 'new', concurrency, rate: undefined }, [rig], { ...FIRST_WARM_UP, signal });
    }
    await rig.settle();
  } finally {
    await http.close();
  }
}
