import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../../activities/crash-points.ts';
import { createNamedSet } from '../../activities/write/named-resources.ts';
import type { LeftItem } from '../../workflows/messages.ts';
import type { GroupRuns } from '../lanes/group-runs.ts';
import type { Lane } from '../lanes/lane.ts';
import type { PendingRow } from './pending-rows.ts';

export type SendDependencies = {
  readonly lane: Pick<Lane, 'isOpen' | 'start'>;
  readonly groups: Pick<GroupRuns, 'waitUntilClosed'>;
  /** How many rows may share a transaction now. */
  setSize(): number;
};

const LANE_POLL_MS = 200;

/**
 * Sends rows in groups of up to `size`, one after another, and waits for their end. Yields each group with the rows that have no
 * outcome of it. A row that names a resource of an earlier one that has none, as far as a retry can help that, stays behind it.
 * Throws when Temporal does not answer, or on `signal`.
 */
export async function* sendRows(
  dependencies: SendDependencies,
  rows: readonly PendingRow[],
  { size, signal }: { readonly size: number; readonly signal: AbortSignal },
): AsyncGenerator<SentGroup> {
  const held = createNamedSet();
  const rest = [...rows];
  while (rest.length > 0) {
    const group: PendingRow[] = [];
    let taken = 0;
    for (const row of rest) {
      if (group.length === size) break;
      taken += 1;
      if (held.meets(row.resources)) held.add(row.resources);
      else group.push(row);
    }
    rest.splice(0, taken);
    if (group.length === 0) continue;
    const left = await sendGroup(dependencies, group, signal);
    // It may be long until somebody approves: the rows after it go on.
    for (const [row, failure] of left) if (failure === 'transient') held.add(row.resources);
    yield { rows: group, left };
  }
}

/** `left`: those without an outcome, and whether a retry may help. */
export type SentGroup = {
  readonly rows: readonly PendingRow[];
  readonly left: ReadonlyMap<PendingRow, NonNullable<LeftItem['failure']>>;
};

async function sendGroup(
  { lane, groups, setSize }: SendDependencies,
  rows: readonly PendingRow[],
  signal: AbortSignal,
): Promise<SentGroup['left']> {
  const items = rows.map(({ item }) => item);
  const { aborted, release } = abortOf(signal);
  try {
    for (;;) {
      while (!lane.isOpen) await sleep(LANE_POLL_MS, undefined, { signal });
      const started = await lane.start(items, { setSize: setSize() });
      if (started === 'closed') continue;
      crashPoint('chunk: group started');
      for (;;) {
        const end = await Promise.race([groups.waitUntilClosed(started.workflowId, started.runId), aborted]);
        if (end === 'still open') continue;
        // Whatever it has done: the rows are looked up.
        if (end === 'unproven') return new Map(rows.map((row) => [row, 'transient']));
        started.settle();
        return new Map(
          end.left.flatMap(({ index, failure = 'transient' }) => {
            const row = rows[index];
            return row === undefined ? [] : [[row, failure] as const];
          }),
        );
      }
    }
  } finally {
    release();
  }
}

/** `aborted` rejects when this attempt is over: another one goes on. */
function abortOf(signal: AbortSignal): { readonly aborted: Promise<never>; release(): void } {
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  // Nobody may be waiting when it comes.
  aborted.catch(() => undefined);
  return { aborted, release: () => signal.removeEventListener('abort', abort) };
}
