import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { DEMO } from '../demo.ts';
import { date, id } from '../fields.ts';
import { DUE_BEFORE_ISSUE, requireDueOnOrAfterIssue } from '../ledger/due-date.ts';
import { type EntryOfSet, entryOf, postEntries, requireNotTooLate, requireOpenPeriod } from '../ledger/post-entries.ts';
import { DATE_TOO_LATE, type EntryLine, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { defineSetOperation } from '../operation.ts';
import {
  INVOICE_COLUMNS,
  type InvoiceLineRow,
  type InvoiceRow,
  invoiceResource,
  type LinesOfInvoices,
  readInvoiceLines,
  toInvoice,
} from '../resources/invoice.ts';

export const finalizeInvoice = defineSetOperation({
  name: 'finalizeInvoice',
  type: 'financial',
  summary: 'Finalize a draft invoice',
  description:
    'Gives the draft the company’s next number, without gaps. Posts debit accounts receivable, credit revenue per account and ' +
    'sales tax payable. The entry is dated the issue date: the draft’s, or `issueDate`. If an invoice with a lower number is ' +
    'dated later, the answer says so in `warnings`.',
  method: 'POST',
  path: '/api/invoices/:invoiceId/finalize',
  params: z.strictObject({ invoiceId: id() }),
  body: z.strictObject({ issueDate: date().optional() }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant', 'manager'],
  successStatus: 200,
  resource: invoiceResource,
  event: 'invoice.finalized',
  effects: {
    posts: 'always',
    entry: 'Dr 1100 total · Cr 4000, or each line’s account, net · Cr 2100 tax',
    dated: 'the issue date',
  },
  takesNumber: 'invoice',
  rejections: {
    invoice_not_found: { status: 404, title: 'There is no such invoice' },
    invoice_not_draft: { status: 409, title: 'The invoice is no longer a draft' },
    period_closed: { ...PERIOD_CLOSED, about: { in: 'body', pointer: '/issueDate' } },
    due_before_issue: DUE_BEFORE_ISSUE,
    date_too_late: DATE_TOO_LATE,
  },
  constraints: {
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
    invoices_due_on_or_after_issue: 'due_before_issue',
  },
  examples: [
    {
      name: 'finalize',
      summary: 'Finalize the draft as it is',
      params: { invoiceId: DEMO.draftInvoiceId },
      body: {},
    },
  ],
  approvalAmount: amountAt('total'),
  summarize: ({ params }) => `finalizeInvoice ${params.invoiceId}`,

  set: {
    async load(tx, companyId, inputs): Promise<FinalizeInvoiceState> {
      const ids = [...new Set(inputs.map(({ params }) => params.invoiceId))];
      const [invoices, linesOf, [facts]] = await Promise.all([
        tx.query<InvoiceRow>(`SELECT ${INVOICE_COLUMNS} FROM lock_invoices(p_company => $1, p_invoices => $2)`, [
          companyId,
          ids,
        ]),
        readInvoiceLines(tx, ids),
        tx.query<NumberingFacts>(
          'SELECT closed_through, latest, last_number, latest_date FROM numbering_facts(p_company => $1)',
          [companyId],
        ),
      ]);
      if (facts === undefined) throw new Error('Bug! The company has no row');
      return {
        invoices: new Map(invoices.map((invoice) => [invoice.id, invoice])),
        linesOf,
        closedThrough: facts.closed_through,
        latest: facts.latest,
        lastNumber: facts.last_number,
        latestDate: facts.latest_date,
        entries: [],
        numbered: [],
      };
    },

    decide(state, { params, body }, context) {
      const draft = state.invoices.get(params.invoiceId);
      if (draft === undefined) {
        throw context.reject('invoice_not_found', `There is no invoice ${params.invoiceId}.`, '/invoiceId', 'path');
      }
      if (draft.status !== 'draft') {
        throw context.reject('invoice_not_draft', `The invoice is ${draft.status}.`, '/invoiceId', 'path');
      }
      const issueDate = body.issueDate ?? draft.issue_date;
      requireOpenPeriod(state, issueDate, '/issueDate', context);
      requireDueOnOrAfterIssue({ dueDate: draft.due_date, issueDate }, context);
      requireNotTooLate(state, issueDate, '/issueDate', context);

      const lines = state.linesOf.get(draft.id) ?? [];
      const entry = entryOf(
        { date: issueDate, description: `Invoice ${draft.id} finalized`, lines: entryLines(draft, lines) },
        context,
      );
      // After everything that may reject: a rejected write takes no number.
      state.lastNumber += 1;
      const numbered = { number: state.lastNumber, issue_date: issueDate, journal_entry_id: entry.id };
      const invoice = { ...draft, ...numbered, status: 'finalized' } as const;
      state.invoices.set(invoice.id, invoice);
      state.entries.push(entry);
      state.numbered.push({ id: invoice.id, ...numbered });
      const isOutOfDateOrder = state.latestDate !== null && issueDate < state.latestDate;
      if (!isOutOfDateOrder) state.latestDate = issueDate;
      const answer = toInvoice(invoice, lines);
      return {
        resourceId: invoice.id,
        body: isOutOfDateOrder ? { ...answer, warnings: [{ code: 'number_out_of_date_order' }] } : answer,
        eventPayload: { number: answer.number },
      };
    },

    apply(tx, companyId, { entries, numbered }) {
      if (numbered.length === 0) return [];
      return [
        postEntries(tx, companyId, 'finalizeInvoice', entries),
        tx.query('SELECT number_invoices(p_company => $1, p_invoices => $2)', [companyId, JSON.stringify(numbered)]),
      ];
    },
  },
});

export type FinalizeInvoiceState = {
  readonly invoices: Map<string, InvoiceRow>;
  readonly linesOf: LinesOfInvoices;
  readonly closedThrough: string | null;
  /** The last day that can be posted on. */
  readonly latest: string;
  /** The number that was given last. */
  lastNumber: number;
  /** The latest issue date of an invoice with a number; null if there is none. */
  latestDate: string | null;
  readonly entries: EntryOfSet[];
  readonly numbered: Pick<InvoiceRow, 'id' | 'number' | 'issue_date' | 'journal_entry_id'>[];
};

type NumberingFacts = {
  closed_through: string | null;
  latest: string;
  last_number: number;
  latest_date: string | null;
};

/** Dr 1100 total · Cr each income account its net · Cr 2100 tax. */
function entryLines(invoice: InvoiceRow, lines: readonly InvoiceLineRow[]): EntryLine[] {
  const { currency } = invoice;
  const netByAccount = new Map<string, bigint>();
  for (const line of lines) {
    netByAccount.set(line.account_code, (netByAccount.get(line.account_code) ?? 0n) + line.net_minor);
  }
  return [
    { role: 'receivable', amountMinor: invoice.total_minor, currency },
    ...[...netByAccount].map(([account, netMinor]) => ({ account, amountMinor: -netMinor, currency })),
    { role: 'sales_tax', amountMinor: -invoice.tax_minor, currency },
  ];
}
