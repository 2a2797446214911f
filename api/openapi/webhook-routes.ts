import { z } from 'zod';
import { instant } from '../../activities/resources/members.ts';
import { headerRefs, parameterRef } from './headers.ts';
import { type Json, schemaRef, toJsonSchema } from './json-schema.ts';
import { possible, problemResponses } from './problem-responses.ts';
import { headersOf, OF_EVERY_READ } from './read-routes.ts';

const secret = () => z.string().meta({ description: 'In the format of Standard Webhooks: whsec_…' });

export const WEBHOOK_SCHEMAS: Readonly<Record<string, z.ZodObject>> = {
  webhook_secret: z.object({
    version: z.int().min(1),
    secret: secret(),
    previous: z
      .object({ version: z.int().min(1), secret: secret(), signsUntil: instant() })
      .nullable()
      .meta({ description: 'The previous secret, for as long as it also signs' }),
  }),
  webhook_test: z.object({
    delivered: z.boolean(),
    status: z.int().nullable(),
    error: z.string().nullable(),
  }),
};

/** The routes about a company's webhook, which are neither operations nor plain reads. Its URL is a setting. */
export const WEBHOOK_PATHS: Readonly<Record<string, Json>> = {
  '/api/company/webhook-secret': {
    get: {
      operationId: 'getWebhookSecret',
      tags: ['company'],
      summary: 'Read the secret that the company’s webhooks are signed with',
      description:
        'Each read is recorded in the audit log. For 24 hours after a rotation, the previous secret also signs.\n\n' +
        'Roles: owner.',
      parameters: [parameterRef('RequestId')],
      responses: answers('The secret', 'webhook_secret'),
    },
  },
  '/api/company/webhook-test': {
    post: {
      operationId: 'testWebhook',
      tags: ['company'],
      summary: 'Call the webhook once and report the result',
      description:
        'Sends a signed `webhook.test`, which is not an event and is not retried. Needs no Idempotency-Key.\n\n' +
        'Roles: owner, admin.',
      parameters: [parameterRef('RequestId')],
      responses: answers('The result of the call', 'webhook_test', true),
    },
  },
  '/api/events/{eventId}/redeliver': {
    post: {
      operationId: 'redeliverEvent',
      tags: ['events'],
      summary: 'Deliver an event to the webhook again',
      description:
        'An event whose delivery is still pending is left unchanged. No workflow is started again.\n\n' +
        'Roles: owner, admin.',
      parameters: [
        { name: 'eventId', in: 'path', required: true, schema: toJsonSchema(z.uuid()) },
        parameterRef('RequestId'),
      ],
      responses: answers('The event, with its delivery pending again', 'event', true, [
        { code: 'event_not_found', status: 404, title: 'There is no such event', stored: false },
      ]),
    },
  },
};

function answers(
  description: string,
  schema: string,
  takesBody = false,
  further: Parameters<typeof problemResponses>[0] = [],
): Json {
  const bodies = takesBody ? (['malformed_json', 'body_too_large', 'unsupported_media_type'] as const) : [];
  return {
    '200': {
      description,
      headers: headerRefs(['X-Request-Id']),
      content: { 'application/json': { schema: schemaRef(schema) } },
    },
    ...problemResponses([...possible([...OF_EVERY_READ, ...bodies, 'webhook_not_available']), ...further], headersOf),
  };
}
