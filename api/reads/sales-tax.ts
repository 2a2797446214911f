import { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import { ACCOUNTS } from '../../activities/ledger/accounts.ts';
import { formatPercent, toWireSum } from '../../activities/money.ts';
import { type Period, periodOfReport, reportPeriod } from './period-of-report.ts';
import { postedBy, postedDocuments } from './posted-documents.ts';
import { defineRead } from './read.ts';

/**
 * The sales tax of a period by rate and currency, by the dates of entries: what is voided, or taken back, comes off on its own
 * day. The totals compare what the documents say with what their operations have posted to sales tax payable, which is the same
 * whenever the books are right; what others have posted there, such as the payment of the tax, stands beside it.
 */
export const readSalesTax = defineRead({
  path: '/api/reports/sales-tax',
  summary: 'Sales tax by rate, tied to its account',
  group: 'ledger',
  answers: { kind: 'report', resource: 'sales_tax' },
  params: z.strictObject({}),
  query: z.strictObject(reportPeriod),
  async read(tx, { query }) {
    const period = await periodOfReport(tx, query);
    const [rates, posted] = [await readRates(tx, period), await readPosted(tx, period)];
    const taxes = taxByCurrency(rates);
    const currencies = [...new Set([...taxes.keys(), ...posted.map(({ currency }) => currency)])].sort();
    return {
      ...period,
      items: rates.map((row) => ({
        rate: formatPercent(row.rate),
        currency: row.currency,
        base: toWireSum(BigInt(row.base_minor)),
        tax: toWireSum(BigInt(row.tax_minor)),
        creditedBase: toWireSum(BigInt(row.credited_base_minor)),
        creditedTax: toWireSum(BigInt(row.credited_tax_minor)),
        writtenOffTax: toWireSum(BigInt(row.written_off_tax_minor)),
      })),
      totals: currencies.map((currency) => {
        const account = posted.find((row) => row.currency === currency);
        return {
          currency,
          tax: toWireSum(taxes.get(currency) ?? 0n),
          // A debt of the company: what is credited to the account is positive here.
          ledger: toWireSum(-BigInt(account?.own_minor ?? 0)),
          otherPostings: toWireSum(-BigInt(account?.other_minor ?? 0)),
        };
      }),
    };
  },
});

/** Operations that post to sales tax payable; what takes their entries back reverses these. */
export const SALES_TAX_OPERATIONS = ['finalizeInvoice', 'createCreditNote', 'writeOffInvoice'];

/** The sums are `numeric`, as text: they have no limit. */
export type RateRow = {
  /** In thousandths of a percent. */
  rate: number;
  currency: string;
  base_minor: string;
  tax_minor: string;
  credited_base_minor: string;
  credited_tax_minor: string;
  written_off_tax_minor: string;
};

/** What the documents of a period say, by rate and currency. */
export function readRates(tx: Tx, { from, to }: Period): Promise<RateRow[]> {
  return tx.query<RateRow>(RATES, [from, to]);
}

/** What is owed in each currency by these rows. */
export function taxByCurrency(rates: readonly RateRow[]): ReadonlyMap<string, bigint> {
  const taxes = new Map<string, bigint>();
  for (const row of rates) {
    const owed = BigInt(row.tax_minor) - BigInt(row.credited_tax_minor) - BigInt(row.written_off_tax_minor);
    taxes.set(row.currency, (taxes.get(row.currency) ?? 0n) + owed);
  }
  return taxes;
}

function readPosted(tx: Tx, { from, to }: Period) {
  return tx.query<{ currency: string; own_minor: string; other_minor: string }>(
    `WITH ${postedBy({ from: '$1', to: '$2', codes: '$3', operations: '$4' })}
     SELECT currency, own_minor, other_minor FROM ledger`,
    [from, to, [ACCOUNTS.salesTax], SALES_TAX_OPERATIONS],
  );
}

/**
 * The tax that a write-off gives up is a share of the tax of its invoice. Here it is spread over the rates of the invoice in
 * proportion to the tax of each, by largest remainder, ties to the lower rate: so the rates sum to what was posted, and a
 * recovery takes off again what its write-off took, whatever comes between them.
 */
const RATES = `
  WITH ${postedDocuments({ from: '$1', to: '$2' })},
  share AS (
    SELECT p.entry_id, p.times, w.tax_minor, i.currency, r.rate, part.down, part.remainder
    FROM posted p
    JOIN write_offs w ON w.company_id = current_company() AND w.journal_entry_id = p.entry_id AND w.tax_relief
    JOIN invoices i ON i.company_id = w.company_id AND i.id = w.invoice_id
    JOIN (
      SELECT invoice_id, tax_rate_thousandths AS rate, sum(tax_minor) AS tax_minor FROM invoice_lines
      WHERE company_id = current_company() GROUP BY invoice_id, tax_rate_thousandths
    ) AS r ON r.invoice_id = w.invoice_id AND r.tax_minor <> 0
    CROSS JOIN LATERAL (SELECT w.tax_minor * r.tax_minor * sign(i.tax_minor)::numeric AS product, abs(i.tax_minor)::numeric AS whole) AS of
    CROSS JOIN LATERAL (SELECT mod(mod(of.product, of.whole) + of.whole, of.whole) AS remainder) AS rest
    CROSS JOIN LATERAL (SELECT rest.remainder, div(of.product - rest.remainder, of.whole) AS down) AS part
    WHERE w.tax_minor <> 0
  ),
  movement (rate, currency, base_minor, tax_minor, credited_base_minor, credited_tax_minor, written_off_tax_minor) AS (
    SELECT l.tax_rate_thousandths, i.currency, p.times * l.net_minor, p.times * l.tax_minor, 0, 0, 0
    FROM posted p
    JOIN invoices i ON i.company_id = current_company() AND i.journal_entry_id = p.entry_id
    JOIN invoice_lines l ON l.company_id = i.company_id AND l.invoice_id = i.id
    UNION ALL
    SELECT l.tax_rate_thousandths, n.currency, 0, 0, p.times * c.net_minor, p.times * c.tax_minor, 0
    FROM posted p
    JOIN credit_notes n ON n.company_id = current_company() AND n.journal_entry_id = p.entry_id
    JOIN credit_note_lines c ON c.company_id = n.company_id AND c.credit_note_id = n.id
    JOIN invoice_lines l ON l.company_id = c.company_id AND l.invoice_id = c.invoice_id AND l.line_number = c.line_number
    UNION ALL
    SELECT rate, currency, 0, 0, 0, 0, times * (down + CASE WHEN place <= units_left THEN 1 ELSE 0 END)
    FROM (
      SELECT share.*, row_number() OVER (PARTITION BY entry_id ORDER BY remainder DESC, rate) AS place,
        tax_minor - sum(down) OVER (PARTITION BY entry_id) AS units_left
      FROM share
    ) AS spread
  )
  SELECT rate, currency, sum(base_minor) AS base_minor, sum(tax_minor) AS tax_minor,
    sum(credited_base_minor) AS credited_base_minor, sum(credited_tax_minor) AS credited_tax_minor,
    sum(written_off_tax_minor) AS written_off_tax_minor
  FROM movement
  GROUP BY rate, currency
  ORDER BY currency, rate`;
