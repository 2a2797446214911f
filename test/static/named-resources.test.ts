import { describe, expect, test } from 'vitest';
import { writeId } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createNamedSet, isShared, namedResources } from '../../activities/write/named-resources.ts';

const COMPANY = '4d0c2e3a-0c56-4c3f-9a43-1f4f6c1c2b01';
const ONE = '0b0f8a60-3c1d-4d5e-8f60-aabbccddee01';
const TWO = '0b0f8a60-3c1d-4d5e-8f60-aabbccddee02';

type Sent = { readonly operation: string; readonly key?: string; readonly params?: object; readonly body?: unknown };

let keys = 0;
function namesOf({ operation, key, params = {}, body = {} }: Sent): readonly string[] {
  keys += 1;
  return namedResources({ companyId: COMPANY, operation, key: key ?? `key-${keys}`, input: { params, body } });
}

/** Whether two writes under different keys have to keep their order. */
function keepOrder(first: Sent, second: Sent): boolean {
  const [names, others] = [namesOf(first), namesOf(second)];
  const set = createNamedSet();
  set.add(names);
  const reverse = createNamedSet();
  reverse.add(others);
  expect(reverse.meets(names)).toBe(set.meets(others));
  return set.meets(others);
}

const pay = (invoiceId: string, more: object = {}): Sent => ({
  operation: 'createPayment',
  body: { invoiceId, amount: 1, bankAccountCode: '1000', ...more },
});
const finalize = (invoiceId: string): Sent => ({ operation: 'finalizeInvoice', params: { invoiceId } });
const account = (code: string): Sent => ({ operation: 'createAccount', body: { code, name: code, type: 'expense' } });
const entry = (accountCode: string): Sent => ({
  operation: 'createJournalEntry',
  body: { lines: [{ accountCode, amount: 1 }] },
});

