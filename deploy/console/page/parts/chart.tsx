import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { clockText } from '../time.ts';
import { Scrollable } from './scrollable.tsx';

/** A line of a chart. `tone` names its colour and its dashes, which style.css and the legend have as well. */
export type Line = { readonly name: string; readonly tone: Tone; readonly values: readonly (number | null)[] };
type Tone = 'good' | 'bad' | 'wait' | 'none' | 'away' | 'other';

const DASHES: Readonly<Record<Tone, number[]>> = {
  good: [],
  bad: [2, 3],
  wait: [8, 4],
  none: [1, 4],
  away: [12, 4, 2, 4],
  other: [4, 4],
};
const HEIGHT = 200;

/** The last hour as lines over time, in UTC; as a table for who cannot see it. */
export function Chart({
  title,
  at,
  lines,
  text,
}: {
  readonly title: string;
  /** Seconds since 1970. */
  readonly at: readonly number[];
  readonly lines: readonly Line[];
  /** A value in words: `12.5/s`. */
  readonly text: (value: number | null) => string;
}) {
  const [isTableOpen, setTableOpen] = useState(false);
  return (
    <figure class="chart">
      <figcaption>
        <strong>{title}</strong>
        <ul class="legend">
          {lines.map(({ name, tone }) => (
            <li key={name} class="line">
              <span class={`swatch ${tone}`} aria-hidden="true" />
              {name}
            </li>
          ))}
        </ul>
      </figcaption>
      <Canvas at={at} lines={lines} text={text} />
      <details onToggle={({ currentTarget }) => setTableOpen(currentTarget.open)}>
        <summary>{title}, as a table</summary>
        {isTableOpen ? <Table title={title} at={at} lines={lines} text={text} /> : null}
      </details>
    </figure>
  );
}

type Shown = Pick<Parameters<typeof Chart>[0], 'at' | 'lines' | 'text'>;

function Table({ title, at, lines, text }: Shown & { readonly title: string }) {
  const newestFirst = at.map((second, i) => ({ second, i })).toReversed();
  return (
    <Scrollable label={title} class="rows">
      <table>
        <thead>
          <tr>
            <th scope="col">Until (UTC)</th>
            {lines.map(({ name }) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {newestFirst.map(({ second, i }) => (
            <tr key={second}>
              <th scope="row">{clockText(second)}</th>
              {lines.map(({ name, values }) => (
                <td key={name}>{text(values[i] ?? null)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scrollable>
  );
}

/** The picture alone, drawn anew when its width or the colours change, and with other data whenever there are. */
function Canvas({ at, lines, text }: Shown) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const names = lines.map(({ name }) => name).join();
  const dataOf = (): uPlot.AlignedData => [[...at], ...lines.map(({ values }) => [...values])];
  const isDark = useIsDark();
  // Data come by the effect below; colours are read anew for `isDark`.
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const drawn = new uPlot(optionsOf(element, lines, text), dataOf(), element);
    plot.current = drawn;
    const sizes = new ResizeObserver(() => drawn.setSize({ width: element.clientWidth, height: HEIGHT }));
    sizes.observe(element);
    return () => {
      sizes.disconnect();
      drawn.destroy();
    };
  }, [names, isDark]);
  useEffect(() => plot.current?.setData(dataOf()), [at]);
  return <div class="canvas" ref={place} aria-hidden="true" />;
}

function useIsDark(): boolean {
  const [isDark, setDark] = useState(() => matchMedia('(prefers-color-scheme: dark)').matches);
  useEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const tell = () => setDark(query.matches);
    query.addEventListener('change', tell);
    return () => query.removeEventListener('change', tell);
  }, []);
  return isDark;
}

/** A value between two that are not known is no line: it is drawn as a point. */
function onItsOwn(plot: uPlot, series: number): number[] {
  const values = plot.data[series] ?? [];
  const isKnown = (i: number) => values[i] != null;
  return [...values.keys()].filter((i) => isKnown(i) && !isKnown(i - 1) && !isKnown(i + 1));
}

function optionsOf(element: HTMLElement, lines: readonly Line[], text: Shown['text']): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: colour('none'),
    grid: { stroke: colour('pico-muted-border-color'), width: 1 },
    ticks: { show: false },
    font: `12px ${style.fontFamily}`,
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    tzDate: (second) => uPlot.tzDate(new Date(second * 1_000), 'Etc/UTC'),
    scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, values: (_, seconds) => seconds.map((second) => clockText(second).slice(0, 5)) },
      { ...axis, size: 64, values: (_, values) => values.map((value) => text(value)) },
    ],
    series: [
      {},
      ...lines.map(({ tone }) => ({
        stroke: colour(tone),
        width: tone === 'bad' ? 3 : 2,
        dash: DASHES[tone],
        points: { show: true, size: 6, filter: onItsOwn },
        spanGaps: false,
      })),
    ],
  };
}
