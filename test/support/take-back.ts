import type { Company } from './companies.ts';

/** A refund, a credit note and a reminder, one of each, of a payment that is there and of its invoice. */
export async function takeBack(
  { api }: Company,
  payment: { readonly id: string; readonly invoiceId: string },
): Promise<{ refundId: string; creditNoteId: string; reminderId: string }> {
  // Later than the invoices and payments of tests, whatever today is.
  const date = '2026-12-31';
  const invoicePath = `/api/invoices/${payment.invoiceId}`;
  const refund = await api.created('/api/refunds', { paymentId: payment.id, amount: 1, reason: 'Too much', date });
  const note = await api.created(`${invoicePath}/credit-notes`, {
    lines: [{ lineNumber: 1, net: 1 }],
    reason: 'A discount',
    date,
  });
  const reminder = await api.created(`${invoicePath}/reminders`, { step: 1 });
  return { refundId: refund.id, creditNoteId: note.id, reminderId: reminder.id };
}
