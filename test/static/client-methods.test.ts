import { describe, expect, test } from 'vitest';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { documentOf } from '../../deploy/client/generate/document.ts';
import { fullName, OTHER_NAMES, requireUniqueNames } from '../../deploy/client/generate/names.ts';
import { carriesFile, routesOf } from '../../deploy/client/generate/routes.ts';
import type { Calls } from '../../deploy/client/src/calls.ts';
import { booksOf } from '../../deploy/client/src/generated/books.ts';
import { CLIENT_ROUTES, methodNames, methodOf, pathWith } from '../support/client-methods.ts';

/** Returns what it is asked for, instead of sending it. */
const calls = {
  write: ({ method, path, ...write }: { method: string; path: string }, options: unknown) =>
    asked('write', `${method} ${path}`, { ...write, options }),
  read: (path: string, query: unknown, options: unknown) => asked('read', `GET ${path}`, { query, options }),
  list: (path: string, query: unknown, options: unknown) => asked('list', `GET ${path}`, { query, options }),
  act: (path: string, options: unknown) => asked('act', `POST ${path}`, { options }),
} as unknown as Calls;
const books = booksOf(calls);

function asked(kind: string, route: string, rest: object): object {
  return { kind, route, ...rest };
}

describe('the methods of the client', () => {
  test('are as many as the API has routes, each with a name of its own', () => {
    const all = Object.entries(documentOf(OPERATIONS).paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, route]) => ({ name: `${method.toUpperCase()} ${path}`, route })),
    );
    // Those of batches are written by hand, in deploy/client/src/batches.ts; an export is for programs that read a stream.
    expect(all.flatMap(({ name, route }) => (carriesFile(route) ? [name] : [])).toSorted()).toEqual([
      'GET /api/batches/{key}/results',
      'GET /api/reports/general-ledger',
      'POST /api/batches',
    ]);
    const routes = all.flatMap(({ name, route }) => (carriesFile(route) ? [] : [name]));
    expect(CLIENT_ROUTES.map(({ method, path }) => `${method} ${path}`)).toEqual(routes);
    const names = CLIENT_ROUTES.map(({ name }) => fullName(name));
    expect(names).toEqual([...new Set(names)]);
    expect(methodNames(books).toSorted()).toEqual(names.toSorted());
  });

  test.each(CLIENT_ROUTES.map((route) => [fullName(route.name), route] as const))('%s calls its route', (_, route) => {
    const values = route.pathParameters.map((name) => `${name} / of it`);
    const [body, query, options] = [{ a: 1 }, { limit: 3 }, { deadlineMs: 5 }];
    const { write } = route;
    const parts = [...(write === undefined ? [] : [body]), ...(route.query === undefined ? [] : [query])];
    expect(methodOf(books, route.name)(...values, ...parts, options)).toEqual({
      kind: route.kind,
      route: `${route.method} ${pathWith(route, values)}`,
      options,
      ...(write === undefined ? {} : { operation: write.operation, body }),
      ...(route.query === undefined ? {} : { query }),
    });
  });

  test('of writes name the operation of their route', () => {
    const written = CLIENT_ROUTES.flatMap(({ method, path, write }) =>
      write === undefined ? [] : [[write.operation, `${method} ${path.replace(/\{(\w+)\}/g, ':$1')}`]],
    );
    expect(written).toEqual(OPERATIONS.map(({ name, method, path }) => [name, `${method} ${path}`]));
  });

  test('take no body as an empty one, where the operation needs none', () => {
    expect(books.invoices.finalize('i')).toMatchObject({ operation: 'finalizeInvoice', body: {} });
    const optional = CLIENT_ROUTES.filter(({ write }) => write?.body.isRequired === false);
    const accepting = OPERATIONS.filter(({ body }) => body.safeParse({}).success);
    expect(optional.map(({ write }) => write?.operation)).toEqual(accepting.map(({ name }) => name));
  });

  test('refuse an ID that would lead to another route', () => {
    for (const id of ['', '.', '..']) expect(() => books.payments.get(id)).toThrow(TypeError);
  });
});

describe('their names', () => {
  test('are the plural of the resource and the verb of the operation', () => {
    const names = CLIENT_ROUTES.map(({ name, method, path }) => [fullName(name), `${method} ${path}`]);
    expect(Object.fromEntries(names)).toMatchObject({
      'payments.create': 'POST /api/payments',
      'payments.list': 'GET /api/payments',
      'payments.get': 'GET /api/payments/{paymentId}',
      'invoices.finalize': 'POST /api/invoices/{invoiceId}/finalize',
      'creditNotes.create': 'POST /api/invoices/{invoiceId}/credit-notes',
      'reminders.record': 'POST /api/invoices/{invoiceId}/reminders',
      'bankTransactions.import': 'POST /api/bank-transactions/import',
      'bankTransactions.reconcile': 'POST /api/ledger/reconcile/{bankTransactionId}',
      'payRuns.execute': 'POST /api/payroll/pay-runs/{payRunId}/execute',
      'users.grant': 'POST /api/users/{userId}/access',
      'items.adjust': 'POST /api/inventory/{itemId}/adjust',
      'journalEntries.reverse': 'POST /api/ledger/entries/{entryId}/reverse',
      'settings.update': 'PATCH /api/company/settings',
      'accounts.lines': 'GET /api/ledger/accounts/{code}/lines',
      'reports.trialBalance': 'GET /api/ledger/trial-balance',
      'reports.agedReceivables': 'GET /api/reports/aged-receivables',
      'securityLog.list': 'GET /api/security-log',
      'workflows.trigger': 'POST /api/workflows/{name}/trigger',
      'writes.get': 'GET /api/writes/{key}',
      'writes.cancel': 'POST /api/writes/{key}/cancel',
      'events.redeliver': 'POST /api/events/{eventId}/redeliver',
      'webhook.test': 'POST /api/company/webhook-test',
      me: 'GET /api/me',
    });
  });

  test('are told apart by the generator, which says what to do', () => {
    const twin: Operation = { ...createPayment, name: 'createPaymentTwice', path: '/api/payments/twice' };
    const operations = [...OPERATIONS, twin];
    expect(() => routesOf(documentOf(operations), operations)).toThrow(
      'POST /api/payments/twice and POST /api/payments would both be "payments.create" in the client: give one of them a ' +
        'name in OTHER_NAMES of deploy/client/generate/names.ts.',
    );
    const named = (group: string | undefined, method: string) => ({
      method: 'GET',
      path: '/',
      name: { group, method },
    });
    expect(() => requireUniqueNames([named('me', 'list'), named(undefined, 'me')])).toThrow('the group me');
    expect(() => requireUniqueNames([named('writes', 'resolve')])).toThrow('deploy/client/src/client.ts');
    expect(() => requireUniqueNames([named('me', 'list'), named('you', 'list')])).not.toThrow();
  });

  test('that are exceptions are of routes that are there', () => {
    const routes = CLIENT_ROUTES.map(({ method, path }) => `${method} ${path}`);
    expect(Object.keys(OTHER_NAMES).filter((route) => !routes.includes(route))).toEqual([]);
  });
});
