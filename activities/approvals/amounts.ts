import type { DocumentAmount, Written } from '../operation.ts';

type Body = Readonly<Record<string, unknown>>;
type Amount = (written: Pick<Written, 'body' | 'moved'>) => DocumentAmount;

/** The amount at this place of a document, whichever its sign, in the document's currency. */
export function amountAt(...path: readonly string[]): Amount {
  return ({ body }) => {
    const value = path.reduce<unknown>((at, name) => (at as Body | undefined)?.[name], body);
    return { amount: absolute(value), currency: currencyOf(body) };
  };
}

/** What an entry debits, which is what it credits. */
export const amountOfEntry: Amount = ({ body }) => {
  const lines = body['lines'] as readonly { readonly amount: number | string; readonly currency: string }[];
  const debits = lines.map(({ amount }) => BigInt(amount)).filter((amount) => amount > 0n);
  return { amount: debits.reduce((sum, amount) => sum + amount, 0n), currency: lines[0]?.currency ?? '' };
};

/** What the write itself says that it moves, whichever its sign. */
export const amountMoved: Amount = ({ moved }) => {
  if (moved === undefined) throw new Error('Bug! The write does not say what it moves');
  return { ...moved, amount: absolute(moved.amount) };
};

function absolute(value: unknown): bigint {
  if (typeof value !== 'number' && typeof value !== 'string' && typeof value !== 'bigint')
    throw new Error('Bug! The document has no such amount');
  const amount = BigInt(value);
  return amount < 0n ? -amount : amount;
}

function currencyOf({ currency }: Body): string {
  if (typeof currency !== 'string') throw new Error('Bug! The document has no currency');
  return currency;
}