describe('two writes keep their order', () => {
  test.each<[string, Sent, Sent]>([
    ['that name the same row', pay(ONE), pay(ONE)],
    ['that name it in path and body, and however it is written', finalize(ONE), pay(ONE.toUpperCase())],
    [
      'that name it within lists',
      {
        operation: 'reconcileLedger',
        params: { bankTransactionId: ONE },
        body: { matches: [{ journalLineId: TWO }] },
      },
      {
        operation: 'reconcileLedger',
        params: { bankTransactionId: COMPANY },
        body: { matches: [{ journalLineId: TWO }] },
      },
    ],
    [
      'of which one names the row that the other makes',
      { operation: 'createInvoice', key: 'makes', body: { customerId: ONE } },
      finalize(writeId(COMPANY, 'createInvoice', 'makes')),
    ],
    ['with one key', { ...pay(ONE), key: 'same' }, { ...entry('6100'), key: 'same' }],
    ['of which one makes the account of the other', account('6100'), entry('6100')],
    ['that both make an account', account('6100'), account('6100')],
    [
      'that want the same reference',
      { operation: 'createCustomer', body: { externalReference: 'R' } },
      { operation: 'createCustomer', body: { externalReference: 'R' } },
    ],
    [
      'of which one may give up the reference that the other wants',
      { operation: 'updateCustomer', params: { customerId: ONE }, body: { externalReference: null } },
      { operation: 'createCustomer', body: { externalReference: 'R' } },
    ],
    [
      'of which one may give up the article number that the other wants',
      { operation: 'updateInventoryItem', params: { itemId: ONE }, body: { sku: 'T' } },
      { operation: 'updateInventoryItem', params: { itemId: TWO }, body: { sku: 'S' } },
    ],
    [
      'that write off and take back of one invoice',
      { operation: 'writeOffInvoice', params: { invoiceId: ONE }, body: { amount: 1 } },
      { operation: 'recoverWriteOff', params: { invoiceId: ONE } },
    ],
    [
      'of which one may make due again what the other writes off',
      { operation: 'createRefund', body: { paymentId: ONE } },
      { operation: 'writeOffInvoice', params: { invoiceId: TWO }, body: { amount: 1 } },
    ],
    [
      'that want the same address',
      { operation: 'createEmployee', body: { email: 'A@example.test' } },
      { operation: 'createEmployee', body: { email: 'a@Example.test' } },
    ],
    [
      'that want the same article number',
      { operation: 'createInventoryItem', body: { sku: 'S' } },
      { operation: 'createInventoryItem', body: { sku: 'S' } },
    ],
    [
      'that import into the same account, also by default',
      { operation: 'importBankTransactions', body: { transactions: [] } },
      { operation: 'importBankTransactions', body: { accountCode: '1000', transactions: [] } },
    ],
    ['of which one refunds something of whichever invoice', pay(ONE), refund(TWO)],
    [
      'of which one reverses an entry of whichever bank transaction',
      { operation: 'reverseJournalEntry', params: { entryId: ONE } },
      { operation: 'reconcileLedger', params: { bankTransactionId: TWO } },
    ],
    ['that take numbers whose order is told', finalize(ONE), finalize(TWO)],
    ['of which one pays whoever is employed', { operation: 'createEmployee' }, { operation: 'createPayRun' }],
    ['of which one changes the settings', { operation: 'updateCompanySettings' }, pay(ONE)],
    ['of which one changes what somebody may do', pay(ONE), { operation: 'grantUserAccess', params: { userId: TWO } }],
    ['of which one starts what looks at everything', pay(ONE), { operation: 'triggerWorkflow' }],
  ])('%s', (_which, first, second) => {
    expect(keepOrder(first, second)).toBe(true);
  });

  test('whenever one may take from the other what has to be unique', () => {
    const withUnique = OPERATIONS.filter(({ constraints }) =>
      Object.keys(constraints).some((name) => name.endsWith('_key')),
    );
    const twice = withUnique.flatMap(({ name, examples }) =>
      examples.map(({ params, body }) => [name, { operation: name, params, body }] as const),
    );
    const kept = twice.filter(([, sent]) => keepOrder(sent, sent)).map(([name]) => name);
    expect(kept).toEqual(twice.map(([name]) => name));
    expect(kept).toEqual(expect.arrayContaining(['createCustomer', 'createEmployee', 'createInventoryItem']));
  });
});

describe('two writes need no order', () => {
  test.each<[string, Sent, Sent]>([
    ['that name different rows', pay(ONE), pay(TWO)],
    ['that use the same account', entry('6100'), entry('6100')],
    ['that use an account that every company has', account('1000'), entry('1000')],
    ['that make different accounts', account('6100'), account('6101')],
    [
      'that name the same in what no operation reads',
      pay(ONE, { metadata: { importId: COMPANY } }),
      pay(TWO, { metadata: { importId: COMPANY } }),
    ],
    ['without what would have to be unique', { operation: 'createCustomer' }, { operation: 'createCustomer' }],
    ['that employ different people', { operation: 'createEmployee' }, { operation: 'createEmployee' }],
    ['of the same amount', pay(ONE, { reference: 'R' }), pay(TWO, { reference: 'R' })],
  ])('%s', (_which, first, second) => {
    expect(keepOrder(first, second)).toBe(false);
  });
});

test('what is not what an operation takes has names as well', () => {
  for (const body of [
    null,
    undefined,
    7,
    'text',
    [null, [ONE]],
    { code: 7, accountCode: null, nested: [{ id: ONE }] },
  ]) {
    for (const { name: operation } of [...OPERATIONS, { name: 'unknown' }]) {
      expect(namesOf({ operation, body }).length).toBeGreaterThan(2);
    }
  }
  const unnamed = namedResources({ companyId: COMPANY, operation: 'createPayment', key: null, input: {} });
  expect(unnamed.filter((name) => !isShared(name))).toEqual([]);
});

function refund(paymentId: string): Sent {
  return { operation: 'createRefund', body: { paymentId, amount: 1 } };
}
