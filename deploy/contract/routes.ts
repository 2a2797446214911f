import { isDeepStrictEqual } from 'node:util';
import type { Operation } from '../../activities/operation.ts';
import { toOpenApiPath } from '../../api/openapi/json-schema.ts';
import type { Tenant } from '../cli/target.ts';
import { labelOf } from '../client/src/answers.ts';
import type { Http } from '../client/src/http.ts';
import type { Books } from './books.ts';
import { settle, unless } from './rule.ts';
import { expectedEventId, expectedWriteId } from './uuid.ts';

type NonOperation = {
  readonly path: string;
  readonly mayChange: readonly string[];
  /** 200 or 409 if omitted: the webhook cannot be called if the service has no master key to sign webhooks with. */
  readonly answers?: readonly number[];
};

/** Routes that change something and are not operations, with the tables that each may change: never business rows. */
const NON_OPERATIONS: Readonly<Record<string, NonOperation>> = {
  'POST /api/writes/{key}/cancel': { path: '/api/writes/contract%3Anever/cancel', mayChange: ['idempotent_writes'] },
  ...Object.fromEntries(
    ['approve', 'reject'].map((action) => [
      `POST /api/writes/{key}/${action}`,
      { path: `/api/writes/contract%3Awaiting/${action}`, mayChange: [], answers: [404] },
    ]),
  ),
  'POST /api/events/{eventId}/redeliver': { path: '/api/events/:eventId/redeliver', mayChange: [] },
  'POST /api/company/webhook-test': { path: '/api/company/webhook-test', mayChange: [] },
  // Its rows are writes under their own keys, and it has one itself.
  'POST /api/batches': { path: '/api/batches?operation=createCustomer', mayChange: [], answers: [415] },
  ...Object.fromEntries(
    ['pause', 'resume', 'cancel', 'retry-failed'].map((action) => [
      `POST /api/batches/{key}/${action}`,
      { path: `/api/batches/contract%3Anever/${action}`, mayChange: [], answers: [404] },
    ]),
  ),
};

const CHANGING = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
/** A domain reserved by RFC 2606, so nobody is ever called. */
const WEBHOOK_URL = 'https://webhook.invalid/contract';

type OpenApi = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentedRoute>>>>;
  readonly 'x-routes'?: readonly string[];
};
type DocumentedRoute = {
  readonly 'x-operation'?: Readonly<Record<string, unknown>>;
  readonly parameters?: readonly { readonly $ref?: string }[];
};

/**
 * Checks that every route that could change something is an operation of the list, described as declared, or one of the
 * few above; calls those without a key and checks that they leave no business rows.
 */
export async function checkRoutes(
  { http, books, home }: { http: Http; books: Books; home: Tenant },
  operations: readonly Operation[],
): Promise<readonly string[]> {
  const { text } = await http.send({ method: 'GET', path: '/openapi.json', token: home.token });
  const document = JSON.parse(text) as OpenApi;
  const documented = new Map(
    Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, route]) => [`${method.toUpperCase()} ${path}`, route] as const),
    ),
  );
  const served = document['x-routes'];
  if (served === undefined) return ['/openapi.json does not say which routes are served (x-routes)'];
  return [
    ...unknownRoutes([...documented.keys()], served, operations),
    ...operations.flatMap((operation) => undocumented(operation, documented, served)),
    ...(await probe(http, books, home)),
  ];
}

function unknownRoutes(documented: readonly string[], served: readonly string[], operations: readonly Operation[]) {
  const known = new Set([...operations.map(routeOf), ...Object.keys(NON_OPERATIONS)]);
  const routes = [...new Set([...documented, ...served])].filter((route) => CHANGING.has(route.split(' ')[0] ?? ''));
  return routes
    .filter((route) => !known.has(route))
    .map((route) => {
      const where = documented.includes(route) ? 'documented' : 'served but not documented,';
      return `${route} is ${where} and is neither an operation nor a known route that writes no business rows`;
    });
}

function undocumented(
  operation: Operation,
  documented: ReadonlyMap<string, DocumentedRoute>,
  served: readonly string[],
): readonly string[] {
  const route = routeOf(operation);
  const { 'x-operation': described, parameters = [] } = documented.get(route) ?? {};
  const { name, type, roles, event } = operation;
  const rejections = Object.entries(operation.rejections).map(([code, { status }]) => ({ code, status }));
  return [
    ...unless(served.includes(route), `${name} is in the list, but ${route} is not served`),
    ...unless(
      isDeepStrictEqual(described, { name, type, roles, event, rejections }),
      `the documentation of ${route} differs from the declaration of ${name}`,
    ),
    ...unless(
      parameters.some(({ $ref }) => $ref?.endsWith('/IdempotencyKey') === true),
      `${route} is documented without an Idempotency-Key`,
    ),
  ];
}

function routeOf({ method, path }: Operation): string {
  return `${method} ${toOpenApiPath(path)}`;
}

/** First sets a webhook and creates an event, so that each of the routes has something to do. */
async function probe(http: Http, books: Books, { token, companyId }: Tenant): Promise<readonly string[]> {
  const customer = { method: 'POST', path: '/api/customers', token, key: 'contract:customer' } as const;
  await settle(http, { ...customer, body: JSON.stringify({ name: 'Customer for redelivery' }) });
  const eventId = expectedEventId(expectedWriteId(companyId, 'createCustomer', customer.key));
  await setWebhook(http, token, WEBHOOK_URL);
  const gaps: string[] = [];
  for (const [route, { path, mayChange, answers = [200, 409] }] of Object.entries(NON_OPERATIONS)) {
    const before = await books.digest(companyId);
    const answer = await http.send({ method: 'POST', path: path.replace(':eventId', eventId), token, body: '{}' });
    const changed = books
      .differing(before, await books.digest(companyId))
      .filter((table) => !mayChange.includes(table));
    gaps.push(
      ...unless(answers.includes(answer.status), `${route} was answered ${labelOf(answer)}`),
      ...unless(changed.length === 0, `${route} requires no key but changed rows of ${changed.join(', ')}`),
    );
  }
  await setWebhook(http, token, null);
  return gaps;
}

async function setWebhook(http: Http, token: string, webhookUrl: string | null): Promise<void> {
  const { text } = await http.send({ method: 'GET', path: '/api/company/settings', token });
  const { version } = JSON.parse(text) as { version: number };
  const body = JSON.stringify({ expectedVersion: version, webhookUrl });
  const path = '/api/company/settings';
  const { status } = await settle(http, { method: 'PATCH', path, token, key: `contract:webhook:${version}`, body });
  if (status !== 200) throw new Error(`The webhook of a company cannot be set: ${status}`);
}
