import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { PROBLEMS } from '../../api/http/problems.ts';
import { codesOf, type Document, fetchDocument, type Route, routesOf } from '../support/openapi.ts';
import { type System, startSystem } from '../support/system.ts';

const OF_EVERY_WRITE = ['202', '400', '401', '403', '409', '413', '415', '422', '429', '500', '503'];

describe('the document', () => {
  let system: System;
  let document: Document;
  let errorPage: string;
  beforeAll(async () => {
    system = await startSystem();
    document = await fetchDocument(system.url);
    errorPage = await (await fetch(`${system.url}/docs/errors`)).text();
  });
  afterAll(() => system.stop());

  const routeOf = (operation: string): Route => {
    const found = routesOf(document).find(({ route }) => route['x-operation']?.name === operation);
    if (found === undefined) throw new Error(`${operation} has no route in the document`);
    return found;
  };

  test('is valid OpenAPI 3.1, and its references lead somewhere', async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(structuredClone(document) as never);
    expect(errors ?? []).toEqual([]);
    expect(valid).toBe(true);
    expect(validator.version).toBe('3.1');
    expect(() => validator.resolveRefs()).not.toThrow();
    const references = JSON.stringify(document).match(/"#\/[^"]+"/g) ?? [];
    expect(references.filter((reference) => lookUp(document, JSON.parse(reference)) === undefined)).toEqual([]);
  });

  test('names each route and webhook once', () => {
    const called = Object.values(document.webhooks).map(({ post }) => post.operationId);
    const names = [...routesOf(document).map(({ route }) => route.operationId), ...called];
    expect(called).not.toEqual([]);
    expect(names).toEqual([...new Set(names)]);
  });

  test('names only routes that are there', async () => {
    for (const { path, method } of routesOf(document)) {
      const { status } = await fetch(system.url + path.replaceAll(/[{}]/g, ''), { method: method.toUpperCase() });
      expect([method, path, status]).toEqual([method, path, 401]);
    }
  });

  test('is the one that the documentation shows', async () => {
    const { 'x-routes': served, ...described } = document as Document & { 'x-routes': readonly string[] };
    expect(await (await fetch(`${system.url}/docs/json`)).json()).toEqual(described);
    const routes = routesOf(document).map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    expect(served).toEqual(expect.arrayContaining(routes));
  });

  for (const operation of OPERATIONS) {
    test(`tells of ${operation.name} what its module says`, () => {
      const { path, method, route } = routeOf(operation.name);
      expect([method, path.replace(/\{(\w+)\}/g, ':$1')]).toEqual([operation.method.toLowerCase(), operation.path]);
      expect(route['x-operation']).toEqual({
        name: operation.name,
        type: operation.type,
        roles: operation.roles,
        event: operation.event,
        rejections: Object.entries(operation.rejections).map(([code, { status }]) => ({ code, status })),
      });
      const parameters = route.parameters.map(({ $ref, name }) => $ref?.split('/').at(-1) ?? name);
      expect(parameters).toEqual([...Object.keys(operation.params.shape), 'IdempotencyKey', 'Prefer', 'RequestId']);
    });

    test(`tells of ${operation.name} each status and code that it can answer with`, () => {
      const { responses } = routeOf(operation.name).route;
      expect(Object.keys(responses)).toEqual(
        expect.arrayContaining([String(operation.successStatus), ...OF_EVERY_WRITE]),
      );
      expect(Object.keys(responses[operation.successStatus]?.headers ?? {})).toEqual(
        expect.arrayContaining(['Location', 'Idempotency-Key', 'Idempotent-Replayed', 'X-Request-Id']),
      );
      for (const status of [202, 429, 503]) expect(responses[status]?.headers).toHaveProperty('Retry-After');
      for (const [code, { status }] of Object.entries(operation.rejections)) {
        expect([status, codesOf(responses[status])]).toEqual([status, expect.arrayContaining([code])]);
        expect(responses[status]?.headers).toHaveProperty('Idempotent-Replayed');
      }
    });

    test(`has examples of ${operation.name} that fit its schemas`, () => {
      expect(operation.examples).not.toEqual([]);
      for (const { params, body } of operation.examples) {
        expect(operation.params.safeParse(params).error).toBeUndefined();
        expect(operation.body.safeParse(body).error).toBeUndefined();
      }
    });
  }

  test('says what an amount may be', () => {
    const { schema } = routeOf('createPayment').route.requestBody?.content['application/json'] ?? {};
    expect(schema?.properties['amount']).toMatchObject({ type: 'integer', minimum: 1, maximum: 10_000_000_000_000 });
  });

  test('asks for no member that has a default, and lets answers grow', () => {
    const { schema } = routeOf('createPayment').route.requestBody?.content['application/json'] ?? {};
    expect(schema?.properties['bankAccountCode']).toMatchObject({ default: '1000' });
    expect(schema?.required).toEqual(['invoiceId', 'amount', 'currency', 'method']);
    expect(schema?.additionalProperties).toBe(false);
    const closed = Object.entries(document.components.schemas).filter(([, one]) => one.additionalProperties === false);
    expect(closed).toEqual([]);
  });

  test('names no error code without its section at /docs/errors, and each section is there once', () => {
    const sections = [...errorPage.matchAll(/<section id="([^"]+)">/g)].map((match) => match[1]);
    expect(sections).toEqual([...new Set(sections)]);
    const named = routesOf(document).flatMap(({ route }) => Object.values(route.responses).flatMap(codesOf));
    const rejected = OPERATIONS.flatMap(({ rejections }) => Object.keys(rejections));
    const codes = new Set([...named, ...rejected, ...Object.keys(PROBLEMS)]);
    expect([...codes].filter((code) => !sections.includes(code))).toEqual([]);
  });

  test('and its pages let a browser run nothing but what they bring', async () => {
    for (const path of ['/docs', '/docs/errors', '/docs/static/swagger-ui.css']) {
      const response = await fetch(system.url + path);
      // An answer that nobody reads to its end would hold the server open.
      await response.text();
      expect([path, response.status]).toEqual([path, 200]);
      const policy = response.headers.get('content-security-policy') ?? '';
      expect(policy).toContain("default-src 'none'");
      expect(policy).not.toMatch(/unsafe|https:|\*/);
    }
  });
});

/** What a reference such as `#/components/schemas/Invoice` names. */
function lookUp(document: unknown, reference: string): unknown {
  const names = reference.slice(2).split('/');
  return names.reduce<unknown>(
    (part, name) => (part as Record<string, unknown> | undefined)?.[name.replaceAll('~1', '/').replaceAll('~0', '~')],
    document,
  );
}
