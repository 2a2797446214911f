import { z } from 'zod';
import { CLAIMS } from '../../activities/controls/invoices.ts';
import type { Tx } from '../../activities/database.ts';
import { date } from '../../activities/fields.ts';
import { ACCOUNTS } from '../../activities/ledger/accounts.ts';
import { toWireSum } from '../../activities/money.ts';
import { dayOfReport } from './day-of-report.ts';
import { postedBy, postedDocuments } from './posted-documents.ts';
import { defineRead } from './read.ts';
import { readRates, SALES_TAX_OPERATIONS, taxByCurrency } from './sales-tax.ts';

/**
 * Each account that a sub-ledger explains, with that sub-ledger at the end of a day, as in the books: debit positive.
 *
 * A control account is explained as a whole: nothing but its own operations may post to it. To the others, entries by hand are
 * posted as well, which pay out what is owed; they stand beside the comparison, which is of what the sub-ledger's operations
 * have posted. The receivable and stock go by the dates of their documents, tax and pay by those of their entries.
 */
export const readTieOut = defineRead({
  path: '/api/reports/tie-out',
  summary: 'Each account with its sub-ledger as of a day',
  group: 'ledger',
  answers: { kind: 'report', resource: 'tie_out' },
  params: z.strictObject({}),
  query: z.strictObject({ asOf: date().optional().describe('The last day to include; today if omitted.') }),
  async read(tx, { query }) {
    const asOf = await dayOfReport(tx, query.asOf);
    const posted = await tx.query<PostedRow>(
      `WITH ${postedBy({ from: '$1', to: '$2', codes: '$3', operations: '$4' })} SELECT * FROM ledger`,
      [null, asOf, [...CONTROL_ACCOUNTS, ...SHARED_ACCOUNTS], [...SALES_TAX_OPERATIONS, 'executePayroll']],
    );
    const subledgers = new Map<string, ReadonlyMap<string, bigint>>([
      [ACCOUNTS.receivable, await sums(tx, RECEIVABLE, [asOf])],
      [ACCOUNTS.inventory, await sums(tx, INVENTORY, [asOf])],
      [ACCOUNTS.salesTax, negative(taxByCurrency(await readRates(tx, { from: null, to: asOf })))],
      ...(await paySums(tx, asOf)),
    ]);
    return { asOf, items: [...subledgers].flatMap(([code, sub]) => itemsOf(code, sub, posted)) };
  },
});

/** Nothing but the operations of their sub-ledger posts to them. */
const CONTROL_ACCOUNTS: readonly string[] = [ACCOUNTS.receivable, ACCOUNTS.inventory];
const SHARED_ACCOUNTS: readonly string[] = [
  ACCOUNTS.salesTax,
  ACCOUNTS.payrollTaxes,
  ACCOUNTS.payrollDeductions,
  ACCOUNTS.wagesPayable,
];

type PostedRow = { code: string; currency: string; own_minor: string; other_minor: string };
/** By currency. */
type Sums = ReadonlyMap<string, bigint>;

function itemsOf(accountCode: string, subledger: Sums, posted: readonly PostedRow[]) {
  const ofAccount = posted.filter(({ code }) => code === accountCode);
  const currencies = [...new Set([...subledger.keys(), ...ofAccount.map(({ currency }) => currency)])].sort();
  const isControl = CONTROL_ACCOUNTS.includes(accountCode);
  return currencies.map((currency) => {
    const row = ofAccount.find((one) => one.currency === currency);
    const [own, other] = [BigInt(row?.own_minor ?? 0), BigInt(row?.other_minor ?? 0)];
    const ledger = isControl ? own + other : own;
    const expected = subledger.get(currency) ?? 0n;
    return {
      accountCode,
      currency,
      ledger: toWireSum(ledger),
      subledger: toWireSum(expected),
      difference: toWireSum(ledger - expected),
      otherPostings: toWireSum(isControl ? 0n : other),
    };
  });
}

function negative(amounts: Sums): Sums {
  return new Map([...amounts].map(([currency, amount]) => [currency, -amount]));
}

async function sums(tx: Tx, sql: string, values: readonly unknown[]): Promise<Sums> {
  const rows = await tx.query<{ currency: string; amount_minor: string }>(sql, values);
  return new Map(rows.map((row) => [row.currency, BigInt(row.amount_minor)]));
}

/** What is due on invoices, by the documents. */
const RECEIVABLE = `
  SELECT i.currency, sum(m.amount_minor) AS amount_minor
  FROM (${CLAIMS}
  ) AS m JOIN invoices i ON i.company_id = m.company_id AND i.id = m.invoice_id
  WHERE m.company_id = current_company() AND m.day <= $1::date GROUP BY i.currency`;

/** What items are worth, by their movements. */
const INVENTORY = `
  SELECT currency, sum(value_delta_minor) AS amount_minor FROM inventory_movements
  WHERE company_id = current_company() AND moved_on <= $1::date GROUP BY currency`;

/** What the payslips of executed runs leave owed, by the account that owes it. */
async function paySums(tx: Tx, asOf: string): Promise<[string, Sums][]> {
  const rows = await tx.query<{ currency: string; taxes: string; deductions: string; net: string }>(PAY, [null, asOf]);
  const of = (amount: 'taxes' | 'deductions' | 'net'): Sums =>
    new Map(rows.map((row) => [row.currency, -BigInt(row[amount])]));
  return [
    [ACCOUNTS.payrollTaxes, of('taxes')],
    [ACCOUNTS.payrollDeductions, of('deductions')],
    [ACCOUNTS.wagesPayable, of('net')],
  ];
}

const PAY = `
  WITH ${postedDocuments({ from: '$1', to: '$2' })}
  SELECT r.currency, sum(p.times * (s.tax_minor + s.employer_tax_minor)) AS taxes,
    sum(p.times * (s.pre_tax_deductions_minor + s.post_tax_deductions_minor)) AS deductions, sum(p.times * s.net_minor) AS net
  FROM posted p
  JOIN pay_runs r ON r.company_id = current_company() AND r.journal_entry_id = p.entry_id
  JOIN payslips s ON s.company_id = r.company_id AND s.pay_run_id = r.id
  GROUP BY r.currency`;
