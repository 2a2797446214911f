import { z } from 'zod';
import { formatAmount } from '../currencies.ts';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { amount, date, description, id } from '../fields.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { correctionDate, DATE_BEFORE_ORIGINAL } from '../ledger/correction-date.ts';
import { type EntryLine, PERIOD_CLOSED, postEntry } from '../ledger/post-entry.ts';
import { creditedTax } from '../money.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import {
  CREDIT_NOTE_COLUMNS,
  type CreditNoteLine,
  type CreditNoteRow,
  creditNoteResource,
  toCreditNote,
} from '../resources/credit-note.ts';
import type { InvoiceRow } from '../resources/invoice.ts';

const body = z.strictObject({
  lines: z
    .array(
      z.strictObject({
        lineNumber: z.int().min(1).max(200),
        net: amount(),
      }),
    )
    .min(1)
    .max(200)
    .refine((lines) => new Set(lines.map(({ lineNumber }) => lineNumber)).size === lines.length, {
      message: 'must name each line once',
    }),
  reason: description(),
  date: date().optional(),
});

export const createCreditNote = defineOperation({
  name: 'createCreditNote',
  type: 'financial',
  summary: 'Credit an invoice in part, or all that is due on it',
  description:
    'A line can be credited up to the rest of its net. Its tax is credited in proportion (line tax × credited net / line net, ' +
    'rounded half away from zero); the note that credits the rest of a line also credits the rest of its tax. The total cannot ' +
    'exceed the amount due. Posts debit the lines’ income accounts and sales tax payable, credit accounts receivable. The entry ' +
    'is dated `date`, or today in the company’s time zone.',
  method: 'POST',
  path: '/api/invoices/:invoiceId/credit-notes',
  params: z.strictObject({ invoiceId: id() }),
  body,
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 201,
  resource: creditNoteResource,
  event: 'credit_note.created',
  effects: {
    posts: 'always',
    entry: 'Dr 4000, or each line’s account, net · Dr 2100 tax · Cr 1100 total',
    dated: '`date`',
    makes: 'credit_notes',
  },
  rejections: {
    invoice_not_found: { status: 404, title: 'There is no such invoice' },
    invoice_not_creditable: { status: 409, title: 'The invoice is a draft or void' },
    invoice_line_not_found: { status: 422, title: 'The invoice has no such line', nextAction: 'fix_request' },
    credit_exceeds_line: {
      status: 422,
      title: 'The amount exceeds what is left of the line',
      nextAction: 'fix_request',
    },
    credit_exceeds_due: { status: 422, title: 'The amount exceeds what is due', nextAction: 'fix_request' },
    date_before_original: DATE_BEFORE_ORIGINAL,
    period_closed: PERIOD_CLOSED,
  },
  constraints: { period_closed: 'period_closed' },
  examples: [
    {
      name: 'credit-note',
      summary: 'Part of the first line',
      params: { invoiceId: DEMO.finalizedInvoiceId },
      body: { lines: [{ lineNumber: 1, net: 20_000 }], reason: 'Agreed discount', date: '2026-03-12' },
    },
  ],
  summarize: ({ params, body: note }) =>
    `createCreditNote of ${note.lines.length} lines of invoice ${params.invoiceId}`,

  async write(tx, { params, body: note }, context) {
    const [invoice] = await tx.query<LockedInvoice>(
      `SELECT i.id, i.status, i.currency, i.issue_date, i.due_minor, company_today($1) AS today
       FROM lock_invoice($1, $2) AS i`,
      [context.companyId, params.invoiceId],
    );
    if (invoice === undefined) {
      throw context.reject('invoice_not_found', `There is no invoice ${params.invoiceId}.`, '/invoiceId', 'path');
    }
    if (invoice.status === 'draft' || invoice.status === 'void') {
      throw context.reject('invoice_not_creditable', `The invoice is ${invoice.status}.`, '/invoiceId', 'path');
    }
    const lines = await creditLines(tx, invoice, note.lines, context);
    const netMinor = lines.reduce((sum, line) => sum + line.netMinor, 0n);
    const taxMinor = lines.reduce((sum, line) => sum + line.taxMinor, 0n);
    if (netMinor + taxMinor > invoice.due_minor) {
      const [total, due] = [netMinor + taxMinor, invoice.due_minor].map((sum) => formatAmount(sum, invoice.currency));
      throw context.reject('credit_exceeds_due', `The note is over ${total}; ${due} is due.`, '/lines');
    }

    const creditedOn = correctionDate(
      { requested: note.date, today: invoice.today, originalDate: invoice.issue_date },
      context,
    );
    const entryId = await postEntry(
      tx,
      {
        date: creditedOn,
        description: `Credit note ${context.writeId} of invoice ${invoice.id}`,
        lines: entryLines(invoice.currency, lines, { netMinor, taxMinor }),
      },
      context,
    );
    const row = await insertNote(
      tx,
      { invoice, lines, netMinor, taxMinor, creditedOn, reason: note.reason, entryId },
      context,
    );
    return { resourceId: row.id, body: toCreditNote(row, lines) };
  },
});

