import type { z } from 'zod';
import type { ProblemCode } from '../http/problems.ts';
import type { Read } from '../reads/read.ts';
import { READERS } from '../reads/readers.ts';
import { headerRefs, parameterRef, type ResponseHeader } from './headers.ts';
import { type Json, schemaRef, toJsonSchema, toOpenApiPath } from './json-schema.ts';
import { type PossibleProblem, possible, problemResponses } from './problem-responses.ts';
import { tagOf } from './write-routes.ts';

/** The path item of a read, derived from its definition. */
export function readRoute(read: Read): readonly [path: string, item: Json] {
  return [
    toOpenApiPath(read.path),
    {
      get: {
        operationId: operationIdOf(read),
        tags: [tagOf(read.path)],
        summary: read.summary,
        description: `Roles: ${READERS[read.group].join(', ')}.`,
        parameters: [...parameters('path', read.params), ...parameters('query', read.query), parameterRef('RequestId')],
        responses: {
          '200': { ...OK, content: { 'application/json': { schema: answerOf(read) } } },
          ...problemResponses(readProblems(read), headersOf),
        },
      },
    },
  ];
}

/** The problems that a read can return. */
export function readProblems({ answers, params }: Read): PossibleProblem[] {
  const names = Object.keys(params.shape).length > 0;
  return [...possible(OF_EVERY_READ), ...(names ? [resourceNotFound(answers.resource)] : [])];
}

export const OF_EVERY_READ: readonly ProblemCode[] = [
  'malformed_request',
  'unauthenticated',
  'authentication_unavailable',
  'not_a_member',
  'forbidden',
  'validation_failed',
  'rate_limited',
  'too_many_failed_sign_ins',
  'request_timeout',
  'headers_too_large',
  'internal_error',
  'storage_unavailable',
];

const OK: Json = { description: 'The current state', headers: headerRefs(['X-Request-Id']) };

export function headersOf(status: number): ResponseHeader[] {
  // Node's HTTP parser answers these before there is a request.
  if (status === 408 || status === 431) return [];
  if (status === 401) return ['X-Request-Id', 'WWW-Authenticate'];
  return ['X-Request-Id', ...([409, 429, 503].includes(status) ? (['Retry-After'] as const) : [])];
}

/** The reads whose items hold more, or less, than the resource that they are named after. */
const OTHER_SCHEMAS: Readonly<Record<string, string>> = {
  '/api/batches': 'batch_summary',
  '/api/invoices/:invoiceId': 'invoice_with_history',
  '/api/ledger/accounts/:code/lines': 'account_line',
  '/api/users/:userId': 'access',
  '/api/writes': 'write_summary',
};

function answerOf({ path, answers: { kind, resource } }: Read): Json {
  const schema = schemaRef(OTHER_SCHEMAS[path] ?? resource);
  if (kind !== 'list') return schema;
  return {
    type: 'object',
    required: ['items', 'nextCursor'],
    properties: {
      items: { type: 'array', items: schema },
      nextCursor: { type: ['string', 'null'], description: 'null on the last page' },
    },
  };
}

function parameters(location: 'path' | 'query', schema: z.ZodObject): Json[] {
  return Object.entries(schema.shape).map(([name, member]) => ({
    name,
    in: location,
    required: location === 'path',
    // A number in a query is described as a number, not as the text that carries it.
    schema: toJsonSchema(member as z.ZodType, 'output'),
  }));
}

function resourceNotFound(resource: string): PossibleProblem {
  return {
    code: `${resource}_not_found`,
    status: 404,
    title: `There is no such ${resource.replaceAll('_', ' ')}`,
    stored: false,
  };
}

/** Turns `/api/ledger/accounts/:code/lines` into `getLedgerAccountsCodeLines`, which is as unique as the path. */
function operationIdOf({ path }: Read): string {
  const words = path.split(/[/:-]+/).slice(2);
  return `get${words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')}`;
}
