import { type Dispatcher, Pool } from 'undici';
import { type Fetch, type Http, openHttp } from '../client/src/http.ts';

/** The client's requests over a pool of keep-alive connections; those beyond `connections` wait for a free one. */
export type PooledHttp = Http & {
  /** Waits for the requests in flight. */
  close(): Promise<void>;
};

const CONNECT_TIMEOUT_MS = 10_000;

/** @param url as `baseUrl` of the client */
export function openPooledHttp(url: string, { connections }: { readonly connections: number }): PooledHttp {
  const { origin } = new URL(url);
  const pool = new Pool(origin, {
    connections,
    connect: { timeout: CONNECT_TIMEOUT_MS },
    // The client limits each request by the wait that it prefers.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  return { ...openHttp({ baseUrl: url, fetch: fetchOver(pool, origin) }), close: () => pool.close() };
}

/** Not `fetch` itself: it costs twice as much, and a load generator shares its processor with what it measures. */
function fetchOver(pool: Pool, origin: string): Fetch {
  return async (url, { method, headers: sent, body: text, signal }) => {
    const { statusCode, headers, body } = await pool.request({
      method: method as Dispatcher.HttpMethod,
      path: url.slice(origin.length),
      headers: sent,
      body: text ?? null,
      signal,
    });
    return {
      status: statusCode,
      headers: { get: (name) => one(headers[name]) ?? null },
      text: () => body.text(),
    };
  };
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
