import type { Tx } from '../database.ts';
import type { InvoiceStatus } from '../invoice-status.ts';
import { type Change, firstShortDay, withChange } from '../short-day.ts';

/** Days on which what is due on an invoice changes, as the database has them; null: none that matter. */
export type DueDays = readonly { readonly day: string; readonly amount: string }[] | null;

/** What is due in all, and the days later than the first that is to be posted on which it changes: nearly always none. */
export type Claim = { due_minor: bigint; later: readonly Change[] };

/** An invoice that this transaction holds; the writes of a set change what is due on it one after another. */
export type LockedClaim = Claim & {
  readonly id: string;
  readonly currency: string;
  readonly issue_date: string;
  readonly total_minor: bigint;
  readonly tax_minor: bigint;
  readonly written_off_minor: bigint;
  status: InvoiceStatus;
};

/**
 * Locks invoices in the order of their IDs and reads them, each with the days on which what is due changes after the first of
 * `dates` (undefined: today). Those that the company does not have are left out.
 */
export async function lockClaims(
  tx: Tx,
  companyId: string,
  invoiceIds: readonly string[],
  dates: readonly (string | undefined)[],
): Promise<ReadonlyMap<string, LockedClaim>> {
  const invoices = await tx.query<Omit<LockedClaim, 'later'> & { later: DueDays }>(
    `SELECT id, status, currency, issue_date, total_minor, tax_minor, due_minor, written_off_minor, later
     FROM lock_claims(p_company => $1, p_invoices => $2, p_since => $3)`,
    [companyId, [...new Set(invoiceIds)], firstOf(dates)],
  );
  return new Map(invoices.map((invoice) => [invoice.id, { ...invoice, later: toChanges(invoice.later) }]));
}

/** The first of the dates; null: none is given, so that today is. */
export function firstOf(dates: readonly (string | undefined)[]): string | null {
  const [first = null] = dates.filter((date) => date !== undefined).sort();
  return first;
}

export function toChanges(days: DueDays): readonly Change[] {
  return (days ?? []).map(({ day, amount }) => ({ day, amount: BigInt(amount) }));
}

/**
 * The first day from `date` on as of which less is due than is `taken`, with what is due. Only a refund, a void or a recovery
 * makes more due than there was, so without a later one what is due in all is the least.
 */
export function firstConflict(
  { due_minor: dueMinor, later }: Claim,
  taken: { readonly date: string; readonly taken: bigint },
): { readonly day: string; readonly left: bigint } | undefined {
  return firstShortDay(dueMinor, later, taken);
}

/**
 * The first day from `date` on as of which more than the total would be due, if `raised` were due again from then on: only where
 * a refund was voided later. The invoice must be locked by an earlier statement.
 */
export async function firstDayAboveTotal(
  tx: Tx,
  companyId: string,
  { invoiceId, date, raised }: { readonly invoiceId: string; readonly date: string; readonly raised: bigint },
): Promise<{ readonly day: string; readonly due: bigint } | undefined> {
  const [first] = await tx.query<{ day: string; due_minor: string }>(
    `SELECT day, due_minor::text AS due_minor
     FROM first_day_above_total(p_company => $1, p_invoice => $2, p_since => $3, p_raised => $4)`,
    [companyId, invoiceId, date, raised],
  );
  return first && { day: first.day, due: BigInt(first.due_minor) };
}

/** Takes from what is due, for the next write of the same set. Without later days, there are none that it could make short. */
export function takeFromDue(
  claim: LockedClaim,
  { date, taken }: { readonly date: string; readonly taken: bigint },
): void {
  claim.due_minor -= taken;
  const settled = claim.written_off_minor === 0n ? 'paid' : 'written_off';
  claim.status = claim.due_minor === 0n ? settled : 'partially_paid';
  if (claim.later.length > 0) claim.later = withChange(claim.later, { day: date, amount: -taken });
}

/** The declaration of the rejection for {@link firstDayAboveTotal}, shared by the operations that make more due again. */
export const ABOVE_TOTAL = {
  status: 422,
  title: 'On some day, more than the total of the invoice would be due',
  nextAction: 'fix_request',
  about: { in: 'body', pointer: '/date' },
} as const;

/** The declaration of that rejection, shared by the operations that take from what is due. */
export const AS_OF_CONFLICT = {
  status: 422,
  title: 'On some day, less is due than this takes',
  nextAction: 'fix_request',
} as const;
