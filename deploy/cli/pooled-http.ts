import { Pool } from 'undici';
import { answerOf, answerTimeoutMs, type Http, headersOf, prefixOf } from '../client/src/http.ts';

/** The client's requests over a pool of keep-alive connections; those beyond `connections` wait for a free one. */
export type PooledHttp = Http & {
  /** Waits for the requests in flight. */
  close(): Promise<void>;
};

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Instead of the client's own `openHttp`, because a load generator shares its processors with what it measures: there, a
 * signal and a timer for each request cost half as much as all the rest, and `fetch` several times as much. undici limits the
 * time of all requests with one timer, each from when it has its connection.
 *
 * @param url as `baseUrl` of the client
 */
export function openPooledHttp(url: string, { connections }: { readonly connections: number }): PooledHttp {
  const { origin } = new URL(url);
  const prefix = prefixOf(url).slice(origin.length);
  const pool = new Pool(origin, { connections, connect: { timeout: CONNECT_TIMEOUT_MS } });
  return {
    async send(request) {
      const timeoutMs = answerTimeoutMs(request.prefer);
      const { statusCode, headers, body } = await pool.request({
        method: request.method,
        path: prefix + request.path,
        headers: headersOf(request),
        body: request.body ?? null,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        signal: request.signal ?? null,
      });
      return answerOf(statusCode, (name) => one(headers[name]), await body.text());
    },
    close: () => pool.close(),
  };
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
