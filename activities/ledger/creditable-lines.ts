import type { Tx } from '../database.ts';

/** The lines of one invoice by their numbers. */
export type CreditableLines = ReadonlyMap<number, CreditableLine>;

export type CreditableLine = {
  /** The code of its income account. */
  readonly account: string;
  readonly netMinor: bigint;
  readonly taxMinor: bigint;
  /** What no credit note has credited yet; the notes of a set take from it one after another. */
  readonly left: { netMinor: bigint; taxMinor: bigint };
};

/** Reads the lines of invoices that this transaction holds, by invoice. */
export async function loadCreditableLines(
  tx: Tx,
  companyId: string,
  invoiceIds: readonly string[],
): Promise<ReadonlyMap<string, CreditableLines>> {
  const rows = await tx.query<LineRow>(
    `SELECT l.invoice_id, l.line_number, a.code AS account, l.net_minor, l.tax_minor,
       l.net_minor - c.net_minor AS net_left_minor, l.tax_minor - c.tax_minor AS tax_left_minor
     FROM invoice_lines l
     JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
     CROSS JOIN LATERAL (
       SELECT coalesce(sum(n.net_minor), 0)::bigint AS net_minor, coalesce(sum(n.tax_minor), 0)::bigint AS tax_minor
       FROM credit_note_lines n
       WHERE n.company_id = l.company_id AND n.invoice_id = l.invoice_id AND n.line_number = l.line_number
     ) AS c
     WHERE l.company_id = $1 AND l.invoice_id = ANY ($2::uuid[])`,
    [companyId, [...new Set(invoiceIds)]],
  );
  const linesOf = new Map<string, Map<number, CreditableLine>>();
  for (const row of rows) {
    const lines = linesOf.get(row.invoice_id) ?? new Map<number, CreditableLine>();
    linesOf.set(row.invoice_id, lines);
    lines.set(row.line_number, {
      account: row.account,
      netMinor: row.net_minor,
      taxMinor: row.tax_minor,
      left: { netMinor: row.net_left_minor, taxMinor: row.tax_left_minor },
    });
  }
  return linesOf;
}

type LineRow = {
  invoice_id: string;
  line_number: number;
  account: string;
  net_minor: bigint;
  tax_minor: bigint;
  net_left_minor: bigint;
  tax_left_minor: bigint;
};
