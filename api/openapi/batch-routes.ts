import { z } from 'zod';
import type { ProblemCode } from '../http/problems.ts';
import { headerRefs, parameterRef, type ResponseHeader } from './headers.ts';
import { type Json, schemaRef, toJsonSchema } from './json-schema.ts';
import { type PossibleProblem, possible, problemResponses } from './problem-responses.ts';
import { headersOf, OF_EVERY_READ } from './read-routes.ts';

/** A batch that is not there, or that the reader may not read. */
export const BATCH_NOT_FOUND: PossibleProblem = {
  code: 'batch_not_found',
  status: 404,
  title: 'There is no such batch',
  stored: false,
};

/** The routes of one batch: its upload, its results and what may be done with it. The list of batches is a plain read. */
export const BATCH_PATHS: Readonly<Record<string, Json>> = {
  '/api/batches': {
    post: {
      operationId: 'submitBatch',
      tags: ['batches'],
      summary: 'Send a file of writes',
      description:
        'Stores the file, up to 1 GiB (of its bytes, and of the JSON of its rows) and 1,000,000 rows, and has each row ' +
        'written as if it had been sent alone: with its key, its outcome, its audit row and its event. The same ' +
        'file under the same key is answered with the batch that is there; another file is refused, and `errors[].row` is ' +
        'the first row that differs. A repeat costs nothing: a row whose key has an outcome is a replay.\n\n' +
        'A key that was cancelled while its file was received is used up: 409 `batch_state_conflict`. At most 4 files of a ' +
        'company are taken at once (429), and 16 by one process (503).\n\n' +
        'Roles: those of the operations of the rows.',
      parameters: [
        {
          name: 'operation',
          in: 'query',
          required: false,
          description: 'The operation of the rows that name none. CSV needs it.',
          schema: toJsonSchema(z.string()),
        },
        {
          name: 'validateOnly',
          in: 'query',
          required: false,
          description: '`true` checks each row, writes nothing, and needs no key.',
          schema: toJsonSchema(z.enum(['true', 'false'])),
        },
        {
          name: 'Idempotency-Key',
          in: 'header',
          required: false,
          description:
            'The key of the batch, in the form of the key of a write; required unless `validateOnly` is `true`. The keys of ' +
            'batches and those of writes are two spaces.',
          schema: { type: 'string', minLength: 1 },
        },
        parameterRef('RequestId'),
      ],
      requestBody: {
        required: true,
        description: 'UTF-8, not compressed. It may be silent for 30 seconds and last an hour.',
        content: {
          'application/x-ndjson': {
            schema: { type: 'string', description: 'One JSON object a line' },
            'x-item-schema': schemaRef('batch_row'),
          },
          'text/csv': {
            schema: {
              type: 'string',
              description:
                'A header of `key`, parameters of the path by name, and members of the body by dotted path (`lines.0.unitPrice`; ' +
                'elements are numbered from 0 without gaps)',
            },
          },
        },
      },
      responses: {
        '200': {
          description: 'With `validateOnly`: which rows would be refused',
          headers: headerRefs(['X-Request-Id']),
          content: { 'application/json': { schema: schemaRef('batch_validation') } },
        },
        '202': {
          description:
            'The whole file is stored, and its rows are written without you. `Location` is the batch. ' +
            '`Idempotent-Replayed` says that it was there before.',
          headers: headerRefs(['X-Request-Id', 'Idempotency-Key', 'Location', 'Idempotent-Replayed']),
          content: { 'application/json': { schema: schemaRef('batch') } },
        },
        ...problemResponses(
          possible([
            ...OF_EVERY_READ,
            'idempotency_key_missing',
            'idempotency_key_invalid',
            'body_too_large',
            'unsupported_media_type',
            'idempotency_key_reused',
            'batch_state_conflict',
          ]),
          headersOf,
        ),
      },
    },
  },
  '/api/batches/{key}': {
    get: {
      operationId: 'getBatch',
      tags: ['batches'],
      summary: 'Read how a batch stands',
      description:
        'With `Prefer: wait=N`, as soon as it is completed or cancelled; it is completed when nothing but approvals is missing. Who sent it may read it, and so may everyone who ' +
        'may read the resource of each of its operations. Everyone else gets 404, as for a key of another company.',
      parameters: [keyParameter(), parameterRef('PreferWait'), parameterRef('RequestId')],
      responses: answersWithBatch('The current state of the batch', [], ['Preference-Applied']),
    },
  },
  '/api/batches/{key}/results': {
    get: {
      operationId: 'getBatchResults',
      tags: ['batches'],
      summary: 'Read what became of each row',
      description:
        'In the order of the file, each as it stands now. A page has up to `limit` rows, and fewer where their answers are ' +
        'large: it ends with the row with which it reaches about 8 MiB. Where there is more, `Link` with `rel="next"` has the ' +
        'URL of it, which begins with the row after that.\n\n' +
        'A row that is `failed` was given up by the batch; `status`, `resource` and `problem` are those of its write where ' +
        'it was made since, or by a late attempt. One that is `pending_approval` becomes what its write becomes once people ' +
        'have decided, and so do the counts of the batch.\n\n' +
        '`Accept: text/csv` asks for CSV, whose header comes with the first page alone.',
      parameters: [
        keyParameter(),
        {
          name: 'cursor',
          in: 'query',
          required: false,
          description: 'That of a `Link` header',
          schema: toJsonSchema(z.int().min(0)),
        },
        { name: 'limit', in: 'query', required: false, schema: toJsonSchema(z.int().min(1).max(1_000).default(1_000)) },
        parameterRef('RequestId'),
      ],
      responses: {
        '200': {
          description: 'The rows',
          headers: headerRefs(['X-Request-Id', 'Link']),
          content: {
            'application/x-ndjson': {
              schema: { type: 'string', description: 'One JSON object a line' },
              'x-item-schema': schemaRef('batch_row_result'),
            },
            'text/csv': { schema: { type: 'string' } },
          },
        },
        ...problemResponses([...possible(OF_EVERY_READ), BATCH_NOT_FOUND], headersOf),
      },
    },
  },
  ...Object.fromEntries(
    [
      ['pause', 'Write no further rows of a batch for now', 'Rows that are being written get their outcome.'],
      ['resume', 'Go on with a batch that is paused', 'It gets its turn behind batches that were queued before.'],
      [
        'cancel',
        'Write no further rows of a batch',
        'Rows that are being written get their outcome; the others become `cancelled`, and use no key. Those that wait for ' +
          'their approval are writes of their own: cancel each by its key.',
      ],
      [
        'retry-failed',
        'Try the rows of a completed batch again that are failed or refused',
        'For as long as its upload is kept. A row that has an outcome stays as it is.',
      ],
    ].map(([action = '', summary = '', description = '']) => [
      `/api/batches/{key}/${action}`,
      { post: control(action, summary, description) },
    ]),
  ),
};

