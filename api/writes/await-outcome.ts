import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiContext } from '../context.ts';

/** How soon, and how rarely at last, a waiting request looks for the row: it can appear before the run closes, by a cancel. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/** Resolves when the row is there, at the deadline (by the clock of `performance.now()`), or when the run, if one is named, has closed. */
export async function awaitOutcome(
  { runs, lookups }: Pick<ApiContext, 'runs' | 'lookups'>,
  companyId: string,
  { key, runId }: { readonly key: string; readonly runId?: string | undefined },
  deadline: number,
): Promise<void> {
  let closed = false;
  if (runId !== undefined) {
    runs.waitUntilClosed(companyId, key, runId).then(
      (end) => {
        closed = end !== 'still open';
      },
      () => undefined,
    );
  }
  for (let pauseMs = FIRST_PAUSE_MS; !closed && performance.now() < deadline; pauseMs *= 2) {
    if ((await lookups.findRow(companyId, key).catch(() => undefined)) !== undefined) return;
    await sleep(Math.min(pauseMs, LONGEST_PAUSE_MS, Math.max(1, deadline - performance.now())));
  }
}
