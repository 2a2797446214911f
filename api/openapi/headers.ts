import type { Json } from './json-schema.ts';

/**
 * The headers that requests may carry, as parameters of the document. Without examples: who tries a route out in a browser
 * would send them, and a key is each client's own.
 */
export const PARAMETERS = {
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    required: true,
    description:
      'A value of your own that names this one write, for ever: 1–255 printable ASCII characters, bare (without space, ' +
      'quote and comma) or as a quoted string (RFC 8941). `"k"` and `k` are the same key.',
    schema: { type: 'string', minLength: 1 },
  },
  Prefer: {
    name: 'Prefer',
    in: 'header',
    required: false,
    description:
      'How long to wait for the outcome (RFC 7240): `wait=N` seconds, at most 60, instead of 10; `respond-async` for a 202 ' +
      'as soon as the write is taken; `wait=0` likewise, and for a 409 while a write with this key is in flight.',
    schema: { type: 'string' },
  },
  PreferWait: {
    name: 'Prefer',
    in: 'header',
    required: false,
    description: '`wait=N`: answers when the write has its outcome, or after N seconds (at most 60).',
    schema: { type: 'string' },
  },
  RequestId: {
    name: 'X-Request-Id',
    in: 'header',
    required: false,
    description: 'Comes back in the answer and stands in logs and audit; made up where it is left out.',
    schema: { type: 'string', minLength: 1, maxLength: 128, pattern: '^[!-~]{1,128}$' },
  },
} as const satisfies Record<string, Json>;

const HEADERS = {
  'X-Request-Id': { description: 'The request’s ID, given or made up', schema: { type: 'string' } },
  'Idempotency-Key': { description: 'The key, as it was understood', schema: { type: 'string' } },
  'Idempotent-Replayed': {
    description: '`true` on each final answer but the first; left out on that one',
    schema: { type: 'string', const: 'true' },
  },
  Location: { description: 'Where the resource, or with 202 the write, can be read', schema: { type: 'string' } },
  'Retry-After': { description: 'Seconds to wait', schema: { type: 'integer', minimum: 1 } },
  'Preference-Applied': { description: 'What was used of `Prefer`', schema: { type: 'string' } },
  'WWW-Authenticate': { description: 'How to authenticate', schema: { type: 'string' } },
} as const satisfies Record<string, Json>;

export type ResponseHeader = keyof typeof HEADERS;

/** `Location` is the header `Location` among the components, `X-Request-Id` is `XRequestId`. */
export const HEADER_COMPONENTS: Json = Object.fromEntries(
  Object.entries(HEADERS).map(([name, header]) => [componentName(name), header]),
);

export function headerRefs(names: readonly ResponseHeader[]): Json {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${componentName(name)}` }]));
}

export function parameterRef(name: keyof typeof PARAMETERS): Json {
  return { $ref: `#/components/parameters/${name}` };
}

function componentName(header: string): string {
  return header.replaceAll('-', '');
}
