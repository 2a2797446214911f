import { z } from 'zod';
import { instant, resourceId } from '../../activities/resources/members.ts';
import { type Json, schemaRef } from './json-schema.ts';

/** What a company's webhook is sent (`activities/webhooks/deliver.ts`, `api/webhooks/routes.ts`). */
export const WEBHOOK_CALL_SCHEMAS: Readonly<Record<string, z.ZodObject>> = {
  event_call: z
    .object({
      type: z.string().meta({ description: 'The kind of the event, such as `invoice.finalized`' }),
      timestamp: instant().meta({ description: 'When the write happened; RFC 3339, UTC' }),
      data: z.object({
        eventId: resourceId().meta({ description: 'As in `webhook-id`: the same each time that the event is sent' }),
        companyId: resourceId(),
        writeId: resourceId(),
        resource: z
          .object({ type: z.string(), id: z.string(), url: z.string().meta({ format: 'uri-reference' }) })
          .meta({ description: 'What was written. Read it at `url` as it is now' }),
        requestId: z.string().meta({ description: 'Of the request that the write began with' }),
        number: z.string().optional().meta({ description: 'Of the document, if the write gave it one' }),
        workflowName: z.string().optional().meta({ description: 'Of `workflow.triggered`' }),
      }),
    })
    .meta({ description: 'The call for an event. Other members of `data` depend on its kind' }),
  sealed_call: z
    .object({
      type: z.literal('ledger.sealed'),
      timestamp: instant(),
      data: z.object({
        companyId: resourceId(),
        heads: z.array(
          z.object({
            head: z
              .string()
              .meta({ description: 'Canonical JSON: what was signed. docs/seal-format.md has its members' }),
            keyId: z.string().meta({ description: 'Of a key of `/.well-known/accubooks-seal-keys.json`' }),
            signature: z.string().meta({ description: 'Ed25519 over the bytes of `head`, in base64' }),
            timeStamp: z
              .string()
              .optional()
              .meta({ description: 'A token of RFC 3161 for the bytes of `head`, in base64' }),
          }),
        ),
      }),
    })
    .meta({
      description:
        'Heads of the seal, to be kept outside: they show later whether the books were changed. Not an event',
    }),
  test_call: z
    .object({
      type: z.literal('webhook.test'),
      timestamp: instant(),
      data: z.object({ companyId: resourceId() }),
    })
    .meta({ description: 'The call that `POST /api/company/webhook-test` asks for. It is not an event' }),
};

/** The calls as OpenAPI describes them: requests of the service to its client. */
export const WEBHOOKS: Readonly<Record<string, Json>> = {
  event: {
    post: {
      ...call('receiveEvent', 'event_call', 'The ID of the event: deduplicate by it'),
      summary: 'An event of the company',
      description:
        'At least once for each event, and in order: the next event is not sent before this one is received or given up.',
      responses: {
        '2XX': { description: 'Received' },
        '410': { description: 'Not wanted: the event is given up' },
        default: {
          description:
            'Not received; nor is it without an answer within 5 seconds. It is sent again after growing pauses.',
        },
      },
    },
  },
  sealed: {
    post: {
      ...call('receiveSealedCall', 'sealed_call', 'The same each time that these heads are sent'),
      summary: 'What has been sealed of the company’s journal and audit log',
      description:
        'A first head as soon as something is sealed, then at most one an hour for each of the two logs. Keep them.',
      responses: {
        '2XX': { description: 'Received' },
        default: { description: 'Not received. It is sent again after growing pauses, for a day' },
      },
    },
  },
  test: {
    post: {
      ...call('receiveTestCall', 'test_call', 'A new one for each test'),
      summary: 'A test of the webhook',
      description: 'Once, when the client asks for it.',
      responses: { '2XX': { description: 'Received' }, default: { description: 'Not received' } },
    },
  },
};

/** What both have. The signature is made as Standard Webhooks demands. */
function call(operationId: string, schema: string, id: string): Json {
  return {
    operationId,
    tags: ['webhooks'],
    // Not with a token: its signature is what proves where it comes from.
    security: [],
    parameters: [
      header('webhook-id', id, { type: 'string' }),
      header('webhook-timestamp', 'When it was sent, in seconds since 1970-01-01 UTC', {
        type: 'string',
        pattern: '^\\d+$',
      }),
      header(
        'webhook-signature',
        '`v1,` and the HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}` in base64, for each valid secret, with ' +
          'spaces between them (https://www.standardwebhooks.com)',
        { type: 'string', pattern: '^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)*$' },
      ),
    ],
    requestBody: { required: true, content: { 'application/json': { schema: schemaRef(schema) } } },
  };
}

function header(name: string, description: string, schema: Json): Json {
  return { name, in: 'header', required: true, description, schema };
}
