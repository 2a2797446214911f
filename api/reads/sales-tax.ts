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
 * The tax that write-offs give up is a share of the tax of their invoice. All that is given up of an invoice as of a day, by the
 * dates of entries, is spread over its rates in proportion to the tax of each, by largest remainder, ties to the lower rate. A
 * period has the difference of what is spread as of its last day and before its first one: the rates always sum to what was
 * posted, and an invoice that is written off as a whole takes off the tax of each rate. Nothing that is dated later changes it.
 */
const RATES = `
  WITH ${postedDocuments({ from: '$1', to: '$2' })},
  relief AS (
    SELECT i.id AS invoice_id, i.currency, i.tax_minor AS of_invoice, standing.at_end, standing.before
    FROM invoices i
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(w.tax_minor) FILTER (WHERE off.entry_date <= $2 AND (back.entry_date <= $2) IS NOT TRUE), 0) AS at_end,
        coalesce(sum(w.tax_minor) FILTER (WHERE off.entry_date < $1 AND (back.entry_date < $1) IS NOT TRUE), 0) AS before
      FROM write_offs w
      JOIN journal_entries off ON off.company_id = w.company_id AND off.id = w.journal_entry_id
      LEFT JOIN journal_entries back ON back.company_id = w.company_id AND back.reverses = w.journal_entry_id
      WHERE w.company_id = i.company_id AND w.invoice_id = i.id AND w.tax_relief
    ) AS standing
    WHERE i.company_id = current_company() AND i.id IN (
      SELECT w.invoice_id FROM posted p
      JOIN write_offs w ON w.company_id = current_company() AND w.journal_entry_id = p.entry_id
      WHERE w.tax_relief AND w.tax_minor <> 0
    )
  ),
  share AS (
    SELECT f.invoice_id, f.currency, moment.times, moment.relieved, r.rate, part.down, part.remainder
    FROM relief f
    CROSS JOIN LATERAL (VALUES (1, f.at_end), (-1, f.before)) AS moment (times, relieved)
    CROSS JOIN LATERAL (
      SELECT tax_rate_thousandths AS rate, sum(tax_minor) AS tax_minor FROM invoice_lines
      WHERE company_id = current_company() AND invoice_id = f.invoice_id
      GROUP BY tax_rate_thousandths HAVING sum(tax_minor) <> 0
    ) AS r
    CROSS JOIN LATERAL (SELECT moment.relieved * r.tax_minor * sign(f.of_invoice)::numeric AS product, abs(f.of_invoice)::numeric AS whole) AS of
    CROSS JOIN LATERAL (SELECT mod(mod(of.product, of.whole) + of.whole, of.whole) AS remainder) AS rest
    CROSS JOIN LATERAL (SELECT rest.remainder, div(of.product - rest.remainder, of.whole) AS down) AS part
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
      SELECT share.*, row_number() OVER (PARTITION BY invoice_id, times ORDER BY remainder DESC, rate) AS place,
        relieved - sum(down) OVER (PARTITION BY invoice_id, times) AS units_left
      FROM share
    ) AS spread
  )
  SELECT rate, currency, sum(base_minor) AS base_minor, sum(tax_minor) AS tax_minor,
    sum(credited_base_minor) AS credited_base_minor, sum(credited_tax_minor) AS credited_tax_minor,
    sum(written_off_tax_minor) AS written_off_tax_minor
  FROM movement
  GROUP BY rate, currency
  ORDER BY currency, rate`;
