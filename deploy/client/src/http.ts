import { formatKey } from './keys.ts';
import { limitSilence, limitTime } from './time-limit.ts';

/**
 * One HTTP request and its answer, without any retry. `deploy/client` has no dependency: it needs `fetch`, `AbortSignal` and
 * `URL` of Node 20, a browser or an edge runtime.
 */
export type Http = {
  /** Rejects if there is no whole answer: the connection failed or was cut, the time is over, or `signal` was aborted. */
  send(request: HttpRequest): Promise<Answer>;
};

export type HttpRequest = {
  readonly method: 'GET' | 'POST' | 'PATCH';
  /** Begins with `/api/`; with its query. */
  readonly path: string;
  readonly token: string;
  readonly key?: string;
  /** JSON text, sent as it is. */
  readonly body?: string;
  /**
   * Instead of `body`: the bytes of a file, asked for once for each attempt. Once `onBytes` was called, the request is given up
   * when it was not called for `silentMs`.
   */
  readonly file?: {
    readonly type: string;
    readonly silentMs: number;
    bytes(onBytes: () => void): FileBody | Promise<FileBody>;
  };
  /** What the answer may be; JSON if omitted. */
  readonly accept?: string;
  /** How long it may take to be answered; the wait that it prefers and a little more if omitted. */
  readonly timeoutMs?: number;
  /** RFC 7240, such as `wait=60`. */
  readonly prefer?: string;
  /** Further headers, such as `traceparent`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** 2 and more for the same request sent again; for traces only. */
  readonly attempt?: number;
  /** Aborted when the caller gives the request up; its connection is closed. */
  readonly signal?: AbortSignal | undefined;
};

/** A ReadableStream can be sent once. Browsers send one over HTTP/2 alone, if at all. */
export type FileBody = string | Blob | ReadableStream;

export type Answer = {
  readonly status: number;
  /** Whether it has the header `Idempotent-Replayed: true`. */
  readonly replayed: boolean;
  readonly location: string | undefined;
  readonly retryAfterMs: number | undefined;
  /** `Idempotency-Key` of the answer, as it stands there: the service repeats the key of a write. */
  readonly key: string | undefined;
  /** `X-Request-Id`, which the service's logs and its audit log have as well. */
  readonly requestId: string | undefined;
  readonly contentType: string | undefined;
  readonly text: string;
};

/** What is used of `fetch`, so that something else can take its place: another HTTP client, a pool, a test. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchAnswer>;
export type FetchInit = {
  readonly method: string;
  readonly headers: Record<string, string>;
  /** JSON text, or the bytes of a file. */
  readonly body?: FileBody;
  /** With a stream, which `fetch` asks for. */
  readonly duplex?: 'half';
  readonly signal: AbortSignal;
  /** `error` for a file. */
  readonly redirect: 'manual' | 'error';
  /** With a file, so that `fetch` need not keep a copy of what it has sent. */
  readonly window?: null;
};
export type FetchAnswer = {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
};

export type HttpOptions = {
  /** Such as `https://books.example.com`; with a path if the API is below one. */
  readonly baseUrl: string;
  readonly fetch?: Fetch | undefined;
};

export function openHttp({ baseUrl, fetch: fetchOf = globalThis.fetch }: HttpOptions): Http {
  const prefix = prefixOf(baseUrl);
  return {
    async send(request) {
      const { file } = request;
      const silence = file === undefined ? undefined : limitSilence(file.silentMs, request.signal);
      const time = limitTime(request.timeoutMs ?? answerTimeoutMs(request.prefer), silence?.signal ?? request.signal);
      try {
        const body = file === undefined ? request.body : await file.bytes(() => silence?.restart());
        // A redirect would turn a POST into a GET, or send the token elsewhere: it is an answer like any other.
        const answer = await fetchOf(prefix + request.path, {
          method: request.method,
          headers: headersOf(request),
          ...(body === undefined ? {} : { body }),
          ...(typeof body === 'object' && 'getReader' in body ? { duplex: 'half' as const } : {}),
          signal: time.signal,
          redirect: 'manual',
          ...(file === undefined ? {} : SENT_ONCE),
        });
        const { status, headers } = answer;
        return answerOf(status, (name) => headers.get(name) ?? undefined, await answer.text());
      } finally {
        time.end();
        silence?.end();
      }
    },
  };
}

