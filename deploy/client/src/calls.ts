import { isSuccess, objectIn, problemOf, verdictOf } from './answers.ts';
import { type Circuit, type CircuitOptions, createCircuit } from './circuit.ts';
import { errorOf, messageOf, RefusedError, UnavailableError } from './errors.ts';
import { type Answer, type Fetch, type Http, type HttpRequest, openHttp } from './http.ts';
import { isKey, type KeptWrite, type KeyStore, newKey } from './keys.ts';
import { type Outcome, outcomeOf } from './outcome.ts';
import { type Page, type Pages, pagesOf } from './pages.ts';
import { repeatUntilFinal } from './repeat.ts';
import { submitWrite } from './submit-write.ts';
import { type Token, type TokenSource, tokenOf } from './token.ts';

export type ClientOptions = {
  /** Such as `https://books.example.com`. */
  readonly baseUrl: string;
  /** A token, or where to get one again: tokens live at most 24 hours. */
  readonly token: string | TokenSource;
  /** Keeps writes that were begun over the death of the program. */
  readonly keyStore?: KeyStore;
  /** How long a call goes on without a final answer; 120,000 if omitted. */
  readonly deadlineMs?: number;
  /** False: requests never wait for a service that does not answer. */
  readonly circuit?: CircuitOptions | false;
  /** Wraps each HTTP request, for traces and metrics. */
  readonly trace?: Trace;
  readonly fetch?: Fetch;
};

export type CallOptions = {
  readonly signal?: AbortSignal;
  /** How long this call goes on without a final answer; that of the client if omitted. */
  readonly deadlineMs?: number;
  /** How long each request of a write, or for its status, waits for the outcome: 0 to 60 seconds; 10 if omitted. */
  readonly waitS?: number;
  /** Sent as `X-Request-Id` with each request of the call: 1 to 128 printable ASCII characters without spaces. */
  readonly requestId?: string;
};

export type WriteOptions = CallOptions & {
  /** Names this one write. Without it, the client makes a random one. */
  readonly idempotencyKey?: string;
};

/** A success: of this request, or `replayed`, of an earlier one with the same key. */
export type Written<Resource> = {
  readonly resource: Resource;
  readonly idempotencyKey: string;
  readonly replayed: boolean;
  readonly status: number;
  /** The path of the resource. */
  readonly location: string | undefined;
  readonly requestId: string | undefined;
};

/** Its key is known at once, before anything is sent. */
export type PendingWrite<Resource> = Promise<Written<Resource>> & { readonly idempotencyKey: string };

/**
 * Called for each HTTP request instead of sending it: it sends by calling `send`, with further headers if it likes, such as
 * `traceparent`, and returns what that returns.
 */
export type Trace = (
  request: Omit<HttpRequest, 'token' | 'body' | 'headers' | 'signal'>,
  send: (headers?: Readonly<Record<string, string>>) => Promise<Answer>,
) => Promise<Answer>;

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** What the generated methods are made of. */
export type Calls = {
  write<Resource>(
    write: Omit<KeptWrite, 'body' | 'idempotencyKey'> & { readonly body: object },
    options: WriteOptions | undefined,
  ): PendingWrite<Resource>;
  submit<Resource>(write: KeptWrite, options?: CallOptions): PendingWrite<Resource>;
  read<Resource>(path: string, query: Query | undefined, options: CallOptions | undefined): Promise<Resource>;
  list<Item>(path: string, query: Query | undefined, options: CallOptions | undefined): Pages<Item>;
  /** A POST that needs no key, because it changes no books. */
  act<Resource>(path: string, options: CallOptions | undefined): Promise<Resource>;
  /** Of a call that does not say. */
  readonly deadlineMs: number;
};

const DEADLINE_MS = 120_000;

