import { z } from 'zod';
import { formatAmount } from '../currencies.ts';
import { DEMO } from '../demo.ts';
import { accountCode, amount, currency, date, id, metadata, reference } from '../fields.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { entryValues, PERIOD_CLOSED, POST_ENTRY } from '../ledger/post-entry.ts';
import { defineOperation } from '../operation.ts';
import type { InvoiceRow } from '../resources/invoice.ts';
import { PAYMENT_COLUMNS, type PaymentRow, paymentResource, toPayment } from '../resources/payment.ts';

export const createPayment = defineOperation({
  name: 'createPayment',
  type: 'financial',
  summary: 'Record a payment for an invoice',
  description:
    'Records money received for a finalized invoice, at most the amount due. Posts debit bank (`bankAccountCode`, 1000 by ' +
    'default), credit accounts receivable. The entry is dated `receivedOn`, or today in the company’s time zone.',
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
    period_closed: PERIOD_CLOSED,
  },
  constraints: { period_closed: 'period_closed' },
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
  summarize: ({ body }) => `createPayment ${formatAmount(body.amount, body.currency)} for invoice ${body.invoiceId}`,

  async write(tx, { body }, context) {
    const [invoice] = await tx.query<LockedInvoice>(
      `SELECT i.id, i.status, i.currency, i.due_minor, company_today($1) AS today, bank.id AS bank_account_id
       FROM lock_invoice($1, $2) AS i
       LEFT JOIN accounts bank ON bank.company_id = $1 AND bank.code = $3 AND bank.is_bank`,
      [context.companyId, body.invoiceId, body.bankAccountCode],
    );
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
    if (invoice.bank_account_id === null) {
      throw context.reject('account_not_usable', `${body.bankAccountCode} is not a bank account.`, '/bankAccountCode');
    }

    const receivedOn = body.receivedOn ?? invoice.today;
    const entry = entryValues(
      {
        date: receivedOn,
        description: `Payment ${context.writeId} of invoice ${invoice.id}`,
        lines: [
          { account: body.bankAccountCode, amountMinor, currency: body.currency },
          { account: ACCOUNTS.receivable, amountMinor: -amountMinor, currency: body.currency },
        ],
      },
      context,
    );
    // One round trip for the entry, the invoice and the payment.
    const [row] = await tx.query<PaymentRow>(
      `WITH paid AS (
         UPDATE invoices SET paid_minor = paid_minor + $12 WHERE company_id = $1 AND id = $9
       )
       INSERT INTO payments (company_id, id, invoice_id, amount_minor, currency, method, received_on, reference,
         bank_account_id, metadata, journal_entry_id)
       VALUES ($1, $3, $9, $12, $10, $11, $5, $13, $14, $15, ${POST_ENTRY})
       RETURNING ${PAYMENT_COLUMNS}`,
      [
        ...entry,
        invoice.id,
        body.currency,
        body.method,
        amountMinor,
        body.reference ?? null,
        invoice.bank_account_id,
        JSON.stringify(body.metadata ?? {}),
      ],
    );
    if (row === undefined) throw new Error('Bug! The INSERT returned no row');
    return { resourceId: row.id, body: toPayment(row) };
  },
});

type LockedInvoice = Pick<InvoiceRow, 'id' | 'status' | 'currency' | 'due_minor'> & {
  today: string;
  bank_account_id: string | null;
};
