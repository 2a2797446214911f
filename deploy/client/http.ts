import { Pool } from 'undici';
import { formatKey } from '../../api/writes/idempotency-key.ts';

/** An API client over a pool of keep-alive connections; requests beyond `connections` wait for a free one. */
export type Http = {
  send(request: HttpRequest): Promise<Answer>;
  close(): Promise<void>;
};

type HttpRequest = {
  readonly method: 'GET' | 'POST' | 'PATCH';
  readonly path: string;
  readonly token: string;
  readonly key?: string;
  /** JSON text, sent as it is. */
  readonly body?: string;
  /** RFC 7240, such as `wait=60`. */
  readonly prefer?: string;
  /** Aborted when the client gives the request up and closes its connection. */
  readonly signal?: AbortSignal;
};

export type Answer = {
  readonly status: number;
  /** Whether it has the header `Idempotent-Replayed: true`. */
  readonly replayed: boolean;
  readonly location: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly text: string;
};

/** Longer than any answer takes: the longest wait that a request may prefer is 60 s, plus the service's tolerance. */
const ANSWER_TIMEOUT_MS = 75_000;
const CONNECT_TIMEOUT_MS = 10_000;

export function openHttp(url: string, { connections }: { connections: number }): Http {
  const { origin, pathname } = new URL(url);
  const prefix = pathname.replace(/\/$/, '');
  const pool = new Pool(origin, {
    connections,
    headersTimeout: ANSWER_TIMEOUT_MS,
    bodyTimeout: ANSWER_TIMEOUT_MS,
    connect: { timeout: CONNECT_TIMEOUT_MS },
  });
  return {
    async send(request) {
      const { statusCode, headers, body } = await pool.request({
        method: request.method,
        path: prefix + request.path,
        headers: headersOf(request),
        body: request.body ?? null,
        signal: request.signal ?? null,
      });
      return {
        status: statusCode,
        replayed: headers['idempotent-replayed'] === 'true',
        location: one(headers['location']),
        retryAfterMs: milliseconds(one(headers['retry-after'])),
        text: await body.text(),
      };
    },
    close: () => pool.close(),
  };
}

/** The code of a problem (RFC 9457); undefined if the answer is not a problem, for example one from a proxy. */
export function problemOf(answer: Answer): { code: string; nextAction: string } | undefined {
  if (answer.status < 400) return undefined;
  try {
    const { code, nextAction } = JSON.parse(answer.text);
    return typeof code === 'string' ? { code, nextAction: String(nextAction) } : undefined;
  } catch {
    return undefined;
  }
}

/** `503 overloaded`: the label under which an answer is counted. */
export function labelOf(answer: Answer): string {
  const code = problemOf(answer)?.code;
  return code === undefined ? String(answer.status) : `${answer.status} ${code}`;
}

function headersOf({ token, key, body, prefer }: HttpRequest): Record<string, string> {
  return {
    authorization: `Bearer ${token}`,
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(key === undefined ? {} : { 'idempotency-key': formatKey(key) }),
    ...(prefer === undefined ? {} : { prefer }),
  };
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

/** Retry-After in seconds; our API does not use the form with a date. */
function milliseconds(retryAfter: string | undefined): number | undefined {
  return retryAfter !== undefined && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) * 1_000 : undefined;
}
