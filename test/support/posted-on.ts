import type { ApiClient } from './client.ts';

/** The newest entries of an invoice and of what happened to it: operation, day, and the amounts by account. */
export async function postedOn(api: ApiClient, invoiceId: string, count: number): Promise<readonly unknown[][]> {
  const { entries } = (await api.get(`/api/invoices/${invoiceId}`)).json;
  return entries
    .slice(0, count)
    .map(({ date, source, lines }: Entry) => [
      source.operation,
      date,
      Object.fromEntries(lines.map(({ accountCode, amount }) => [accountCode, amount])),
    ]);
}

type Entry = {
  readonly date: string;
  readonly source: { readonly operation: string };
  readonly lines: readonly { readonly accountCode: string; readonly amount: number }[];
};
