import { describe, expect, expectTypeOf, test } from 'vitest';
import type { Calls } from '../../deploy/client/src/calls.ts';
import { isRejection, RejectedError } from '../../deploy/client/src/errors.ts';
import { type Books, booksOf } from '../../deploy/client/src/generated/books.ts';
import type {
  AccountLine,
  Event,
  Invoice,
  InvoiceWithHistory,
  ListPaymentsQuery,
  Payment,
  Problem,
  RejectionCodes,
  WebhookCall,
} from '../../deploy/client/src/generated/types.ts';

/**
 * What the compiler refuses. `npm run typecheck` fails where a line below `@ts-expect-error` compiles; what each test
 * asserts is what would be sent if it did.
 */
type Sent = { readonly path: string; readonly body?: object; readonly options?: object; readonly query?: object };
let sent: Sent | undefined;
const note = (one: Sent) => {
  sent = one;
};
const books = booksOf({
  write: ({ path, body }: { path: string; body: object }, options: object) => note({ path, body, options }),
  read: (path: string, query: object) => note({ path, query }),
  list: (path: string, query: object) => note({ path, query }),
} as unknown as Calls);

const PAYMENT = { invoiceId: 'i', amount: 2_500, currency: 'USD' };

describe('a request compiles', () => {
  test('with all that is required, and with options', () => {
    void books.payments.create({ ...PAYMENT, method: 'card' }, { idempotencyKey: 'k' });
    expect(sent).toEqual({
      path: '/api/payments',
      body: { ...PAYMENT, method: 'card' },
      options: { idempotencyKey: 'k' },
    });
  });

  test('without the members that have a default', () => {
    const line = { description: 'Work', quantity: '1', unitPrice: 100 };
    void books.invoices.create({ customerId: 'c', currency: 'USD', dueDate: '2026-04-01', lines: [line] });
    expect(sent?.body).toMatchObject({ lines: [line] });
  });

  test('without a body that may be empty', () => {
    void books.invoices.finalize('i', undefined, { idempotencyKey: 'k' });
    expect(sent).toEqual({ path: '/api/invoices/i/finalize', body: {}, options: { idempotencyKey: 'k' } });
  });
});

describe('a request does not compile', () => {
  test('without a member that is required', () => {
    // @ts-expect-error
    void books.payments.create(PAYMENT);
    expect(sent?.body).not.toHaveProperty('method');
  });

  test('with a member that the operation does not know', () => {
    // @ts-expect-error
    void books.payments.create({ ...PAYMENT, method: 'card', recievedOn: '2026-03-02' });
    expect(sent?.body).toHaveProperty('recievedOn');
  });

  test('with another value than one of those that are allowed', () => {
    // @ts-expect-error
    void books.payments.create({ ...PAYMENT, method: 'creditcard' });
    expect(sent?.body).toHaveProperty('method', 'creditcard');
  });

  test('with an amount that is a text', () => {
    // @ts-expect-error
    void books.payments.create({ ...PAYMENT, amount: '25.00', method: 'card' });
    expect(sent?.body).toHaveProperty('amount', '25.00');
  });

  test('without the ID in its path', () => {
    // @ts-expect-error
    expect(() => void books.invoices.finalize()).toThrow('undefined cannot stand in a path');
  });

  test('with its options in the place of the body', () => {
    // @ts-expect-error
    void books.payRuns.approve('r', { idempotencyKey: 'k' });
    expect(sent?.body).toEqual({ idempotencyKey: 'k' });
    // @ts-expect-error
    void books.invoices.finalize('i', { idempotencyKey: 'k' });
    expect(sent?.body).toEqual({ idempotencyKey: 'k' });
  });

  test('with an option that there is not', () => {
    // @ts-expect-error
    void books.payments.create({ ...PAYMENT, method: 'card' }, { idempotencykey: 'k' });
    expect(sent?.options).not.toHaveProperty('idempotencyKey');
  });

  test('with a filter that the list does not have', () => {
    // @ts-expect-error
    void books.payments.list({ customer: 'c' });
    expect(sent?.query).toEqual({ customer: 'c' });
  });
});

