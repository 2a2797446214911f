import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** Answers one request; the last one given answers all that follow. */
export type Answerer = (response: ServerResponse, request: IncomingMessage) => void;

export type Seen = {
  /** `POST /api/payments`. */
  readonly line: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
};

/** An HTTP server on loopback that gives these answers in turn, and tells what it was sent. */
export async function startAnswering(answerers: readonly Answerer[]): Promise<{
  readonly url: string;
  readonly seen: readonly Seen[];
  close(): Promise<void>;
}> {
  const seen: Seen[] = [];
  let taken = 0;
  const server = createServer((request, response) => {
    const answerer = answerers[Math.min(taken, answerers.length - 1)];
    taken += 1;
    // A request that is cut has no body, and needs no answer.
    text(request).then(
      (body) => {
        seen.push({ line: `${request.method} ${request.url}`, headers: request.headers, body });
        answerer?.(response, request);
      },
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** As the API answers: with the key of the request, if it has one. */
export function json(status: number, body: object, headers: Record<string, string> = {}): Answerer {
  return (response, request) => {
    const key = request.headers['idempotency-key'];
    const known = { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) };
    response.writeHead(status, { ...known, ...headers }).end(JSON.stringify(body));
  };
}

/** A problem of the API. With a `requestId`, nothing is stored for the request. */
export function problem(
  status: number,
  code: string,
  nextAction: string,
  { headers = {}, ...members }: { readonly headers?: Record<string, string>; readonly [member: string]: unknown } = {},
): Answerer {
  const retryable = nextAction === 'retry_same_key' || nextAction === 'wait';
  const body = { type: `/docs/errors#${code}`, title: code, detail: `It is ${code}.`, instance: '/api/payments' };
  return json(
    status,
    { ...body, status, code, retryable, nextAction, ...members },
    { 'content-type': 'application/problem+json', ...headers },
  );
}

export const drop: Answerer = (response) => response.destroy();
