import { isSuccess, problemOf, resourceOf, verdictOf } from './answers.ts';
import { requireCall, requireDeadline, requirePatience, requireSame, requireWrite } from './check-arguments.ts';
import { type Circuit, type CircuitOptions, createCircuit } from './circuit.ts';
import { ApprovalPendingError, errorOf, problemText, RefusedError, textOfAnswers, UnavailableError } from './errors.ts';
import { type FileCalls, fileCalls } from './files.ts';
import type { Write } from './generated/types.ts';
import { type Answer, type Fetch, type Http, type HttpRequest, openHttp, queryOf } from './http.ts';
import { type KeptWrite, type KeyStore, newKey } from './keys.ts';
import { type Outcome, outcomeOf } from './outcome.ts';
import { isPage, type Page, type Pages, pagesOf } from './pages.ts';
import { pauseMs, sleep } from './pause.ts';
import { type Repeat, repeatUntilFinal } from './repeat.ts';
import { submitWrite } from './submit-write.ts';
import { limitTime, unlessAborted } from './time-limit.ts';
import { companyOf, requireToken, type Token, type TokenSource, tokenOf } from './token.ts';

export type ClientOptions = {
  /** Such as `https://books.example.com`. */
  readonly baseUrl: string;
  /** A token, or where to get one again: tokens live at most 24 hours. All of them are of one company. */
  readonly token: string | TokenSource;
  /** Keeps writes that were begun over the death of the program. */
  readonly keyStore?: KeyStore | undefined;
  /** How long a call goes on without a final answer; 120,000 if omitted. Infinity: for ever. */
  readonly deadlineMs?: number | undefined;
  /**
   * How long a call goes on after its first request without a usable answer; until its deadline if omitted. For calls that may
   * take long, such as an upload, and shall not wait as long for a service that is not there.
   */
  readonly giveUpAfterMs?: number | undefined;
  /** Called for each request without a usable answer that is about to be sent again, for logs. */
  readonly onRepeat?: ((repeat: Repeat) => void) | undefined;
  /** False: requests never wait for a service that does not answer. */
  readonly circuit?: CircuitOptions | false | undefined;
  /** Wraps each HTTP request, for traces and metrics. */
  readonly trace?: Trace | undefined;
  readonly fetch?: Fetch | undefined;
};

export type CallOptions = {
  readonly signal?: AbortSignal | undefined;
  /** How long this call goes on without a final answer; that of the client if omitted. */
  readonly deadlineMs?: number | undefined;
  /** How long each request of a write, or for its status, waits for the outcome: 0 to 60 seconds; 10 if omitted. */
  readonly waitS?: number | undefined;
  /** Sent as `X-Request-Id` with each request of the call: 1 to 128 printable ASCII characters without spaces. */
  readonly requestId?: string | undefined;
};

export type SettleOptions = CallOptions & {
  /**
   * Go on waiting, until the deadline, where the write waits for people to approve it. Without it, that it waits ends the call
   * (`ApprovalPendingError`, or the result of `orPending()`).
   */
  readonly waitForApproval?: boolean | undefined;
};

