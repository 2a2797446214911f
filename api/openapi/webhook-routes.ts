import { z } from 'zod';
import { instant } from '../../activities/resources/members.ts';
import { headerRefs, parameterRef } from './headers.ts';
import { type Json, schemaRef, toJsonSchema } from './json-schema.ts';
import { possible, problemResponses } from './problem-responses.ts';
import { headersOf, OF_EVERY_READ } from './read-routes.ts';

const secret = () => z.string().meta({ description: 'As Standard Webhooks spells it: whsec_…' });

export const WEBHOOK_SCHEMAS: Readonly<Record<string, z.ZodObject>> = {
  webhook_secret: z.object({
    version: z.int().min(1),
    secret: secret(),
    previous: z
      .object({ version: z.int().min(1), secret: secret(), signsUntil: instant() })
      .nullable()
      .meta({ description: 'The one before, while it signs too' }),
  }),
  webhook_test: z.object({
    delivered: z.boolean(),
    status: z.int().nullable(),
    error: z.string().nullable(),
  }),
};

/** What is done about a webhook beside its setting; neither operations nor plain reads. */
export const WEBHOOK_PATHS: Readonly<Record<string, Json>> = {
  '/api/company/webhook-secret': {
    get: {
      operationId: 'getWebhookSecret',
      tags: ['company'],
      summary: 'Read the secret that the company’s webhooks are signed with',
      description: 'Audited. For 24 hours after a rotation the previous one signs too.\n\nRoles: owner.',
      parameters: [parameterRef('RequestId')],
      responses: answers('The secret', 'webhook_secret'),
    },
  },
  '/api/company/webhook-test': {
    post: {
      operationId: 'testWebhook',
      tags: ['company'],
      summary: 'Call the webhook once, and tell how that went',
      description:
        'A signed `webhook.test`, which is no event and is not repeated. Needs no key.\n\nRoles: owner, admin.',
      parameters: [parameterRef('RequestId')],
      responses: answers('How it went', 'webhook_test', true),
    },
  },
  '/api/events/{eventId}/redeliver': {
    post: {
      operationId: 'redeliverEvent',
      tags: ['events'],
      summary: 'Have the webhook called again for an event',
      description: 'One whose call is still to come stays as it is. Starts no workflow again.\n\nRoles: owner, admin.',
      parameters: [
        { name: 'eventId', in: 'path', required: true, schema: toJsonSchema(z.uuid()) },
        parameterRef('RequestId'),
      ],
      responses: answers('The event, on its way again', 'event', true, [
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
