import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { formatAmount } from '../currencies.ts';
import { DEMO } from '../demo.ts';
import { accountCode, amount, currency, date, id, metadata, reference } from '../fields.ts';
import { inStoredOrder, toJson } from '../json.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { neededDate } from '../ledger/correction-date.ts';
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
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { NOT_VOID } from '../ledger/voids.ts';
import { defineSetOperation } from '../operation.ts';
import { type PaymentRow, paymentResource, toPayment } from '../resources/payment.ts';

export const createPayment = defineSetOperation({
  name: 'createPayment',
  type: 'financial',
  summary: 'Record a payment for an invoice',
  description:
    'Records money received for a finalized invoice, at most the amount due. Posts debit bank (`bankAccountCode`, 1000 by ' +
    'default), credit accounts receivable. The entry is dated `receivedOn`, or today in the company’s time zone, and not before ' +
    'the invoice’s issue date. Where a refund is dated later, the amount is also at most what was due until then: ' +
    '`as_of_conflict` names the first day on which less was due. The payment gets the company’s next receipt number, without gaps.',
  method: 'POST',
  path: '/api/payments',
  params: z.strictObject({}),
  body: z.strictObject({
    invoiceId: id(),
    amount: amount(),
    currency: currency(),
    method: z.enum(['bank_transfer', 'card', 'cash', 'check', 'other']),
    receivedOn: date().optional(),
    reference: reference().optional(),
    bankAccountCode: accountCode().default(ACCOUNTS.bank),
    metadata: metadata().optional(),
  }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 201,
  resource: paymentResource,
  event: 'payment.created',
  effects: {
    posts: 'always',
    entry: 'Dr 1000, or `bankAccountCode` · Cr 1100',
    dated: '`receivedOn`',
    makes: 'payments',
  },
  takesNumber: 'payment',
  rejections: {
    invoice_not_found: { status: 422, title: 'There is no such invoice', nextAction: 'fix_request' },
    invoice_not_payable: { status: 409, title: 'The invoice cannot be paid' },
    currency_mismatch: { status: 422, title: 'The invoice is in another currency', nextAction: 'fix_request' },
    payment_exceeds_outstanding: { status: 422, title: 'The amount exceeds what is due', nextAction: 'fix_request' },
    account_not_usable: {
      status: 422,
      title: 'The account is not a bank account of this company',
      nextAction: 'fix_request',
    },
    date_before_invoice: {
      status: 422,
      title: 'The payment is dated before the invoice',
      nextAction: 'fix_request',
    },
    as_of_conflict: { ...AS_OF_CONFLICT, about: { in: 'body', pointer: '/receivedOn' } },
    period_closed: { ...PERIOD_CLOSED, about: { in: 'body', pointer: '/receivedOn' } },
    date_too_late: DATE_TOO_LATE,
  },
  constraints: {
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
    date_before_invoice: 'date_before_invoice',
    as_of_conflict: 'as_of_conflict',
  },
  examples: [
    {
      name: 'payment',
      summary: 'Part of the amount due, by bank transfer',
      params: {},
      body: {
        invoiceId: DEMO.finalizedInvoiceId,
        amount: 2500,
        currency: 'USD',
        method: 'bank_transfer',
        receivedOn: '2026-03-10',
        reference: 'TRF-4711',
      },
    },
  ],
  approvalAmount: amountAt('amount'),
  summarize: ({ body }) => `createPayment ${formatAmount(body.amount, body.currency)} for invoice ${body.invoiceId}`,

  set: {
    async load(tx, companyId, inputs): Promise<State> {
      const [invoices, facts] = await Promise.all([
        lockClaims(
          tx,
          companyId,
          inputs.map(({ body }) => body.invoiceId),
          inputs.map(({ body }) => body.receivedOn),
        ),
        loadPostingFacts(
          tx,
          companyId,
          inputs.map(({ body }) => body.bankAccountCode),
        ),
      ]);
      return { invoices, facts, payments: [], entries: [] };
    },

    decide({ invoices, facts, payments, entries }, { body }, context) {
      const invoice = invoices.get(body.invoiceId);
      if (invoice === undefined) {
        throw context.reject('invoice_not_found', `There is no invoice ${body.invoiceId}.`, '/invoiceId');
      }
      if (invoice.status !== 'finalized' && invoice.status !== 'partially_paid') {
        throw context.reject('invoice_not_payable', `The invoice is ${invoice.status}.`, '/invoiceId');
      }
      if (invoice.currency !== body.currency) {
        throw context.reject('currency_mismatch', `The invoice is in ${invoice.currency}.`, '/currency');
      }
      const amountMinor = BigInt(body.amount);
      if (amountMinor > invoice.due_minor) {
        const due = formatAmount(invoice.due_minor, invoice.currency);
        throw context.reject('payment_exceeds_outstanding', `${due} is due on the invoice.`, '/amount');
      }
      const bank = facts.accounts.get(body.bankAccountCode);
      if (!bank?.isBank) {
        throw context.reject(
          'account_not_usable',
          `${body.bankAccountCode} is not a bank account.`,
          '/bankAccountCode',
        );
      }
      const receivedOn = body.receivedOn ?? facts.today;
      // Dates of the form YYYY-MM-DD compare correctly as text.
      if (receivedOn < invoice.issue_date) {
        const detail = `The invoice is dated ${invoice.issue_date}, which is after ${receivedOn}.`;
        const needed = neededDate(body.receivedOn, invoice.issue_date);
        throw context.reject('date_before_invoice', detail + needed, '/receivedOn');
      }
      const conflict = firstConflict(invoice, { date: receivedOn, taken: amountMinor });
      if (conflict !== undefined) {
        const due = formatAmount(conflict.left, invoice.currency);
        throw context.reject('as_of_conflict', `${due} is due on the invoice as of ${conflict.day}.`, '/receivedOn');
      }
      requireOpenPeriod(facts, receivedOn, '/receivedOn', context);
      requireNotTooLate(facts, receivedOn, '/receivedOn', context);

      const { currency } = body;
      const entry = entryOf(
        {
          date: receivedOn,
          description: `Payment ${context.writeId} of invoice ${invoice.id}`,
          lines: [
            { account: body.bankAccountCode, amountMinor, currency },
            { role: 'receivable', amountMinor: -amountMinor, currency },
          ],
        },
        context,
      );
      const payment = {
        id: context.writeId,
        number: null,
        invoice_id: invoice.id,
        amount_minor: amountMinor,
        currency,
        method: body.method,
        received_on: receivedOn,
        reference: body.reference ?? null,
        refunded_minor: 0n,
        ...NOT_VOID,
        bounced: null,
        journal_entry_id: entry.id,
        metadata: inStoredOrder(body.metadata),
        created_at: facts.now,
      };
      takeFromDue(invoice, { date: receivedOn, taken: amountMinor });
      entries.push(entry);
      payments.push({ ...payment, bank_account_id: bank.id });
      return { resourceId: payment.id, body: toPayment(payment) };
    },

    apply(tx, companyId, { payments, entries }) {
      if (payments.length === 0) return [];
      return [
        postEntries(tx, companyId, 'createPayment', entries),
        tx.query('SELECT record_payments(p_company => $1, p_payments => $2)', [companyId, toJson(payments)]),
      ];
    },
  },
});

type State = {
  readonly invoices: ReadonlyMap<string, LockedClaim>;
  readonly facts: PostingFacts;
  readonly payments: (PaymentRow & { readonly bank_account_id: string })[];
  readonly entries: EntryOfSet[];
};
