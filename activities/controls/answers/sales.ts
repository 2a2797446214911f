import { ACCOUNTS } from '../../ledger/accounts.ts';
import type { Control } from '../control.ts';
import { differences, writesOf } from './compare.ts';

const INVOICE_STEPS = ['createInvoice', 'finalizeInvoice', 'voidInvoice'];
const NUMBERED = ['finalizeInvoice', 'voidInvoice'];
const PAYMENT_STEPS = ['createPayment', 'voidPayment'];
const REFUND_STEPS = ['createRefund', 'voidRefund'];
const CREDIT_NOTE_STEPS = ['createCreditNote', 'voidCreditNote'];

/** The members that the answer of a void fixes. */
function voidOf(table: string, operation: string) {
  return {
    voidedOn: { value: `${table}.voided_on`, of: [operation] },
    voidReason: { value: `${table}.void_reason`, of: [operation] },
  };
}

/** The rows that are void without the answer of a void, and the other way round. */
function voidsTold(table: string, operation: string): string {
  return `
      UNION ALL
      SELECT d.company_id, NULL, NULL, d.id::text, 'voidedOn' FROM ${table} d
      LEFT JOIN (SELECT company_id, resource_id::uuid AS id FROM ${writesOf(operation)}) AS v
        ON v.company_id = d.company_id AND v.id = d.id
      WHERE (d.voided_on IS NULL) <> (v.id IS NULL)`;
}

