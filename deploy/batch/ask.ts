import { Readable } from 'node:stream';
import { Pool } from 'undici';
import type { Destination } from '../cli/destination.ts';
import { labelOf, objectIn, problemOf, verdictOf } from '../client/src/answers.ts';
import { type Answer, answerOf, answerTimeoutMs, prefixOf } from '../client/src/http.ts';
import { pauseMs, sleep } from '../client/src/pause.ts';
import { Refused, Unfinished } from './ends.ts';

type Question = {
  readonly method: 'GET' | 'POST';
  /** Begins with `/api/`; with its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Read from its beginning for each attempt. */
  readonly body?: () => AsyncIterable<Buffer>;
  /** Media type of a success; by default JSON. */
  readonly answer?: RegExp;
};

export type Reply = Answer & { readonly link: string | undefined };

export type Asking = {
  /** From the first failure on, in milliseconds. */
  readonly giveUpMs: number;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Told of each attempt that is made again. */
  onTrouble(text: string): void;
};

export type Asker = {
  /**
   * Sends a request until it has an answer that repeating it cannot change; any request of batches may be repeated. Throws
   * Refused for a problem, and Unfinished where there is no such answer in time.
   */
  ask(question: Question): Promise<Reply>;
  close(): Promise<void>;
};

const CONNECT_TIMEOUT_MS = 10_000;
/** An upload may take as long as it takes, while bytes go out; the answer takes its time for a file of a million rows. */
const SILENT_UPLOAD_MS = 120_000;
const JSON_MEDIA = /^application\/json\b/;
/** A token source that never gives a good one is not asked without end. */
const MOST_REFUSED_TOKENS = 2;

export function createAsker({ url, token }: Destination, { giveUpMs, signal, onTrouble }: Asking): Asker {
  const { origin } = new URL(url);
  const prefix = prefixOf(url).slice(origin.length);
  const pool = new Pool(origin, { connections: 1, connect: { timeout: CONNECT_TIMEOUT_MS } });

  async function ask(question: Question): Promise<Reply> {
    const refused = new Set<string>();
    let failingSince: number | undefined;
    for (let attempts = 1; ; attempts += 1) {
      const { reply, trouble, used } = await attempt(question);
      if (reply !== undefined && isFinal(reply, question)) {
        const problem = problemOf(reply);
        if (problem === undefined) return reply;
        const isRenewed = reply.status === 401 && !refused.has(used) && refused.size < MOST_REFUSED_TOKENS;
        if (!isRenewed) throw new Refused(`${problem.status} ${problem.code}: ${problem.detail}`, problem);
        refused.add(used);
        token.refuse(used);
        continue;
      }
      failingSince ??= performance.now();
      const pause = pauseMs(attempts, reply?.retryAfterMs);
      const what = reply === undefined ? trouble : `it answered ${labelOf(reply)}`;
      if (performance.now() + pause - failingSince > giveUpMs) {
        throw new Unfinished(`There was no usable answer of ${url}: ${what}. Run the same command again.`);
      }
      onTrouble(`No usable answer of ${url} (${what}); trying again`);
      await sleep(pause, signal);
      if (signal.aborted) throw signal.reason;
    }
  }

  async function attempt(question: Question): Promise<{ reply?: Reply; trouble: string; used: string }> {
    let used = '';
    try {
      used = await token.get();
      return { reply: await send(question, used), trouble: '', used };
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof Refused) throw error;
      return { trouble: textOf(error), used };
    }
  }

  async function send({ method, path, headers = {}, body }: Question, bearer: string): Promise<Reply> {
    const silence = watchSilence(signal);
    let unreadable: Refused | undefined;
    async function* watched(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      const pieces = bytes[Symbol.asyncIterator]();
      try {
        for (;;) {
          // Not around `yield`, where a connection that has failed is told.
          const next = await pieces.next().catch((error: unknown) => {
            unreadable = error instanceof Refused ? error : new Refused(textOf(error));
            throw error;
          });
          if (next.done) return;
          silence.restart();
          yield next.value;
        }
      } finally {
        await pieces.return?.();
      }
    }
    const timeoutMs = body === undefined ? answerTimeoutMs(headers['prefer']) : 0;
    if (body !== undefined) silence.restart();
    try {
      const answer = await pool.request({
        method,
        path: prefix + path,
        headers: { accept: 'application/json', ...headers, authorization: `Bearer ${bearer}` },
        body: body === undefined ? null : Readable.from(watched(body()), { objectMode: false }),
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        signal: silence.signal,
      });
      const header = (name: string) => [answer.headers[name] ?? []].flat()[0];
      return { ...answerOf(answer.statusCode, header, await answer.body.text()), link: header('link') };
    } catch (error) {
      // Its own file is no better the next time.
      throw unreadable ?? error;
    } finally {
      silence.end();
    }
  }

  return { ask, close: () => pool.destroy() };
}

/** What is not from the API itself says nothing of the request. */
function isFinal(reply: Reply, { answer = JSON_MEDIA }: Question): boolean {
  if (reply.status !== 200 && reply.status !== 202) return verdictOf(reply) === 'final';
  return answer.test(reply.contentType ?? '') && (answer !== JSON_MEDIA || objectIn(reply.text) !== undefined);
}

/** A signal that is aborted with `outer`, and when it was not restarted for too long. */
function watchSilence(outer: AbortSignal): { readonly signal: AbortSignal; restart(): void; end(): void } {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const abort = () => controller.abort(outer.reason);
  if (outer.aborted) abort();
  outer.addEventListener('abort', abort);
  return {
    signal: controller.signal,
    restart() {
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(new Error('it took no bytes and gave no answer')), SILENT_UPLOAD_MS);
    },
    end() {
      clearTimeout(timer);
      outer.removeEventListener('abort', abort);
    },
  };
}

/** A failed connection to several addresses is an AggregateError with an empty message. */
function textOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(textOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
