import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { writeId } from '../../activities/identity.ts';
import { parseInput } from '../../activities/operation.ts';
import { type CreateInvoiceState, createInvoice } from '../../activities/operations/create-invoice.ts';
import { decideContext } from '../support/decide-context.ts';

const CUSTOMER = '1f7a3b52-9c0e-4d6f-8a2f-0c5f5b6f2e11';
const STRANGER = '2f7a3b52-9c0e-4d6f-8a2f-0c5f5b6f2e12';
const COMPANY = decideContext().companyId;
const LINE = { description: 'Work', quantity: '1', unitPrice: 100 };

const stateOf = (): CreateInvoiceState => ({
  now: '2026-03-02T09:30:00.000Z',
  today: '2026-03-02',
  taxRounding: 'line',
  currencies: new Map([[CUSTOMER, 'USD']]),
  incomeAccounts: new Map([['4000', '3f7a3b52-9c0e-4d6f-8a2f-0c5f5b6f2e13']]),
  invoices: [],
});

function decide(state: CreateInvoiceState, body: object, key = 'one') {
  const input = parseInput(createInvoice, {
    params: {},
    body: { customerId: CUSTOMER, currency: 'USD', dueDate: '2026-04-01', lines: [LINE], ...body },
  });
  const context = decideContext({ writeId: writeId(COMPANY, 'createInvoice', key) });
  return createInvoice.set?.decide(state, input, context);
}

describe('createInvoice decides', () => {
  test('a draft with its totals, dated today', () => {
    const state = stateOf();
    const written = decide(state, {
      lines: [
        { ...LINE, quantity: '1.50', unitPrice: 333, taxRateBasisPoints: 825 },
        { ...LINE, quantity: '3', unitPrice: 1999 },
      ],
      metadata: { room: '12', b: '2', a: '1', é: '3' },
    });
    const id = writeId(COMPANY, 'createInvoice', 'one');
    expect(written?.resourceId).toBe(id);
    expect(written?.body).toMatchObject({
      ...{ id, number: null, status: 'draft', issueDate: '2026-03-02', createdAt: '2026-03-02T09:30:00.000Z' },
      ...{ subtotal: 6497, tax: 41, total: 6538, amountDue: 6538, amountPaid: 0, memo: null, journalEntryId: null },
      lines: [
        { lineNumber: 1, quantity: '1.5', net: 500, tax: 41, accountCode: '4000' },
        { lineNumber: 2, quantity: '3', net: 5997, tax: 0, accountCode: '4000' },
      ],
    });
    expect(Object.keys(written?.body['metadata'] as object)).toEqual(['a', 'b', 'é', 'room']);
    expect(state.invoices).toMatchObject([{ id, total_minor: 6538n, lines: [{ net_minor: 500n }, {}] }]);
  });

  /** In the order in which they are asked: each has the faults of those after it, too. */
  const faults = [
    { code: 'amount_out_of_range', at: '/lines', body: { lines: [{ ...LINE, unitPrice: 0 }] } },
    {
      code: 'amount_out_of_range',
      at: '/lines',
      body: {
        lines: [
          { ...LINE, taxRate: '100' },
          { ...LINE, unitPrice: -101 },
        ],
      },
    },
    {
      code: 'amount_out_of_range',
      at: '/lines/1',
      body: {
        lines: [
          { ...LINE, quantity: '2', unitPrice: -5e12 },
          { ...LINE, quantity: '3', unitPrice: 5e12 },
        ],
      },
    },
    { code: 'customer_not_found', at: '/customerId', body: { customerId: STRANGER } },
    { code: 'currency_mismatch', at: '/currency', body: { currency: 'EUR' } },
    {
      code: 'account_not_usable',
      at: '/lines/1/accountCode',
      body: { lines: [LINE, { ...LINE, accountCode: '1000' }] },
    },
    { code: 'due_before_issue', at: undefined, body: { dueDate: '2026-03-01' } },
  ];

  test.each(faults.map((fault, index) => ({ ...fault, index })))(
    '$code, before those after it',
    ({ code, at, index }) => {
      const state = stateOf();
      const body = Object.assign(
        {},
        ...faults
          .slice(index)
          .toReversed()
          .map((fault) => fault.body),
      );
      expect(() => decide(state, body)).toThrow(
        expect.objectContaining({ code, pointer: at && { in: 'body', pointer: at } }),
      );
      expect(state).toEqual(stateOf());
    },
  );

  test('what the constraint would say of a due date', () => {
    expect(() => decide(stateOf(), { dueDate: '2026-03-01' })).toThrow('The due date is before the issue date.');
    expect(decide(stateOf(), { dueDate: '2026-03-02' })?.body).toMatchObject({ issueDate: '2026-03-02' });
  });

  test('each of a set as it would alone, and notes those that succeed', () => {
    const drawn = fc.record({
      customerId: fc.constantFrom(CUSTOMER, CUSTOMER, STRANGER),
      lines: fc.array(fc.record({ ...constants(LINE), unitPrice: fc.integer({ min: 0, max: 300 }) }), {
        minLength: 1,
        maxLength: 3,
      }),
    });
    fc.assert(
      fc.property(fc.array(drawn, { maxLength: 8 }), (bodies) => {
        const state = stateOf();
        const together = bodies.map((body, index) => outcomeOf(() => decide(state, body, `key-${index}`)));
        const alone = bodies.map((body, index) => outcomeOf(() => decide(stateOf(), body, `key-${index}`)));
        expect(together).toEqual(alone);
        const made = together.flatMap((outcome) => (typeof outcome === 'string' ? [] : outcome?.resourceId));
        expect(state.invoices.map(({ id }) => id)).toEqual(made);
        for (const { lines, ...invoice } of state.invoices) {
          expect(lines.reduce((sum, line) => sum + line.net_minor + line.tax_minor, 0n)).toBe(invoice.total_minor);
          expect(invoice.due_minor).toBe(invoice.total_minor);
        }
      }),
    );
  });
});

function constants<T extends object>(values: T) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, fc.constant(value)]));
}

function outcomeOf<T>(run: () => T): T | string {
  try {
    return run();
  } catch (error) {
    return String(error);
  }
}
