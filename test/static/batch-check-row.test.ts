import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkRow } from '../../activities/batches/check-row.ts';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import { pathOf } from '../../activities/batches/row-path.ts';
import { type Operation, parseInput } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { finalizeInvoice } from '../../activities/operations/finalize-invoice.ts';
import { triggerWorkflow } from '../../activities/operations/trigger-workflow.ts';
import { ROLES } from '../../activities/roles.ts';
import type { ApiContext } from '../../api/context.ts';
import { createServer } from '../../api/http/server.ts';
import { formatKey } from '../../api/writes/idempotency-key.ts';
import { registerWriteRoutes } from '../../api/writes/routes.ts';

const SHA256 = 'a'.repeat(64);
const file = { operations: OPERATIONS, operation: undefined, sha256: SHA256 };
const [payment] = createPayment.examples;
const body = payment?.body ?? {};

const check = (operation: Operation, over: object, own: object = {}) =>
  checkRow(
    { row: 7, line: 9, input: { key: 'k', operation: operation.name, params: {}, body, ...over } },
    { ...file, ...own },
  );

/** The routes of all writes as they are, in front of a queue that is full: what passes the door is `overloaded`. */
let app: FastifyInstance;
beforeAll(async () => {
  const count = { inc: () => undefined, observe: () => undefined };
  const context = {
    operations: OPERATIONS,
    metrics: new Proxy({}, { get: () => count }),
    newWrites: { take: () => true },
    fence: { require: async () => undefined },
    lookups: { find: async () => ({ userId: 'user', roles: ROLES, row: undefined }) },
    submit: { find: () => undefined, open: () => undefined },
  } as unknown as ApiContext;
  const server = await createServer(pino({ level: 'silent' }), {
    ...{ trustedProxyHops: 0, maxConnectionsPerAddress: 10 },
    ...{ onProblem: () => undefined, onConnectionRefused: () => undefined },
  });
  app = server.app;
  app.decorateRequest('caller');
  app.addHook('onRequest', async (request) => {
    // An injected request has no connection that its end could close.
    Object.assign(request.raw.socket, { destroy: () => undefined });
    request.caller = { companyId: '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e01', subject: 'user' };
  });
  registerWriteRoutes(app, context);
});
afterAll(() => app.close());

type Told = { readonly code: string; readonly detail?: string | undefined; readonly errors?: unknown };

/** What the API says of the row sent alone. */
async function alone(operation: Operation, { key, params, body: sent }: Alone): Promise<Told> {
  const answer = await app.inject({
    method: operation.method,
    url: pathOf(operation, params),
    headers: { 'idempotency-key': formatKey(key), 'content-type': 'application/json' },
    payload: JSON.stringify(sent),
  });
  const { code, detail, errors = [] } = answer.json() as Told;
  if (code === 'overloaded') return { code: 'passed' };
  // What is no member of a body alone is one of a row: all that is refused of a row is 422.
  const pointer = POINTERS[code];
  return pointer === undefined
    ? { code, detail, errors }
    : { code: 'validation_failed', detail, errors: [{ in: 'body', pointer, message: detail }] };
}
const POINTERS: Readonly<Record<string, string>> = { idempotency_key_invalid: '/key', body_too_large: '' };
type Alone = { readonly key: string; readonly params: Record<string, unknown>; readonly body: object };

function inBatch(operation: Operation, row: Alone): Told {
  const checked = check(operation, row);
  if (!('code' in checked)) return { code: 'passed' };
  return { code: checked.code, detail: checked.detail, errors: checked.errors };
}

function nested(levels: number): object {
  return levels === 0 ? {} : { a: nested(levels - 1) };
}

