import { randomUUID } from 'node:crypto';
import type { ApiClient } from './client.ts';

type Line = readonly [accountCode: string, amountMinor: number];

/** A manual entry; answers the journal entry. */
export function postManually(
  api: ApiClient,
  lines: readonly Line[],
  { date = '2026-02-10', currency = 'USD' }: { date?: string; currency?: string } = {},
) {
  return api.created('/api/ledger/entries', {
    date,
    description: 'By hand',
    currency,
    lines: lines.map(([accountCode, amount]) => ({ accountCode, amount })),
  });
}

/** A line of the bank account in the books; answers its ID, and that of its entry. */
export async function bankLine(
  api: ApiClient,
  amount: number,
  { accountCode = '1000', ...options }: { accountCode?: string; date?: string; currency?: string } = {},
): Promise<{ lineId: string; entryId: string }> {
  const entry = await postManually(
    api,
    [
      [accountCode, amount],
      ['3000', -amount],
    ],
    options,
  );
  return { lineId: entry.lines[0].id, entryId: entry.id };
}

export function bankRow(amount: number, more: object = {}) {
  return {
    bankReference: `ref-${randomUUID()}`,
    date: '2026-02-12',
    amount,
    currency: 'USD',
    description: 'A transfer',
    ...more,
  };
}

/** A bank transaction of that amount; answers its ID. */
export async function bankTransaction(api: ApiClient, amount: number, more: object = {}): Promise<string> {
  const { items } = await api.created('/api/bank-transactions/import', { transactions: [bankRow(amount, more)] });
  return items[0].id;
}

export function matching(...lineIds: readonly string[]) {
  return { matches: lineIds.map((journalLineId) => ({ journalLineId })) };
}

/** A bank transaction with the line of the books that it is reconciled with; answers its ID. */
export async function reconciledBankTransaction(api: ApiClient, amount = 1_234): Promise<string> {
  const { lineId } = await bankLine(api, amount);
  const id = await bankTransaction(api, amount);
  await api.created(`/api/ledger/reconcile/${id}`, matching(lineId));
  return id;
}
