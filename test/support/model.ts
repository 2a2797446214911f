import type { RandomWrite } from './random-writes.ts';

/**
 * What one company's books should be, as simply as can be said: lists of customers and invoices in the order in which
 * they were made. It knows no database and no product code.
 */
export type Model = { readonly customers: ModelCustomer[]; readonly invoices: ModelInvoice[]; numbers: number };

type ModelCustomer = { readonly currency: string; readonly reference: number | undefined };
type ModelInvoice = {
  readonly currency: string;
  readonly total: bigint;
  paid: bigint;
  number: number | undefined;
};

export type Expected = { readonly status: number; readonly code?: string };

export function emptyModel(): Model {
  return { customers: [], invoices: [], numbers: 0 };
}

/** Does the write to the model, and says how it should be answered. */
export function expect(model: Model, write: RandomWrite): Expected {
  switch (write.kind) {
    case 'createCustomer': {
      const taken = model.customers.some(({ reference }) => reference !== undefined && reference === write.reference);
      if (taken) return { status: 409, code: 'customer_reference_taken' };
      model.customers.push({ currency: write.currency, reference: write.reference });
      return { status: 201 };
    }
    case 'createInvoice': {
      const net = BigInt(write.price);
      const half = (BigInt(write.price % 7) + 1n) / 2n;
      const total = net + (net * BigInt(write.taxRate) + 5_000n) / 10_000n + half;
      if (total < 1n || total > 10n ** 13n) return { status: 422, code: 'amount_out_of_range' };
      const customer = model.customers[write.customer];
      if (customer === undefined) return { status: 422, code: 'customer_not_found' };
      if (customer.currency !== write.currency) return { status: 422, code: 'currency_mismatch' };
      model.invoices.push({ currency: write.currency, total, paid: 0n, number: undefined });
      return { status: 201 };
    }
    case 'finalizeInvoice': {
      const invoice = model.invoices[write.invoice];
      if (invoice === undefined) return { status: 404, code: 'invoice_not_found' };
      if (invoice.number !== undefined) return { status: 409, code: 'invoice_not_draft' };
      // Due on 2026-12-31; the books are closed through 2026-01-14. The closed period is met first.
      if (write.issueDate === '2026-01-01') return { status: 409, code: 'period_closed' };
      if (write.issueDate === '2027-06-01') return { status: 422, code: 'due_before_issue' };
      model.numbers += 1;
      invoice.number = model.numbers;
      return { status: 200 };
    }
    case 'createPayment': {
      const invoice = model.invoices[write.invoice];
      if (invoice === undefined) return { status: 422, code: 'invoice_not_found' };
      if (invoice.number === undefined || invoice.paid === invoice.total) {
        return { status: 409, code: 'invoice_not_payable' };
      }
      if (invoice.currency !== write.currency) return { status: 422, code: 'currency_mismatch' };
      if (invoice.paid + BigInt(write.amount) > invoice.total) {
        return { status: 422, code: 'payment_exceeds_outstanding' };
      }
      invoice.paid += BigInt(write.amount);
      return { status: 201 };
    }
  }
}

/** The invoices as the database should have them. */
export function invoicesOf(model: Model): { number: number | null; total: string; paid: string; status: string }[] {
  return model.invoices.map(({ number, total, paid }) => ({
    number: number ?? null,
    total: String(total),
    paid: String(paid),
    status: number === undefined ? 'draft' : paid === total ? 'paid' : paid > 0n ? 'partially_paid' : 'finalized',
  }));
}
