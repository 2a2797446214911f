import { createHash, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { Company } from '../support/companies.ts';
import { inForm } from '../support/form.ts';
import { rawRequest } from '../support/raw-request.ts';
import { type System, startSystem } from '../support/system.ts';

/** What no request may be answered with, whatever it is; 503 says that something is away or overloaded, and is no fault. */
const isFault = (status: number) => status >= 500 && status !== 503;

/** Texts at which parsers, databases and languages stumble. */
const UNUSUAL = [
  '',
  ' ',
  '0',
  '-1',
  '1e309',
  '9223372036854775808',
  'null',
  'NaN',
  'infinity',
  '2026-02-30',
  '0000-00-00',
  '2026-01-01T00:00:00+99:99',
  '-0001-01-01',
  "'; --",
  '%00',
  '\0',
  '\ud800',
  '__proto__',
  'constructor',
  '../../../etc/passwd',
  '{}',
  '[]',
  'é'.repeat(300),
  'trigger:x',
  'a'.repeat(1_000),
];

const text = fc.oneof(
  fc.constantFrom(...UNUSUAL),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.uuid(),
  fc.integer().map(String),
);
const depth = (levels: number) => `${'[{"a":'.repeat(levels)}1${'}]'.repeat(levels)}`;

/** Some 70 routes, one request after the other. */
/** Of each route. A review asks for 2,000, which take an hour: ANY_REQUESTS=2000. */
const REQUESTS = Number(process.env['ANY_REQUESTS'] ?? inForm({ short: 3, long: 40 }));
const TIME_LIMIT_MS = inForm({ short: 180_000, long: 3_600_000 });

type Sent = { readonly query: readonly (readonly [string, string])[]; readonly params: readonly string[] } & Rest;
type Rest = { readonly headers: readonly (readonly [string, string])[]; readonly body: string | undefined };

/** A header's bytes: the rest is refused by our own client. */
const headerText = fc.oneof(
  text.map((value) =>
    Buffer.from(value)
      .toString('latin1')
      .replace(/[^\x20-\x7e\x80-\xff]/g, '?'),
  ),
  fc.constantFrom('wait=0', 'wait=1', 'respond-async', '"unterminated', 'a,b', 'Bearer x.y.z'),
);
const PARAMETERS = [
  ...['limit', 'cursor', 'from', 'to', 'asOf', 'status', 'currency', 'customerId', 'operation', 'state', 'kind'],
  ...['accountCode', 'import', 'invoiceId', 'unknown'],
];

/** A cursor as anyone can make one, of the releases before cursors were signed and of none. */
const cursor = (path: string, companyId: string) =>
  fc.array(text, { maxLength: 4 }).map((place) => {
    const digest = createHash('sha256')
      .update(JSON.stringify([path, companyId, [], place]))
      .digest('base64url');
    return Buffer.from(JSON.stringify([digest.slice(0, 16), ...place])).toString('base64url');
  });

function anyRequest(path: string, companyId: string, examples: readonly object[]): fc.Arbitrary<Sent> {
  const parameters = path.match(/\{\w+\}/g) ?? [];
  const example = examples.length === 0 ? fc.constant({}) : fc.constantFrom(...examples);
  const body = fc.oneof(
    fc.constant(undefined),
    fc.json(),
    fc.constantFrom(depth(16), depth(17), depth(5_000), '{', '[', '"', '\ufeff{}', '{"a":1}{"a":2}'),
    // One member of an example is another.
    fc.tuple(example, fc.nat(), fc.oneof(text, fc.jsonValue())).map(([known, at, value]) => {
      const names = Object.keys(known);
      return JSON.stringify({ ...known, [names[at % Math.max(1, names.length)] ?? 'name']: value });
    }),
  );
  const values = fc.oneof(text, cursor(path, companyId));
  return fc.record({
    params: fc.array(text, { minLength: parameters.length, maxLength: parameters.length }),
    query: fc.array(fc.tuple(fc.constantFrom(...PARAMETERS), values), { maxLength: 3 }),
    headers: fc.array(
      fc.tuple(
        fc.constantFrom('idempotency-key', 'prefer', 'x-request-id', 'accept', 'range', 'if-none-match'),
        headerText,
      ),
      { maxLength: 3 },
    ),
    body,
  });
}

describe('random requests', () => {
  let system: System;
  let company: Company;
  let routes: string[];
  beforeAll(async () => {
    system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } });
    company = await system.company();
    const document = (await company.api.get('/openapi.json')).json;
    // Of `METHOD /path/{parameter}`; OPTIONS and HEAD where they are routes.
    routes = document['x-routes'];
  });
  afterAll(() => system.stop());

  const readInternalErrors = async () => {
    const page = await (await fetch(`${system.url}/metrics`)).text();
    return /^http_problems_total\{code="internal_error"\} (\d+)/m.exec(page)?.[1];
  };

  test(
    'to every route are never answered 500',
    async () => {
      expect(routes.length).toBeGreaterThan(60);
      for (const route of routes) {
        const [method = '', path = ''] = route.split(' ');
        const operation = OPERATIONS.find(
          (one) => one.method === method && one.path.replace(/:(\w+)/g, '{$1}') === path,
        );
        const examples = operation?.examples.map(({ body }) => body) ?? [];
        const request = fc.tuple(anyRequest(path, company.id, examples), fc.constantFrom('owner', 'auditor', 'none'));
        const property = fc.asyncProperty(request, async ([{ params, query, headers, body }, as]) => {
          let at = 0;
          const filled = path.replace(/\{\w+\}|\*/g, () => encode(params[at++] ?? 'x'));
          const search = query.map(([name, value]) => `${name}=${encode(value)}`).join('&');
          const token = as === 'none' ? 'x.y.z' : company.users[as as 'owner'].token;
          const answer = await rawRequest(`${system.url}${filled}${search === '' ? '' : `?${search}`}`, {
            method,
            headers: [
              ['authorization', `Bearer ${token}`],
              ['content-type', 'application/json'],
              ...(headers.some(([name]) => name === 'idempotency-key')
                ? []
                : [['idempotency-key', randomUUID()] as const]),
              ...headers,
            ],
            ...(body === undefined || method === 'GET' || method === 'HEAD' ? {} : { body }),
          });
          const refused = answer.status >= 400 && path.startsWith('/api/') && method !== 'HEAD';
          const isProblem = /^application\/problem\+json/.test(answer.headers.get('content-type') ?? '');
          const fault = isFault(answer.status) || (refused && !isProblem);
          expect([route, answer.status, answer.text, fault]).toEqual([route, answer.status, answer.text, false]);
        });
        // A failure names its seed and path, with which it comes again.
        await fc.assert(property, { numRuns: REQUESTS });
      }
      expect(await readInternalErrors()).toBe('0');
    },
    TIME_LIMIT_MS,
  );
});

/** Percent-encoded, also what is no Unicode; a path of dots would be another path. */
function encode(value: string): string {
  const encoded = encodeURIComponent(Buffer.from(value).toString());
  return /^\.{1,2}$/.test(encoded) ? encoded.replaceAll('.', '%2E') : encoded;
}
