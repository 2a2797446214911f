import type { Json } from './json-schema.ts';

/**
 * The headers that requests may carry, as parameters of the document. They have no examples: a browser that tries a route
 * out would send them, and a key must be the client's own.
 */
export const PARAMETERS = {
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    required: true,
    description:
      'A value of your own that names this one write. It never expires. 1–255 printable ASCII characters, either bare ' +
      '(without spaces, double quotes or commas) or as a quoted string (RFC 8941). `"k"` and `k` are the same key.',
    schema: { type: 'string', minLength: 1 },
  },
  Prefer: {
    name: 'Prefer',
    in: 'header',
    required: false,
    description:
      'How long to wait for the outcome (RFC 7240). `wait=N` waits N seconds (at most 60) instead of 10. `respond-async` ' +
      'returns 202 as soon as the write is accepted. `wait=0` does so too, but returns 409 while a write with this key is ' +
      'running. A write that waits for its approval is answered 202 at once, with `Retry-After: 60`, unless `wait=N` asks to ' +
      'wait for its outcome.',
    schema: { type: 'string' },
  },
  PreferWait: {
    name: 'Prefer',
    in: 'header',
    required: false,
    description: '`wait=N` waits for the outcome of the write, or the end of the batch, for N seconds (at most 60).',
    schema: { type: 'string' },
  },
  RequestId: {
    name: 'X-Request-Id',
    in: 'header',
    required: false,
    description: 'Returned in the response and recorded in logs and the audit log. Generated when omitted.',
    schema: { type: 'string', minLength: 1, maxLength: 128, pattern: '^[!-~]{1,128}$' },
  },
} as const satisfies Record<string, Json>;

const HEADERS = {
  'X-Request-Id': { description: 'The ID of the request, sent by the client or generated', schema: { type: 'string' } },
  'Idempotency-Key': { description: 'The key, as the server read it', schema: { type: 'string' } },
  'Idempotent-Replayed': {
    description: '`true` on every final answer after the first; absent from the first',
    schema: { type: 'string', const: 'true' },
  },
  Location: { description: 'The URL of the resource; with 202, of the write’s status', schema: { type: 'string' } },
  'Retry-After': { description: 'Seconds to wait', schema: { type: 'integer', minimum: 1 } },
  'Preference-Applied': { description: 'The preferences that were applied', schema: { type: 'string' } },
  'Content-Disposition': { description: 'The name of the file', schema: { type: 'string' } },
  Link: { description: 'With `rel="next"`, the URL of what comes next', schema: { type: 'string' } },
  'WWW-Authenticate': { description: 'How to authenticate', schema: { type: 'string' } },
} as const satisfies Record<string, Json>;

export type ResponseHeader = keyof typeof HEADERS;

/** Named without hyphens: `X-Request-Id` is the component `XRequestId`. */
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
