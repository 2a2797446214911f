import type { Operation } from '../../activities/operation.ts';
import type { Http } from '../client/http.ts';
import { submitWrite } from '../client/submit-write.ts';
import { concernsAllRows, type Outcome, outcomeOf, type Told } from './outcome.ts';
import { identify, type RowRequest, toRequest } from './request.ts';
import type { Result, ResultsFile } from './results.ts';
import { MalformedRow, type Row } from './rows.ts';

export type ReplayOptions = {
  readonly http: Http;
  readonly token: string;
  /** The API and the company: the same request of another one is another. */
  readonly target: string;
  readonly operation: Operation;
  readonly sha256: string;
  readonly results: ResultsFile;
  readonly concurrency: number;
  readonly giveUpAfterMs: number;
  /** After each row. */
  onRow(result: Result | 'skipped', tally: Tally): void;
};

/** What became of the rows so far. */
export type Tally = Record<Outcome, number> & {
  rows: number;
  /** Of the succeeded: those that an earlier request had made. */
  replayed: number;
  /** Final in an earlier run that is resumed. */
  skipped: number;
  /** Why no further row was sent; undefined when all were. */
  stopped: string | undefined;
};

/**
 * Sends each row as one write, `concurrency` of them at once. No more rows are read than are sent, so that a file may be of
 * any length. It stops where all further rows would fare as the last one did.
 */
export async function replay(rows: AsyncGenerator<Row>, options: ReplayOptions): Promise<Tally> {
  const { results, concurrency, onRow } = options;
  const tally: Tally = {
    ...{ rows: 0, succeeded: 0, replayed: 0, rejected: 0, cancelled: 0 },
    ...{ refused: 0, unknown: 0, malformed: 0, skipped: 0, stopped: undefined },
  };
  let lastFinalAt = 0;

  const lane = async () => {
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
    const place = { row: row.row, line: row.line };
    const request = requestOf(row, options);
    if ('outcome' in request) return { ...place, ...request };
    const id = identify(options.target, request);
    if (results.settled.has(id)) return 'skipped';
    const told = await submit(row, request);
    return { ...place, key: request.key, keyFrom: request.keyFrom, request: id, ...told };
  };

  const submit = async ({ row }: Row, request: RowRequest): Promise<Told> => {
    const { http, token, giveUpAfterMs } = options;
    const startedAt = performance.now();
    const submitted = await submitWrite(http, { ...request, token }, { giveUpAfterMs });
    const told = outcomeOf(submitted);
    if (told.outcome !== 'unknown') {
      lastFinalAt = performance.now();
      if (concernsAllRows(submitted.final)) tally.stopped ??= `row ${row}: ${describe(told)}`;
    } else if (lastFinalAt < startedAt) {
      // Not this row alone: nothing else has been answered either since it was first sent.
      tally.stopped ??= `row ${row}: ${describe(told)}`;
    }
    return told;
  };

  // All lanes end before one's error is thrown: their rows are under way, and their results are to be kept.
  const ended = await Promise.allSettled(Array.from({ length: concurrency }, lane));
  for (const end of ended) if (end.status === 'rejected') throw end.reason;
  return tally;
}

/** `409 invoice_not_payable: The invoice is draft.` */
export function describe({ status, problem }: Told): string {
  const { code, detail, answers } = (problem ?? {}) as { code?: string; detail?: string; answers?: object };
  const what = [status, code].filter((part) => part !== undefined).join(' ');
  return [what, detail, answers === undefined ? '' : JSON.stringify(answers)].filter(Boolean).join(': ');
}

function requestOf(row: Row, { operation, sha256 }: ReplayOptions): RowRequest | Told {
  const malformed = (detail: string): Told => ({ outcome: 'malformed', problem: { detail } });
  if ('malformed' in row) return malformed(row.malformed);
  try {
    return toRequest(operation, row.input, sha256, row.row);
  } catch (error) {
    if (error instanceof MalformedRow) return malformed(error.message);
    throw error;
  }
}
