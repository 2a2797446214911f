import type { DocumentAmount } from '../operation.ts';

type Body = Readonly<Record<string, unknown>>;

/** The amount at this place of a document, whichever its sign, in the document's currency. */
export function amountAt(...path: readonly string[]): (body: Body) => DocumentAmount {
  return (body) => {
    const value = path.reduce<unknown>((at, name) => (at as Body | undefined)?.[name], body);
    return { amount: absolute(value), currency: currencyOf(body) };
  };
}

/** What an entry debits, which is what it credits. */
export function amountOfEntry(body: Body): DocumentAmount {
  const lines = body['lines'] as readonly { readonly amount: number | string; readonly currency: string }[];
  const debits = lines.map(({ amount }) => BigInt(amount)).filter((amount) => amount > 0n);
  return { amount: debits.reduce((sum, amount) => sum + amount, 0n), currency: lines[0]?.currency ?? '' };
}

function absolute(value: unknown): bigint {
  if (typeof value !== 'number' && typeof value !== 'string') throw new Error('Bug! The document has no such amount');
  const amount = BigInt(value);
  return amount < 0n ? -amount : amount;
}

function currencyOf({ currency }: Body): string {
  if (typeof currency !== 'string') throw new Error('Bug! The document has no currency');
  return currency;
}
