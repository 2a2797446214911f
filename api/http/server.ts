import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { BODY_TOO_LARGE, MAX_BODY_BYTES } from '../../activities/body-limits.ts';
import { isStorageUnavailable } from '../../activities/failures.ts';
import { TemporalUnavailable } from '../../worker/temporal-unavailable.ts';
import type { Caller } from './auth.ts';
import { clientAddress } from './client-address.ts';
import {
  CONNECTION_LIMITS,
  type ConnectionLimits,
  closeUnlessComplete,
  limitBody,
  limitConnections,
  watchAnswers,
} from './connections.ts';
import { parseJsonBody } from './json-body.ts';
import { readMediaType } from './media-type.ts';
import { ApiProblem, needsRetryAfter, type ProblemCode, problemBody, RETRY_AFTER_S } from './problems.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The body is a file, which the route reads as it comes. */
    readonly takesFile?: boolean;
  }
  interface FastifyRequest {
    /** Set by authentication, on every route below /api. */
    caller: Caller;
    /** The IP address of the client. */
    readonly address: string;
    /** Set on the routes of writes. */
    idempotencyKey: string;
    /** The ID that the write has, or would have; set once the request is known to be valid. */
    writeId: string;
  }
}

/** A key of 255 characters, each percent-encoded. */
const MAX_PATH_SEGMENT = 1_024;
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;

export type ServerOptions = {
  readonly trustedProxyHops: number;
  /** Called with each error that is answered; without a request where its bytes were none. */
  onProblem(problem: ApiProblem, request: FastifyRequest | undefined): void;
  readonly maxConnectionsPerAddress: number;
  readonly onConnectionRefused: () => void;
  /** Shorter ones are for tests. */
  readonly limits?: ConnectionLimits;
};

/** The HTTP server with what every route shares: request IDs, bodies, errors, limits, and 405 for unsupported methods. */
export async function createServer(
  logger: Logger,
  {
    trustedProxyHops,
    onProblem,
    maxConnectionsPerAddress,
    onConnectionRefused,
    limits = CONNECTION_LIMITS,
  }: ServerOptions,
): Promise<{ app: FastifyInstance } & Routes> {
  const answerProblem: AnswerProblem = (request, reply, problem) => {
    // What was refused below, while its body was read, is counted there.
    if (!request.raw.socket.writableEnded) onProblem(problem, request);
    sendProblem(request, reply, problem);
  };
  const app = Fastify({
    loggerInstance: logger,
    // We log one line per request, when it is answered (below).
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: Math.max(limits.requestMs, limits.fileMs),
    http: { headersTimeout: limits.headersMs, connectionsCheckingInterval: limits.checkedEveryMs },
    routerOptions: { maxParamLength: MAX_PATH_SEGMENT },
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
    },
    clientErrorHandler: (error, socket) => refuseBytes(error, socket, mayAnswer(socket), onProblem),
    frameworkErrors: (_error, request, reply) => {
      // Raised before any hook has run; none runs after it either.
      reply.headers({ 'x-request-id': request.id, 'cache-control': 'no-store' });
      reply.raw.once('finish', () => closeUnlessComplete(request.raw, limits));
      answerProblem(request, reply, new ApiProblem('malformed_request', { detail: 'The path is not a valid URL.' }));
    },
    forceCloseConnections: 'idle',
    // While draining, a request on a connection that is still open is served like any other; the connection then closes.
    return503OnClosing: false,
  }) as unknown as FastifyInstance;
  const mayAnswer = watchAnswers(app.server);
  limitConnections(app.server, maxConnectionsPerAddress, onConnectionRefused);
  // Made once: @fastify/helmet makes it anew for each request, which took a twentieth of the CPU time of a replay.
  const setSecurityHeaders = helmet();
  app.addHook('onRequest', (request, reply, done) => setSecurityHeaders(request.raw, reply.raw, () => done()));
  app.addHook('onRequest', async (request, reply) => void reply.header('x-request-id', request.id));
  app.addHook('onRequest', async (request, reply) => {
    // What is a company's stays in no cache, such as that of a browser whose user has signed out. A route may say otherwise.
    if (isOfCompanies(request)) reply.header('cache-control', 'no-store');
  });
  app.addHook('onRequest', async (request) => {
    if (request.routeOptions.config.takesFile !== true) limitBody(request.raw, app.server, limits);
  });
  app.addHook('onResponse', async (request, reply) => {
    closeUnlessComplete(request.raw, limits);
    request.log.info(
      {
        method: request.method,
        url: request.url,
        status: reply.statusCode,
        durationMs: Math.round(reply.elapsedTime * 10) / 10,
        ip: request.address,
        ...callerFields(request.caller),
        ...(request.idempotencyKey === '' ? {} : { key: request.idempotencyKey }),
        ...(request.writeId === '' ? {} : { writeId: request.writeId }),
      },
      'answered',
    );
  });
  app.decorateRequest('idempotencyKey', '');
  app.decorateRequest('writeId', '');
  app.decorateRequest('address', {
    getter() {
      return clientAddress(this.raw, trustedProxyHops);
    },
  });
  parseJsonBodies(app);
  answerErrors(app, answerProblem);
  endSilentConnections(app);
  return { app, ...routesOf(app) };
}