function control(action: string, summary: string, description: string): Json {
  return {
    operationId: action === 'retry-failed' ? 'retryFailedOfBatch' : `${action}Batch`,
    tags: ['batches'],
    summary,
    description:
      `${description} Returns 409 \`batch_state_conflict\` where the state of the batch does not allow it. Needs no ` +
      'Idempotency-Key header.\n\n' +
      'Roles: owner, admin; who sent the batch, with a role for each of its operations.',
    parameters: [keyParameter(), parameterRef('RequestId')],
    responses: answersWithBatch('The batch as it stands now', [
      'malformed_json',
      'body_too_large',
      'unsupported_media_type',
      'batch_state_conflict',
    ]),
  };
}

function answersWithBatch(
  description: string,
  codes: readonly ProblemCode[],
  headers: readonly ResponseHeader[] = [],
): Json {
  return {
    '200': {
      description,
      headers: headerRefs(['X-Request-Id', ...headers]),
      content: { 'application/json': { schema: schemaRef('batch') } },
    },
    ...problemResponses([...possible([...OF_EVERY_READ, ...codes]), BATCH_NOT_FOUND], headersOf),
  };
}

function keyParameter(): Json {
  return {
    name: 'key',
    in: 'path',
    required: true,
    description: 'The key of the batch, unquoted, as one percent-encoded path segment',
    schema: toJsonSchema(z.string().min(1).max(255)),
  };
}
