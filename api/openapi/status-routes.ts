import { z } from 'zod';
import { headerRefs, parameterRef } from './headers.ts';
import { type Json, schemaRef, toJsonSchema } from './json-schema.ts';
import { possible, problemResponses } from './problem-responses.ts';
import { headersOf, OF_EVERY_READ } from './read-routes.ts';

/** The status of a write and its cancelling, which are neither an operation nor a plain read. */
export const STATUS_PATHS: Readonly<Record<string, Json>> = {
  '/api/writes/{key}': {
    get: {
      operationId: 'getWrite',
      tags: ['writes'],
      summary: 'Read the status of a write',
      description:
        'In each state, with its timeline. Readable by its actor and by whoever may read its resource; to all others, and ' +
        'for another company’s key, there is no such write.',
      parameters: [keyParameter(), parameterRef('PreferWait'), parameterRef('RequestId')],
      responses: {
        '200': {
          description: 'The write as it is now: running, or with its outcome',
          headers: headerRefs(['X-Request-Id', 'Preference-Applied']),
          content: { 'application/json': { schema: schemaRef('write') } },
        },
        ...problemResponses(possible([...OF_EVERY_READ, 'write_not_found', 'orchestrator_unavailable']), headersOf),
      },
    },
  },
  '/api/writes/{key}/cancel': {
    post: {
      operationId: 'cancelWrite',
      tags: ['writes'],
      summary: 'Make sure that a write never happens',
      description:
        'Works before its request arrives, too: from then on each request with the key is answered `write_cancelled`. Too ' +
        'late for a write that has another outcome; cancelled already is as good as cancelled now. Needs no key header.',
      parameters: [keyParameter(), parameterRef('RequestId')],
      responses: {
        '200': {
          description: 'Cancelled: now, or before',
          headers: headerRefs(['X-Request-Id']),
          content: { 'application/json': { schema: schemaRef('write') } },
        },
        ...problemResponses(
          possible([
            ...OF_EVERY_READ,
            'malformed_json',
            'body_too_large',
            'unsupported_media_type',
            'idempotency_in_progress',
            'too_late',
            'orchestrator_unavailable',
          ]),
          headersOf,
        ),
      },
    },
  },
};

function keyParameter(): Json {
  const key = z.string().min(1).max(255);
  return {
    name: 'key',
    in: 'path',
    required: true,
    description: 'The key, unquoted, as one percent-encoded path segment',
    schema: toJsonSchema(key),
  };
}
