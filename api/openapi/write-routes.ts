import type { z } from 'zod';
import type { Operation } from '../../activities/operation.ts';
import { PROBLEMS, type ProblemCode } from '../http/problems.ts';
import { headerRefs, parameterRef, type ResponseHeader } from './headers.ts';
import { type Json, schemaRef, toJsonSchema, toOpenApiPath } from './json-schema.ts';
import { type PossibleProblem, possible, problemResponses } from './problem-responses.ts';

/** The path item of an operation: everything that a client can send and receive, with examples that work unchanged. */
export function writeRoute(operation: Operation): readonly [path: string, item: Json] {
  return [
    toOpenApiPath(operation.path),
    {
      [operation.method.toLowerCase()]: {
        operationId: operation.name,
        tags: [tagOf(operation.path)],
        summary: operation.summary,
        description: `${operation.description}\n\nRoles: ${operation.roles.join(', ')}.`,
        'x-operation': {
          name: operation.name,
          type: operation.type,
          roles: operation.roles,
          event: operation.event,
          rejections: Object.entries(operation.rejections).map(([code, { status }]) => ({ code, status })),
        },
        parameters: [
          ...pathParameters(operation),
          parameterRef('IdempotencyKey'),
          parameterRef('Prefer'),
          parameterRef('RequestId'),
        ],
        requestBody: requestBody(operation),
        responses: {
          [String(operation.successStatus)]: success(operation),
          '202': ACCEPTED,
          ...problemResponses(problemsOf(operation), headersOf),
        },
      },
    },
  ];
}

/** The problems that this operation can return, by status: the API's own before its rejections. */
function problemsOf(operation: Operation): PossibleProblem[] {
  const own = Object.entries(operation.rejections).map(([code, { status, title }]) => ({
    code,
    status,
    title,
    stored: true,
  }));
  return [...possible(OF_EVERY_WRITE), ...own].sort((one, other) => one.status - other.status);
}

/** The first path segment after `/api/`. */
export function tagOf(path: string): string {
  return path.split('/')[2] ?? 'api';
}

/** A request with a known route and method cannot get these, or only other routes return them. */
const NOT_OF_WRITES = new Set<ProblemCode>([
  'route_not_found',
  'method_not_allowed',
  'write_not_found',
  'too_late',
  'approval_not_pending',
  'already_decided',
  'approver_is_requester',
  'webhook_not_available',
  'batch_state_conflict',
]);
const OF_EVERY_WRITE = (Object.keys(PROBLEMS) as ProblemCode[]).filter((code) => !NOT_OF_WRITES.has(code));

function pathParameters({ params, examples }: Operation): Json[] {
  return Object.entries(params.shape).map(([name, schema]) => ({
    name,
    in: 'path',
    required: true,
    schema: toJsonSchema(schema as z.ZodType),
    examples: Object.fromEntries(examples.map((example) => [example.name, { value: example.params[name] }])),
  }));
}

function requestBody({ body, examples }: Operation): Json {
  return {
    // Without required members, a request without a body is the same as one with `{}`.
    required: !body.safeParse({}).success,
    content: {
      'application/json': {
        schema: toJsonSchema(body),
        examples: Object.fromEntries(
          examples.map(({ name, summary, body: value }) => [name, { summary, value }] as const),
        ),
      },
    },
  };
}

/** The headers of every answer once the key has been read. */
const AFTER_THE_KEY: readonly ResponseHeader[] = ['X-Request-Id', 'Idempotency-Key', 'Preference-Applied'];

function success({ successStatus, resource }: Operation): Json {
  return {
    description: `${successStatus === 201 ? 'Created' : 'Changed'}: the ${resource.type}. Every replay returns the same bytes.`,
    headers: headerRefs([...AFTER_THE_KEY, 'Location', 'Idempotent-Replayed']),
    content: { 'application/json': { schema: schemaRef(resource.type) } },
  };
}

const ACCEPTED: Json = {
  description:
    'Accepted and still running, or waiting for its approval (`state: pending_approval`). It finishes without the client; poll its ' +
    'status at `Location`.',
  headers: headerRefs([...AFTER_THE_KEY, 'Location', 'Retry-After']),
  content: { 'application/json': { schema: schemaRef('write') } },
};

function headersOf(status: number, problems: readonly PossibleProblem[]): ResponseHeader[] {
  if (status === 401) return ['X-Request-Id', 'WWW-Authenticate'];
  if ([400, 413, 415].includes(status)) return ['X-Request-Id'];
  // Node's HTTP parser answers these before there is a request.
  if (status === 408 || status === 431) return [];
  const waits = status === 409 || status === 429 || status === 503;
  const replays = problems.some(({ code, stored }) => stored || STORED_FOR_EVERY_WRITE.has(code));
  return [...AFTER_THE_KEY, ...(waits ? (['Retry-After'] as const) : []), ...(replays ? REPLAYED : [])];
}

/** A role that was revoked while the write ran, and a key that was cancelled. */
const STORED_FOR_EVERY_WRITE = new Set(['forbidden', 'write_cancelled', 'approval_rejected', 'approval_expired']);
const REPLAYED: readonly ResponseHeader[] = ['Idempotent-Replayed'];
