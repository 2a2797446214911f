import {
  condition,
  continueAsNew,
  defineSignal,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import {
  BATCH_CHANGED,
  type BatchActivities,
  type BatchArguments,
  type BatchEnd,
  type BatchProgress,
  type BatchStep,
} from './batch-messages.ts';
import { keyword } from './search-attributes.ts';

const { advanceBatch } = proxyActivities<BatchActivities>({
  // A chunk is retried within the activity for as long as the database is away; the process that does it tells that it lives.
  startToCloseTimeout: '24 hours',
  heartbeatTimeout: '20 seconds',
  retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '30 seconds' },
});

/** A signal can be lost with the process that had to send it. */
const LOOK_AGAIN_MS = 60_000;
/** Far below Temporal's limits: a history of so many events is read within a moment. */
const MAX_EVENTS = 2_000;

/**
 * Drives a batch: has its chunks written until each row has its outcome. PostgreSQL says which is next and what has become of
 * each row, so this workflow may be ended and started again at any time. While the batch is paused, or another one of its company
 * comes first, it waits to be told.
 */
export async function batch(args: BatchArguments): Promise<BatchEnd> {
  let changes = 0;
  setHandler(defineSignal(BATCH_CHANGED), () => {
    changes += 1;
  });
  for (;;) {
    const seen = changes;
    const last = await writeChunks(args);
    // Whoever changed it meanwhile has not been heard by the activity that came back last.
    if (changes !== seen) continue;
    if (last.kind === 'completed' || last.kind === 'cancelled' || last.kind === 'gone') {
      upsertSearchAttributes([keyword('Outcome', last.kind)]);
      return { state: last.kind, progress: last.progress };
    }
    if (last.kind !== 'written' && !isLong()) await condition(() => changes !== seen, LOOK_AGAIN_MS);
    if (isLong()) await continueAsNew<typeof batch>(args);
  }
}

/** Loops side by side, until there is nothing to write or the history is long. Returns why the last of them came back. */
async function writeChunks({ companyId, batchId, chunksAtOnce }: BatchArguments): Promise<BatchStep> {
  let written = 0;
  let running = chunksAtOnce;
  let last: BatchStep = { kind: 'gone', chunk: null, progress: null };

  async function writeInTurn(loop: number): Promise<void> {
    for (;;) {
      const before = written;
      const step = await advanceBatch({ companyId, batchId, loop });
      last = step;
      setCurrentDetails(describe(step));
      if (step.kind === 'written') {
        written += 1;
        if (isLong()) break;
      } else if (step.kind === 'blocked' && running > 1) {
        // Something that another loop writes is in its way.
        running -= 1;
        await condition(() => written !== before || running === 0, LOOK_AGAIN_MS);
        running += 1;
      } else break;
    }
    running -= 1;
  }

  await Promise.all(Array.from({ length: chunksAtOnce }, (_, index) => writeInTurn(index + 1)));
  return last;
}

function isLong(): boolean {
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  return continueAsNewSuggested || historyLength > MAX_EVENTS;
}

const WHY: Record<BatchStep['kind'], string> = {
  written: 'running',
  blocked: 'running',
  waiting: 'waiting for another batch of the company',
  paused: 'paused',
  cancelled: 'cancelled',
  completed: 'completed',
  gone: 'not in the database',
};

/** For people: how far the batch is. No names and no amounts. */
function describe({ kind, chunk, progress }: BatchStep): string {
  const state = `**${WHY[kind]}**`;
  if (progress === null) return state;
  const { rows, chunks, counts, rowsPerSecond, operation } = progress;
  const done = rows - counts.pending;
  const share = rows === 0 ? 100 : Math.floor((done * 100) / rows);
  return [
    `${state}, ${done} of ${rows} rows (${share} %)${rowsPerSecond === null ? '' : `, ${Math.round(rowsPerSecond)} rows/s`}`,
    '',
    `Operation: ${operation ?? 'as each row says'}. ${chunk === null ? '' : `Last chunk: ${chunk} of ${chunks}.`}`,
    '',
    '| Outcome | Rows |',
    '|---|--:|',
    ...outcomesOf(counts).map(([outcome, count]) => `| ${outcome} | ${count} |`),
  ].join('\n');
}

function outcomesOf(counts: BatchProgress['counts']): readonly (readonly [string, number])[] {
  const { pendingApproval = 0, ...others } = counts;
  return Object.entries({ ...others, 'pending approval': pendingApproval }).filter(([, count]) => count > 0);
}
