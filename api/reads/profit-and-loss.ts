import { z } from 'zod';
import { toWireSum } from '../../activities/money.ts';
import { periodOfReport, reportPeriod } from './period-of-report.ts';
import { defineRead } from './read.ts';

/**
 * Income and expenses of a period by account and currency, each positive on its own side, by the dates of entries. The entries
 * that close and reopen fiscal years are left out: they would take the income of a whole year off on its last day.
 */
export const readProfitAndLoss = defineRead({
  path: '/api/reports/profit-and-loss',
  summary: 'Income and expenses of a period, per currency',
  group: 'ledger',
  answers: { kind: 'report', resource: 'profit_and_loss' },
  params: z.strictObject({}),
  query: z.strictObject(reportPeriod),
  async read(tx, { query }) {
    const { from, to } = await periodOfReport(tx, query);
    const rows = await tx.query<AmountRow>(
      `SELECT a.code, a.name, a.type, l.currency,
         CASE a.type WHEN 'income' THEN -sum(l.amount_minor) ELSE sum(l.amount_minor) END AS amount_minor
       FROM journal_lines l
       JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
       JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
       WHERE l.company_id = current_company() AND e.entry_date BETWEEN coalesce($1::date, '-infinity') AND $2
         AND entry_kind(e.operation) = 'normal' AND a.type IN ('income', 'expense')
       GROUP BY a.code, a.name, a.type, l.currency
       ORDER BY a.code COLLATE "C", l.currency`,
      [from, to],
    );
    return {
      from,
      to,
      items: rows.map(toItem),
      totals: currenciesOf(rows).map((currency) => {
        const [income, expense] = [sumOf(rows, 'income', currency), sumOf(rows, 'expense', currency)];
        return {
          currency,
          income: toWireSum(income),
          expense: toWireSum(expense),
          result: toWireSum(income - expense),
        };
      }),
    };
  },
});

/** The balance of an account in a currency, positive on the side of its type. */
export type AmountRow = {
  code: string;
  name: string;
  type: 'asset' | 'liability' | 'equity' | 'income' | 'expense';
  currency: string;
  /** `numeric`, as text: a sum has no limit. */
  amount_minor: string;
};

export function toItem({ code, name, type, currency, amount_minor: amountMinor }: AmountRow) {
  return { accountCode: code, name, type, currency, amount: toWireSum(BigInt(amountMinor)) };
}

export function currenciesOf(rows: readonly AmountRow[]): readonly string[] {
  return [...new Set(rows.map(({ currency }) => currency))].sort();
}

export function sumOf(rows: readonly AmountRow[], type: AmountRow['type'], currency: string): bigint {
  return rows
    .filter((row) => row.type === type && row.currency === currency)
    .reduce((sum, row) => sum + BigInt(row.amount_minor), 0n);
}
