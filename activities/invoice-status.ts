/** As the database computes it: `paid` only through payments and credits, `written_off` where the rest was given up. */
export const INVOICE_STATUSES = [
  'draft',
  'discarded',
  'finalized',
  'partially_paid',
  'paid',
  'written_off',
  'void',
] as const;
export type InvoiceStatus = (typeof INVOICE_STATUSES)[number];
