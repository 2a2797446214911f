import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fingerprint } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { differences, isSameRequest, recordedDifferences } from '../../activities/write/compare-requests.ts';

describe('the fingerprint', () => {
  const body = { amount: 1, currency: 'USD', lines: [{ a: '1' }, { b: '2' }] };
  const of = (content: Record<string, unknown>, params = {}, operation = 'createPayment') =>
    fingerprint(operation, { params, body: content });

  test('does not know the order of members, and knows everything else', () => {
    expect(of({ lines: body.lines, currency: 'USD', amount: 1 })).toBe(of(body));
    const others = [
      of({ ...body, amount: 2 }),
      of({ ...body, lines: body.lines.toReversed() }),
      of({ ...body, amount: '1' }),
      of({ ...body, extra: null }),
      of(body, { id: 'x' }),
      of(body, {}, 'createRefund'),
    ];
    expect(new Set([of(body), ...others]).size).toBe(others.length + 1);
  });

  test('is that of the canonical JSON of RFC 8785', () => {
    // printf '{"body":{"a":1,"b":"\xe2\x82\xac"},"operation":"x","params":{}}' | sha256sum
    expect(fingerprint('x', { params: {}, body: { b: '\u20ac', a: 1.0 } })).toBe(
      '8d4b02bba4120dbd19496e8da96d8a88c7fdf3f80ed9fbdd9fcf1deee5320121',
    );
  });
});

describe('the differences of two requests', () => {
  const request = (body: Record<string, unknown>, operation = 'createPayment') => ({ operation, params: {}, body });
  const json = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { noNullPrototype: true });

  test('are none between a request and itself, and some between any two that are not the same', () => {
    fc.assert(
      fc.property(json, json, (one, other) => {
        const mine = (body: typeof one) => ({ ...request(body), fingerprint: '' });
        expect(differences(request(one), mine(structuredClone(one)))).toEqual([]);
        const same = fingerprint('x', { params: {}, body: one }) === fingerprint('x', { params: {}, body: other });
        expect(differences(request(one), mine(other)).length === 0).toBe(same);
      }),
    );
  });

  test('are a hundred at most', () => {
    const many = (value: number) => Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`k${index}`, value]));
    expect(differences(request(many(1)), { ...request(many(2)), fingerprint: '' })).toHaveLength(100);
  });

  test('are told by their pointers: what was changed, added and left out, at any depth', () => {
    const stored = {
      operation: 'createPayment',
      params: { id: 'a' },
      body: { a: 1, b: { c: 1, d: 2 }, e: ['x'], f: {} },
    };
    const mine = {
      operation: 'createPayment',
      params: { id: 'b' },
      body: { a: { z: 1 }, b: { c: 2, g: 3 }, e: { 0: 'x' }, f: 1 },
    };
    expect(differences(stored, { ...mine, fingerprint: '' })).toEqual([
      { in: 'path', pointer: '/id' },
      ...['/a', '/b/c', '/b/d', '/b/g', '/e', '/f'].map((pointer) => ({ in: 'body', pointer })),
    ]);
  });

  test('are not taken from what every object has', () => {
    const withProto = JSON.parse('{"__proto__":{},"constructor":{}}') as Record<string, unknown>;
    expect(differences(request({}), { ...request(withProto), fingerprint: '' })).toEqual([
      { in: 'body', pointer: '/__proto__' },
      { in: 'body', pointer: '/constructor' },
    ]);
  });

  test('are not looked for in the content where the operations differ', () => {
    expect(differences(request({ a: 1 }), { ...request({ b: 1 }, 'createRefund'), fingerprint: '' })).toEqual([
      { in: 'operation', pointer: '' },
    ]);
  });
});

describe('what the audit log keeps of the differences', () => {
  const createInvoice = OPERATIONS.find(({ name }) => name === 'createInvoice');
  const kept = (...pointers: string[]) => {
    if (createInvoice === undefined) throw new Error('no operation');
    const told = pointers.map((pointer) => ({ in: 'body' as const, pointer }));
    return recordedDifferences(createInvoice, told).map(({ pointer }) => pointer);
  };

  test('are names of the schema, each once: never a name that the client has chosen', () => {
    expect(kept('/dueDate', '/lines/1/unitPrice', '/lines/2')).toEqual(['/dueDate', '/lines/1/unitPrice', '/lines/2']);
    expect(kept('/metadata/Ada Lovelace', '/metadata/other')).toEqual(['/metadata']);
    expect(kept('/lines/Ada', '/later/Ada', '/lines/0/later/Ada')).toEqual(['/lines', '', '/lines/0']);
    expect(kept('/constructor', '/__proto__')).toEqual(['']);
  });

  test('are twenty at most', () => {
    expect(kept(...Array.from({ length: 100 }, (_, index) => `/lines/${index}`))).toHaveLength(20);
  });

  test('are the operation where it is another', () => {
    for (const operation of OPERATIONS)
      expect(recordedDifferences(operation, [{ in: 'operation', pointer: '' }])).toEqual([
        { in: 'operation', pointer: '' },
      ]);
  });
});

