import type { FailedControl } from '../../workflows/event-messages.ts';
import { toWireSum, type WireSum } from '../money.ts';
import type { Control } from './control.ts';

/** So many rows of a control are listed: whoever has more to correct sees the next ones when these are corrected. */
export const MAX_IN_THE_WAY = 20;

const THERE_IS_MORE = ` There are more than ${MAX_IN_THE_WAY}; these are the first ones.`;

/** A row that a control or a step of closing has found. */
export type Found = Readonly<Record<string, unknown>>;

export const NOTHING_FOUND = { accountCode: null, currency: null, expected: null, found: null, resources: [] } as const;

/** A step of closing or a control; its `detail` says that it does not hold. */
type Failed = Pick<Control, 'name' | 'compares' | 'links'> & { readonly detail: string };

/**
 * What a step or a control has found, for those who have to correct it: one item for each row that compares amounts, otherwise
 * one for all of them, with the URLs of what they are about. Where there is more than {@link MAX_IN_THE_WAY}, the last item says
 * so: `rows` has one more then.
 */
export function inTheWay(
  { name, compares, links = [], detail }: Failed,
  rows: readonly Found[],
  through: string,
): readonly FailedControl[] {
  const linksOf = (row: Found) => links.flatMap((link) => filled(link, { ...row, through }));
  if (compares === undefined) {
    const all = [...new Set(rows.flatMap(linksOf))];
    const resources = all.slice(0, MAX_IN_THE_WAY);
    const more = Math.max(all.length, rows.length) > MAX_IN_THE_WAY ? THERE_IS_MORE : '';
    return [{ control: name, ...NOTHING_FOUND, detail: `${detail}${more}`, resources }];
  }
  return rows.slice(0, MAX_IN_THE_WAY).map((row, index) => ({
    control: name,
    accountCode: compares.accountCode,
    currency: String(row['currency']),
    expected: toWire(row['expected_minor']),
    found: toWire(row['found_minor']),
    detail: `${detail}${ofWhichDay(row)}${index + 1 === MAX_IN_THE_WAY && index + 1 < rows.length ? THERE_IS_MORE : ''}`,
    resources: linksOf(row),
  }));
}

/** The link with its columns; none where the row has no value for one of them. */
function filled(link: string, values: Found): string[] {
  const names = [...link.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '');
  if (names.some((name) => values[name] === null || values[name] === undefined)) return [];
  return [link.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]))];
}

/** A second sentence where the row is about one day, with the quantity where it has one. */
function ofWhichDay({ day, quantity }: Found): string {
  if (typeof day !== 'string') return '';
  return ` This is about ${day}${quantity === undefined ? '' : `, with a quantity of ${toWhole(quantity)}`}.`;
}

/** Null where no amount is wrong. */
function toWire(minor: unknown): WireSum | null {
  return minor === null ? null : toWireSum(toWhole(minor));
}

/** PostgreSQL answers an integer, a bigint or a numeric, by what the control sums. */
function toWhole(value: unknown): bigint {
  return BigInt(value as number | bigint | string);
}
