import type { CallOptions, Calls } from './calls.ts';
import { UnavailableError } from './errors.ts';
import type { FileSource } from './file-body.ts';
import type { SendOptions, SubmittedBatch } from './files.ts';
import type { Batch, BatchRowResult, BatchValidation } from './generated/types.ts';
import { queryOf, segment } from './http.ts';
import { pollPause } from './pause.ts';
import { type ResultFormat, type ResultPage, resultPageOf } from './results.ts';
import { limitTime } from './time-limit.ts';

export type FileOptions = SendOptions & {
  /** Of the rows that name none; CSV needs it. */
  readonly operation?: string | undefined;
};

export type SubmitOptions = FileOptions & {
  /** Names this one file, such as `payments-2026-03`; the keys of batches and those of writes are two spaces. */
  readonly batchKey: string;
};

export type WaitOptions = {
  readonly signal?: AbortSignal | undefined;
  /** How long to wait, outages included; for ever if omitted. `giveUpAfterMs` of the client ends it earlier in an outage. */
  readonly deadlineMs?: number | undefined;
  /** Called with the batch as it stands, at each poll. */
  readonly onProgress?: ((batch: Batch) => void) | undefined;
  /** Ends the wait earlier, too, such as where the batch is paused. */
  readonly until?: ((batch: Batch) => boolean) | undefined;
  /** How long each poll waits for the end of the batch, and so how late `onProgress` and `until` may be: 0 to 60 seconds; 30 if omitted. */
  readonly waitS?: number | undefined;
};

export type ResultOptions = {
  readonly signal?: AbortSignal | undefined;
  /** The number of the last row that the program has handled; the row after it comes first. */
  readonly after?: number | undefined;
  /** Rows of each request, 1 to 1,000; 1,000 if omitted. */
  readonly limit?: number | undefined;
  /** How long each request goes on without an answer; that of the client if omitted. */
  readonly deadlineMs?: number | undefined;
};

/** What the generated methods of batches lack, because it is not JSON or takes several requests. */
export type BatchMethods = {
  /**
   * Sends a file of writes, and resolves once the service has stored all of it; its rows are then written without this program.
   * The same file under the same key is the same batch, so that it may be sent again at any time; another file is refused
   * (`idempotency_key_reused`).
   *
   * It is repeated as a write is, where the source can be read again: not a ReadableStream, for which a function that makes one
   * can be given. Throws {@link RefusedError}, and {@link UnknownOutcomeError} without a final answer.
   */
  submit(source: FileSource, options: SubmitOptions): Promise<SubmittedBatch>;
  /** Checks each row of a file, and writes nothing. */
  validate(source: FileSource, options?: FileOptions): Promise<BatchValidation>;
  /** Waits until the batch is over: completed, or cancelled with none of its rows pending. A paused one is waited for, too. */
  wait(key: string, options?: WaitOptions): Promise<Batch>;
  /** What has become of each row, in the order of the file, as it stands now. Nothing is read before the iteration begins. */
  results(key: string, options?: ResultOptions): AsyncGenerator<BatchRowResult, void, undefined>;
  /** The same as text, page by page, for a file; `ndjson` if omitted. CSV has its header only from the first row on. */
  resultsText(
    key: string,
    options?: ResultOptions & { readonly format?: ResultFormat | undefined },
  ): AsyncGenerator<string, void, undefined>;
};

const PATH = '/api/batches';
const POLL_S = 30;
const ROWS_A_PAGE = 1_000;

export function batchMethods(calls: Pick<Calls, 'read' | 'files'>): BatchMethods {
  return {
    submit: (source, { operation, batchKey, ...options }) =>
      calls.files.submit(source, { ...options, batchKey, path: PATH + queryOf({ operation }) }),

    validate: (source, { operation, ...options } = {}) =>
      calls.files.validate(source, { ...options, path: PATH + queryOf({ operation, validateOnly: 'true' }) }),

    async wait(key, { signal, deadlineMs = Number.POSITIVE_INFINITY, onProgress, until, waitS = POLL_S } = {}) {
      const path = `${PATH}/${segment(key)}`;
      const limit = limitTime(deadlineMs, signal);
      try {
        // The service waits for the end of the batch alone: what the program waits for may be so already.
        for (let pollS = until === undefined ? waitS : 0; ; pollS = waitS) {
          const pause = pollPause();
          const call = { waitS: pollS, signal: limit.signal, deadlineMs: Number.POSITIVE_INFINITY };
          const batch = await calls.read<Batch>(path, undefined, call);
          onProgress?.(batch);
          if (batch.completedAt !== null || until?.(batch)) return batch;
          await pause(limit.signal);
        }
      } finally {
        limit.end();
      }
    },

    async *results(key, options) {
      for await (const { rows } of pages(key, 'ndjson', options)) yield* rows as readonly BatchRowResult[];
    },

    async *resultsText(key, { format = 'ndjson', ...options } = {}) {
      for await (const { text } of pages(key, format, options)) yield text;
    },
  };

  /** Until the last row of the batch, by the rows themselves: not by `Link`, which a proxy may have changed or taken away. */
  async function* pages(
    key: string,
    format: ResultFormat,
    { signal, after = 0, limit = ROWS_A_PAGE, deadlineMs }: ResultOptions = {},
  ): AsyncGenerator<ResultPage> {
    const path = `${PATH}/${segment(key)}`;
    const call: CallOptions = { signal, deadlineMs };
    const rowsNow = async () => (await calls.read<Batch>(path, undefined, call)).rows ?? 0;
    const read = (text: string) => resultPageOf(text, format);
    let rows = await rowsNow();
    let last = after;
    do {
      const page = await calls.files.text(`${path}/results${queryOf({ cursor: last, limit })}`, {
        ...call,
        format,
        read,
      });
      for (const { row } of page.rows) {
        if (row !== last + 1) throw new UnavailableError(`Row ${last + 1} of ${path} is not among its results.`, {});
        last = row;
      }
      if (page.rows.length === 0 && last < rows) {
        throw new UnavailableError(`The results of ${path} end before row ${last + 1}, of ${rows}.`, {});
      }
      yield page;
      // Its file had not been stored before.
      if (last > rows) rows = await rowsNow();
    } while (last < rows);
  }
}
