import fc from 'fast-check';
import type { Answer } from './client.ts';
import type { Company } from './companies.ts';

/** One request of a random run. Resources are named by the order in which they were made, and resolved when it is sent. */
export type RandomWrite =
  | { readonly kind: 'createCustomer'; readonly currency: string; readonly reference: number | undefined }
  | {
      readonly kind: 'createInvoice';
      readonly customer: number;
      readonly currency: string;
      readonly price: number;
      readonly taxRate: number;
    }
  | { readonly kind: 'finalizeInvoice'; readonly invoice: number; readonly issueDate: string | undefined }
  | { readonly kind: 'createPayment'; readonly invoice: number; readonly amount: number; readonly currency: string };

/** What a random run sends, and again: a request may repeat an earlier one under its key, as it was or with another body. */
export type RandomStep = {
  readonly company: 0 | 1;
  readonly write: RandomWrite;
  readonly again: 'never' | 'same' | 'other body';
};

const CURRENCIES = ['USD', 'USD', 'USD', 'JPY', 'KWD'] as const;
const currency = fc.constantFrom(...CURRENCIES);
/** Few of each, so that requests meet; one more than there will be, so that some are not there. */
const index = fc.nat({ max: 5 });

const write: fc.Arbitrary<RandomWrite> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('createCustomer' as const),
      currency,
      reference: fc.option(fc.nat({ max: 3 }), { nil: undefined }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('createInvoice' as const),
      customer: index,
      currency,
      price: fc.oneof(fc.nat({ max: 300 }), fc.constantFrom(10_000_000_000_000, 9_999_999_999_999)),
      taxRate: fc.constantFrom(0, 825, 1, 10_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('finalizeInvoice' as const),
      invoice: index,
      issueDate: fc.constantFrom(undefined, undefined, '2026-03-01', '2026-01-01', '2027-06-01'),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('createPayment' as const),
      invoice: index,
      amount: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.constant(10_000_000_000_000)),
      currency,
    }),
  },
);

export const randomSteps = (size: { minLength: number; maxLength: number }): fc.Arbitrary<RandomStep[]> =>
  fc.array(
    fc.record({
      company: fc.constantFrom(0 as const, 1 as const),
      write,
      again: fc.constantFrom('never' as const, 'never' as const, 'same' as const, 'other body' as const),
    }),
    size,
  );

export type Request = { readonly path: string; readonly body: Readonly<Record<string, unknown>> };

/** IDs of what was made so far; an index beyond them names nothing. */
export type Made = { readonly customers: readonly string[]; readonly invoices: readonly string[] };

const NOTHING = '00000000-0000-4000-8000-000000000000';

export function requestOf(write: RandomWrite, made: Made): Request {
  switch (write.kind) {
    case 'createCustomer':
      return {
        path: '/api/customers',
        body: {
          name: 'Customer',
          currency: write.currency,
          ...(write.reference === undefined ? {} : { externalReference: `R${write.reference}` }),
        },
      };
    case 'createInvoice':
      return {
        path: '/api/invoices',
        body: {
          customerId: made.customers[write.customer] ?? NOTHING,
          currency: write.currency,
          issueDate: '2026-02-01',
          dueDate: '2026-12-31',
          lines: [
            { description: 'Work', quantity: '1', unitPrice: write.price, taxRateBasisPoints: write.taxRate },
            { description: 'More', quantity: '0.5', unitPrice: write.price % 7 },
          ],
        },
      };
    case 'finalizeInvoice':
      return {
        path: `/api/invoices/${made.invoices[write.invoice] ?? NOTHING}/finalize`,
        body: write.issueDate === undefined ? {} : { issueDate: write.issueDate },
      };
    case 'createPayment':
      return {
        path: '/api/payments',
        body: {
          invoiceId: made.invoices[write.invoice] ?? NOTHING,
          amount: write.amount,
          currency: write.currency,
          method: 'other',
          receivedOn: '2026-03-01',
        },
      };
  }
}

/** The same key with another body, still a valid one. */
export function otherBody(request: Request): Request {
  if (request.path === '/api/payments') return { ...request, body: { ...request.body, reference: 'another' } };
  if (request.path.endsWith('/finalize')) return { ...request, body: { ...request.body, issueDate: '2026-04-01' } };
  return { ...request, body: { ...request.body, metadata: { other: 'body' } } };
}

export function sendTo(company: Company, request: Request, key: string): Promise<Answer> {
  return company.api.post(request.path, request.body, { key });
}
