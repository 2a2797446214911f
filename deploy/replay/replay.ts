import { type FileOperations, ownKeyOf, type Row } from '../../activities/batches/row.ts';
import { MalformedRow } from '../../api/batches/rows/rows.ts';
import { faultLine } from '../cli/fault-text.ts';
import type { Http } from '../client/src/http.ts';
import { outcomeOf } from '../client/src/outcome.ts';
import { submitWrite, type Write } from '../client/src/submit-write.ts';
import { concernsAllRows, type Outcome, type RowResult, resultOf } from './outcome.ts';
import { identify, type RowRequest, toRequest } from './request.ts';
import type { Result, ResultsFile } from './results.ts';

export type ReplayOptions = FileOperations & {
  readonly http: Http;
  readonly token: Write['token'];
  /** The API and the company; the same row sent to another target is another request. */
  readonly target: string;
  readonly sha256: string;
  readonly results: ResultsFile;
  readonly concurrency: number;
  /** How long a row is sent without a final answer. */
  readonly deadlineMs: number;
  /** Called after each row. */
  onRow(result: Result | 'skipped', tally: Tally): void;
};

/** The outcomes so far. */
export type Tally = Record<Outcome, number> & {
  rows: number;
  /** How many of the succeeded ones an earlier request had made. */
  replayed: number;
  /** Rows with a final outcome in an earlier run that is resumed. */
  skipped: number;
  /** Why the rest was not sent; undefined if all rows were sent. */
  stopped: string | undefined;
};

/**
 * Sends each row as one write, with `concurrency` rows in flight. Reads rows only as it sends them, so a file may have any
 * length. Stops if all further rows would get the same error.
 */
export async function replay(rows: AsyncGenerator<Row>, options: ReplayOptions): Promise<Tally> {
  const { results, concurrency, onRow } = options;
  const tally: Tally = {
    ...{ rows: 0, succeeded: 0, replayed: 0, rejected: 0, cancelled: 0, pending_approval: 0, lost: 0 },
    ...{ refused: 0, unknown: 0, malformed: 0, skipped: 0, stopped: undefined },
  };
  let lastFinalAt = 0;

  const sendRows = async () => {
    while (tally.stopped === undefined) {
      const { done, value: row } = await rows.next();
      if (done) return;
      const result = await send(row);
      tally.rows += 1;
      if (result === 'skipped') {
        tally.skipped += 1;
      } else {
        results.append(result);
        tally[result.outcome] += 1;
        if (result.outcome === 'succeeded' && result.replayed) tally.replayed += 1;
      }
      onRow(result, tally);
    }
  };

  const send = async (row: Row): Promise<Result | 'skipped'> => {
    const position = { row: row.row, line: row.line };
    const request = requestOf(row, options);
    if ('outcome' in request) return { ...position, ...request };
    const id = identify(options.target, request);
    if (results.settled.has(id)) return 'skipped';
    const result = await submit(row, request);
    return { ...position, key: request.key, keyFrom: request.keyFrom, request: id, ...result };
  };

  const submit = async ({ row }: Row, request: RowRequest): Promise<RowResult> => {
    const { http, token, deadlineMs } = options;
    const startedAt = performance.now();
    const outcome = outcomeOf<object>(await submitWrite(http, { ...request, token }, { deadlineMs }));
    const result = resultOf(outcome);
    if (result.outcome !== 'unknown') lastFinalAt = performance.now();
    // The problem is not this row: each other one gets the same, or no other has been answered since this one was first sent.
    const isOfAll = concernsAllRows(outcome) || lastFinalAt < startedAt;
    if (isOfAll) tally.stopped ??= `row ${row}: ${describe(result)}`;
    return result;
  };

  // Before throwing an error, wait until all rows in flight have recorded their results.
  const ended = await Promise.allSettled(Array.from({ length: concurrency }, sendRows));
  for (const end of ended) if (end.status === 'rejected') throw end.reason;
  return tally;
}

/** `409 invoice_not_payable: The invoice is draft.` */
export function describe({ status, problem }: RowResult): string {
  const { code, detail, answers } = (problem ?? {}) as { code?: string; detail?: string; answers?: object };
  return [faultLine({ status, code, detail }), answers && JSON.stringify(answers)].filter(Boolean).join(': ');
}

function requestOf(row: Row, options: ReplayOptions): RowRequest | Omit<Result, 'row' | 'line'> {
  const key = ownKeyOf(row);
  const malformed = (detail: string) => ({
    ...(key === undefined ? {} : { key, keyFrom: 'row' as const }),
    ...{ outcome: 'malformed' as const, problem: { detail } },
  });
  if ('malformed' in row) return malformed(row.malformed);
  try {
    return toRequest(options, row.input, options.sha256, row.row);
  } catch (error) {
    if (error instanceof MalformedRow) return malformed(error.message);
    throw error;
  }
}
