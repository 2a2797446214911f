import { z } from 'zod';
import { date } from '../../activities/fields.ts';
import { toWireSum } from '../../activities/money.ts';
import { dayOfReport } from './day-of-report.ts';
import { defineRead } from './read.ts';

/**
 * The balance of every account per currency at the end of a day, as a debit or a credit; both sides have the same total.
 * Without `asOf`: as of today.
 */
export const readTrialBalance = defineRead({
  path: '/api/ledger/trial-balance',
  summary: 'The trial balance, per currency',
  group: 'ledger',
  answers: { kind: 'report', resource: 'trial_balance' },
  params: z.strictObject({}),
  query: z.strictObject({ asOf: date().optional().describe('The last day to include; today if omitted.') }),
  async read(tx, { query }) {
    const asOf = await dayOfReport(tx, query.asOf);
    const rows = await tx.query<BalanceRow>(
      `SELECT a.code, a.name, l.currency, sum(l.amount_minor) AS balance_minor
       FROM journal_lines l
       JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
       JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
       WHERE l.company_id = current_company() AND e.entry_date <= $1
       GROUP BY a.code, a.name, l.currency
       ORDER BY a.code COLLATE "C", l.currency`,
      [asOf],
    );
    const currencies = [...new Set(rows.map(({ currency }) => currency))].sort();
    return {
      asOf,
      items: rows.map((row) => ({
        accountCode: row.code,
        name: row.name,
        currency: row.currency,
        debit: toWireSum(debitOf(row)),
        credit: toWireSum(creditOf(row)),
      })),
      totals: currencies.map((currency) => {
        const inCurrency = rows.filter((row) => row.currency === currency);
        return {
          currency,
          debit: toWireSum(sum(inCurrency.map(debitOf))),
          credit: toWireSum(sum(inCurrency.map(creditOf))),
        };
      }),
    };
  },
});

type BalanceRow = {
  code: string;
  name: string;
  currency: string;
  /** `numeric`, as text: a sum has no limit. */
  balance_minor: string;
};

function debitOf(row: BalanceRow): bigint {
  const balanceMinor = BigInt(row.balance_minor);
  return balanceMinor > 0n ? balanceMinor : 0n;
}

function creditOf(row: BalanceRow): bigint {
  const balanceMinor = BigInt(row.balance_minor);
  return balanceMinor < 0n ? -balanceMinor : 0n;
}

function sum(amountsMinor: readonly bigint[]): bigint {
  return amountsMinor.reduce((total, amountMinor) => total + amountMinor, 0n);
}
