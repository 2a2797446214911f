/** A kind of document that has numbers of its own: from 1 in each company, without gaps (`number_counters.kind`). */
export type NumberKind = keyof typeof PREFIXES;

const PREFIXES = { invoice: 'INV', payment: 'RCT', credit_note: 'CRN', refund: 'RFD' } as const;

/** Stands in a body for the number that the end of the transaction takes; no number is empty. */
export const NUMBER_TO_COME = '';

/** `RCT-000001`: at least six digits, as `document_number` of the database writes it. Null: taken at the end. */
export function documentNumber(kind: NumberKind, number: number | null): string {
  return number === null ? NUMBER_TO_COME : `${PREFIXES[kind]}-${String(number).padStart(6, '0')}`;
}
