import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { sourceOf } from './client-address.ts';

/** Limits in milliseconds, so that no client holds a connection for ever. */
export type ConnectionLimits = {
  /** From the connection, or the first byte of a further request, to the end of the headers. */
  readonly headersMs: number;
  /** From there to the last byte of the body. An answer may take longer. */
  readonly requestMs: number;
  /** The same of a file, which its route reads as it comes; how long it may be silent, the route knows. */
  readonly fileMs: number;
  /** How often Node compares: a limit may be exceeded by so much. */
  readonly checkedEveryMs: number;
  /** How long a client that was answered before its body was complete may go on sending it. */
  readonly sentInVainMs: number;
};

export const CONNECTION_LIMITS: ConnectionLimits = {
  headersMs: 15_000,
  requestMs: 30_000,
  fileMs: 60 * 60_000,
  checkedEveryMs: 2_500,
  sentInVainMs: 5_000,
};

/**
 * Closes the connection of a request that was answered before its body was complete, as by 401, unless the rest comes soon.
 * Not at once: closing with unread bytes resets the connection, and the client may lose the answer.
 */
export function closeUnlessComplete(request: IncomingMessage, { sentInVainMs }: ConnectionLimits): void {
  if (request.complete) return;
  const { socket } = request;
  setTimeout(() => {
    if (!request.complete) socket.destroy();
  }, sentInVainMs).unref();
}

/**
 * Ends a request whose body is not complete in time, as Node does by its `requestTimeout`, which is one limit for all requests and
 * has to be that of the longest. Most requests come whole in one packet and need no timer. That shows only after an asynchronous
 * hook: Node announces a request before it reads the rest of the packet.
 */
export function limitBody(request: IncomingMessage, server: Server, { requestMs }: ConnectionLimits): void {
  if (request.complete) return;
  const timer = setTimeout(() => {
    if (request.complete) return;
    const late = Object.assign(new Error('The request did not arrive in time'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
    server.emit('clientError', late, request.socket);
  }, requestMs);
  timer.unref();
  request.once('close', () => clearTimeout(timer));
}

/** Destroys each connection beyond `max` of one address at once; an IPv6 network of 64 bits counts as one address. */
export function limitConnections(server: Server, max: number, onRefused: () => void): void {
  const open = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const source = sourceOf(socket.remoteAddress ?? '');
    const count = (open.get(source) ?? 0) + 1;
    if (count > max) {
      onRefused();
      socket.destroy();
      return;
    }
    open.set(source, count);
    socket.once('close', () => {
      const left = (open.get(source) ?? 0) - 1;
      if (left > 0) open.set(source, left);
      else open.delete(source);
    });
  });
}

/**
 * Whether an answer to what Node's parser refuses may still be written: not while a whole request is being handled, since the
 * client would read it as the answer to that one, which may go on to change the books; and not after an answer has begun, since
 * the client would read it as a part of that, or as the answer to its next request.
 */
export function watchAnswers(server: Server): (socket: Socket) => boolean {
  const latest = new WeakMap<Socket, { readonly request: IncomingMessage; readonly response: ServerResponse }>();
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    latest.set(request.socket, { request, response });
  });
  return (socket) => {
    const exchange = latest.get(socket);
    if (exchange === undefined) return true;
    const { request, response } = exchange;
    return request.complete ? response.writableFinished : !response.headersSent;
  };
}
