import { z } from 'zod';
import { isCurrency } from './currencies.ts';
import { MAX_AMOUNT } from './money.ts';

/** The field types of request bodies, with all limits of the ledger. No schema here transforms its value. */

/** Text as PostgreSQL and canonical JSON can carry it: no NUL, no lone surrogate. */
function text(maxLength: number) {
  return z
    .string()
    .min(1)
    .max(maxLength)
    .refine(
      (value) => isWellFormed(value) && !value.includes('\0'),
      'must be well-formed Unicode without NUL characters',
    )
    .refine((value) => value.trim() !== '', 'must not be blank');
}

export const name = () => text(200);
export const reference = () => text(200);
export const description = () => text(500);
export const email = () => z.email().min(3).max(200);

/** 1 … 10^13 minor units. */
export const amount = () => z.int().min(1).max(MAX_AMOUNT).meta({ description: 'Minor units of the currency' });
/** -10^13 … 10^13 minor units, not 0 or `-0`. Debit or money in is positive, credit or money out negative. */
export const signedAmount = () =>
  z
    .int()
    .min(-MAX_AMOUNT)
    .max(MAX_AMOUNT)
    .refine((value) => value !== 0, 'must not be 0')
    .meta({ description: 'Minor units of the currency, signed; not 0' });
/** -10^13 … 10^13 minor units. Not `-0`: it equals 0 everywhere except in a fingerprint. */
export const unitPrice = () =>
  z
    .int()
    .min(-MAX_AMOUNT)
    .max(MAX_AMOUNT)
    .refine((value) => !Object.is(value, -0), 'must not be -0')
    .meta({ description: 'Minor units of the currency; negative for a discount over the whole invoice' });
export const basisPoints = () =>
  z
    .int()
    .min(0)
    .max(10_000)
    .refine((value) => !Object.is(value, -0), 'must not be -0');

/** A decimal string in percent with at most 3 places, 0 … 100. */
export const percent = () =>
  z
    .string()
    .regex(/^(0|[1-9]\d{0,2})(\.\d{1,3})?$/, 'must be a decimal string with at most 3 places, such as "8.875"')
    .refine((value) => Number(value) <= 100, 'must be at most 100')
    .meta({ description: 'Percent, a decimal string with at most 3 places, 0 to 100' });

/** 0 … `most` whole days. */
export const days = (most: number) =>
  z
    .int()
    .min(0)
    .max(most)
    .refine((value) => !Object.is(value, -0), 'must not be -0')
    .meta({ description: 'Days' });

/** 0 … 10^13 minor units of whichever currency. */
export const tolerance = () =>
  z
    .int()
    .min(0)
    .max(MAX_AMOUNT)
    .refine((value) => !Object.is(value, -0), 'must not be -0')
    .meta({ description: 'Minor units of the currency in question' });

const MAX_UNITS = 1_000_000_000;

/** 0 … 10^9 units of stock. */
export const wholeUnits = () =>
  z
    .int()
    .min(0)
    .max(MAX_UNITS)
    .refine((value) => !Object.is(value, -0), 'must not be -0')
    .meta({ description: 'Whole units' });

/** A change of stock by up to 10^9 units, not 0. */
export const unitsDelta = () =>
  z
    .int()
    .min(-MAX_UNITS)
    .max(MAX_UNITS)
    .refine((value) => value !== 0, 'must not be 0')
    .meta({ description: 'Whole units; positive adds to stock, negative removes from it' });

/** A decimal string with at most 4 places, above 0 and at most 10^9. */
export const quantity = () =>
  z
    .string()
    .regex(/^(0|[1-9]\d{0,9})(\.\d{1,4})?$/, 'must be a decimal string with at most 4 places, such as "1.5"')
    .refine((value) => Number(value) > 0 && Number(value) <= 1e9, 'must be above 0 and at most 1000000000')
    .meta({ description: 'A decimal string with at most 4 places, above 0 and at most 10^9' });

export const currency = () =>
  z
    .string()
    .regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code, such as "USD"')
    .refine(isCurrency, 'must be an active currency of ISO 4217')
    .meta({ description: 'An active code of ISO 4217' });