export type WriteOptions = SettleOptions & {
  /** Names this one write. Without it, the client makes a random one. */
  readonly idempotencyKey?: string | undefined;
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

/** Its key is known at once. A program that needs time to keep it makes one before, by `newKey()`, or has a {@link KeyStore}. */
export type PendingWrite<Resource> = Promise<Written<Resource>> & {
  readonly idempotencyKey: string;
  /** The same, but resolves as well where the write waits for its approval: for a company that has approval policies. */
  orPending(): Promise<(Written<Resource> & { readonly state: 'succeeded' }) | PendingApproval>;
};

/** A write that waits for people to approve it. It is kept by the service, and needs this client no more. */
export type PendingApproval = {
  readonly state: 'pending_approval';
  /** With the decisions so far, how many approvals are needed, and until when. */
  readonly write: Write;
  readonly idempotencyKey: string;
  readonly requestId: string | undefined;
};

/**
 * Called for each HTTP request instead of sending it: it sends by calling `send`, with further headers if it likes, such as
 * `traceparent`, and returns what that returns.
 */
export type Trace = (
  request: Omit<HttpRequest, 'token' | 'body' | 'file' | 'headers' | 'signal'>,
  send: (headers?: Readonly<Record<string, string>>) => Promise<Answer>,
) => Promise<Answer>;

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** What the generated methods are made of. */
export type Calls = {
  write<Resource>(
    write: Omit<KeptWrite, 'body' | 'idempotencyKey'> & { readonly body: object },
    options: WriteOptions | undefined,
  ): PendingWrite<Resource>;
  submit<Resource>(write: KeptWrite, options?: SettleOptions): PendingWrite<Resource>;
  read<Resource>(path: string, query: Query | undefined, options: CallOptions | undefined): Promise<Resource>;
  list<Item>(path: string, query: Query | undefined, options: CallOptions | undefined): Pages<Item>;
  /** A POST that needs no key, because it changes no books. */
  act<Resource>(path: string, options: CallOptions | undefined): Promise<Resource>;
  readonly files: FileCalls;
  /** Of a call that does not say. */
  readonly deadlineMs: number;
};

const DEADLINE_MS = 120_000;

/** Throws a TypeError for options that no call could work with. */
export function createCalls(options: ClientOptions): Calls {
  const { baseUrl, keyStore, deadlineMs = DEADLINE_MS, giveUpAfterMs, onRepeat } = options;
  const http = traced(openHttp(options), options.trace);
  const token = sourceOf(options.token);
  const circuit: Circuit | undefined = options.circuit === false ? undefined : createCircuit(options.circuit);
  requireDeadline(deadlineMs);
  requirePatience(giveUpAfterMs);
  const patience = { circuit, giveUpAfterMs, onRepeat };

  const calls: Calls = {
    write: ({ body, ...write }, { idempotencyKey = newKey(), ...call } = {}) =>
      calls.submit({ ...write, idempotencyKey, body: JSON.stringify(body) }, call),

    submit<Resource>(write: KeptWrite, call: SettleOptions = {}): PendingWrite<Resource> {
      const { idempotencyKey, operation } = write;
      const settled = settle();
      return Object.assign(settled, { idempotencyKey, orPending: () => orPending(settled, idempotencyKey) });

      async function settle(): Promise<Written<Resource>> {
        requireWrite(write);
        requireCall(call);
        const limit = limitTime(call.deadlineMs ?? deadlineMs, call.signal);
        try {
          const outcome = await keepAndSend(limit.signal);
          if (isSettled(outcome, write)) await settleKey(idempotencyKey, limit.signal);
          if (outcome.state !== 'succeeded') {
            throw errorOf(outcome, { idempotencyKey, operation, cause: call.signal?.reason });
          }
          const { resource, replayed, status, location, requestId } = outcome;
          return { resource, idempotencyKey, replayed, status, location, requestId };
        } finally {
          limit.end();
        }
      }

      async function keepAndSend(signal: AbortSignal): Promise<Outcome<Resource>> {
        const ready = await whenReady(signal);
        if ('lastError' in ready) return { ...NOT_SENT, ...ready };
        const { companyId } = ready;
        requireSame(write, { baseUrl, companyId });
        // Also without a store: the caller has the key before anything is sent.
        const toKeep = { ...write, baseUrl: write.baseUrl ?? baseUrl, companyId: write.companyId ?? companyId };
        const kept = await isKept(toKeep, signal);
        if (!kept) return NOT_SENT;
        const { method, path, body } = write;
        const waitS = call.waitS ?? waitWithin(call.deadlineMs ?? deadlineMs);
        const request = { method, path, body, token, key: idempotencyKey, ...preferencesOf({ ...call, waitS }) };
        // Its deadline is the signal's, which has begun before.
        const { waitForApproval: waitsForApproval } = call;
        const limits = { deadlineMs: call.deadlineMs ?? deadlineMs, signal, waitsForApproval, ...patience };
        return outcomeOf<Resource>(await submitWrite(http, request, limits));
      }
    },

    read: (path, query, call) => request('GET', path + queryOf(query), call),

    list<Item>(path: string, query: Query | undefined, call: CallOptions | undefined): Pages<Item> {
      const { cursor: first, ...filters } = query ?? {};
      const load = async (cursor: string | undefined) => {
        const page = await request<Page<Item>>('GET', path + queryOf({ ...filters, cursor }), call);
        if (!isPage(page)) throw new UnavailableError(`The answer to GET ${path} is not a page of a list.`, {});
        return page;
      };
      return pagesOf(load, first === undefined ? undefined : String(first));
    },

    act: (path, call) => request('POST', path, call),

    files: fileCalls(http, { token, deadlineMs, ...patience }),

    deadlineMs,
  };
  return calls;

  async function request<Body>(method: 'GET' | 'POST', path: string, call: CallOptions = {}): Promise<Body> {
    requireCall(call);
    const { final, onTheWay, lastError } = await repeatUntilFinal(
      http,
      { method, path, token, ...preferencesOf(call) },
      { deadlineMs: call.deadlineMs ?? deadlineMs, signal: call.signal, ...patience },
      // "There is no such write" may change, but is the answer to whoever asks.
      { verdictOf: (answer) => (problemOf(answer)?.status === 404 ? 'final' : verdictOf(answer)) },
    );
    if (final === undefined) {
      throw new UnavailableError(`No final answer to ${method} ${path} in time (${textOfAnswers(onTheWay)}).`, {
        cause: call.signal?.reason ?? lastError,
      });
    }
    const body = isSuccess(final) ? resourceOf(final) : undefined;
    if (body !== undefined) return body as Body;
    const problem = problemOf(final);
    if (problem === undefined) throw new Error('Bug! An answer is final without being one of the API');
    const { status, requestId } = final;
    throw new RefusedError(problemText(problem), { status, requestId, problem });
  }

  /** Once there is a token, which tells the company, unless the call ends before: nothing is kept that nobody could send. */
  async function whenReady(signal: AbortSignal): Promise<{ companyId: string | undefined } | { lastError: unknown }> {
    let lastError: unknown = signal.reason;
    let patienceEnds: number | undefined;
    for (let attempts = 1; !signal.aborted; attempts += 1) {
      try {
        return { companyId: companyOf(typeof token === 'string' ? token : await unlessAborted(token.get(), signal)) };
      } catch (error) {
        // That the time is over says less than why there was no token before.
        if (error !== signal.reason || lastError === undefined) lastError = error;
        patienceEnds ??= performance.now() + (giveUpAfterMs ?? Number.POSITIVE_INFINITY);
        const pause = pauseMs(attempts, undefined);
        if (performance.now() + pause > patienceEnds) break;
        await sleep(pause, signal);
      }
    }
    return { lastError };
  }

  /** False if the call ended before the store had it: nothing is sent then. Throws what the store throws. */
  async function isKept(write: KeptWrite, signal: AbortSignal): Promise<boolean> {
    if (keyStore === undefined) return true;
    try {
      await unlessAborted(keyStore.keep(write), signal);
      return true;
    } catch (error) {
      if (signal.aborted && error === signal.reason) return false;
      throw error;
    }
  }

  /** If it fails, or takes longer than the call, the write is sent once more at the next start, which is a replay. */
  async function settleKey(idempotencyKey: string, signal: AbortSignal): Promise<void> {
    try {
      await unlessAborted(keyStore?.settle(idempotencyKey), signal);
    } catch {
      // The outcome of the write is what the caller has to learn.
    }
  }
}

async function orPending<Resource>(
  settled: Promise<Written<Resource>>,
  idempotencyKey: string,
): Promise<(Written<Resource> & { readonly state: 'succeeded' }) | PendingApproval> {
  try {
    return { state: 'succeeded', ...(await settled) };
  } catch (error) {
    if (!(error instanceof ApprovalPendingError)) throw error;
    return { state: 'pending_approval', write: error.write, idempotencyKey, requestId: error.requestId };
  }
}

const NOT_SENT: Outcome<never> = {
  ...{ state: 'unknown', requests: 0, onTheWay: {}, acknowledged: false, mayHaveHappened: false, lastError: undefined },
};

function sourceOf(token: string | TokenSource): string | Token {
  if (typeof token === 'function') return tokenOf(token);
  requireToken(token);
  return token;
}

/** What this very request can never become a write by. With another token or role it may become one. */
const NEVER_A_WRITE: readonly number[] = [400, 404, 405, 413, 415, 422];

/**
 * Whether the write need not be sent again. One that is lost, its operators decide; a key that belongs to another request may be
 * that of a kept write. What comes from a store may have been made by an earlier run: a refusal does not say that it was not.
 */
function isSettled(outcome: Outcome<unknown>, { baseUrl }: KeptWrite): boolean {
  if (outcome.state !== 'refused') return ['succeeded', 'rejected', 'cancelled'].includes(outcome.state);
  if (baseUrl !== undefined) return false;
  return NEVER_A_WRITE.includes(outcome.status) && outcome.problem.code !== 'idempotency_key_reused';
}

/** A trace that fails after the answer has come does not take the answer away. */
function traced(http: Http, trace: Trace | undefined): Http {
  if (trace === undefined) return http;
  return {
    async send(request) {
      const { token: _, body: __, file: ___, headers, signal: ____, ...about } = request;
      let answer: Answer | undefined;
      try {
        const traced = await trace(about, async (further) => {
          answer = await http.send({ ...request, headers: { ...headers, ...further } });
          return answer;
        });
        return answer ?? traced;
      } catch (error) {
        if (answer !== undefined) return answer;
        throw error;
      }
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