describe('the same request', () => {
  const body = { name: 'Acme', currency: 'USD', metadata: { a: '1' } };
  const mine = (content: Record<string, unknown>, operation = 'createCustomer') => ({
    operation,
    params: {},
    body: content,
    fingerprint: fingerprint(operation, { params: {}, body: content }),
  });
  /** A row whose fingerprint is of another release’s form of the request. */
  const row = (content: Record<string, unknown>, version: number | null = 1, operation = 'createCustomer') => ({
    operation,
    fingerprint: 'a'.repeat(64),
    request: { params: {}, body: content },
    schema_version: version,
  });

  test('is one with the same fingerprint, whatever else is known', () => {
    const { fingerprint: same, ...request } = mine(body);
    const known = { operation: 'retired', fingerprint: same, request: null, schema_version: null };
    expect(isSameRequest(known, { ...request, fingerprint: same }, OPERATIONS)).toBe(true);
  });

  test('is one that today’s schema reads the same', () => {
    const payment = {
      invoiceId: '0e5f5f3c-2f4b-4c39-8d55-6a8f5f1d0a01',
      amount: 1,
      currency: 'USD',
      method: 'cash',
    };
    const withDefault = { ...payment, bankAccountCode: '1000' };
    expect(isSameRequest(row(payment, 1, 'createPayment'), mine(withDefault, 'createPayment'), OPERATIONS)).toBe(true);
    const other = { ...payment, bankAccountCode: '1001' };
    expect(isSameRequest(row(payment, 1, 'createPayment'), mine(other, 'createPayment'), OPERATIONS)).toBe(false);
  });

  test('is one that differs in nothing but what was erased with a person', () => {
    const erased = { ...body, name: '[erased]', metadata: { erased: '[erased]' } };
    const stored = { ...row(erased), request: { params: {}, body: erased, erased: ['/name', '/metadata'] } };
    const isSame = (changes: object) => isSameRequest(stored, mine({ ...body, ...changes }), OPERATIONS);
    expect(isSame({ name: 'Anybody', metadata: { other: 'note' } })).toBe(true);
    expect(isSame({ currency: 'EUR' })).toBe(false);
    expect(isSame({ email: 'somebody@acme.test' })).toBe(false);
    expect(isSameRequest(stored, mine({ name: 'Acme', currency: 'USD' }), OPERATIONS)).toBe(true);
    // A marker that a client has sent is a text as any other.
    expect(isSameRequest(row(erased), mine({ ...erased, name: 'Anybody' }), OPERATIONS)).toBe(false);
    const changed = mine({ name: 'Anybody', currency: 'EUR', email: 'a@acme.test' });
    expect(differences({ operation: 'createCustomer', ...stored.request }, changed)).toEqual([
      { in: 'body', pointer: '/currency' },
      { in: 'body', pointer: '/email' },
    ]);
  });

  test('is one with erased members of lists, each at its place', () => {
    const [first, second] = [
      { accountCode: '1000', amount: 5, memo: '[erased]' },
      { accountCode: '3000', amount: -5, memo: 'Gift' },
    ];
    const entry = { date: '2026-05-01', description: 'Gift', currency: 'USD', lines: [first, second] };
    const stored = {
      ...row(entry, 1, 'createJournalEntry'),
      request: { params: {}, body: entry, erased: ['/lines/0/memo'] },
    };
    const isSame = (lines: readonly object[]) =>
      isSameRequest(stored, mine({ ...entry, lines }, 'createJournalEntry'), OPERATIONS);
    expect(isSame([{ ...first, memo: 'Anything' }, second])).toBe(true);
    expect(isSame([{ accountCode: '1000', amount: 5 }, second])).toBe(true);
    expect(isSame([first, { ...second, memo: 'Anything' }])).toBe(false);
    expect(isSame([{ ...first, amount: 6 }, second])).toBe(false);
    expect(isSame([first])).toBe(false);
    expect(isSame([])).toBe(false);
  });

  test('is compared by the members known to both when a later release has written the row', () => {
    const later = { ...body, new: 1 };
    expect(isSameRequest(row(later, 2), mine(body), OPERATIONS)).toBe(true);
    expect(isSameRequest(row({ ...later, name: 'Other' }, 2), mine(body), OPERATIONS)).toBe(false);
    expect(later).toHaveProperty('new', 1);
  });

  test('is compared so inside of its members, too', () => {
    const line = { description: 'Work', quantity: '1', unitPrice: 100 };
    const invoice = {
      customerId: '0e5f5f3c-2f4b-4c39-8d55-6a8f5f1d0a01',
      currency: 'USD',
      dueDate: '2026-03-10',
      lines: [line],
    };
    const today = mine(parsedInvoice(invoice), 'createInvoice');
    const later = { ...invoice, lines: [{ ...line, new: { deep: 1 } }] };
    expect(isSameRequest(row(later, 3, 'createInvoice'), today, OPERATIONS)).toBe(true);
  });

  test.each([1, null])('is none whose stored form today’s schema refuses, of version %s', (version) => {
    expect(isSameRequest(row({ ...body, new: 1 }, version), mine(body), OPERATIONS)).toBe(false);
  });

  test('is none where a member is wrong besides', () => {
    expect(isSameRequest(row({ ...body, name: 1, new: 1 }, 2), mine(body), OPERATIONS)).toBe(false);
  });

  test('is none of another operation, though its content is the same', () => {
    expect(isSameRequest(row(body, 1, 'createEmployee'), mine(body), OPERATIONS)).toBe(false);
    expect(isSameRequest({ ...row(body), request: null }, mine(body), OPERATIONS)).toBe(false);
  });

  test('is not a row of an operation that this release does not have', () => {
    expect(isSameRequest(row({}, 1, 'retired'), mine({}, 'retired'), OPERATIONS)).toBe(false);
  });
});

function parsedInvoice(body: Record<string, unknown>): Record<string, unknown> {
  const operation = OPERATIONS.find(({ name }) => name === 'createInvoice');
  return operation?.body.parse(body) as Record<string, unknown>;
}