/** A calendar date, `YYYY-MM-DD`, of the years 1900 to 2999. */
export const date = () =>
  z.iso
    .date()
    .regex(/^(19|2\d)\d\d-/, 'must be a date from 1900-01-01 to 2999-12-31')
    // Repeated for the OpenAPI document: zod omits the format once a pattern is added.
    .meta({ format: 'date', description: 'From 1900-01-01 to 2999-12-31' });

/** A path parameter: the calendar year in which a fiscal year ends. */
export const fiscalYear = () =>
  z
    .string()
    .regex(/^(19|2\d)\d\d$/, 'must be a year from 1900 to 2999')
    .meta({ description: 'The year in which it ends, from 1900 to 2999' });

/** A day and month, `MM-DD`; `02-29` is the last day of February. */
export const dayOfYear = () =>
  z
    .string()
    .regex(
      /^((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|[12]\d))$/,
      'must be a day and month MM-DD, such as "12-31"',
    )
    .meta({ description: 'MM-DD; 02-29 is the last day of February' });

export const accountCode = () => z.string().regex(/^[A-Za-z0-9.-]{1,20}$/, 'must be an account code, such as "4000"');

/** The body of a change: each member may be left out, but not all of them. */
export const atLeastOneMember = <B extends z.ZodObject>(members: B): B =>
  members
    .refine((body) => Object.keys(body).length > 0, {
      message: 'must have at least one member',
      // Unknown ones are told alone.
      when: ({ issues }) => issues.length === 0,
    })
    .meta({ minProperties: 1 }) as B;

/** A version number for optimistic concurrency or rotation. */
export const version = () => z.int().min(1).max(1_000_000_000);

/** The form only; the operation checks in the database whether the time zone exists. */
export const timeZone = () =>
  z
    .string()
    .max(64)
    .regex(/^[A-Za-z][A-Za-z0-9_+/-]*$/, 'must be a name of the IANA time zone database, such as "Europe/London"');

/** The form only; `webhooks/` checks the allowed targets when the URL is set and again at each attempt. */
export const webhookUrl = () =>
  z
    .url({ protocol: /^https?$/, error: 'must be an https URL' })
    .max(2_000)
    .meta({ format: 'uri', description: 'https, on port 443 or 8443' });

/** The ID of a resource, case-insensitive. */
export const id = () => z.uuid().toLowerCase();

/** Any JSON object of at most 16,000 characters of JSON; its meaning is the client's. */
export const document = () =>
  z.preprocess(
    (value, context) => {
      const fault = documentFault(value) ?? (JSON.stringify(value ?? null).length > 16_000 ? TOO_LONG : undefined);
      if (fault !== undefined) context.addIssue({ code: 'custom', input: value, message: fault });
      return value;
    },
    z.record(z.string().min(1), z.unknown()).meta({ description: 'Any JSON object of at most 16000 characters' }),
  );

/** Free-form notes of the client: up to 20 keys of 40 characters, values of 500. */
export const metadata = () =>
  z.preprocess(
    (value, context) => {
      // z.record would silently drop this key.
      if (typeof value === 'object' && value !== null && Object.hasOwn(value, '__proto__')) {
        context.addIssue({ code: 'custom', input: value, message: 'must not have the key "__proto__"' });
      }
      return value;
    },
    z
      .record(text(40), text(500))
      .refine((value) => Object.keys(value).length <= 20, 'must have at most 20 keys')
      .meta({
        description: 'Your own notes: at most 20 keys of up to 40 characters, values of up to 500',
        maxProperties: 20,
      }),
  );

// TypeScript's library for our target lacks this ES2024 method; Node has it.
function isWellFormed(value: string): boolean {
  return (value as string & { isWellFormed(): boolean }).isWellFormed();
}

const TOO_LONG = 'must have at most 16000 characters of JSON';

/** The reason why PostgreSQL or a fingerprint could not represent the value, at any depth; undefined when they can. */
function documentFault(value: unknown): string | undefined {
  if (typeof value === 'string') {
    return isWellFormed(value) && !value.includes('\0')
      ? undefined
      : 'must be well-formed Unicode without NUL characters';
  }
  if (typeof value === 'number') {
    return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? undefined : 'must have no number beyond the safe integers';
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (Object.hasOwn(value, '__proto__')) return 'must not have the key "__proto__"';
  const parts = [...Object.keys(value), ...Object.values(value)];
  return parts.map(documentFault).find((fault) => fault !== undefined);
}
