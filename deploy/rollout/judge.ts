import type { Criterion } from './criteria.ts';

export type Verdict = {
  /** Processes of the version that answer their scrape, and those that do not. */
  readonly processes: { readonly up: number; readonly down: number };
  /** Writes answered by the version in the window: without some, nothing has been tried. */
  readonly writes: number;
  /** A criterion holds where its alert does not fire; `value` is that of the first series for which it fires. */
  readonly criteria: readonly { readonly alert: string; readonly holds: boolean; readonly value: number | undefined }[];
};

export type Decision = 'go on' | 'go back' | 'wait';

/** Too little seen is no reason to go on, and none to go back. */
export function decide({ criteria, processes, writes }: Verdict, minWrites: number): Decision {
  if (criteria.some(({ holds }) => !holds)) return 'go back';
  return processes.up === 0 || processes.down > 0 || writes < minWrites ? 'wait' : 'go on';
}

const QUERY_TIMEOUT_MS = 10_000;

/** Asks a Prometheus. Throws where it does not answer: no news is no good news. */
export async function judge(
  prometheusUrl: string,
  { version, window }: { readonly version: string; readonly window: string },
  criteria: readonly Criterion[],
): Promise<Verdict> {
  const match = `{version=${JSON.stringify(version)}}`;
  const ask = (expression: string) => query(prometheusUrl, expression);
  const [up, down, writes, ...answers] = await Promise.all([
    ask(`count(up${match} == 1)`),
    ask(`count(up${match} == 0)`),
    ask(`sum(increase(idempotent_writes_total${match}[${window}]))`),
    ...criteria.map(({ expression }) => ask(expression)),
  ]);
  return {
    processes: { up: up?.[0] ?? 0, down: down?.[0] ?? 0 },
    writes: Math.round(writes?.[0] ?? 0),
    // As in an alert, an expression that yields anything is one that has come true.
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
  if (answer.status !== 'success') throw new Error(`Prometheus refuses ${expression}: ${answer.error}`);
  return answer.data.result.map(({ value }) => Number(value[1]));
}
