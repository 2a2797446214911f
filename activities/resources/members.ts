import { z } from 'zod';
import { MAX_AMOUNT, type WireSum } from '../money.ts';

/** The field types of the resources' schemas. */

export const resourceId = () => z.string().meta({ format: 'uuid' });
/** Of a document. */
export const numberOf = (example: string) =>
  z.string().meta({ description: `Gapless in the company: ${example}, with more digits beyond 999999` });
export const currencyCode = () => z.string().meta({ description: 'ISO 4217' });
/** Minor units of the resource's currency, never a fraction. */
export const money = () => z.int().min(0).max(MAX_AMOUNT).meta({ description: 'Minor units' });
/** Debit positive, credit negative. */
export const signedMoney = () => z.int().meta({ description: 'Minor units; debit positive, credit negative' });
/** A sum of amounts, or what may post one: `toWireSum`. */
export const moneySum = (what = 'debit positive, credit negative') =>
  (z.union([z.int(), z.string().regex(/^-?[1-9]\d{15,}$/)]) satisfies z.ZodType<WireSum>).meta({
    description: `Minor units; ${what}. A string of digits beyond ±(2^53 − 1)`,
  });
export const calendarDate = () => z.string().meta({ format: 'date' });
export const instant = () => z.string().meta({ format: 'date-time', description: 'RFC 3339, UTC' });
export const notes = () => z.record(z.string(), z.string()).meta({ description: 'The client’s notes, unchanged' });
