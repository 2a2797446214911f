import { nameOfKey } from './messages.ts';

/** The messages between the API, the worker and the workflow of a batch: plain JSON only. */

export const BATCH_WORKFLOW_TYPE = 'batch';
/** The batch may go on: it was resumed, it is its turn, or its rows are to be tried again. */
export const BATCH_CHANGED = 'changed';

/** Separate from the write queue: what runs there is behind the writes that somebody waits for. */
export function batchTaskQueue(writeTaskQueue: string): string {
  return `${writeTaskQueue}-batches`;
}

/**
 * `batch:{companyId}:{key}`, or `batch:{companyId}:~{digest}` for a key that has other characters or is too long, as for writes.
 *
 * @param sha256Base64Url hashes the key; a parameter because workflow code has no crypto module.
 */
export function batchWorkflowId(
  companyId: string,
  batchKey: string,
  sha256Base64Url: (text: string) => string,
): string {
  return `batch:${companyId}:${nameOfKey(batchKey, sha256Base64Url)}`;
}

/** The argument of a batch's workflow. PostgreSQL has all else. */
export type BatchArguments = {
  readonly companyId: string;
  readonly batchId: string;
  /** How many chunks may be written side by side. Part of the arguments, so that a replayed history always sees its own. */
  readonly chunksAtOnce: number;
};

/** Why an activity has come back: it has written a chunk, or there is none to write now. */
export type BatchStep = {
  /**
   * - `written`: a chunk.
   * - `blocked`: what comes next has to wait for a chunk that is being written.
   * - `waiting`: another batch of the company comes first.
   * - `gone`: the database has no such batch (any more).
   */
  readonly kind: 'written' | 'blocked' | 'waiting' | 'paused' | 'cancelled' | 'completed' | 'gone';
  readonly chunk: number | null;
  readonly progress: BatchProgress | null;
};

/** What the Temporal UI shows of a batch. */
export type BatchProgress = {
  readonly operation: string | null;
  readonly rows: number;
  readonly chunks: number;
  readonly rowsPerSecond: number | null;
  readonly counts: {
    readonly pending: number;
    readonly succeeded: number;
    readonly replayed: number;
    readonly rejected: number;
    readonly mismatched: number;
    readonly refused: number;
    readonly failed: number;
    readonly cancelled: number;
    /** Releases of before know of none. */
    readonly pendingApproval?: number;
  };
};

/** `loop`: which of those side by side, counting from 1. It has one activity at a time, whose attempts share what it claims. */
type BatchTurn = Pick<BatchArguments, 'companyId' | 'batchId'> & { readonly loop: number };

export type BatchActivities = {
  /** Writes the next chunk of a batch that may be written. Fails only to be tried again. */
  advanceBatch(batch: BatchTurn): Promise<BatchStep>;
};

/** What the workflow of a batch returns; its rows have their outcomes in PostgreSQL. */
export type BatchEnd = { readonly state: 'completed' | 'cancelled' | 'gone'; readonly progress: BatchProgress | null };
