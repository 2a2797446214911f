import { z } from 'zod';
import { DECISION_BODY } from '../writes/decide.ts';
import { headerRefs, parameterRef } from './headers.ts';
import { type Json, schemaRef, toJsonSchema } from './json-schema.ts';
import { possible, problemResponses } from './problem-responses.ts';
import { headersOf, OF_EVERY_READ } from './read-routes.ts';

/** The status of a write and its cancellation, which are neither operations nor plain reads. */
export const STATUS_PATHS: Readonly<Record<string, Json>> = {
  '/api/writes/{key}': {
    get: {
      operationId: 'getWrite',
      tags: ['writes'],
      summary: 'Read the status of a write',
      description:
        'Returns the write in any state, with its timeline. Its actor may read it, and so may everyone who may read its ' +
        'resource, and whoever may decide about it by an approval policy, or has. Everyone else gets 404, as for a key of another company.',
      parameters: [keyParameter(), parameterRef('PreferWait'), parameterRef('RequestId')],
      responses: {
        '200': {
          description: 'The current state of the write',
          headers: headerRefs(['X-Request-Id', 'Preference-Applied']),
          content: { 'application/json': { schema: schemaRef('write') } },
        },
        ...problemResponses(possible([...OF_EVERY_READ, 'write_not_found', 'orchestrator_unavailable']), headersOf),
      },
    },
  },
  '/api/writes/{key}/proof': {
    get: {
      operationId: 'getWriteProof',
      tags: ['writes'],
      summary: 'Read the proof that a write is in the books',
      description:
        'Returns the sealed rows of the write, each with its path to a published head: whoever has the public key of the ' +
        'head can check that the row is in the log, without this service and without seeing other rows. Who may read the write ' +
        'may read its proof; the entry is shown to those who may read entries.',
      parameters: [keyParameter(), parameterRef('RequestId')],
      responses: {
        '200': {
          description: 'The rows and their paths',
          headers: headerRefs(['X-Request-Id']),
          content: { 'application/json': { schema: schemaRef('write_proof') } },
        },
        ...problemResponses(
          possible([...OF_EVERY_READ, 'write_not_found', 'proof_not_ready', 'orchestrator_unavailable']),
          headersOf,
        ),
      },
    },
  },
  '/api/writes/{key}/cancel': {
    post: {
      operationId: 'cancelWrite',
      tags: ['writes'],
      summary: 'Make sure that a write never happens',
      description:
        'Cancels the key, even before its request arrives: from then on every request with the key returns ' +
        '`write_cancelled`. A lost write is given up by it. Returns 409 `too_late` if the write already has another outcome, ' +
        'and 200 if the key was already cancelled. Needs no Idempotency-Key header.',
      parameters: [keyParameter(), parameterRef('RequestId')],
      responses: {
        '200': {
          description: 'Cancelled, by this request or an earlier one',
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
  '/api/writes/{key}/approve': decisionPath(
    'approveWrite',
    'Approve a write that waits for it',
    'Someone other than the requester, with a role of the policy, approves the write. The last approval that it needs has it ' +
      'executed, once, as the requester, against the books and roles of that moment; the answer then waits for the outcome as that ' +
      'of a write does.',
  ),
  '/api/writes/{key}/reject': decisionPath(
    'rejectWrite',
    'Reject a write that waits for its approval',
    'From then on every request with the key returns `approval_rejected`. A single rejection is enough. Returns 409 ' +
      '`approval_not_pending` once the write has all the approvals that it needs, of people who hold the roles now: it is about to ' +
      'be executed.',
  ),
};

/** Both decisions take and answer the same. */
function decisionPath(operationId: string, summary: string, description: string): Json {
  return {
    post: {
      operationId,
      tags: ['writes'],
      summary,
      description: `${description} The same decision again is answered as before. Needs no Idempotency-Key header.`,
      parameters: [keyParameter(), parameterRef('PreferWait'), parameterRef('RequestId')],
      requestBody: {
        required: false,
        content: { 'application/json': { schema: toJsonSchema(DECISION_BODY) } },
      },
      responses: {
        '200': {
          description: 'The write as it is now',
          headers: headerRefs(['X-Request-Id', 'Preference-Applied']),
          content: { 'application/json': { schema: schemaRef('write') } },
        },
        ...problemResponses(
          possible([
            ...OF_EVERY_READ,
            'malformed_json',
            'body_too_large',
            'unsupported_media_type',
            'write_not_found',
            'approver_is_requester',
            'idempotency_in_progress',
            'approval_not_pending',
            'already_decided',
            'orchestrator_unavailable',
          ]),
          headersOf,
        ),
      },
    },
  };
}

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