export function createCalls(options: ClientOptions): Calls {
  const { keyStore, deadlineMs = DEADLINE_MS } = options;
  const http = traced(openHttp(options), options.trace);
  const token: string | Token = typeof options.token === 'string' ? options.token : tokenOf(options.token);
  const circuit: Circuit | undefined = options.circuit === false ? undefined : createCircuit(options.circuit);
  const limits = (call: CallOptions | undefined) => ({
    deadlineMs: call?.deadlineMs ?? deadlineMs,
    signal: call?.signal,
    circuit,
  });

  const calls: Calls = {
    write: ({ body, ...write }, { idempotencyKey = newKey(), ...call } = {}) =>
      calls.submit({ ...write, idempotencyKey, body: JSON.stringify(body) }, call),

    submit<Resource>(write: KeptWrite, call?: CallOptions): PendingWrite<Resource> {
      const { idempotencyKey } = write;
      return Object.assign(settle(), { idempotencyKey });

      async function settle(): Promise<Written<Resource>> {
        if (!isKey(idempotencyKey)) throw new TypeError(NOT_A_KEY);
        // Also without a store: the caller has the key before anything is sent.
        await keyStore?.keep(write);
        const { method, path, body } = write;
        const limit = limits(call);
        const waitS = call?.waitS ?? waitWithin(limit.deadlineMs);
        const request = { method, path, body, token, key: idempotencyKey, ...preferencesOf({ ...call, waitS }) };
        const outcome = outcomeOf<Resource>(await submitWrite(http, request, limit));
        if (isSettled(outcome)) await settleKey(idempotencyKey);
        if (outcome.state === 'succeeded') {
          const { resource, replayed, status, location, requestId } = outcome;
          return { resource, idempotencyKey, replayed, status, location, requestId };
        }
        throw errorOf(outcome, { idempotencyKey, operation: write.operation, cause: call?.signal?.reason });
      }
    },

    read: (path, query, call) => request('GET', path + textOf(query), call),

    list<Item>(path: string, query: Query | undefined, call: CallOptions | undefined): Pages<Item> {
      const { cursor: first, ...filters } = query ?? {};
      const load = (cursor: string | undefined) =>
        request<Page<Item>>('GET', path + textOf({ ...filters, cursor }), call);
      return pagesOf(load, first === undefined ? undefined : String(first));
    },

    act: (path, call) => request('POST', path, call),

    deadlineMs,
  };
  return calls;

  async function request<Body>(method: 'GET' | 'POST', path: string, call: CallOptions | undefined): Promise<Body> {
    const { final, onTheWay, lastError } = await repeatUntilFinal(
      http,
      { method, path, token, ...preferencesOf(call) },
      limits(call),
      // "There is no such write" may change, but is the answer to whoever asks.
      { verdictOf: (answer) => (answer.status === 404 ? 'final' : verdictOf(answer)) },
    );
    if (final === undefined) {
      const answers = Object.entries(onTheWay).map(([label, times]) => `${label} × ${times}`);
      throw new UnavailableError(`No final answer to ${method} ${path} in time (${answers.join(', ')}).`, {
        cause: call?.signal?.reason ?? lastError,
      });
    }
    const body = isSuccess(final) ? objectIn(final.text) : undefined;
    if (body !== undefined) return body as Body;
    const problem = problemOf(final);
    const { status, requestId } = final;
    throw new RefusedError(messageOf(status, problem), { status, requestId, problem });
  }

  /** If it fails, the write is sent once more at the next start, which is answered by a replay. */
  async function settleKey(idempotencyKey: string): Promise<void> {
    try {
      await keyStore?.settle(idempotencyKey);
    } catch {
      // The outcome of the write is what the caller has to learn.
    }
  }
}

const NOT_A_KEY = 'An idempotencyKey has 1 to 255 printable ASCII characters, and is not only spaces, "." or "..".';

/**
 * Whether the write need not be sent again: it has its outcome, or this very request can never become a write. With another
 * token or role it may; what is lost, its operators decide.
 */
function isSettled({ state, ...outcome }: Outcome<unknown>): boolean {
  if (state !== 'refused') return state === 'succeeded' || state === 'rejected' || state === 'cancelled';
  return 'status' in outcome && [400, 404, 405, 413, 415, 422].includes(outcome.status);
}

function traced(http: Http, trace: Trace | undefined): Http {
  if (trace === undefined) return http;
  return {
    send(request) {
      const { token: _, body: __, headers, signal: ___, ...about } = request;
      return trace(about, (further) => http.send({ ...request, headers: { ...headers, ...further } }));
    },
  };
}

type Preferences = { readonly waitS?: number | undefined; readonly requestId?: string | undefined };

/** So that the service says that it has accepted the write before the time is over. Undefined: as long as it likes. */
function waitWithin(deadlineMs: number): number | undefined {
  return deadlineMs > SHORT_DEADLINE_MS ? undefined : Math.max(1, Math.floor(deadlineMs / 1_000) - 1);
}

/** The wait of a request that does not say, and a little more. */
const SHORT_DEADLINE_MS = 11_000;

function preferencesOf({ waitS, requestId }: Preferences = {}): Pick<HttpRequest, 'prefer' | 'headers'> {
  return {
    ...(waitS === undefined ? {} : { prefer: `wait=${waitS}` }),
    ...(requestId === undefined ? {} : { headers: { 'x-request-id': requestId } }),
  };
}

function textOf(query: Query | undefined): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}
