import { InvalidArgumentError, Option } from 'commander';
import { isCurrency } from '../../activities/currencies.ts';
import { email, id, name } from '../../activities/fields.ts';
import { isKey } from '../../activities/identity.ts';
import { MAX_TOKEN_LIFETIME_S } from '../../api/http/auth.ts';

const SECONDS = { s: 1, m: 60, h: 60 * 60 } as const;

export function emailArgument(text: string): string {
  const parsed = email().safeParse(text);
  if (parsed.success) return parsed.data.toLowerCase();
  throw new InvalidArgumentError('It must be an e-mail address of at most 200 characters.');
}

export function idArgument(text: string): string {
  const parsed = id().safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError('It must be a UUID.');
}

/** A key without quotes or escapes. */
export function keyArgument(text: string): string {
  if (isKey(text)) return text;
  throw new InvalidArgumentError('It must be an idempotency key without quotes: 1–255 printable ASCII characters.');
}

export function nameArgument(text: string): string {
  if (name().safeParse(text).success) return text;
  throw new InvalidArgumentError('It must have 1 to 200 characters.');
}

export function currencyArgument(text: string): string {
  if (isCurrency(text)) return text;
  throw new InvalidArgumentError('It must be an ISO 4217 code, such as USD.');
}

export function countArgument(max: number) {
  return (text: string): number => {
    const count = Number(text);
    if (/^\d+$/.test(text) && count >= 1 && count <= max) return count;
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${max}.`);
  };
}

/** It is a part of keys. */
export function seedArgument(text: string): string {
  if (/^[A-Za-z0-9._-]{1,50}$/.test(text)) return text;
  throw new InvalidArgumentError('It must have 1 to 50 letters, digits, dots, dashes or underscores.');
}

export function choiceArgument<Choice extends string>(choices: readonly Choice[]) {
  return (text: string): Choice => {
    const choice = choices.find((one) => one === text);
    if (choice !== undefined) return choice;
    throw new InvalidArgumentError(`${text} is not one of ${choices.join(', ')}.`);
  };
}

/** `a,b,c`, each of them read by `one`, without repetitions. The help shows the default as it is typed. */
export function listOption<T>(flags: string, text: string, one: (part: string) => T, byDefault: readonly T[]): Option {
  const read = (list: string): readonly T[] => [...new Set(list.split(',').map((part) => one(part.trim())))];
  return new Option(flags, text).argParser(read).default(byDefault, byDefault.join(','));
}

/** `90s`, `30m`, `12h` → seconds. */
export function ttlArgument(text: string): number {
  const [, count, unit] = /^(\d{1,6})([smh])$/.exec(text) ?? [];
  const seconds = Number(count) * SECONDS[unit as keyof typeof SECONDS];
  if (seconds >= 1 && seconds <= MAX_TOKEN_LIFETIME_S) return seconds;
  throw new InvalidArgumentError('It must be a duration such as 90s, 30m or 12h, at most 24h.');
}
