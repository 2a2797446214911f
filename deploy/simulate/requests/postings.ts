import { rowId } from '../../../activities/identity.ts';
import type { BankTransaction, Books, Entry, Posted, Write } from './books.ts';

/** Posts the entry of a write, and answers its ID; lines of zero are left out. */
export function post(
  books: Books,
  entry: {
    readonly id?: string;
    readonly date: string;
    /** In the currency of the entry, unless a line has its own. */
    readonly lines: readonly (readonly [account: string, amount: bigint, currency?: string])[];
    readonly currency: string;
    readonly difference?: BankTransaction;
  },
  { operation, id: writeId }: Write,
): string {
  const { id = rowId(writeId, 'journal_entries', 0), date, difference } = entry;
  const lines = entry.lines
    .map(([account, amount, currency = entry.currency], position) => ({
      id: rowId(writeId, 'journal_lines', position),
      account,
      amount,
      currency,
    }))
    .filter(({ amount }) => amount !== 0n);
  for (const { id: lineId, ...line } of lines) {
    if (books.accounts.get(line.account)?.isBank) books.bankLines.set(lineId, { ...line, writeId, matched: undefined });
    addTo(books, line, date);
  }
  const lineIds = lines.map((line) => line.id);
  books.entries.set(id, { writeId, operation, date, lines, lineIds, difference, isReversed: false });
  return id;
}

/** Posts the mirror of an entry that is there. */
export function postMirrorOf(books: Books, entryId: string, date: string): void {
  const entry = books.entries.get(entryId);
  if (entry === undefined) throw new Error('Bug! A document without its entry');
  postMirror(books, entry, date);
}

/** Posts what undoes an entry. Its lines have IDs of their own, which no request names. */
export function postMirror(books: Books, { lines }: Entry, date: string): void {
  for (const line of lines) addTo(books, { ...line, amount: -line.amount }, date);
}

function addTo({ balances, postings }: Books, { account, amount, currency }: Posted, date: string): void {
  const name = `${account} ${currency}`;
  balances.set(name, (balances.get(name) ?? 0n) + amount);
  postings.push({ account, amount, currency, date });
}