/** Of a request line: the user, or the token's subject where the user was not looked up. */
function callerFields(caller: Caller | undefined): Readonly<Record<string, string>> {
  if (caller === undefined) return {};
  const { companyId, subject, userId } = caller;
  return { companyId, ...(userId === undefined ? { subject } : { userId }) };
}

/** Refuses a body that is not plain UTF-8 JSON, before its size is checked. */
export function requireJson(request: FastifyRequest): void {
  readMediaType(request, { types: ['application/json'], what: 'body' });
}

function parseJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    if (body.length === 0) return done(null, undefined);
    try {
      done(null, parseJsonBody(body as Buffer));
    } catch (error) {
      done(error as ApiProblem);
    }
  });
}

type AnswerProblem = (request: FastifyRequest, reply: FastifyReply, problem: ApiProblem) => void;

function answerErrors(app: FastifyInstance, answerProblem: AnswerProblem): void {
  app.setNotFoundHandler((request, reply) => {
    answerProblem(request, reply, new ApiProblem('route_not_found', { detail: NO_SUCH_ROUTE }));
  });
  app.setErrorHandler((error: FastifyError | ApiProblem, request, reply) => {
    answerProblem(request, reply, toProblem(error, request));
  });
}

/** Translates Fastify's own errors, and whatever else is thrown, into our table of problems. */
function toProblem(error: FastifyError | ApiProblem, request: FastifyRequest): ApiProblem {
  if (error instanceof ApiProblem) return error;
  const code = FRAMEWORK_ERRORS[error.code];
  if (code !== undefined) return new ApiProblem(code[0], { detail: code[1] });
  if (isStorageUnavailable(error)) {
    return new ApiProblem('storage_unavailable', { detail: 'The database did not answer. Send the request again.' });
  }
  if (error instanceof TemporalUnavailable) {
    return new ApiProblem('orchestrator_unavailable', { detail: 'Temporal did not answer. Send the request again.' });
  }
  const refused = refusalOf(error);
  if (refused !== undefined) return refused;
  request.log.error({ err: error }, 'A request failed with an internal error');
  return new ApiProblem('internal_error', {
    detail: 'Send the request again with the same key. If the error persists, report the request ID.',
  });
}

const FRAMEWORK_ERRORS: Readonly<Record<string, readonly [ProblemCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['body_too_large', BODY_TOO_LARGE],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['unsupported_media_type', 'Send Content-Type: application/json.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['malformed_json', 'The length of the body differs from Content-Length.'],
};

/**
 * What Fastify, its plugins and Node refuse with a status of the client's: a path that leaves the folder of `/docs/static`, a
 * body whose connection ended before it was complete.
 */
function refusalOf({ statusCode }: { readonly statusCode?: number | undefined }): ApiProblem | undefined {
  if (statusCode === undefined || statusCode < 400 || statusCode > 499) return undefined;
  if (statusCode === 403 || statusCode === 404) return new ApiProblem('route_not_found', { detail: NO_SUCH_ROUTE });
  return new ApiProblem('malformed_request', { detail: 'The request is not complete, or cannot be read.' });
}

/** By the route, which is found whatever the spelling of the path is. */
function isOfCompanies({ routeOptions, url }: FastifyRequest): boolean {
  return (routeOptions.url ?? url).startsWith('/api/');
}

const NO_SUCH_ROUTE = '/docs lists all routes.';

function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: ApiProblem): void {
  const { status } = problem.kind;
  if (needsRetryAfter(problem.code, status)) reply.header('retry-after', RETRY_AFTER_S);
  reply
    .code(status)
    .headers(problem.details.headers ?? {})
    .type('application/problem+json; charset=utf-8')
    .send(JSON.stringify(problemBody(problem, request.url.slice(0, 2_000), request.id)));
}

