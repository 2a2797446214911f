import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { Company } from '../support/companies.ts';
import { countEverything } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { rawRequest } from '../support/raw-request.ts';
import { type System, startSystem } from '../support/system.ts';

/** JSON that no member of any body may be, whatever its type. */
const NEVER_VALID = [
  'null',
  'true',
  '-1',
  '1.5',
  '-0.0',
  '1e400',
  '9007199254740992',
  '""',
  '"\\u0000"',
  '"\\ud800"',
  '[]',
  '[[]]',
  '{"":1}',
  '{"__proto__":null}',
  JSON.stringify('x'.repeat(100_000)),
];

/**
 * Except here: no roles are what ends a membership, no policies are what ends all approvals, the relief of a tax is yes or no, and
 * a customer may have no address any more.
 */
const VALID_AFTER_ALL = [
  'grantUserAccess roles []',
  'updateApprovalPolicies policies []',
  'updateCustomer email null',
  'writeOffInvoice taxRelief true',
];

type Wrong = {
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
};

/** One way of spoiling an example. Each makes it malformed for certain, so that nothing may be stored. */
function spoiled(operation: Operation, authorization: string): fc.Arbitrary<Wrong> {
  const [example] = operation.examples;
  if (example === undefined) throw new Error(`${operation.name} has no example`);
  const fine: Wrong = {
    path: pathWith(operation, example.params),
    headers: [
      ['authorization', authorization],
      ['content-type', 'application/json'],
      ['idempotency-key', 'spoiled'],
    ],
    body: JSON.stringify(example.body),
  };
  const withHeader = (name: string, values: readonly string[]) => [
    ...fine.headers.filter(([known]) => known !== name),
    ...values.map((value) => [name, value] as const),
  ];
  const ways: fc.Arbitrary<Wrong>[] = [
    // the text of the body
    fc.nat(fine.body.length - 1).map((length) => ({ ...fine, body: `${fine.body.slice(0, length)}\u0001` })),
    fc
      .constantFrom('null', '[]', '0', '""', `[${fine.body}]`, `${fine.body},`, '\ufeff\ufeff{}')
      .map((body) => ({ ...fine, body })),
    // a member that no one knows
    fc
      .tuple(fc.string({ minLength: 1 }), fc.jsonValue())
      .map(([name, value]) => ({ ...fine, body: JSON.stringify({ ...example.body, [`?${name}`]: value }) })),
    // the key
    fc
      .oneof(
        fc.constant([]),
        fc.constant(['a', 'b']),
        fc.stringMatching(/^[\x80-\xff]{1,20}$/).map((key) => [key]),
        fc.stringMatching(/^"[!#-[]{0,20}$/).map((key) => [key]),
        fc.stringMatching(/^[a-z]{256,300}$/).map((key) => [key]),
      )
      .map((keys) => ({ ...fine, headers: withHeader('idempotency-key', keys) })),
    // medium and token
    fc
      .stringMatching(/^[a-z]{1,10}\/[a-z+]{1,10}(; ?charset=[a-z0-9-]{1,9})?$/)
      .map((type) => ({ ...fine, headers: withHeader('content-type', [type]) })),
    fc
      .oneof(fc.base64String(), fc.stringMatching(/^[\x21-\x7e]{1,50}$/))
      .map((token) => ({ ...fine, headers: withHeader('authorization', [`Bearer ${token}`]) })),
  ];
  const members = Object.keys(example.body);
  if (members.length > 0) {
    const member = fc.constantFrom(...members);
    ways.push(
      fc
        .tuple(member, fc.constantFrom(...NEVER_VALID))
        .filter(([name, written]) => !VALID_AFTER_ALL.includes(`${operation.name} ${name} ${written}`))
        .map(([name, written]) => {
          const { [name]: _old, ...others } = example.body;
          return { ...fine, body: `{"${name}":${written},${JSON.stringify(others).slice(1)}`.replace(/,}$/, '}') };
        }),
    );
  }
  const names = Object.keys(example.params);
  if (names.length > 0) {
    ways.push(
      fc
        .tuple(fc.constantFrom(...names), fc.string({ minLength: 1, maxLength: 300, unit: 'grapheme' }))
        .filter(([, value]) => value !== '.' && value !== '..')
        .map(([name, value]) => ({ ...example.params, [name]: value }))
        // A workflow of any name may be asked for: that it is not registered is an answer, and is stored.
        .filter((params) => operation.name !== 'triggerWorkflow' || !operation.params.safeParse(params).success)
        .map((params) => ({ ...fine, path: pathWith(operation, params) })),
    );
  }
  return fc.oneof(...ways);
}

/** Headers that must not matter, whatever is in them. */
const noise = fc.array(
  fc.tuple(
    fc.constantFrom('prefer', 'x-request-id', 'accept', 'origin', 'cookie', 'range', 'traceparent', 'x-forwarded-for'),
    fc.oneof(
      fc.stringMatching(/^[\x20-\x7e\x80-\xff]{0,60}$/),
      fc.constantFrom('wait=-1', 'wait=1e9', 'respond-async;;;=', 'wait="', `wait=${' '.repeat(8_000)}""x`),
    ),
  ),
  { maxLength: 3 },
);

function pathWith(operation: Operation, params: Readonly<Record<string, string>>): string {
  return operation.path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
}

/** The codes that each way of spoiling comes to, however few requests an operation has. */
const CODES = ['malformed_json', 'validation_failed', 'idempotency_key_invalid', 'unauthenticated'];

describe('random malformed requests', () => {
  let system: System;
  let company: Company;
  const seen = new Set<string>();
  beforeAll(async () => {
    system = await startSystem({ environment: { FAILED_SIGN_INS_PER_MINUTE: '1000000' } });
    company = await system.company();
  });
  afterAll(() => system.stop());

  test.each(OPERATIONS.map((operation) => [operation.name, operation] as const))(
    'of %s are each answered 4xx problem+json, and nothing is stored',
    async (_name, operation) => {
      const before = await countEverything(system.owner, company.id);
      const property = fc.asyncProperty(
        spoiled(operation, `Bearer ${company.users.owner.token}`),
        noise,
        async ({ path, headers, body }, more) => {
          const answer = await rawRequest(`${system.url}${path}`, {
            method: operation.method,
            headers: [...headers, ...more],
            body,
          });
          expect(answer.status).toBeGreaterThanOrEqual(400);
          expect(answer.status).toBeLessThan(500);
          expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
          expect(answer.json).toMatchObject({ status: answer.status, type: `/docs/errors#${answer.json.code}` });
          expect(['fix_request', 'use_new_key']).toContain(answer.json.nextAction);
          seen.add(answer.json.code);
        },
      );
      // A failure names its seed and path, with which it comes again.
      await fc.assert(property, { numRuns: inForm({ short: 40, long: 600 }) });
      expect(await countEverything(system.owner, company.id)).toEqual(before);
    },
  );

  test('have been malformed in many ways', () => {
    expect([...seen]).toEqual(expect.arrayContaining(CODES));
  });
});
