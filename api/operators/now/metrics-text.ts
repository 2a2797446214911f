/** One value of a metric, as Prometheus' text format has it. */
export type MetricSample = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
};

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/g;
const ESCAPES: Readonly<Record<string, string>> = { '\\n': '\n', '\\"': '"', '\\\\': '\\' };

/** The values of the metrics that are `wanted`; whatever else a page holds is left out, and so is a line that is none. */
export function samplesIn(page: string, wanted: ReadonlySet<string>): MetricSample[] {
  return page.split('\n').flatMap((line) => {
    const name = /^[\w:]+/.exec(line)?.[0];
    if (name === undefined || !wanted.has(name)) return [];
    const [, , labels = '', value = ''] = LINE.exec(line) ?? [];
    const number = numberOf(value);
    return number === undefined ? [] : [{ name, labels: labelsIn(labels), value: number }];
  });
}

function labelsIn(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name = '', value = ''] of text.matchAll(LABEL)) {
    labels[name] = value.replaceAll(/\\[n"\\]/g, (two) => ESCAPES[two] ?? two);
  }
  return labels;
}

/** Undefined for what is no number, and for `NaN`, which says that there is no value. */
export function numberOf(text: string): number | undefined {
  if (text === '+Inf' || text === 'Inf') return Number.POSITIVE_INFINITY;
  if (text === '-Inf') return Number.NEGATIVE_INFINITY;
  const number = text === '' ? Number.NaN : Number(text);
  return Number.isNaN(number) ? undefined : number;
}
