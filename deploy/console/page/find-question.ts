import { exponentOf } from '../../../activities/currencies.ts';
import { minorUnits } from './money.ts';

/** What the address of the page asks for. What cannot be asked is said at its field, and nothing is looked for in its place. */
export type Question =
  | { readonly kind: 'none' }
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'day'; readonly day: string; readonly amount: string | undefined }
  | { readonly kind: 'refused'; readonly field: 'day' | 'amount'; readonly why: string };

type Asked = { readonly q?: string; readonly day?: string; readonly amount?: string };

/** A key or an ID is one question, and a day with or without an amount is another: an address with both asks for the first. */
export function questionOf({ q = '', day = '', amount = '' }: Asked, currency: string | undefined): Question {
  if (q !== '') return { kind: 'id', id: q };
  if (day === '' && amount === '') return { kind: 'none' };
  if (day === '') return { kind: 'refused', field: 'day', why: 'An amount is looked for on a day: give the day, too.' };
  if (!isDay(day)) return { kind: 'refused', field: 'day', why: `${day} is no day, such as 2026-01-31.` };
  if (amount === '') return { kind: 'day', day, amount: undefined };
  const minor = minorUnits(amount, currency);
  if (minor === undefined) return { kind: 'refused', field: 'amount', why: noAmount(amount, currency) };
  return { kind: 'day', day, amount: minor };
}

function isDay(text: string): boolean {
  return /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text));
}

function noAmount(text: string, currency: string | undefined): string {
  const like = currency !== undefined && exponentOf(currency) === 0 ? '2500' : '25.00';
  return `${text} is no amount${currency === undefined ? '' : ` in ${currency}`}, such as ${like}.`;
}

/** Whether a write can have it as its key: the API refuses to look for what is none. */
export function mayBeKey(text: string): boolean {
  return /^[\x20-\x7e]{1,255}$/.test(text) && text !== '.' && text !== '..';
}

export function mayBeResource(text: string): boolean {
  return /^[\x20-\x7e]{1,200}$/.test(text);
}

export function mayBeRequest(text: string): boolean {
  return /^[\x21-\x7e]{1,128}$/.test(text);
}

/** How much a list shows: all that was found, or what there is more of. */
export function foundInWords(shown: number, isMore: boolean): string {
  return isMore ? `The first ${shown}` : `${shown} found`;
}
