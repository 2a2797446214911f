import { readFileSync } from 'node:fs';
import type { Operation } from '../../activities/operation.ts';
import { createBatchList } from '../batches/list.ts';
import type { Read } from '../reads/read.ts';
import { READS } from '../reads/read-list.ts';
import { createApprovalList } from '../writes/approval-list.ts';
import { createWriteList } from '../writes/list.ts';
import { BATCH_PATHS } from './batch-routes.ts';
import { BATCH_SCHEMAS } from './batch-schemas.ts';
import { EXPORT_PATHS } from './export-routes.ts';
import { HEADER_COMPONENTS, PARAMETERS } from './headers.ts';
import { type Json, schemaName, toJsonSchema } from './json-schema.ts';
import { OPERATOR_PATHS, OPERATOR_SCHEMAS, OPERATOR_SCHEME } from './operator-routes.ts';
import { PROBLEM_POINTER_SCHEMA, PROBLEM_SCHEMA } from './problem-responses.ts';
import { readRoute } from './read-routes.ts';
import { READ_SCHEMAS } from './read-schemas.ts';
import { STATUS_PATHS } from './status-routes.ts';
import { WEBHOOK_CALL_SCHEMAS, WEBHOOKS } from './webhook-calls.ts';
import { WEBHOOK_PATHS, WEBHOOK_SCHEMAS } from './webhook-routes.ts';
import { writeRoute } from './write-routes.ts';

/**
 * The OpenAPI 3.1 document of operations, reads, exports, the routes about writes, batches and webhooks, those of operators, and the
 * calls of webhooks.
 */
export function openApiDocument(operations: readonly Operation[]): Json {
  const paths: Record<string, Json> = {};
  for (const [path, item] of [
    ...operations.map(writeRoute),
    ...readsOf(operations).map(readRoute),
    ...Object.entries(STATUS_PATHS),
    ...Object.entries(EXPORT_PATHS),
    ...Object.entries(BATCH_PATHS),
    ...Object.entries(WEBHOOK_PATHS),
    ...Object.entries(OPERATOR_PATHS),
  ]) {
    paths[path] = { ...paths[path], ...item };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'AccuBooks writes',
      version: packageVersion(),
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description: DESCRIPTION,
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths,
    webhooks: WEBHOOKS,
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description:
            'Claims `sub` (the user), `company_id` and `exp`; valid for at most 24 hours. Roles come from the database.',
        },
        operator: OPERATOR_SCHEME,
      },
      parameters: PARAMETERS,
      headers: HEADER_COMPONENTS,
      schemas: { ...resourceSchemas(operations), Problem: PROBLEM_SCHEMA, ProblemPointer: PROBLEM_POINTER_SCHEMA },
    },
  };
}

const DESCRIPTION = `Each write happens exactly once as far as anyone can observe, whatever is retried, duplicated or raced. Send it with an
\`Idempotency-Key\`, and send the same request again until it has its final answer. Every final answer after the first is
marked \`Idempotent-Replayed: true\`. The examples work unchanged against the demo company of a fresh local start.

What each error code means and what to do about it: [/docs/errors](/docs/errors).`;

/** The lists of writes, approvals and batches depend on the operations. What describes them needs no link to the Temporal UI. */
export function readsOf(operations: readonly Operation[]): readonly Read[] {
  const ui = { url: undefined, namespace: '' };
  return [
    ...READS,
    createWriteList(operations, ui),
    createApprovalList(operations, ui),
    createBatchList(operations, ui),
  ];
}

function resourceSchemas(operations: readonly Operation[]): Json {
  const written = operations.map(({ resource }) => [resource.type, resource.schema] as const);
  const further = {
    ...READ_SCHEMAS,
    ...BATCH_SCHEMAS,
    ...WEBHOOK_SCHEMAS,
    ...WEBHOOK_CALL_SCHEMAS,
    ...OPERATOR_SCHEMAS,
  };
  return Object.fromEntries(
    [...written, ...Object.entries(further)].map(([type, schema]) => [schemaName(type), toJsonSchema(schema)]),
  );
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
