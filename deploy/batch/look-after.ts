import { shown } from '../cli/progress.ts';
import { textTable } from '../cli/table.ts';
import { RefusedError } from '../client/src/errors.ts';
import type { Batch, ListBatchesQuery } from '../client/src/generated/types.ts';
import type { ResultFormat } from '../client/src/results.ts';
import { EXIT, Refused } from './ends.ts';
import type { End } from './finish.ts';
import { follow, isOver } from './follow.ts';
import { ifKnown } from './known.ts';
import { batchText } from './progress-text.ts';
import { exitCodeOf, faultText, quoted, reportText } from './report.ts';
import { printResults, resultFormatOf, saveResults } from './results.ts';
import { type Session, type SessionOptions, withSession } from './session.ts';

export function showBatch(batchKey: string, options: SessionOptions & { readonly follow?: true }): Promise<End> {
  return withSession(options, async ({ batches, progress, signal, waitS, onInterrupt }) => {
    onInterrupt('The batch goes on.');
    const onBatch = (stands: Batch) => progress.update(batchText(stands));
    const batch = options.follow
      ? await follow(batches, batchKey, { waitS, signal, onBatch })
      : await ifKnown(batches.get(batchKey, { signal }));
    if (batch === undefined) throw unknown(batchKey);
    progress.clear();
    for (const error of batch.errors) progress.done(faultText(error));
    const now = isOver(batch) ? '' : `\n${batchText(batch)}`;
    return { exitCode: exitCodeOf(batch), text: reportText(batch) + now, json: { batch } };
  });
}

export function showResults(
  batchKey: string,
  { out, format, json, ...options }: SessionOptions & { out?: string; format?: ResultFormat; json?: true },
): Promise<End> {
  if (json && out === undefined) throw new Refused('With --json, give --out: the results are not one JSON object.');
  return withSession(options, async (session) => {
    if (out === undefined) await printResults(session, batchKey, format ?? 'ndjson', process.stdout);
    else await saveResults(session, batchKey, out, format ?? resultFormatOf(out));
    return { exitCode: EXIT.done, text: '', json: { results: out } };
  });
}

/** As the methods of the client are called. */
type BatchAction = 'pause' | 'resume' | 'retryFailed' | 'cancel';

export function controlBatch(batchKey: string, action: BatchAction, options: SessionOptions): Promise<End> {
  return withSession(options, async (session) => {
    const batch = await changed(session, batchKey, action);
    return { exitCode: EXIT.done, text: `Batch ${batchKey}: ${batch.state}`, json: { batch } };
  });
}

export function listBatches({
  state,
  operation,
  limit,
  ...options
}: SessionOptions & Pick<ListBatchesQuery, 'state' | 'operation'> & { readonly limit: number }): Promise<End> {
  return withSession(options, async ({ batches, signal }) => {
    const { items, nextCursor } = await batches
      .list({ ...(state && { state }), ...(operation && { operation }), limit }, { signal })
      .first();
    const rows = items.map(({ key, state, operation, rows: all, counts, createdAt }) => [
      quoted(key),
      state,
      operation ?? '',
      all === null ? '' : `${shown(all - counts.pending)} of ${shown(all)}`,
      createdAt,
    ]);
    const text = textTable(['key', 'state', 'operation', 'rows', 'created'], rows);
    return { exitCode: EXIT.done, text, json: { items, nextCursor } };
  });
}

/** The states in which an action leaves a batch, whoever has asked for it. */
const LEAVES: Record<BatchAction, readonly Batch['state'][]> = {
  pause: ['paused'],
  resume: ['queued', 'running'],
  retryFailed: [],
  cancel: ['cancelled'],
};

/** Further states, to which only a request of this command whose answer was lost is known to lead. */
const LEADS_TO: Partial<Record<BatchAction, readonly Batch['state'][]>> = {
  resume: ['completed'],
  retryFailed: ['queued', 'running', 'completed'],
};

/** A batch that is as was wanted already is no conflict: the answer to an earlier request may have been lost. */
async function changed(
  { batches, signal, hasRepeated }: Pick<Session, 'batches' | 'signal' | 'hasRepeated'>,
  batchKey: string,
  action: BatchAction,
): Promise<Batch> {
  try {
    return await batches[action](batchKey, { signal });
  } catch (error) {
    if (!(error instanceof RefusedError) || error.code !== 'batch_state_conflict') throw error;
    const wasRepeated = hasRepeated();
    const batch = await ifKnown(batches.get(batchKey, { signal }));
    if (batch === undefined || !isDone(batch, action, wasRepeated)) throw error;
    return batch;
  }
}

function isDone({ state, counts }: Batch, action: BatchAction, wasRepeated: boolean): boolean {
  if (LEAVES[action].includes(state)) return true;
  if (!wasRepeated || !LEADS_TO[action]?.includes(state)) return false;
  // A completed batch that has such rows yet was refused because its file is no longer kept.
  return action !== 'retryFailed' || state !== 'completed' || counts.failed + counts.refused === 0;
}

function unknown(batchKey: string): Refused {
  return new Refused(`There is no batch with the key ${batchKey}, or this token may not read it.`);
}
