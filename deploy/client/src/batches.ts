import type { CallOptions, Calls } from './calls.ts';
import { UnavailableError } from './errors.ts';
import type { FileSource, SendOptions, SubmittedBatch } from './files.ts';
import type { Batch, BatchRowResult, BatchValidation } from './generated/types.ts';
import { segment } from './http.ts';
import { pollPause, sleep } from './pause.ts';
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
  /** How long to wait, outages included; for ever if omitted. */
  readonly deadlineMs?: number | undefined;
  /** Called with the batch as it stands, at each poll. */
  readonly onProgress?: ((batch: Batch) => void) | undefined;
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
  /** Waits until the batch is completed or cancelled. A batch that is paused is waited for, too. */
  wait(key: string, options?: WaitOptions): Promise<Batch>;
  /** What has become of each row, in the order of the file, as it stands now. Nothing is read before the iteration begins. */
  results(key: string, options?: ResultOptions): AsyncGenerator<BatchRowResult, void, undefined>;
};

const PATH = '/api/batches';
const POLL_S = 30;
/** After a read of the batch that failed. */
const FAILED_PAUSE_MS = 1_000;
const ROWS_A_PAGE = 1_000;

export function batchMethods(calls: Pick<Calls, 'read' | 'files'>): BatchMethods {
  return {
    submit: (source, { operation, batchKey, ...options }) =>
      calls.files.submit(source, { ...options, batchKey, path: PATH + queryOf({ operation }) }),

    validate: (source, { operation, ...options } = {}) =>
      calls.files.validate(source, { ...options, path: PATH + queryOf({ operation, validateOnly: 'true' }) }),

    async wait(key, { signal, deadlineMs = Number.POSITIVE_INFINITY, onProgress } = {}) {
      const path = `${PATH}/${segment(key)}`;
      const limit = limitTime(deadlineMs, signal);
      try {
        for (;;) {
          const pause = pollPause();
          const batch = await readPatiently(path, limit.signal);
          onProgress?.(batch);
          if (batch.state === 'completed' || batch.state === 'cancelled') return batch;
          await pause(limit.signal);
        }
      } finally {
        limit.end();
      }
    },

    async *results(key, { signal, after = 0, limit = ROWS_A_PAGE, deadlineMs } = {}) {
      const path = `${PATH}/${segment(key)}`;
      const call: CallOptions = { signal, deadlineMs };
      const { rows } = await calls.read<Batch>(path, undefined, call);
      let last = after;
      while (rows !== null && last < rows) {
        const page = await calls.files.lines<BatchRowResult>(
          `${path}/results${queryOf({ cursor: last, limit })}`,
          call,
        );
        for (const row of page) {
          // By the rows themselves, not by `Link`, which a proxy may have changed or taken away.
          if (row.row !== last + 1)
            throw new UnavailableError(`Row ${last + 1} of ${path} is not among its results.`, {});
          yield row;
          last = row.row;
        }
        if (page.length === 0) throw new UnavailableError(`The results of ${path} end before row ${last + 1}.`, {});
      }
    },
  };

  /** However long there is no answer. Throws once the signal is aborted, and RefusedError. */
  async function readPatiently(path: string, signal: AbortSignal): Promise<Batch> {
    for (;;) {
      try {
        return await calls.read<Batch>(path, undefined, { waitS: POLL_S, signal });
      } catch (error) {
        if (!(error instanceof UnavailableError) || signal.aborted) throw error;
        await sleep(FAILED_PAUSE_MS, signal);
      }
    }
  }
}

function queryOf(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, String(value));
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}
