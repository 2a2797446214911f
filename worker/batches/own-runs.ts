import type { WriteArguments } from '../../workflows/messages.ts';
import type { ChunkFindings } from './chunk-findings.ts';
import type { PendingRow } from './pending-rows.ts';

export type OwnRunDependencies = {
  /** Starts the run of a write, unless its key has one that is open or has its outcome. Throws TemporalUnavailable. */
  startRun(args: WriteArguments): Promise<void>;
};

/** Rows of a chunk that need an approval: each has a run of its own, which asks for it and waits, however long that is. */
export type OwnRuns = {
  has(row: PendingRow): boolean;
  start(rows: readonly PendingRow[], round: number, signal: AbortSignal): Promise<void>;
  /** Those that have not come to anything for some rounds: their runs may have been ended from outside. */
  startAgain(rows: readonly PendingRow[], round: number, signal: AbortSignal): Promise<void>;
};

const STARTS_AT_ONCE = 16;
const ROUNDS_OF_A_START = 3;

export function createOwnRuns({ startRun }: OwnRunDependencies, findings: ChunkFindings): OwnRuns {
  /** By position, the round in which it was started last. */
  const started = new Map<number, number>();

  async function start(rows: readonly PendingRow[], round: number, signal: AbortSignal): Promise<void> {
    const rest = [...rows];
    const startInTurn = async () => {
      for (let row = rest.shift(); row !== undefined; row = rest.shift()) {
        signal.throwIfAborted();
        await startRun(row.item.args);
        started.set(row.position, round);
        // A verification that misses its write finds it by the run of its key.
        findings.vouch(row.position);
      }
    };
    await Promise.all(Array.from({ length: Math.min(STARTS_AT_ONCE, rest.length) }, startInTurn));
  }

  return {
    has: ({ position }) => started.has(position),
    start,
    startAgain(rows, round, signal) {
      const silent = rows.filter(({ position }) => round - (started.get(position) ?? round) >= ROUNDS_OF_A_START);
      return start(silent, round, signal);
    },
  };
}
