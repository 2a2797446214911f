import { z } from 'zod';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { ProblemCode } from '../http/problems.ts';
import { companiesQuery, operatorCompanySchema, operatorWritesQuery } from '../operators/any-write.ts';
import { MAX_STREAMS, MAX_STREAMS_OF_ONE } from '../operators/now/live.ts';
import { snapshotSchema } from '../operators/now/snapshot.ts';
import { createWriteList } from '../writes/list.ts';
import { headerRefs, parameterRef } from './headers.ts';
import { type Json, schemaRef, toJsonSchema } from './json-schema.ts';
import { type PossibleProblem, possible, problemResponses } from './problem-responses.ts';
import { headersOf } from './read-routes.ts';

/** By the security scheme of this name, operators sign in. */
export const OPERATOR_SCHEME: Json = {
  type: 'http',
  scheme: 'bearer',
  bearerFormat: 'JWT',
  description:
    'Claims `sub` (the operator), `aud` (`OPERATOR_AUDIENCE` of the configuration) and `exp`; valid for at most 24 hours. It opens no ' +
    'route of a company, and no token of a company opens these.',
};

export const OPERATOR_SCHEMAS = { operator_snapshot: snapshotSchema, operator_company: operatorCompanySchema };

const PROBLEMS_OF_ALL: readonly ProblemCode[] = [
  ...(['malformed_request', 'unauthenticated', 'authentication_unavailable', 'rate_limited'] as const),
  ...(['too_many_failed_sign_ins', 'request_timeout', 'headers_too_large', 'internal_error'] as const),
];
const OF_COMPANIES: readonly ProblemCode[] = [...PROBLEMS_OF_ALL, 'validation_failed', 'storage_unavailable'];

/** A company that operators name, and that there is not. */
export const COMPANY_NOT_FOUND: PossibleProblem = {
  code: 'company_not_found',
  status: 404,
  title: 'There is no such company',
  stored: false,
};

/** What describes a list needs no link to the Temporal UI. */
const NO_UI = { url: undefined, namespace: '' };
const TRACED = 'Each use is a row of the security log.';

/** What operators see: the health of the system, and what became of any write. */
export const OPERATOR_PATHS: Readonly<Record<string, Json>> = {
  '/operator/now': route({
    operationId: 'getOperatorNow',
    summary: 'Read how the system is, and how the last hour was',
    description:
      'From Prometheus, if this API has one to ask; otherwise from the metrics of the processes that it knows, which tell nothing of ' +
      'alerts, nor of the time before its start.',
    content: { 'application/json': { schema: schemaRef('operator_snapshot') } },
    problems: PROBLEMS_OF_ALL,
  }),
  '/operator/live': route({
    operationId: 'followOperatorNow',
    summary: 'Follow how the system is',
    description:
      'Server-sent events: one of type `snapshot` at once, then one every two seconds, each with what `/operator/now` answers; ' +
      `comments while there is none. The stream ends with the token and with the process. At most ${MAX_STREAMS} a process, ${MAX_STREAMS_OF_ONE} of one operator.`,
    content: { 'text/event-stream': { schema: { type: 'string' } } },
    problems: [...PROBLEMS_OF_ALL, 'overloaded'],
  }),
  '/operator/companies': route({
    operationId: 'getOperatorCompanies',
    summary: 'Find companies by name or ID',
    description: `At most 200, by name. ${TRACED}`,
    parameters: inQuery(companiesQuery),
    content: listOf('operator_company'),
    problems: OF_COMPANIES,
  }),
  '/operator/companies/{companyId}/writes': route({
    operationId: 'getOperatorWrites',
    summary: 'List the writes of a company that have their outcome',
    description:
      'As `/api/writes` lists them to the owner, without a search by amount or day of entry, which would find out what somebody is ' +
      `paid. ${TRACED} The row names the parameters and the IDs that were sought.`,
    parameters: [inPath('companyId', z.uuid()), ...inQuery(operatorWritesQuery(createWriteList(OPERATIONS, NO_UI)))],
    content: listOf('write_summary', { isPaged: true }),
    problems: OF_COMPANIES,
    further: [COMPANY_NOT_FOUND],
  }),
  '/operator/companies/{companyId}/writes/{key}': route({
    operationId: 'getOperatorWrite',
    summary: 'Read what became of a write',
    description:
      'As `/api/writes/{key}` shows it to the owner, but without request, answer and comments, unless they are of an operation that ' +
      `tells of nobody’s pay. ${TRACED}`,
    parameters: [inPath('companyId', z.uuid()), inPath('key', z.string().min(1).max(255))],
    content: { 'application/json': { schema: schemaRef('write') } },
    problems: [...OF_COMPANIES, 'write_not_found', 'orchestrator_unavailable'],
  }),
};

function route(described: {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly parameters?: readonly Json[];
  readonly content: Json;
  readonly problems: readonly ProblemCode[];
  readonly further?: readonly PossibleProblem[];
}): Json {
  const { parameters = [], content, problems, further = [], ...texts } = described;
  return {
    get: {
      ...texts,
      tags: ['operators'],
      security: [{ operator: [] }],
      parameters: [...parameters, parameterRef('RequestId')],
      responses: {
        '200': { description: 'The current state', headers: headerRefs(['X-Request-Id']), content },
        ...problemResponses([...possible(problems), ...further], headersOf),
      },
    },
  };
}

function listOf(resource: string, { isPaged = false } = {}): Json {
  const schema = {
    type: 'object',
    required: ['items', ...(isPaged ? ['nextCursor'] : [])],
    properties: {
      items: { type: 'array', items: schemaRef(resource) },
      ...(isPaged ? { nextCursor: { type: ['string', 'null'], description: 'null on the last page' } } : {}),
    },
  };
  return { 'application/json': { schema } };
}

function inQuery(query: z.ZodObject): Json[] {
  return Object.entries(query.shape).map(([name, member]) => ({
    ...{ name, in: 'query', required: false },
    schema: toJsonSchema(member as z.ZodType, 'output'),
  }));
}

function inPath(name: string, schema: z.ZodType): Json {
  return { name, in: 'path', required: true, schema: toJsonSchema(schema) };
}
