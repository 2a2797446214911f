import type { Write } from '../../../client/src/generated/types.ts';
import { afterText, instantText } from '../time.ts';
import { EVENTS } from '../words.ts';
import { Person } from './person.tsx';
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
              <Who item={item} />
              {item.detail === undefined || TOLD_ELSEWHERE.includes(item.kind) ? null : (
                <span class="detail">{item.detail}</span>
              )}
              <Differences item={item} />
            </span>
            <time dateTime={item.at}>{instantText(item.at, timeZone)}</time>
            {item.requestId === undefined || !REQUESTS.includes(item.kind) ? null : (
              <span class="request">
                request <code>{item.requestId}</code>
              </span>
            )}
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
  if (differences === undefined || differences.length === 0)
    return <span class="detail">Where it differs is not known.</span>;
  return (
    <div class="differences">
      It differs in:
      <Pointers pointers={differences} />
    </div>
  );
}

/** Their details are on the page in other words. */
const TOLD_ELSEWHERE: readonly Item['kind'][] = ['conflicted', 'approval_requested'];

/** What somebody has sent; what came of it has the request's ID as well. */
const REQUESTS: readonly Item['kind'][] = ['requested', 'replayed', 'conflicted', 'cancelled'];

/** Who has decided; the page tells of whoever has sent the write. */
function Who({ item: { kind, userId } }: { readonly item: Item }) {
  if (userId === undefined || (kind !== 'approved' && kind !== 'disapproved')) return null;
  return (
    <>
      {' by '}
      <Person id={userId} />
    </>
  );
}

/** What changes the outcome lies above what happens beside it at the same moment. */
const BESIDE: readonly Item['kind'][] = ['started', 'event_recorded', 'replayed'];

const MARKS = [
  { ms: 1, text: '1 ms' },
  { ms: 10, text: '10 ms' },
  { ms: 100, text: '100 ms' },
  { ms: 1_000, text: '1 s' },
  { ms: 10_000, text: '10 s' },
  { ms: 60_000, text: '1 min' },
  { ms: 600_000, text: '10 min' },
  { ms: 3_600_000, text: '1 h' },
  { ms: 86_400_000, text: '1 day' },
];

/**
 * Milliseconds and days are on one axis: the distance from the first request grows with the logarithm of the time. In per cent of the
 * width, so that its texts are as large on a phone.
 */
function Axis({ items, begin }: { readonly items: readonly Item[]; readonly begin: number }) {
  const last = Math.max(...items.map(({ at }) => Date.parse(at) - begin), 1);
  const place = (ms: number) => 2 + (Math.log10(1 + Math.max(0, ms)) / Math.log10(1 + last)) * 96;
  const bottomUp = items.toSorted((a, b) => Number(BESIDE.includes(b.kind)) - Number(BESIDE.includes(a.kind)));
  return (
    <svg class="axis" aria-hidden="true" focusable="false">
      <line x1="2%" y1="16" x2="98%" y2="16" />
      {MARKS.filter(({ ms }) => ms <= last && last > 1).map(({ ms, text }) => (
        <text key={ms} x={`${place(ms)}%`} y="40" text-anchor={place(ms) > 94 ? 'end' : 'middle'}>
          {text}
        </text>
      ))}
      {bottomUp.map((item, i) => (
        <circle key={`${item.at} ${i}`} class={item.kind} cx={`${place(Date.parse(item.at) - begin)}%`} cy="16" r="7" />
      ))}
    </svg>
  );
}
