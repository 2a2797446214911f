import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { writeId } from '../../activities/identity.ts';
import { parseInput } from '../../activities/operation.ts';
import { type CreateCustomerState, createCustomer } from '../../activities/operations/create-customer.ts';
import { decideContext } from '../support/decide-context.ts';

const stateOf = (): CreateCustomerState => ({
  now: '2026-03-02T09:30:00.000Z',
  baseCurrency: 'USD',
  takenReferences: new Set(['CRM-0']),
  customers: [],
});

function decide(state: CreateCustomerState, body: object, key = 'one') {
  const context = decideContext({ writeId: idOf(key) });
  return createCustomer.set?.decide(state, parseInput(createCustomer, { params: {}, body }), context);
}

const idOf = (key: string) => writeId(decideContext().companyId, 'createCustomer', key);

describe('createCustomer decides', () => {
  test('a customer in the base currency, unless it names another', () => {
    const state = stateOf();
    const id = idOf('one');
    expect(decide(state, { name: 'One', metadata: { room: '12', b: '2', a: '1' } })).toEqual({
      resourceId: id,
      body: {
        ...{ id, name: 'One', email: null, currency: 'USD', externalReference: null },
        ...{ metadata: { a: '1', b: '2', room: '12' }, createdAt: '2026-03-02T09:30:00.000Z' },
      },
    });
    expect(Object.keys(state.customers[0]?.metadata ?? {})).toEqual(['a', 'b', 'room']);
    expect(decide(state, { name: 'Two', currency: 'EUR' }, 'two')?.body).toMatchObject({ currency: 'EUR' });
  });

  test('a taken reference as the constraint would', () => {
    const state = stateOf();
    expect(() => decide(state, { name: 'One', externalReference: 'CRM-0' })).toThrow(
      expect.objectContaining({
        ...{ code: 'customer_reference_taken', message: 'Another customer has this external reference.' },
        pointer: undefined,
      }),
    );
    expect(state).toEqual(stateOf());
  });

  test('a set in its order: of those with one reference the first, and all that have none', () => {
    const reference = fc.option(fc.constantFrom('CRM-0', 'CRM-1', 'CRM-2', 'crm-1'), { nil: undefined });
    fc.assert(
      fc.property(fc.array(reference, { maxLength: 10 }), (references) => {
        const state = stateOf();
        const made = references.flatMap((externalReference, index) => {
          try {
            return decide(state, { name: 'One', externalReference }, `key-${index}`)?.resourceId;
          } catch {
            return [];
          }
        });
        const firsts = references.flatMap((one, index) =>
          one === undefined || (one !== 'CRM-0' && references.indexOf(one) === index) ? idOf(`key-${index}`) : [],
        );
        expect(made).toEqual(firsts);
        expect(state.customers.map(({ id }) => id)).toEqual(firsts);
      }),
    );
  });
});
