import type { Write } from '../../../client/src/generated/types.ts';
import { afterText, instantText } from '../time.ts';
import { EVENTS } from '../words.ts';
import { Pointers } from './problem.tsx';

type Item = Write['timeline'][number];

/** What happened to a write, the oldest first: on an axis to scale, and in words. */
export function Timeline({
  items,
  isTruncated,
  timeZone,
}: {
  readonly items: readonly Item[];
  readonly isTruncated: boolean;
  readonly timeZone: string;
}) {
  const [first] = items;
  if (first === undefined) return <p>Nothing is recorded of it.</p>;
  const begin = Date.parse(first.at);
  return (
    <>
      <Axis items={items} begin={begin} />
      <ol class="timeline">
        {items.map((item, i) => (
          <li key={`${item.at} ${item.kind} ${i}`} class={item.kind}>
            <span class="after">{afterText(Date.parse(item.at) - begin)}</span>
            <span class="what">
              {EVENTS[item.kind]}
              {item.detail === undefined ? null : <span class="detail">{item.detail}</span>}
              <Differences item={item} />
            </span>
            <time dateTime={item.at}>{instantText(item.at, timeZone)}</time>
            {item.requestId === undefined ? null : <code class="request">{item.requestId}</code>}
          </li>
        ))}
      </ol>
      {isTruncated ? <p>Items between the first and the last are left out: there are too many to show.</p> : null}
    </>
  );
}

/** Where another request with the key differs: the names of its members, which never tell what was in them. */
function Differences({ item: { kind, differences } }: { readonly item: Item }) {
  if (kind !== 'conflicted') return null;
  if (differences === undefined) return <span class="detail">Where it differs was not recorded.</span>;
  return (
    <div class="differences">
      It differs in:
      <Pointers pointers={differences} />
    </div>
  );
}

/** Milliseconds and days are on one axis: the distance from the first request grows with the logarithm of the time. */
function Axis({ items, begin }: { readonly items: readonly Item[]; readonly begin: number }) {
  const last = Math.max(...items.map(({ at }) => Date.parse(at) - begin), 10);
  const place = (ms: number) => 12 + (Math.log10(1 + Math.max(0, ms)) / Math.log10(1 + last)) * 976;
  const marks = [1, 10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 86_400_000].filter((ms) => ms <= last);
  return (
    <svg class="axis" viewBox="0 0 1000 44" aria-hidden="true" focusable="false">
      <line x1="12" y1="16" x2="988" y2="16" />
      {marks.map((ms) => (
        <text key={ms} x={place(ms)} y="40" text-anchor={place(ms) > 950 ? 'end' : 'middle'}>
          {afterText(ms)}
        </text>
      ))}
      {items.map((item, i) => (
        <circle key={`${item.at} ${i}`} class={item.kind} cx={place(Date.parse(item.at) - begin)} cy="16" r="7" />
      ))}
    </svg>
  );
}
