import { z } from 'zod';
import { date } from '../../activities/fields.ts';
import { toWireSum } from '../../activities/money.ts';
import { dayOfReport } from './day-of-report.ts';
import { type AmountRow, currenciesOf, sumOf, toItem } from './profit-and-loss.ts';
import { defineRead } from './read.ts';

/**
 * Assets, liabilities and equity at the end of a day by account and currency, each positive on its own side. The result is what
 * the income and expense accounts hold then: that of the years which are not closed as of that day. So assets are liabilities,
 * equity and result together, exactly, as every entry sums to zero. Without `asOf`: as of today.
 */
export const readBalanceSheet = defineRead({
  path: '/api/reports/balance-sheet',
  summary: 'Assets, liabilities, equity and the result that is not closed, per currency',
  group: 'ledger',
  answers: { kind: 'report', resource: 'balance_sheet' },
  params: z.strictObject({}),
  query: z.strictObject({ asOf: date().optional().describe('The last day to include; today if omitted.') }),
  async read(tx, { query }) {
    const asOf = await dayOfReport(tx, query.asOf);
    const rows = await tx.query<AmountRow>(
      `SELECT a.code, a.name, a.type, l.currency,
         CASE WHEN a.type IN ('asset', 'expense') THEN sum(l.amount_minor) ELSE -sum(l.amount_minor) END AS amount_minor
       FROM journal_lines l
       JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
       JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
       WHERE l.company_id = current_company() AND e.entry_date <= $1
       GROUP BY a.code, a.name, a.type, l.currency
       ORDER BY a.code COLLATE "C", l.currency`,
      [asOf],
    );
    return {
      asOf,
      items: rows.filter(({ type }) => type !== 'income' && type !== 'expense').map(toItem),
      totals: currenciesOf(rows).map((currency) => ({
        currency,
        assets: toWireSum(sumOf(rows, 'asset', currency)),
        liabilities: toWireSum(sumOf(rows, 'liability', currency)),
        equity: toWireSum(sumOf(rows, 'equity', currency)),
        result: toWireSum(sumOf(rows, 'income', currency) - sumOf(rows, 'expense', currency)),
      })),
    };
  },
});
