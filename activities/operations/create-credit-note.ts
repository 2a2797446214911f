import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { formatAmount } from '../currencies.ts';
import { DEMO } from '../demo.ts';
import { amount, date, description, id } from '../fields.ts';
import { toJson } from '../json.ts';
import { correctionDate, DATE_BEFORE_ORIGINAL } from '../ledger/correction-date.ts';
import {
  type CreditableLine,
  type CreditableLines,
  creditedTaxes,
  loadCreditableLines,
} from '../ledger/creditable-lines.ts';
import { AS_OF_CONFLICT, firstConflict, type LockedClaim, lockClaims, takeFromDue } from '../ledger/due-by-day.ts';
import {
  type EntryOfSet,
  entryOf,
  loadPostingFacts,
  type PostingFacts,
  postEntries,
  requireNotTooLate,
  requireOpenPeriod,
} from '../ledger/post-entries.ts';
import { DATE_TOO_LATE, type EntryLine, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { NOT_VOID } from '../ledger/voids.ts';
import { defineSetOperation, type WriteContext } from '../operation.ts';
import { type CreditNoteLine, type CreditNoteRow, creditNoteResource, toCreditNote } from '../resources/credit-note.ts';

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

export const createCreditNote = defineSetOperation({
  name: 'createCreditNote',
  type: 'financial',
  summary: 'Credit an invoice in part, or all that is due on it',
  description:
    'A line can be credited up to the rest of its net, one with a negative price not at all. Its tax is credited in proportion (line tax × credited net / line net, ' +
    'rounded half away from zero); the note that credits the rest of a line also credits the rest of its tax. Where lines with a ' +
    'negative price take off at a tax rate, no more net and tax is credited at that rate in all than all lines of the invoice ' +
    'have at it together; the note that credits the rest of that net also credits the rest of that tax. The total cannot ' +
    'exceed the amount due, as of any day from its date on. Posts debit the lines’ income accounts and sales tax payable, credit ' +
    'accounts receivable. The entry is dated `date`, or today in the company’s time zone. The note gets the company’s next number ' +
    'of its kind, without gaps.',
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
  takesNumber: 'credit_note',
  rejections: {
    invoice_not_found: { status: 404, title: 'There is no such invoice' },
    invoice_not_creditable: { status: 409, title: 'The invoice is a draft, discarded or void' },
    invoice_line_not_found: { status: 422, title: 'The invoice has no such line', nextAction: 'fix_request' },
    invoice_line_not_creditable: {
      status: 422,
      title: 'The line is a discount over the invoice',
      nextAction: 'fix_request',
    },
    credit_exceeds_line: {
      status: 422,
      title: 'The amount exceeds what is left of the line',
      nextAction: 'fix_request',
    },
    credit_exceeds_due: { status: 422, title: 'The amount exceeds what is due', nextAction: 'fix_request' },
    date_before_original: DATE_BEFORE_ORIGINAL,
    as_of_conflict: { ...AS_OF_CONFLICT, about: { in: 'body', pointer: '/date' } },
    period_closed: PERIOD_CLOSED,
    date_too_late: DATE_TOO_LATE,
  },
  constraints: {
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
    as_of_conflict: 'as_of_conflict',
    credit_exceeds_rate: 'credit_exceeds_line',
  },
  examples: [
    {
      name: 'credit-note',
      summary: 'Part of the first line',
      params: { invoiceId: DEMO.finalizedInvoiceId },
      body: { lines: [{ lineNumber: 1, net: 20_000 }], reason: 'Agreed discount', date: '2026-03-12' },
    },
  ],
  approvalAmount: amountAt('total'),
  summarize: ({ params, body: note }) =>
    `createCreditNote of ${note.lines.length} lines of invoice ${params.invoiceId}`,

  set: {
    async load(tx, companyId, inputs): Promise<State> {
      const invoiceIds = inputs.map(({ params }) => params.invoiceId);
      const [invoices, lines, facts] = await Promise.all([
        lockClaims(
          tx,
          companyId,
          invoiceIds,
          inputs.map(({ body: { date: day } }) => day),
        ),
        // A later statement than the locks, so that it sees the notes of earlier holders of them.
        loadCreditableLines(tx, companyId, invoiceIds),
        loadPostingFacts(tx, companyId, []),
      ]);
      return { invoices, lines, facts, notes: [], entries: [] };
    },

    decide({ invoices, lines: linesOf, facts, notes, entries }, { params, body: note }, context) {
      const invoice = invoices.get(params.invoiceId);
      if (invoice === undefined) {
        throw context.reject('invoice_not_found', `There is no invoice ${params.invoiceId}.`, '/invoiceId', 'path');
      }
      if (['draft', 'discarded', 'void'].includes(invoice.status)) {
        throw context.reject('invoice_not_creditable', `The invoice is ${invoice.status}.`, '/invoiceId', 'path');
      }
      const { currency } = invoice;
      const lines = creditLines(linesOf.get(invoice.id), note.lines, currency, context);
      const netMinor = lines.reduce((sum, line) => sum + line.netMinor, 0n);
      const taxMinor = lines.reduce((sum, line) => sum + line.taxMinor, 0n);
      const totalMinor = netMinor + taxMinor;
      if (totalMinor > invoice.due_minor) {
        const [total, due] = [totalMinor, invoice.due_minor].map((sum) => formatAmount(sum, currency));
        throw context.reject('credit_exceeds_due', `The note is over ${total}; ${due} is due.`, '/lines');
      }
      const creditedOn = correctionDate(
        { requested: note.date, today: facts.today, originalDate: invoice.issue_date },
        context,
      );
      const conflict = firstConflict(invoice, { date: creditedOn, taken: totalMinor });
      if (conflict !== undefined) {
        const [total, due] = [totalMinor, conflict.left].map((sum) => formatAmount(sum, currency));
        throw context.reject(
          'as_of_conflict',
          `The note is over ${total}; ${due} is due as of ${conflict.day}.`,
          '/date',
        );
      }
      requireOpenPeriod(facts, creditedOn, '/date', context);
      requireNotTooLate(facts, creditedOn, '/date', context);

      const entry = entryOf(
        {
          date: creditedOn,
          description: `Credit note ${context.writeId} of invoice ${invoice.id}`,
          lines: entryLines(currency, lines, { netMinor, taxMinor }),
        },
        context,
      );
      const row = {
        id: context.writeId,
        number: null,
        invoice_id: invoice.id,
        currency,
        credited_on: creditedOn,
        reason: note.reason,
        net_minor: netMinor,
        tax_minor: taxMinor,
        total_minor: totalMinor,
        ...NOT_VOID,
        journal_entry_id: entry.id,
        created_at: facts.now,
      };
      for (const { line, ...credited } of lines) {
        for (const left of [line.left, line.leftAtRate]) {
          left.netMinor -= credited.netMinor;
          left.taxMinor -= credited.taxMinor;
        }
      }
      takeFromDue(invoice, { date: creditedOn, taken: totalMinor });
      entries.push(entry);
      notes.push({ ...row, lines: lines.map(toLineRow) });
      return { resourceId: row.id, body: toCreditNote(row, lines) };
    },

    apply(tx, companyId, { notes, entries }) {
      if (notes.length === 0) return [];
      return [
        postEntries(tx, companyId, 'createCreditNote', entries),
        tx.query('SELECT record_credit_notes(p_company => $1, p_notes => $2)', [companyId, toJson(notes)]),
      ];
    },
  },
});

type State = {
  readonly invoices: ReadonlyMap<string, LockedClaim>;
  readonly lines: ReadonlyMap<string, CreditableLines>;
  readonly facts: PostingFacts;
  readonly notes: (CreditNoteRow & { readonly lines: readonly ReturnType<typeof toLineRow>[] })[];
  readonly entries: EntryOfSet[];
};

type CreditedLine = CreditNoteLine & { readonly line: CreditableLine };

/** The requested net of each line with its tax, in the order of the invoice. */
function creditLines(
  lines: CreditableLines | undefined,
  requested: readonly { readonly lineNumber: number; readonly net: number }[],
  currency: string,
  context: WriteContext<'invoice_line_not_found' | 'invoice_line_not_creditable' | 'credit_exceeds_line'>,
): CreditedLine[] {
  const parts: Omit<CreditedLine, 'taxMinor'>[] = [];
  for (const [index, { lineNumber, net }] of requested.entries()) {
    const line = lines?.get(lineNumber);
    if (line === undefined) {
      throw context.reject(
        'invoice_line_not_found',
        `The invoice has no line ${lineNumber}.`,
        `/lines/${index}/lineNumber`,
      );
    }
    if (line.netMinor < 0n) {
      throw context.reject(
        'invoice_line_not_creditable',
        `Line ${lineNumber} has a negative amount: it takes off from the other lines, which can be credited.`,
        `/lines/${index}/lineNumber`,
      );
    }
    const netMinor = BigInt(net);
    const others = parts.filter((part) => part.line.leftAtRate === line.leftAtRate);
    const leftAtRate = others.reduce((left, part) => left - part.netMinor, line.leftAtRate.netMinor);
    if (netMinor > line.left.netMinor || netMinor > leftAtRate) {
      const [ofLine, atRate] = [line.left.netMinor, leftAtRate].map((sum) => formatAmount(sum, currency));
      const detail =
        line.left.netMinor <= leftAtRate
          ? `${ofLine} is left of line ${lineNumber}.`
          : `${ofLine} is left of line ${lineNumber}, but lines with negative amounts leave ${atRate} at its tax rate` +
            `${others.length === 0 ? '' : ' after the other lines of this note'}.`;
      throw context.reject('credit_exceeds_line', detail, `/lines/${index}/net`);
    }
    parts.push({ lineNumber, netMinor, line });
  }
  parts.sort((one, other) => one.lineNumber - other.lineNumber);
  const taxes = creditedTaxes(parts);
  return parts.map((part, index) => ({ ...part, taxMinor: taxes[index] ?? 0n }));
}

/** Dr each income account its net · Dr 2100 tax · Cr 1100 total. */
function entryLines(
  currency: string,
  lines: readonly CreditedLine[],
  { netMinor, taxMinor }: { readonly netMinor: bigint; readonly taxMinor: bigint },
): EntryLine[] {
  const netByAccount = new Map<string, bigint>();
  for (const { line, netMinor: net } of lines) {
    netByAccount.set(line.account, (netByAccount.get(line.account) ?? 0n) + net);
  }
  return [
    ...[...netByAccount].map(([account, amountMinor]) => ({ account, amountMinor, currency })),
    { role: 'sales_tax', amountMinor: taxMinor, currency },
    { role: 'receivable', amountMinor: -(netMinor + taxMinor), currency },
  ];
}

function toLineRow({ lineNumber, netMinor, taxMinor }: CreditNoteLine) {
  return { line_number: lineNumber, net_minor: netMinor, tax_minor: taxMinor };
}
