import type { Criterion } from './criteria.ts';

export type Verdict = {
  /** How many processes of the version answer their scrape, and how many do not. */
  readonly processes: { readonly up: number; readonly down: number };
  /** Writes answered by the version in the window; with too few of them, nothing has been tested. */
  readonly writes: number;
  /** A criterion holds where its alert does not fire; `value` is that of the first series for which it fires. */
  readonly criteria: readonly { readonly alert: string; readonly holds: boolean; readonly value: number | undefined }[];
};

export type Decision = 'go on' | 'go back' | 'wait';

/** With too little evidence it decides to wait, neither to go on nor to go back. */
export function decide({ criteria, processes, writes }: Verdict, minWrites: number): Decision {
  if (criteria.some(({ holds }) => !holds)) return 'go back';
  return processes.up === 0 || processes.down > 0 || writes < minWrites ? 'wait' : 'go on';
}

const QUERY_TIMEOUT_MS = 10_000;

/** Evaluates the criteria in Prometheus. Throws if it does not answer, because missing data is not a good sign. */
export async function judge(
  prometheusUrl: string,
  { version, window }: { readonly version: string; readonly window: string },
  criteria: readonly Criterion[],
): Promise<Verdict> {
  const match = `{version=${JSON.stringify(version)}}`;
  const evaluate = (expression: string) => query(prometheusUrl, expression);
  const [up, down, writes, ...answers] = await Promise.all([
    evaluate(`count(up${match} == 1)`),
    evaluate(`count(up${match} == 0)`),
    evaluate(`sum(increase(idempotent_writes_total${match}[${window}]))`),
    ...criteria.map(({ expression }) => evaluate(expression)),
  ]);
  return {
    processes: { up: up?.[0] ?? 0, down: down?.[0] ?? 0 },
    writes: Math.round(writes?.[0] ?? 0),
    // An alert expression that returns any sample is firing.
    criteria: criteria.map(({ alert }, index) => {
      const values = answers[index] ?? [];
      return { alert, holds: values.length === 0, value: values[0] };
    }),
  };
}

async function query(prometheusUrl: string, expression: string): Promise<number[]> {
  const url = new URL('/api/v1/query', prometheusUrl);
  const response = await fetch(url, {
    method: 'POST',
    body: new URLSearchParams({ query: expression }),
    signal: AbortSignal.timeout(QUERY_TIMEOUT_MS),
  });
  const answer = (await response.json()) as {
    status: string;
    error?: string;
    data: { result: readonly { value: readonly [number, string] }[] };
  };
  if (answer.status !== 'success') throw new Error(`Prometheus refused ${expression}: ${answer.error}`);
  return answer.data.result.map(({ value }) => Number(value[1]));
}
