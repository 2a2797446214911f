import { failedSchema } from '../../activities/resources/trigger.ts';
import { PROBLEMS, type ProblemCode } from '../http/problems.ts';
import { headerRefs, type ResponseHeader } from './headers.ts';
import { type Json, toJsonSchema } from './json-schema.ts';

/** An error that a route can return. `stored`: it is the outcome of its write, and is replayed. */
export type PossibleProblem = {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly stored: boolean;
};

/**
 * One response per status, each with the codes that it can carry. These are beside the schema, not an `enum` in it: codes may
 * be added, and a client that was generated from this document must be able to read an answer with a new one. Nor would it
 * have one type for all problems, but one for each status of each route.
 */
export function problemResponses(
  problems: readonly PossibleProblem[],
  headersOf: (status: number, problems: readonly PossibleProblem[]) => readonly ResponseHeader[],
): Record<string, Json> {
  const byStatus = new Map<number, PossibleProblem[]>();
  for (const problem of problems) byStatus.set(problem.status, [...(byStatus.get(problem.status) ?? []), problem]);
  return Object.fromEntries(
    [...byStatus].map(([status, ofStatus]) => [
      String(status),
      {
        description: ofStatus.map(describe).join('\n'),
        headers: headerRefs(headersOf(status, ofStatus)),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        'x-codes': [...new Set(ofStatus.map(({ code }) => code))],
      },
    ]),
  );
}

/** These codes of the API itself, as possible problems. */
export function possible(codes: readonly ProblemCode[]): PossibleProblem[] {
  return codes.map((code) => ({ code, status: PROBLEMS[code].status, title: PROBLEMS[code].title, stored: false }));
}

export const PROBLEM_SCHEMA: Json = {
  type: 'object',
  description: 'Problem details (RFC 9457). Programs should switch on `code`; `type` links to its explanation.',
  required: ['type', 'title', 'status', 'detail', 'instance', 'code', 'retryable', 'nextAction'],
  properties: {
    type: { type: 'string', format: 'uri-reference', examples: ['/docs/errors#validation_failed'] },
    title: { type: 'string' },
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: { type: 'string' },
    instance: { type: 'string', format: 'uri-reference' },
    code: {
      type: 'string',
      description: 'Those of a status are the `x-codes` of its response; further ones may be added',
    },
    retryable: { type: 'boolean', description: 'Whether the same request with the same key may still succeed' },
    nextAction: { enum: ['fix_request', 'retry_same_key', 'wait', 'use_new_key', 'none'] },
    requestId: { type: 'string', description: 'Absent from a stored rejection, which is replayed byte for byte' },
    errors: { type: 'array', items: { $ref: '#/components/schemas/ProblemPointer' } },
    differences: {
      type: 'array',
      description: 'Where the request differs from the request that the key belongs to',
      items: { $ref: '#/components/schemas/ProblemPointer' },
    },
    failed: {
      type: 'array',
      description: 'Of `controls_failed`: what is in the way',
      items: toJsonSchema(failedSchema),
    },
    writeUrl: { type: 'string', format: 'uri-reference', description: 'The status of the write in question' },
  },
};

export const PROBLEM_POINTER_SCHEMA: Json = {
  type: 'object',
  required: ['in', 'pointer'],
  properties: {
    in: { enum: ['body', 'path', 'query', 'header', 'operation'] },
    pointer: {
      type: 'string',
      description: 'A JSON pointer (RFC 6901) within that part',
      examples: ['/amount'],
    },
    message: { type: 'string' },
    row: { type: 'integer', minimum: 1, description: 'Of a batch: the row of the file that it is about' },
  },
};

function describe({ code, title, stored }: PossibleProblem): string {
  return `- [\`${code}\`](/docs/errors#${code}): ${title}${stored ? ' (stored)' : ''}`;
}