describe('a row', () => {
  test.each(OPERATIONS.map((operation) => [operation.name, operation] as const))(
    'of %s is refused as the API refuses it alone, with the same pointers',
    async (_, operation) => {
      const [example] = operation.examples;
      if (example === undefined) throw new Error('Bug! An operation without an example');
      const row = { key: 'a key', params: example.params, body: example.body };
      const broken = Object.entries(example.body).flatMap(([name, value]) => {
        const { [name]: _left, ...without } = example.body;
        return [without, ...[null, -1, '', [value], { value }, '\u0000'].map((bad) => ({ ...without, [name]: bad }))];
      });
      const more = { ...example.body, more: 1, constructor: 2, toString: 3 };
      const rows: Alone[] = [
        row,
        { ...row, key: 'trigger:1:x' },
        { ...row, body: {} },
        { ...row, body: more },
        { ...row, body: JSON.parse('{"__proto__":{"amount":1}}') as object },
        { ...row, body: nested(32) },
        { ...row, body: { more: 'x'.repeat(1024 * 1024) } },
        { ...row, params: Object.fromEntries(Object.keys(example.params).map((name) => [name, 'é/%'])) },
        ...broken.map((content) => ({ ...row, body: content })),
      ];
      const told = rows.map((each) => inBatch(operation, each));
      expect(told).toEqual(await Promise.all(rows.map((each) => alone(operation, each))));
      expect(told[0]).toEqual({ code: 'passed' });
      const refused = [told[1], ...told.slice(3, 7)].map((each) => each?.code);
      expect(new Set(refused)).toEqual(new Set(['validation_failed']));
    },
  );

  test('is a write with the input that its schema makes, under its own key or that of its place in the file', () => {
    const input = parseInput(createPayment, { params: {}, body });
    expect(check(createPayment, {})).toEqual({ operation: createPayment, key: 'k', keyGiven: true, input });
    expect(input.body).toMatchObject({ bankAccountCode: '1000' });
    for (const key of [undefined, null]) {
      const derived = { key: keyOfRow(SHA256, 7), keyGiven: false };
      expect(check(createPayment, { key })).toMatchObject(derived);
    }
    const ofFile = { operation: undefined };
    expect(check(createPayment, ofFile, { operation: createPayment })).toMatchObject({ operation: createPayment });
    expect(check(createPayment, {}, { operation: finalizeInvoice })).toMatchObject({ operation: createPayment });
  });

  test('that cannot be read, or has no operation, is refused with the key that it gives', () => {
    const refused = (message: string, key: string | null) => ({
      ...{ key, code: 'validation_failed', detail: `The row is malformed: ${message}.` },
      errors: [{ in: 'body', pointer: '', message }],
    });
    expect(checkRow({ row: 1, line: 1, malformed: 'not UTF-8' }, file)).toEqual(refused('not UTF-8', null));
    const row = { row: 1, line: 1, malformed: 'not a number' };
    expect(checkRow({ ...row, key: 'mine' }, file)).toEqual(refused('not a number', 'mine'));
    for (const key of ['', 'é', 7, null]) expect(checkRow({ ...row, key }, file)).toMatchObject({ key: null });
    expect(check(createPayment, { operation: undefined })).toEqual(refused('the row has no operation', 'k'));
  });

  test('has a key that is text as a header can carry it', () => {
    for (const key of [7, '', ' ', 'é', 'k'.repeat(256), '\u0000', {}, '..', '\ud800', true]) {
      const refused = check(createPayment, { key });
      expect(refused).toMatchObject({ key: null, code: 'validation_failed', errors: [{ pointer: '/key' }] });
    }
  });

  test('whose key is that of a triggered workflow is still compared with the write that has it', () => {
    expect(check(createPayment, { key: 'trigger:1:x' })).toMatchObject({
      ...{ key: 'trigger:1:x', code: 'validation_failed' },
      unlessStored: { key: 'trigger:1:x', operation: createPayment },
    });
  });

  test('has parameters that can stand in a path', () => {
    const trigger = (params: object) => check(triggerWorkflow, { params, body: {} });
    expect(trigger({ name: 'closeMonth' })).toMatchObject({ input: { params: { name: 'closeMonth' } } });
    for (const name of ['', '.', '..', 7, '\ud800', undefined, ['a']]) {
      expect(trigger({ name })).toMatchObject({
        ...{ code: 'validation_failed', errors: [{ in: 'path', pointer: '/name' }] },
      });
    }
    expect(trigger({ name: 'closeMonth', more: 1 })).toMatchObject({
      errors: [{ in: 'path', pointer: '/more', message: 'is not a parameter of this route' }],
    });
    expect(pathOf(finalizeInvoice, { invoiceId: 'a/b' })).toBe('/api/invoices/a%2Fb/finalize');
  });

  test('nested a million levels deep exhausts no stack', () => {
    const deep = JSON.parse(`{"a":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`) as object;
    expect(check(createCustomer, { body: deep })).toMatchObject({
      errors: [{ in: 'body', pointer: '', message: 'must be nested at most 32 levels deep' }],
    });
  });
});
