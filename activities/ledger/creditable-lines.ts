import type { Tx } from '../database.ts';
import { creditedTax } from '../money.ts';

/** The lines of one invoice by their numbers. */
export type CreditableLines = ReadonlyMap<number, CreditableLine>;

export type CreditableLine = {
  /** The code of its income account. */
  readonly account: string;
  readonly netMinor: bigint;
  readonly taxMinor: bigint;
  /** What no credit note has credited yet; the notes of a set take from it one after another. */
  readonly left: CreditLeft;
  /** Likewise of all lines of the invoice at its tax rate together, which share this object. */
  readonly leftAtRate: CreditLeft;
};

/** Minor units, never negative. */
type CreditLeft = { netMinor: bigint; taxMinor: bigint };

/** Reads the lines of invoices that this transaction holds, by invoice. */
export async function loadCreditableLines(
  tx: Tx,
  companyId: string,
  invoiceIds: readonly string[],
): Promise<ReadonlyMap<string, CreditableLines>> {
  const rows = await tx.query<LineRow>(
    `SELECT l.invoice_id, l.line_number, a.code AS account, l.tax_rate_thousandths, l.net_minor, l.tax_minor,
       c.net_minor::bigint AS credited_net_minor, c.tax_minor::bigint AS credited_tax_minor
     FROM invoice_lines l
     JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
     CROSS JOIN LATERAL credited_of_line(l.company_id, l.invoice_id, l.line_number) AS c
     WHERE l.company_id = $1 AND l.invoice_id = ANY ($2::uuid[])`,
    [companyId, [...new Set(invoiceIds)]],
  );
  const rowsOf = new Map<string, LineRow[]>();
  for (const row of rows) {
    const ofInvoice = rowsOf.get(row.invoice_id);
    if (ofInvoice === undefined) rowsOf.set(row.invoice_id, [row]);
    else ofInvoice.push(row);
  }
  return new Map([...rowsOf].map(([invoiceId, ofInvoice]) => [invoiceId, toCreditableLines(ofInvoice)]));
}

type LineRow = InvoiceLine & { invoice_id: string };

/** A line of an invoice with what its credit notes that are not void have credited of it so far. */
export type InvoiceLine = {
  line_number: number;
  account: string;
  tax_rate_thousandths: number;
  net_minor: bigint;
  tax_minor: bigint;
  credited_net_minor: bigint;
  credited_tax_minor: bigint;
};

/**
 * What is left of each of the lines, which are all that the invoice has. A line with a negative amount takes off from the others
 * at its tax rate, so of them less is left together than of each by itself. Nothing is left at a rate where it takes off more
 * than there is, or where earlier releases credited more.
 */
export function toCreditableLines(lines: readonly InvoiceLine[]): CreditableLines {
  const leftAt = new Map<number, CreditLeft>();
  for (const line of lines) {
    const left = leftAt.get(line.tax_rate_thousandths) ?? { netMinor: 0n, taxMinor: 0n };
    left.netMinor += line.net_minor - line.credited_net_minor;
    left.taxMinor += line.tax_minor - line.credited_tax_minor;
    leftAt.set(line.tax_rate_thousandths, left);
  }
  for (const left of leftAt.values()) {
    if (left.netMinor < 0n) left.netMinor = 0n;
    if (left.taxMinor < 0n) left.taxMinor = 0n;
  }
  return new Map(
    lines.map((line) => [
      line.line_number,
      {
        account: line.account,
        netMinor: line.net_minor,
        taxMinor: line.tax_minor,
        left: {
          netMinor: line.net_minor - line.credited_net_minor,
          taxMinor: line.tax_minor - line.credited_tax_minor,
        },
        leftAtRate: leftAt.get(line.tax_rate_thousandths) ?? { netMinor: 0n, taxMinor: 0n },
      },
    ]),
  );
}

/** A part of a line that one note credits: at most what is left of it, and together what is left at the rate. */
type CreditedPart = { readonly line: CreditableLine; readonly netMinor: bigint };

/**
 * The tax of each part that one note credits, in the order of `parts`, which is that of the lines: in proportion to its line, but
 * never more than is left at the rate. The note that exhausts the net of a rate takes all the tax that is left at it, as far as
 * its lines have that much tax left themselves: with negative lines, the shares may be a few units short of it.
 */
export function creditedTaxes(parts: readonly CreditedPart[]): bigint[] {
  const taxes = parts.map(() => 0n);
  for (const rate of new Set(parts.map(({ line }) => line.leftAtRate))) {
    const ofRate = [...parts.entries()].filter(([, { line }]) => line.leftAtRate === rate);
    let taxLeft = rate.taxMinor;
    const give = (index: number, taxMinor: bigint) => {
      const given = taxMinor < taxLeft ? taxMinor : taxLeft;
      taxes[index] = (taxes[index] ?? 0n) + given;
      taxLeft -= given;
    };
    for (const [index, { line, netMinor }] of ofRate) give(index, creditedTax(line, line.left, netMinor));
    const credited = ofRate.reduce((sum, [, { netMinor }]) => sum + netMinor, 0n);
    if (credited !== rate.netMinor) continue;
    for (const [index, { line }] of ofRate) give(index, line.left.taxMinor - (taxes[index] ?? 0n));
  }
  return taxes;
}
