import { summarize } from '../../../cli/latencies.ts';
import { CASES, type Case, type Measured } from './cases.ts';
import type { Side } from './side.ts';

/** The two databases, in the order in which they are reported. */
export type Sides = { readonly small: Side; readonly filled: Side };

export type Percentiles = { readonly p50Ms: number; readonly p95Ms: number };

/** What both databases took for the same, right after each other. */
export type Pair = { readonly small: Taken; readonly filled: Taken };

/** `walBytes`: what the server has written to its log meanwhile, by each latency that was measured. */
type Taken = Percentiles & { readonly walBytes: number };

/** The pairs of each case, by what was measured. */
export type Pairs = ReadonlyMap<string, readonly Pair[]>;

const WARM_UP_MS = 1_000;
/** A new process runs code that is not compiled yet, three times slower. */
const FIRST_SECONDS = 3;

/** Measures each case on both databases in turn, so that whatever else the machine does affects both. */
export async function measurePairs(
  sides: Sides,
  options: { readonly seconds: number; readonly pairs: number; readonly signal: AbortSignal },
  log: (line: string) => void,
): Promise<Pairs> {
  const { signal } = options;
  const measure = async (name: keyof Sides, one: Case, seconds: number) => {
    signal.throwIfAborted();
    const side = sides[name];
    const window = { warmUpMs: WARM_UP_MS, measureMs: seconds * 1_000, signal };
    const companies = await side.draw();
    const before = await walPosition(side);
    const measured = await one.measure({ side, companies, window });
    // The log of the warm-up is not that of what was measured.
    const share = window.measureMs / (window.warmUpMs + window.measureMs);
    return summarized(measured, ((await walPosition(side)) - before) * share);
  };
  log('Each case once, to warm up');
  for (const one of CASES) {
    await measure('small', one, FIRST_SECONDS);
    await measure('filled', one, FIRST_SECONDS);
  }
  const pairs = new Map<string, Pair[]>();
  for (let pair = 1; pair <= options.pairs; pair += 1) {
    for (const one of CASES) {
      log(`${one.name}, pair ${pair} of ${options.pairs}`);
      // Each is measured first in every other pair.
      const order = pair % 2 === 1 ? (['small', 'filled'] as const) : (['filled', 'small'] as const);
      const results = new Map<keyof Sides, ReadonlyMap<string, Taken>>();
      for (const name of order) results.set(name, await measure(name, one, options.seconds));
      for (const [what, small] of results.get('small') ?? []) {
        const filled = results.get('filled')?.get(what) as Taken;
        pairs.set(what, [...(pairs.get(what) ?? []), { small, filled }]);
      }
    }
  }
  return pairs;
}

function summarized(measured: Measured, walBytes: number): ReadonlyMap<string, Taken> {
  return new Map(
    Object.entries(measured).map(([what, latenciesMs]) => [
      what,
      { ...summarize(latenciesMs), walBytes: walBytes / Math.max(1, latenciesMs.length) },
    ]),
  );
}

/** Both databases are of one server, which has one log; only one of them is measured at a time. */
async function walPosition({ owner }: Side): Promise<number> {
  const { rows } = await owner.query<{ bytes: number }>(
    "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8 AS bytes",
  );
  return rows[0]?.bytes ?? 0;
}
