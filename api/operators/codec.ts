import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { createPayloadCodec, UnknownPayloadKey } from '../../worker/payloads/codec.ts';
import { type ApiConfig, THIS_MACHINE } from '../config.ts';
import { ApiProblem } from '../http/problems.ts';
import { sourceOf } from '../security/refusals.ts';
import type { SecurityLog } from '../security/security-log.ts';

/** Where the Temporal UI sends what it wants to show decrypted: a codec server, as Temporal's documentation calls it. */
const PATH = '/codec/decode';

/** A group's payloads, in base64: Temporal keeps at most 2 MB in one. */
const BODY_LIMIT_BYTES = 8 * 1024 * 1024;

/** As the UI sends it: metadata and data in base64. */
const requestBody = z.object({
  payloads: z
    .array(z.looseObject({ metadata: z.record(z.string(), z.string()).optional(), data: z.string().optional() }))
    .max(10_000),
});

type Encoded = z.output<typeof requestBody>['payloads'][number];

/**
 * Decrypts payloads of Temporal for operators: for holders of a token with their audience, or, locally, for the page of the
 * Temporal UI on this machine, which has no login. Every use is in the security log. Not served without payload keys.
 */
export function registerCodec(
  app: FastifyInstance,
  options: {
    readonly config: ApiConfig;
    readonly security: SecurityLog;
    /** Returns the subject. Throws `unauthenticated`. */
    readonly authenticate: ((request: FastifyRequest) => Promise<string>) | undefined;
  },
): void {
  const { config, security, authenticate } = options;
  const { PAYLOAD_KEYS: keys, TEMPORAL_UI_URL: ui } = config;
  if (keys === undefined || (authenticate === undefined && config.CODEC_WITHOUT_TOKEN === '0')) return;
  // What is plain is shown as well, with what has been encrypted.
  const codec = createPayloadCodec({ keys, encryption: 'encrypt' });
  const origin = ui === undefined ? undefined : new URL(ui).origin;

  app.addHook('onRequest', async (request, reply) => {
    if (origin === undefined || request.headers.origin !== origin) return;
    reply.header('access-control-allow-origin', origin).header('vary', 'origin');
  });
  app.options(PATH, async (_request, reply) =>
    reply
      .header('access-control-allow-methods', 'POST')
      .header('access-control-allow-headers', 'authorization, content-type, x-namespace')
      .header('access-control-max-age', '600')
      .code(204)
      .send(),
  );
  // Before the body is read: anyone may send one.
  const subjects = new WeakMap<FastifyRequest, string>();
  const onRequest = async (request: FastifyRequest) => {
    subjects.set(request, await subjectOf(request));
  };
  app.post(PATH, { bodyLimit: BODY_LIMIT_BYTES, onRequest }, async (request, reply) => {
    const subject = subjects.get(request);
    const { success, data: body } = requestBody.safeParse(request.body);
    if (!success)
      throw new ApiProblem('malformed_request', { detail: 'Send {"payloads": […]}, as the Temporal UI does.' });
    const payloads = await Promise.all(body.payloads.map((payload) => decode(payload)));
    security.record({
      event: 'operator_command',
      reason: 'payloads_decrypted',
      subject,
      ...sourceOf(request),
      details: { payloads: payloads.length },
    });
    return reply.type('application/json').send({ payloads });
  });

  /** Where both are served, a token decides for whoever sends one. */
  async function subjectOf(request: FastifyRequest): Promise<string> {
    const isOfUi = config.CODEC_WITHOUT_TOKEN === '1' && request.headers.authorization === undefined;
    return authenticate === undefined || isOfUi ? fromUi(request, origin) : authenticate(request);
  }

  async function decode(payload: Encoded): Promise<Encoded> {
    const { metadata = {}, data = '' } = payload;
    const bytes = {
      metadata: Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name, fromBase64(value)])),
      data: fromBase64(data),
    };
    try {
      const [decoded] = await codec.decode([bytes]);
      return {
        metadata: Object.fromEntries(
          Object.entries(decoded?.metadata ?? {}).map(([name, value]) => [name, toBase64(value)]),
        ),
        data: toBase64(decoded?.data ?? new Uint8Array()),
      };
    } catch (error) {
      // The UI shows it as it is, beside those that could be decrypted.
      if (error instanceof UnknownPayloadKey) return payload;
      throw error;
    }
  }
}

/**
 * The page of the UI, opened on this machine. The host is compared as well: a page of another site, whose name was made to
 * lead here (DNS rebinding), would send its own name.
 */
function fromUi(request: FastifyRequest, origin: string | undefined): string {
  if (origin !== undefined && request.headers.origin === origin && THIS_MACHINE.includes(request.hostname))
    return 'temporal-ui';
  throw new ApiProblem('forbidden', { detail: 'Without a token, only the Temporal UI of this machine may ask.' });
}

function fromBase64(text: string): Uint8Array {
  return Buffer.from(text, 'base64');
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