/** Of customers and their documents: rows against the answers stored for them. */
export const SALES_ANSWERS: readonly Control[] = [
  {
    name: 'invoice-answers',
    sentence: 'An invoice says what its answers said: customer, dates, lines, sums, number, entry, void.',
    closesMonth: false,
    of: writesOf(...INVOICE_STEPS),
    sql: `${differences({
      operations: INVOICE_STEPS,
      rows: `
      JOIN invoices i ON i.company_id = w.company_id AND i.id = (a.body ->> 'id')::uuid
      CROSS JOIN LATERAL (
        SELECT count(*) AS lines FROM invoice_lines l WHERE l.company_id = i.company_id AND l.invoice_id = i.id
      ) AS n`,
      id: 'i.id',
      members: {
        customerId: 'i.customer_id',
        currency: 'i.currency',
        // Finalizing may change the date of a draft.
        issueDate: `CASE WHEN w.operation = 'createInvoice' AND i.number IS NOT NULL THEN a.body -> 'issueDate'
          ELSE to_jsonb(i.issue_date) END`,
        dueDate: 'i.due_date',
        memo: 'i.memo',
        lines: `CASE WHEN jsonb_array_length(a.body -> 'lines') = n.lines THEN a.body -> 'lines' END`,
        subtotal: 'i.subtotal_minor',
        tax: 'i.tax_minor',
        total: 'i.total_minor',
        taxRounding: 'i.tax_rounding',
        number: { value: `document_number('invoice', i.number)`, of: NUMBERED },
        journalEntryId: { value: 'i.journal_entry_id', of: NUMBERED },
        voidedOn: { value: 'i.voided_on', of: ['voidInvoice'] },
        voidReason: { value: 'i.void_reason', of: ['voidInvoice'] },
        metadata: 'i.metadata',
        createdAt: 'i.created_at',
      },
    })}
      UNION ALL${differences({
        operations: ['createInvoice'],
        rows: `
      CROSS JOIN LATERAL jsonb_array_elements(a.body -> 'lines') AS told (line)
      LEFT JOIN invoice_lines l
        ON l.company_id = w.company_id AND l.invoice_id = w.write_id AND l.line_number = (told.line ->> 'lineNumber')::int
      LEFT JOIN accounts c ON c.company_id = l.company_id AND c.id = l.account_id`,
        id: 'w.write_id',
        answer: 'told.line',
        members: {
          lineNumber: 'l.line_number',
          description: 'l.description',
          quantity: 'trim_scale(l.quantity)::text',
          unitPrice: 'l.unit_price_minor',
          discount: `CASE
            WHEN l.discount_thousandths IS NOT NULL
              THEN jsonb_build_object('percent', trim_scale(l.discount_thousandths * 0.001)::text)
            WHEN l.discount_minor > 0 THEN jsonb_build_object('amount', l.discount_minor) END`,
          taxRate: 'trim_scale(l.tax_rate_thousandths * 0.001)::text',
          taxRateBasisPoints: 'l.tax_rate_basis_points',
          accountCode: 'c.code',
          net: 'l.net_minor',
          tax: 'l.tax_minor',
        },
      })}
      UNION ALL
      SELECT i.company_id, NULL, NULL, i.id::text, 'number, voidedOn' FROM invoices i
      LEFT JOIN (SELECT company_id, resource_id::uuid AS id FROM ${writesOf('finalizeInvoice')}) AS f
        ON f.company_id = i.company_id AND f.id = i.id
      LEFT JOIN (SELECT company_id, resource_id::uuid AS id FROM ${writesOf('voidInvoice')}) AS v
        ON v.company_id = i.company_id AND v.id = i.id
      WHERE (i.number IS NULL) <> (f.id IS NULL) OR (i.voided_on IS NULL) <> (v.id IS NULL)`,
  },
  {
    name: 'payment-answers',
    sentence:
      'A payment says what its answers said: number, invoice, amount, method, day, reference, void; and the bank account asked for.',
    closesMonth: false,
    of: writesOf(...PAYMENT_STEPS),
    sql: `${differences({
      operations: PAYMENT_STEPS,
      rows: `
      JOIN payments p ON p.company_id = w.company_id AND p.id = (a.body ->> 'id')::uuid
      JOIN accounts c ON c.company_id = p.company_id AND c.id = p.bank_account_id
      CROSS JOIN LATERAL (
        SELECT CASE w.operation WHEN 'createPayment' THEN a.body || jsonb_build_object('bankAccountCode',
          coalesce(w.request -> 'body' -> 'bankAccountCode', '"${ACCOUNTS.bank}"')) ELSE a.body END AS payment OFFSET 0
      ) AS told`,
      id: 'p.id',
      answer: 'told.payment',
      members: {
        number: `document_number('payment', p.number)`,
        invoiceId: 'p.invoice_id',
        amount: 'p.amount_minor',
        currency: 'p.currency',
        method: 'p.method',
        receivedOn: 'p.received_on',
        reference: 'p.reference',
        bankAccountCode: 'c.code',
        ...voidOf('p', 'voidPayment'),
        bounced: { value: 'p.bounced', of: ['voidPayment'] },
        journalEntryId: 'p.journal_entry_id',
        metadata: 'p.metadata',
        createdAt: 'p.created_at',
      },
    })}${voidsTold('payments', 'voidPayment')}`,
  },
  {
    name: 'refund-answers',
    sentence: 'A refund says what its answers said: number, payment, amount, day, reason, void.',
    closesMonth: false,
    of: writesOf(...REFUND_STEPS),
    sql: `${differences({
      operations: REFUND_STEPS,
      rows: `
      JOIN refunds r ON r.company_id = w.company_id AND r.id = (a.body ->> 'id')::uuid
      LEFT JOIN payments p ON p.company_id = r.company_id AND p.id = r.payment_id`,
      id: 'r.id',
      members: {
        number: `document_number('refund', r.number)`,
        paymentId: 'r.payment_id',
        invoiceId: 'p.invoice_id',
        amount: 'r.amount_minor',
        currency: 'p.currency',
        date: 'r.refunded_on',
        reason: 'r.reason',
        ...voidOf('r', 'voidRefund'),
        journalEntryId: 'r.journal_entry_id',
        metadata: 'r.metadata',
        createdAt: 'r.created_at',
      },
    })}${voidsTold('refunds', 'voidRefund')}`,
  },
  {
    name: 'credit-note-answers',
    sentence: 'A credit note says what its answers said: number, invoice, day, reason, lines, sums, void.',
    closesMonth: false,
    of: writesOf(...CREDIT_NOTE_STEPS),
    sql: `${differences({
      operations: CREDIT_NOTE_STEPS,
      rows: `
      JOIN credit_notes n ON n.company_id = w.company_id AND n.id = (a.body ->> 'id')::uuid
      CROSS JOIN LATERAL (
        SELECT count(*) AS lines FROM credit_note_lines l WHERE l.company_id = n.company_id AND l.credit_note_id = n.id
      ) AS l`,
      id: 'n.id',
      members: {
        number: `document_number('credit_note', n.number)`,
        invoiceId: 'n.invoice_id',
        currency: 'n.currency',
        date: 'n.credited_on',
        reason: 'n.reason',
        lines: `CASE WHEN jsonb_array_length(a.body -> 'lines') = l.lines THEN a.body -> 'lines' END`,
        net: 'n.net_minor',
        tax: 'n.tax_minor',
        total: 'n.total_minor',
        ...voidOf('n', 'voidCreditNote'),
        journalEntryId: 'n.journal_entry_id',
        createdAt: 'n.created_at',
      },
    })}${voidsTold('credit_notes', 'voidCreditNote')}
      UNION ALL${differences({
        operations: ['createCreditNote'],
        rows: `
      CROSS JOIN LATERAL jsonb_array_elements(a.body -> 'lines') AS told (line)
      LEFT JOIN credit_note_lines l
        ON l.company_id = w.company_id AND l.credit_note_id = w.write_id
        AND l.line_number = (told.line ->> 'lineNumber')::int`,
        id: 'w.write_id',
        answer: 'told.line',
        members: { lineNumber: 'l.line_number', net: 'l.net_minor', tax: 'l.tax_minor' },
      })}`,
  },
  {
    name: 'customer-answers',
    sentence: 'A customer says what its answer said.',
    closesMonth: false,
    of: writesOf('createCustomer'),
    sql: differences({
      operations: ['createCustomer'],
      rows: 'JOIN customers k ON k.company_id = w.company_id AND k.id = w.write_id',
      id: 'k.id',
      members: {
        name: 'k.name',
        email: 'k.email',
        currency: 'k.currency',
        externalReference: 'k.external_reference',
        metadata: 'k.metadata',
        createdAt: 'k.created_at',
      },
    }),
  },
  {
    name: 'reminder-answers',
    sentence: 'A reminder says what its answer said.',
    closesMonth: false,
    of: writesOf('recordInvoiceReminder'),
    sql: differences({
      operations: ['recordInvoiceReminder'],
      rows: 'JOIN invoice_reminders r ON r.company_id = w.company_id AND r.id = w.write_id',
      id: 'r.id',
      members: { invoiceId: 'r.invoice_id', step: 'r.step', createdAt: 'r.created_at' },
    }),
  },
];