describe('an answer', () => {
  test('of a write is its resource', () => {
    type Finalized = Awaited<ReturnType<Books['invoices']['finalize']>>['resource'];
    expectTypeOf<Finalized>().toEqualTypeOf<Invoice>();
    expectTypeOf<Finalized['warnings']>().toEqualTypeOf<{ code: string }[] | undefined>();
    expectTypeOf<Finalized['number']>().toEqualTypeOf<string | null>();
    expectTypeOf<Finalized['status']>().toEqualTypeOf<
      'draft' | 'finalized' | 'partially_paid' | 'paid' | 'written_off' | 'void'
    >();
  });

  test('has numbers as amounts, and digits too where a sum may be beyond the safe integers', () => {
    expectTypeOf<Payment['amount']>().toEqualTypeOf<number>();
    expectTypeOf<AccountLine['amount']>().toEqualTypeOf<number | string>();
    expectTypeOf<AccountLine['balance']>().toEqualTypeOf<number | string>();
  });

  test('has no member that the document does not name', () => {
    // @ts-expect-error
    expectTypeOf<Payment['ammount']>();
    expectTypeOf<Payment>().not.toHaveProperty('ammount');
    expectTypeOf<Payment>().toHaveProperty('amount');
  });

  test('of a read is the resource, or an item for each of its pages', () => {
    type Listed = ReturnType<Books['payments']['list']> extends AsyncIterable<infer Item> ? Item : never;
    expectTypeOf<Listed>().toEqualTypeOf<Payment>();
    expectTypeOf<Awaited<ReturnType<Books['invoices']['get']>>>().toEqualTypeOf<InvoiceWithHistory>();
    expectTypeOf<ListPaymentsQuery['limit']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<ListPaymentsQuery['customerId']>().toEqualTypeOf<string | undefined>();
  });
});

describe('what a later release may add to', () => {
  const problem: Problem = {
    ...{ type: '/docs/errors#new_code', title: '', status: 409, detail: '', instance: '', retryable: false },
    code: 'new_code',
    nextAction: 'use_new_key',
  };

  test('compiles with any value: the code of a problem, the kind of an event', () => {
    expectTypeOf<string>().toExtend<Problem['code']>();
    expectTypeOf<string>().toExtend<Event['kind']>();
    expect(problem.code).toBe('new_code');
  });

  test('is one of the codes of its operation, once it is known to be a rejection by it', () => {
    const error: unknown = new RejectedError('', { problem, operation: 'createPayment', replayed: false });
    if (!isRejection(error, 'createPayment')) throw new Error('It is one.');
    expectTypeOf(error.problem.code).toEqualTypeOf<RejectionCodes['createPayment']>();
    expectTypeOf<'payment_exceeds_outstanding' | 'forbidden'>().toExtend<RejectionCodes['createPayment']>();
    // @ts-expect-error
    expect(error.problem.code === 'payment_exceeds_oustanding').toBe(false);
  });

  test('does not keep a webhook’s calls from being told apart: what has the ID of an event is one', () => {
    const urlOf = ({ data }: WebhookCall) => (data.eventId === undefined ? undefined : data.resource.url);
    const data = {
      ...{ eventId: 'e', companyId: 'c', writeId: 'w', requestId: 'r' },
      resource: { type: '', id: '', url: '/r' },
    };
    expect(urlOf({ type: 'invoice.of_a_later_kind', timestamp: '', data })).toBe('/r');
    expect(urlOf({ type: 'webhook.test', timestamp: '', data: { companyId: 'c' } })).toBeUndefined();
    // @ts-expect-error
    expect(urlOf({ type: 'invoice.finalized', timestamp: '', data: { companyId: 'c' } })).toBeUndefined();
  });
});
