import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { fullName } from '../../deploy/client/generate/names.ts';
import type { Route } from '../../deploy/client/generate/routes.ts';
import type { Written } from '../../deploy/client/src/calls.ts';
import { type AccuBooks, createClient } from '../../deploy/client/src/client.ts';
import { RefusedError } from '../../deploy/client/src/errors.ts';
import { formatKey } from '../../deploy/client/src/keys.ts';
import type { Pages } from '../../deploy/client/src/pages.ts';
import { CLIENT_ROUTES, methodOf, pathWith } from '../support/client-methods.ts';
import type { Company } from '../support/companies.ts';
import { numberEvents } from '../support/events.ts';
import { type Examples, openExamples } from '../support/examples.ts';
import { type System, startSystem } from '../support/system.ts';

/** Every method of the client, against the real API: none is named here, and a new one is called because it has a route. */
let system: System;
let company: Company;
let examples: Examples;
let client: AccuBooks;
/** What the client has sent in a test. */
const sent: { readonly route: string; readonly key: string | undefined; readonly body: unknown }[] = [];

beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  examples = await openExamples(system);
  client = createClient({
    baseUrl: system.url,
    token: company.users.owner.token,
    fetch: (url, init) => {
      sent.push({
        route: `${init.method} ${url.replace(system.url, '')}`,
        key: init.headers['idempotency-key'],
        body: typeof init.body === 'string' ? JSON.parse(init.body) : undefined,
      });
      return fetch(url, init);
    },
  });
});
beforeEach(() => {
  sent.length = 0;
});
afterAll(async () => {
  await examples.close();
  await system.stop();
});

describe.each(OPERATIONS)('$name', (operation) => {
  test('is sent by its method, which returns what it has written', async () => {
    const { method, path, key, body } = await examples.make(operation, company);
    const route = CLIENT_ROUTES.find(({ write }) => write?.operation === operation.name);
    if (route === undefined) throw new Error(`${operation.name} has no method.`);
    const values = route.path
      .split('/')
      .flatMap((part, at) => (part.startsWith('{') ? [path.split('/')[at] ?? ''] : []));
    const args = [...values.map(decodeURIComponent), JSON.parse(body)];

    const send = () => methodOf(client, route.name)(...args, { idempotencyKey: key }) as Promise<Written<object>>;
    const written = await send();
    expect(sent[0]).toEqual({ route: `${method} ${path}`, key: formatKey(key), body: JSON.parse(body) });
    expect(written).toMatchObject({ idempotencyKey: key, status: operation.successStatus, replayed: false });
    // parse() leaves out what the schema does not name.
    expect(operation.resource.schema.parse(written.resource)).toEqual(written.resource);
    expect(await client.writes.get(key)).toMatchObject({
      ...{ operation: operation.name, state: 'succeeded', location: written.location },
      response: written.resource,
    });
    expect(await send()).toMatchObject({ resource: written.resource, replayed: true });
  });
});

/** Answers where the route asks for more than that its IDs are known. */
const OTHER_ANSWERS: Readonly<Record<string, RegExp>> = {
  // The company has none.
  'webhook.test': /^409 webhook_not_available$/,
  // A key that nobody knows may be cancelled.
  'writes.cancel': /^200$/,
  // Not the form of a year.
  'fiscalYears.get': /^422 validation_failed$/,
};
const FOUND = /^200$/;
const NOT_FOUND = /^404 \w+_not_found$/;

describe.each(
  CLIENT_ROUTES.filter(({ kind }) => kind !== 'write').map((route) => ({ ...route, full: fullName(route.name) })),
)('$full', (route) => {
  test('calls its route', async () => {
    const ids = route.pathParameters.map(unknownId);
    const isList = route.kind === 'list';
    const answer = await answerOf(route, [...ids, ...(isList ? [{ limit: 2 }] : [])]);
    expect(answer).toMatch(OTHER_ANSWERS[route.full] ?? (ids.length === 0 ? FOUND : NOT_FOUND));
    const path = `${pathWith(route, ids)}${isList ? '?limit=2' : ''}`;
    expect(sent.map((one) => one.route)).toEqual([`${route.method} ${path}`]);
  });
});

/** The status and code of the answer; a list is asked for its first page. */
async function answerOf({ name, kind }: Route, args: readonly unknown[]): Promise<string> {
  try {
    const answer = methodOf(client, name)(...args);
    await (kind === 'list' ? (answer as Pages<object>).first() : answer);
    return '200';
  } catch (error) {
    if (error instanceof RefusedError) return `${error.status} ${error.code}`;
    throw error;
  }
}

/** A value that the parameter of a path may have, but which nothing has: an ID, the code of an account, a key. */
function unknownId(parameter: string): string {
  return parameter.endsWith('Id') ? randomUUID() : randomUUID().slice(0, 18);
}

/** A list and the read of one of its items, by the parameter that names it. */
const PAIRS = CLIENT_ROUTES.filter(({ kind }) => kind === 'list').flatMap((list) => {
  const one = CLIENT_ROUTES.find(({ path, method }) => method === 'GET' && isItemOf(list.path, path));
  return one === undefined ? [] : [{ list, one, full: fullName(one.name), parameter: one.pathParameters[0] ?? '' }];
});

function isItemOf(collection: string, path: string): boolean {
  return path.startsWith(`${collection}/{`) && path.endsWith('}');
}

test.each(PAIRS)('$full reads an item of its list', async ({ list, one, parameter }) => {
  // Only then are events listed, and a batch.
  await numberEvents(system.owner);
  await client.batches.submit('{"body":{"name":"Of a file"}}', { operation: 'createCustomer', batchKey: 'of-a-file' });
  const { items } = await (methodOf(client, list.name)() as Pages<Readonly<Record<string, string>>>).first();
  const [item] = items;
  const id = item?.[parameter] ?? item?.['id'];
  expect(id).toBeDefined();
  const read = await methodOf(client, one.name)(String(id));
  expect(read).toMatchObject(item?.[parameter] === undefined ? { id } : { [parameter]: id });
});
