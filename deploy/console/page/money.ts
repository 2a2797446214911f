import { exponentOf, formatAmount } from '../../../activities/currencies.ts';
import type { WriteSummary } from '../../client/src/generated/types.ts';

/** An amount of the API in minor units: a JSON number, or a string of digits where a number might not be exact. */
export type Minor = number | string;

/**
 * `1234567` in USD is `12,345.67`, in JPY `1,234,567`: exact however large it is, without the code of the currency. What is no
 * whole number is shown as it came.
 */
export function moneyText(amount: Minor, currency: string): string {
  const minor = minorOf(amount);
  if (minor === undefined) return String(amount);
  const [number = ''] = formatAmount(minor, currency).split(' ');
  const [whole = '', fraction] = number.replace('-', '').split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return `${minor < 0n ? '−' : ''}${grouped}${fraction === undefined ? '' : `.${fraction}`}`;
}

/** Undefined for what is no whole number. */
export function minorOf(amount: Minor): bigint | undefined {
  const isWhole =
    typeof amount === 'number' ? Number.isSafeInteger(amount) : typeof amount === 'string' && /^-?\d+$/.test(amount);
  return isWhole ? BigInt(amount) : undefined;
}

/** Exact; the first of them that is no whole number, where there is one. */
export function sumOf(amounts: readonly Minor[]): Minor {
  const minor = amounts.map(minorOf);
  const odd = minor.indexOf(undefined);
  return odd >= 0 ? (amounts[odd] ?? 0) : String(minor.reduce((sum: bigint, each) => sum + (each ?? 0n), 0n));
}

/** An amount as a debit or a credit: an amount above zero is a debit. */
export function sidesOf(amount: Minor): { readonly debit?: string; readonly credit?: string } {
  const minor = minorOf(amount);
  if (minor === undefined) return { debit: String(amount) };
  return minor < 0n ? { credit: String(-minor) } : { debit: String(minor) };
}

/** These items by their currency, in the order of its code. */
export function byCurrency<T extends { readonly currency: string }>(
  items: readonly T[],
): readonly (readonly [string, T[]])[] {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(item.currency, [...(groups.get(item.currency) ?? []), item]);
  return [...groups].toSorted(([one], [other]) => (one < other ? -1 : 1));
}

/**
 * What somebody has typed, such as `25.00` or `1,234.50`, in minor units. Undefined for what is no amount, is finer than the currency
 * has it, or is larger than any.
 */
export function minorUnits(text: string, currency: string | undefined): string | undefined {
  const [, grouped, fraction = ''] = /^(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d*))?$/.exec(text) ?? [];
  const exponent = currency === undefined ? 2 : exponentOf(currency);
  if (grouped === undefined || fraction.length > exponent) return undefined;
  const minor = String(BigInt(grouped.replaceAll(',', '') + fraction.padEnd(exponent, '0')));
  return minor.length > MOST_DIGITS ? undefined : minor;
}

/** Of the amounts that the API looks for. */
const MOST_DIGITS = 15;

/** What people know a write by: `25.00 USD · RCT-000005`. Empty where it is of neither an amount nor a document with a number. */
export function documentInWords(document: WriteSummary['document']): string {
  const { number = null, amount = null, currency = null } = document ?? {};
  const money = amount === null || currency === null ? [] : [`${moneyText(amount, currency)} ${currency}`];
  return [...money, ...(number === null ? [] : [number])].join(' · ');
}