/** The query of a URL with its question mark; empty without a parameter that is defined. */
export function queryOf(parameters: Readonly<Record<string, string | number | boolean | undefined>> = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, String(value));
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

/**
 * Node's `fetch` keeps all of a body in memory that it may have to send again: after a redirect, or to ask a user for a password
 * (https://fetch.spec.whatwg.org/#concept-http-network-or-cache-fetch, step 3). With these it does not.
 */
const SENT_ONCE = { redirect: 'error', window: null } as const;

/** The path of a URL as the API takes it: one percent-encoded segment for each value. */
export function segment(value: string): string {
  // URL parsers remove "." and ".." from paths, and an empty segment names another route.
  if (typeof value !== 'string' || value === '' || value === '.' || value === '..') {
    throw new TypeError(
      `${JSON.stringify(value)} cannot stand in a path: give the ID of a resource, or the key of a write.`,
    );
  }
  return encodeURIComponent(value);
}

/** What the paths of requests follow, without a slash at its end. */
export function prefixOf(baseUrl: string): string {
  const { protocol, origin, pathname, search, hash, username } = new URL(baseUrl);
  if ((protocol !== 'https:' && protocol !== 'http:') || search !== '' || hash !== '' || username !== '') {
    throw new TypeError(
      `baseUrl must be an http(s) URL without a query or credentials, such as https://books.example.com`,
    );
  }
  return origin + pathname.replace(/\/+$/, '');
}

/** How long the service waits for an outcome if the request does not say. */
const DEFAULT_WAIT_S = 10;
export const MAX_WAIT_S = 60;
/** "Wait longer than the server does": docs/contract.md demands 5 s. */
const LONGER_THAN_THE_WAIT_MS = 15_000;

/** How long a request waits for its answer. */
export function answerTimeoutMs(prefer: string | undefined): number {
  const preferred = /(?:^|[\s,;])wait=(\d{1,6})/.exec(prefer ?? '')?.[1];
  const waitS = preferred === undefined ? DEFAULT_WAIT_S : Math.min(Number(preferred), MAX_WAIT_S);
  return waitS * 1_000 + LONGER_THAN_THE_WAIT_MS;
}

export function headersOf({ token, key, body, file, accept, prefer, headers }: HttpRequest): Record<string, string> {
  return {
    // Names in lower case: the same name in two spellings would be sent twice.
    ...Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value])),
    accept: `${accept ?? 'application/json'}, application/problem+json`,
    authorization: `Bearer ${token}`,
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(file === undefined ? {} : { 'content-type': file.type }),
    ...(key === undefined ? {} : { 'idempotency-key': formatKey(key) }),
    ...(prefer === undefined ? {} : { prefer }),
  };
}

/** @param header returns the value of a header by its name in lower case */
export function answerOf(status: number, header: (name: string) => string | undefined, text: string): Answer {
  return {
    status,
    replayed: header('idempotent-replayed') === 'true',
    location: header('location'),
    retryAfterMs: millisecondsOf(header('retry-after')),
    key: header('idempotency-key'),
    requestId: header('x-request-id'),
    contentType: header('content-type'),
    text,
  };
}

/** Retry-After in seconds, or as a date, which a proxy may send (RFC 9110, section 10.2.3). */
function millisecondsOf(retryAfter: string | undefined): number | undefined {
  if (retryAfter === undefined) return undefined;
  if (/^\d{1,6}$/.test(retryAfter)) return Number(retryAfter) * 1_000;
  const atMs = retryAfter.endsWith('GMT') ? Date.parse(retryAfter) : Number.NaN;
  // biome-ignore lint/plugin: the service, or a proxy, has told us its time of day
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - Date.now());
}
