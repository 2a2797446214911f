import { isSuccess, objectIn, problemOf, resourceOf, type Verdict, verdictOf } from './answers.ts';
import { requireKey } from './check-arguments.ts';
import type { Circuit } from './circuit.ts';
import { messageOf, RefusedError, textOfAnswers, UnavailableError, UnknownOutcomeError } from './errors.ts';
import type { Batch, BatchValidation } from './generated/types.ts';
import type { Answer, FileBody, Http } from './http.ts';
import { type Repeated, repeatUntilFinal } from './repeat.ts';
import type { Token } from './token.ts';

/**
 * The bytes of a file, in UTF-8; a Blob may be a file of any size, in a browser and (`fs.openAsBlob`) in Node. A function is
 * called for each attempt.
 */
export type FileSource = FileContent | (() => FileContent | Promise<FileContent>);

export type FileContent = FileBody | Uint8Array;

export type SendOptions = {
  /** `ndjson` if omitted. */
  readonly format?: 'ndjson' | 'csv' | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How long the call goes on without a final answer, repeats included; two hours if omitted. */
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
  /** An answer that has one JSON object a line (NDJSON), whole. */
  lines<Line>(
    path: string,
    options: { readonly signal?: AbortSignal | undefined; readonly deadlineMs?: number | undefined },
  ): Promise<readonly Line[]>;
};

/** An upload lasts an hour at most: time for two. */
const UPLOADS_MS = 2 * 3_600_000;
/** More than the service allows one. */
const UPLOAD_MS = 3_900_000;
const TYPES = { ndjson: 'application/x-ndjson', csv: 'text/csv' } as const;

export function fileCalls(
  http: Http,
  {
    token,
    circuit,
    deadlineMs,
  }: { readonly token: string | Token; readonly circuit: Circuit | undefined; readonly deadlineMs: number },
): FileCalls {
  /** Sends the file until there is a final answer; once only where its bytes are gone with the first attempt. */
  function send(
    source: FileSource,
    { format = 'ndjson', path, key, ...options }: SendOptions & { readonly path: string; readonly key?: string },
    accepts: (answer: Answer) => Verdict,
  ): Promise<Repeated> {
    const { signal, requestId } = options;
    const isOnce = typeof source === 'object' && 'getReader' in source;
    const request = {
      method: 'POST',
      path,
      token,
      ...(key === undefined ? {} : { key }),
      ...(requestId === undefined ? {} : { headers: { 'x-request-id': requestId } }),
      file: { type: TYPES[format], bytes: async () => toBody(typeof source === 'function' ? await source() : source) },
      timeoutMs: UPLOAD_MS,
    } as const;
    const limits = { deadlineMs: options.deadlineMs ?? UPLOADS_MS, signal, circuit, ...(isOnce ? { most: 1 } : {}) };
    return repeatUntilFinal(http, request, limits, { verdictOf: accepts });
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
      return bodyOf(sent, `POST ${to.path}`, to.signal) as BatchValidation;
    },

    async lines<Line>(
      path: string,
      {
        signal,
        deadlineMs: limitMs,
      }: { readonly signal?: AbortSignal | undefined; readonly deadlineMs?: number | undefined },
    ): Promise<readonly Line[]> {
      const limits = { deadlineMs: limitMs ?? deadlineMs, signal, circuit };
      const request = { method: 'GET', path, token, accept: TYPES.ndjson } as const;
      const sent = await repeatUntilFinal(http, request, limits, {
        verdictOf: (answer) => {
          if (isSuccess(answer)) return linesIn(answer) === undefined ? 'again' : 'final';
          return problemOf(answer)?.status === 404 ? 'final' : verdictOf(answer);
        },
      });
      const lines = sent.final === undefined ? undefined : linesIn(sent.final);
      return (lines ?? bodyOf(sent, `GET ${path}`, signal)) as readonly Line[];
    },
  };
}

function toBody(content: FileContent): FileBody {
  // `fetch` takes bytes, too, but the compiler does not know of each array that they do not change meanwhile.
  return content instanceof Uint8Array ? new Blob([content as Uint8Array<ArrayBuffer>]) : content;
}

/** Undefined for what the service has not answered, or not whole. */
function linesIn({ status, contentType, text }: Answer): readonly object[] | undefined {
  if (status !== 200 || contentType === undefined || !/^application\/x-ndjson\b/i.test(contentType)) return undefined;
  if (text !== '' && !text.endsWith('\n')) return undefined;
  const lines = text.split('\n').slice(0, -1).map(objectIn);
  return lines.every((line) => line !== undefined) ? lines : undefined;
}

function bodyOf({ final, onTheWay, lastError }: Repeated, what: string, signal: AbortSignal | undefined): object {
  if (final === undefined) {
    throw new UnavailableError(`No final answer to ${what} in time (${textOfAnswers(onTheWay)}).`, {
      cause: signal?.reason ?? lastError,
    });
  }
  const body = isSuccess(final) ? resourceOf(final) : undefined;
  if (body === undefined) throw refusalOf(final, undefined);
  return body;
}

function refusalOf(final: Answer, idempotencyKey: string | undefined): RefusedError {
  const problem = problemOf(final);
  if (problem === undefined) throw new Error('Bug! An answer is final without being one of the API');
  const { status, requestId } = final;
  return new RefusedError(messageOf(problem), { idempotencyKey, status, requestId, problem });
}
