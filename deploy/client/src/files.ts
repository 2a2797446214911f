import { isSuccess, problemOf, resourceOf, type Verdict, verdictOf } from './answers.ts';
import { requireKey } from './check-arguments.ts';
import { problemText, RefusedError, textOfAnswers, UnavailableError, UnknownOutcomeError } from './errors.ts';
import { type FileSource, fileBody, isStream } from './file-body.ts';
import type { Batch, BatchValidation } from './generated/types.ts';
import type { Answer, Http } from './http.ts';
import { type Repeated, type RepeatOptions, repeatUntilFinal } from './repeat.ts';
import type { Token } from './token.ts';

export type SendOptions = {
  /** `ndjson` if omitted. */
  readonly format?: 'ndjson' | 'csv' | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How long the call goes on without a final answer, repeats included; two hours if omitted, or that of the client if longer. */
  readonly deadlineMs?: number | undefined;
  /** Sent as `X-Request-Id` with each request of the call. */
  readonly requestId?: string | undefined;
};

export type SubmittedBatch = {
  readonly batch: Batch;
  readonly batchKey: string;
  /** The service had the batch before this request. */
  readonly replayed: boolean;
  readonly requestId: string | undefined;
};

/** Calls whose body or answer is not JSON. */
export type FileCalls = {
  submit(
    source: FileSource,
    to: SendOptions & { readonly path: string; readonly batchKey: string },
  ): Promise<SubmittedBatch>;
  validate(source: FileSource, to: SendOptions & { readonly path: string }): Promise<BatchValidation>;
  /** What `read` makes of the text of an answer; undefined for one that is not whole, which is asked for again. */
  text<T extends object>(
    path: string,
    options: {
      readonly format: keyof typeof TYPES;
      read(text: string): T | undefined;
      readonly signal?: AbortSignal | undefined;
      readonly deadlineMs?: number | undefined;
    },
  ): Promise<T>;
};

/** An upload lasts an hour at most: time for two. */
const UPLOADS_MS = 2 * 3_600_000;
/** More than the service allows one. */
const UPLOAD_MS = 3_900_000;
/** Of a stream, without a byte that is taken; after the last one, it takes its time to answer a file of a million rows. */
const SILENT_UPLOAD_MS = 120_000;
const TYPES = { ndjson: 'application/x-ndjson', csv: 'text/csv' } as const;

export function fileCalls(
  http: Http,
  {
    token,
    deadlineMs,
    ...patience
  }: Pick<RepeatOptions, 'deadlineMs' | 'circuit' | 'giveUpAfterMs' | 'onRepeat'> & { readonly token: string | Token },
): FileCalls {
  /** Sends the file until there is a final answer; once only where its bytes are gone with the first attempt. */
  function send(
    source: FileSource,
    { format = 'ndjson', path, key, ...options }: SendOptions & { readonly path: string; readonly key?: string },
    accepts: (answer: Answer) => Verdict,
  ): Promise<Repeated> {
    const { signal, requestId } = options;
    let failure: { readonly error: unknown } | undefined;
    const onFailure = (error: unknown) => {
      failure = { error };
    };
    const bytes = async (onBytes: () => void) => {
      failure = undefined;
      try {
        return fileBody(typeof source === 'function' ? await source() : source, { onBytes, onFailure });
      } catch (error) {
        onFailure(error);
        throw error;
      }
    };
    const request = {
      method: 'POST',
      path,
      token,
      ...(key === undefined ? {} : { key }),
      ...(requestId === undefined ? {} : { headers: { 'x-request-id': requestId } }),
      file: { type: TYPES[format], silentMs: SILENT_UPLOAD_MS, bytes },
      timeoutMs: UPLOAD_MS,
    } as const;
    const most = isStream(source) ? { most: 1 } : {};
    const limits = { deadlineMs: options.deadlineMs ?? Math.max(UPLOADS_MS, deadlineMs), signal, ...patience, ...most };
    return repeatUntilFinal(http, request, limits, {
      verdictOf: accepts,
      onNoAnswer() {
        if (failure !== undefined) throw failure.error;
      },
    });
  }

  return {
    async submit(source, { batchKey, ...to }) {
      requireKey(batchKey);
      const sent = await send(source, { ...to, key: batchKey }, (answer) => {
        const verdict = verdictOf(answer, batchKey);
        // The rows are written without us: what was asked for is that the file is stored.
        return verdict === 'accepted' ? 'final' : verdict;
      });
      const { final, requests, onTheWay, acknowledged, lastError } = sent;
      const batch = final?.status === 202 ? resourceOf(final) : undefined;
      if (final !== undefined && batch !== undefined) {
        return { batch: batch as Batch, batchKey, replayed: final.replayed, requestId: final.requestId };
      }
      if (final !== undefined) throw refusalOf(final, batchKey);
      throw new UnknownOutcomeError(
        requests === 0
          ? 'The file was not sent by this call.'
          : `No final answer to the file in time (${textOfAnswers(onTheWay)}). Send it again with the same key.`,
        {
          ...{ idempotencyKey: batchKey, requests, answers: onTheWay, acknowledged },
          cause: to.signal?.reason ?? lastError,
        },
      );
    },

    async validate(source, to) {
      const sent = await send(source, to, (answer) => verdictOf(answer));
      const body = sent.final !== undefined && isSuccess(sent.final) ? resourceOf(sent.final) : undefined;
      if (body === undefined) throw failureOf(sent, `POST ${to.path}`, to.signal);
      return body as BatchValidation;
    },

    async text(path, { format, read, signal, deadlineMs: limitMs }) {
      const type = TYPES[format];
      const readIn = ({ status, contentType = '', text }: Answer) =>
        status === 200 && contentType.toLowerCase().startsWith(type) ? read(text) : undefined;
      const limits = { deadlineMs: limitMs ?? deadlineMs, signal, ...patience };
      const sent = await repeatUntilFinal(http, { method: 'GET', path, token, accept: type }, limits, {
        verdictOf: (answer) => {
          if (isSuccess(answer)) return readIn(answer) === undefined ? 'again' : 'final';
          return problemOf(answer)?.status === 404 ? 'final' : verdictOf(answer);
        },
      });
      const known = sent.final === undefined ? undefined : readIn(sent.final);
      if (known === undefined) throw failureOf(sent, `GET ${path}`, signal);
      return known;
    },
  };
}

function failureOf({ final, onTheWay, lastError }: Repeated, what: string, signal: AbortSignal | undefined): Error {
  if (final !== undefined) return refusalOf(final, undefined);
  return new UnavailableError(`No final answer to ${what} in time (${textOfAnswers(onTheWay)}).`, {
    cause: signal?.reason ?? lastError,
  });
}

function refusalOf(final: Answer, idempotencyKey: string | undefined): RefusedError {
  const problem = problemOf(final);
  if (problem === undefined) throw new Error('Bug! An answer is final without being one of the API');
  const { status, requestId } = final;
  return new RefusedError(problemText(problem), { idempotencyKey, status, requestId, problem });
}
