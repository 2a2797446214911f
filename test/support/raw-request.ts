import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import type { Answer } from './client.ts';

/**
 * A request with header lines exactly as given, repeated ones included, which `fetch` would join or refuse. Rejects when
 * the server ends the connection without an answer.
 */
export function rawRequest(
  url: string,
  {
    method,
    headers,
    body,
  }: { method: string; headers: readonly (readonly [string, string])[]; body?: Buffer | string },
): Promise<Answer> {
  const length: [string, string][] = body === undefined ? [] : [['content-length', String(Buffer.byteLength(body))]];
  const lines = [['host', new URL(url).host], ...headers, ...length].flat();
  return new Promise((resolve, reject) => {
    const sent = httpRequest(url, { method, headers: lines, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve(toAnswer(response.statusCode ?? 0, new Headers(response.headers as Record<string, string>), text));
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Bytes of the test's own making, and whatever comes back, as text. */
export function rawBytes(url: string, bytes: Buffer | string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
    socket.on('error', reject);
  });
}

function toAnswer(status: number, headers: Headers, text: string): Answer {
  const json = /json/.test(headers.get('content-type') ?? '') && text !== '' ? JSON.parse(text) : undefined;
  return { status, headers, text, json, replayed: headers.get('idempotent-replayed') === 'true' };
}