/** Node treats a connection that has not sent a request yet as busy: it would hold the draining server open. */
function endSilentConnections(app: FastifyInstance): void {
  const silent = new Set<Socket>();
  app.server.on('connection', (socket) => void silent.add(socket.once('close', () => silent.delete(socket))));
  app.server.on('request', ({ socket }) => void silent.delete(socket));
  app.addHook('preClose', async () => {
    app.server.on('connection', (socket) => socket.destroy());
    for (const socket of silent) socket.destroy();
  });
}

type Routes = {
  /** Makes every other method of each path below /api answer 405 with `Allow`. Called once all routes are registered. */
  refuseOtherMethods(): void;
  /** Every method and path that is really served, such as `POST /api/invoices/:invoiceId/finalize`. */
  servedRoutes(): readonly string[];
};

function routesOf(app: FastifyInstance): Routes {
  const known = new Map<string, Set<string>>();
  let isRefusing = false;
  app.addHook('onRoute', ({ method, url }) => {
    if (isRefusing) return;
    const methods = known.get(url) ?? new Set();
    known.set(url, methods);
    for (const name of [method].flat()) methods.add(name);
  });
  return {
    refuseOtherMethods() {
      isRefusing = true;
      for (const [url, methods] of [...known].filter(([path]) => path.startsWith('/api/'))) {
        const allow = [...methods].sort().join(', ');
        app.route({
          method: METHODS.filter((method) => !methods.has(method)),
          url,
          handler: async () => {
            throw new ApiProblem('method_not_allowed', { detail: `Use ${allow}.`, headers: { allow } });
          },
        });
      }
      isRefusing = false;
    },
    servedRoutes: () => [...known].flatMap(([url, methods]) => [...methods].map((method) => `${method} ${url}`)),
  };
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

type ParserError = Error & { readonly code?: string; readonly rawPacket?: unknown; readonly bytesParsed?: number };

/** How long a client may take to read why its bytes were refused. */
const REFUSAL_READ_MS = 2_000;

/** Answers what Node's HTTP parser refuses, and what does not arrive in time; then closes the connection. */
function refuseBytes(
  error: ParserError,
  socket: Socket,
  mayAnswer: boolean,
  onProblem: ServerOptions['onProblem'],
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  // Of a connection on which nothing has come there is no request to answer.
  if (!mayAnswer || socket.bytesRead === 0) {
    socket.destroy();
    return;
  }
  const code = parserProblem(error);
  const detail = code === 'request_timeout' ? TOO_SLOW : 'The bytes are not a valid HTTP request.';
  const problem = new ApiProblem(code, { detail });
  onProblem(problem, undefined);
  const body = JSON.stringify(problemBody(problem, '/', randomUUID()));
  socket.end(
    `HTTP/1.1 ${problem.kind.status} ${STATUS_CODES[problem.kind.status]}\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  setTimeout(() => socket.destroy(), REFUSAL_READ_MS).unref();
}

const TOO_SLOW = `The headers must arrive within ${CONNECTION_LIMITS.headersMs / 1000} seconds, the whole request within ${CONNECTION_LIMITS.requestMs / 1000}.`;

function parserProblem({ code, rawPacket, bytesParsed }: ParserError): ProblemCode {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headers_too_large';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request_timeout';
  // The parser itself refuses a control character in a key, and stops within that header line.
  const parsed = Buffer.isBuffer(rawPacket) ? rawPacket.subarray(0, bytesParsed).toString('latin1') : '';
  return /\nidempotency-key:[^\n]*$/i.test(parsed) ? 'idempotency_key_invalid' : 'malformed_request';
}