type LockedInvoice = Pick<InvoiceRow, 'id' | 'status' | 'currency' | 'issue_date' | 'due_minor'> & { today: string };

type CreditedLine = CreditNoteLine & { readonly account: string };

/** The requested net of each line with its tax, in the order of the invoice. */
async function creditLines(
  tx: Tx,
  { id: invoiceId, currency }: LockedInvoice,
  requested: readonly { readonly lineNumber: number; readonly net: number }[],
  context: WriteContext<'invoice_line_not_found' | 'credit_exceeds_line'>,
): Promise<CreditedLine[]> {
  // A later statement than the lock, so that it sees the notes of earlier holders of the lock.
  const rows = await tx.query<LeftOfLine>(
    `SELECT l.line_number, a.code AS account, l.net_minor, l.tax_minor,
       (l.net_minor - coalesce(sum(c.net_minor), 0))::bigint AS net_left_minor,
       (l.tax_minor - coalesce(sum(c.tax_minor), 0))::bigint AS tax_left_minor
     FROM invoice_lines l
     JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
     LEFT JOIN credit_note_lines c
       ON c.company_id = l.company_id AND c.invoice_id = l.invoice_id AND c.line_number = l.line_number
     WHERE l.company_id = current_company() AND l.invoice_id = $1
     GROUP BY l.company_id, l.invoice_id, l.line_number, a.code`,
    [invoiceId],
  );
  const lineOf = new Map(rows.map((row) => [row.line_number, row]));
  return requested
    .map(({ lineNumber, net }, index) => {
      const line = lineOf.get(lineNumber);
      if (line === undefined) {
        throw context.reject(
          'invoice_line_not_found',
          `The invoice has no line ${lineNumber}.`,
          `/lines/${index}/lineNumber`,
        );
      }
      const netMinor = BigInt(net);
      const left = { netMinor: line.net_left_minor, taxMinor: line.tax_left_minor };
      if (netMinor > left.netMinor) {
        const ofLine = formatAmount(left.netMinor, currency);
        throw context.reject('credit_exceeds_line', `${ofLine} is left of line ${lineNumber}.`, `/lines/${index}/net`);
      }
      const whole = { netMinor: line.net_minor, taxMinor: line.tax_minor };
      return { lineNumber, netMinor, taxMinor: creditedTax(whole, left, netMinor), account: line.account };
    })
    .sort((one, other) => one.lineNumber - other.lineNumber);
}

type LeftOfLine = {
  line_number: number;
  account: string;
  net_minor: bigint;
  tax_minor: bigint;
  net_left_minor: bigint;
  tax_left_minor: bigint;
};

/** Dr each income account its net · Dr 2100 tax · Cr 1100 total. */
function entryLines(
  currency: string,
  lines: readonly CreditedLine[],
  { netMinor, taxMinor }: { readonly netMinor: bigint; readonly taxMinor: bigint },
): EntryLine[] {
  const netByAccount = new Map<string, bigint>();
  for (const line of lines) netByAccount.set(line.account, (netByAccount.get(line.account) ?? 0n) + line.netMinor);
  return [
    ...[...netByAccount].map(([account, amountMinor]) => ({ account, amountMinor, currency })),
    { account: ACCOUNTS.salesTax, amountMinor: taxMinor, currency },
    { account: ACCOUNTS.receivable, amountMinor: -(netMinor + taxMinor), currency },
  ];
}

type NewNote = {
  readonly invoice: LockedInvoice;
  readonly lines: readonly CreditedLine[];
  readonly netMinor: bigint;
  readonly taxMinor: bigint;
  readonly creditedOn: string;
  readonly reason: string;
  readonly entryId: string;
};

async function insertNote(tx: Tx, note: NewNote, { companyId, writeId }: WriteContext): Promise<CreditNoteRow> {
  const [row] = await tx.query<CreditNoteRow>(
    `WITH less_due AS (
       UPDATE invoices SET credited_minor = credited_minor + $6 + $7 WHERE company_id = $1 AND id = $3
     ), line AS (
       INSERT INTO credit_note_lines (company_id, credit_note_id, invoice_id, line_number, net_minor, tax_minor)
       SELECT $1, $2, $3, l.number, l.net, l.tax
       FROM jsonb_to_recordset($10) AS l (number smallint, net bigint, tax bigint)
     )
     INSERT INTO credit_notes (company_id, id, invoice_id, currency, credited_on, net_minor, tax_minor, total_minor,
       reason, journal_entry_id)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $6 + $7, $8, $9)
     RETURNING ${CREDIT_NOTE_COLUMNS}`,
    [
      companyId,
      writeId,
      note.invoice.id,
      note.invoice.currency,
      note.creditedOn,
      note.netMinor,
      note.taxMinor,
      note.reason,
      note.entryId,
      // Strings, because a JSON number would pass through a float; the database reads a bigint.
      JSON.stringify(
        note.lines.map((line) => ({ number: line.lineNumber, net: String(line.netMinor), tax: String(line.taxMinor) })),
      ),
    ],
  );
  if (row === undefined) throw new Error('Bug! The INSERT returned no row');
  return row;
}
